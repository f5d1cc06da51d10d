//! What a go.mod pins: the language version, module versions and the programs to build (its `tool`
//! directives). It reads only the three directives it needs; `go build` is the judge of the file.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

pub(crate) struct GoModule {
    pub(crate) folder: PathBuf,
    /// The `go` directive: the oldest Go that builds it.
    pub(crate) go: String,
    /// Import paths of programs, in the file's order.
    pub(crate) tools: Vec<String>,
    requirements: Vec<(String, String)>,
}

impl GoModule {
    pub(crate) fn read(folder: &Path) -> Result<Self> {
        let path = folder.join("go.mod");
        let text = fs::read_to_string(&path).with_context(|| format!("cannot read {}", path.display()))?;
        Self::parse(folder, &text).with_context(|| path.display().to_string())
    }

    fn parse(folder: &Path, text: &str) -> Result<Self> {
        let mut module =
            Self { folder: folder.into(), go: String::new(), tools: Vec::new(), requirements: Vec::new() };
        let mut block = String::new();
        for line in text.lines() {
            let line = line.split_once("//").map_or(line, |(code, _)| code).trim();
            if line == ")" {
                block.clear();
            } else if let Some(opened) = line.strip_suffix(" (") {
                opened.clone_into(&mut block);
            } else if block.is_empty() {
                if let Some((directive, rest)) = line.split_once(' ') {
                    module.directive(directive, rest);
                }
            } else if !line.is_empty() {
                module.directive(&block, line);
            }
        }
        if module.go.is_empty() {
            anyhow::bail!("no `go` directive: write the oldest Go version that builds it");
        }
        Ok(module)
    }

    fn directive(&mut self, directive: &str, rest: &str) {
        match directive {
            "go" => rest.clone_into(&mut self.go),
            "tool" => self.tools.push(rest.to_owned()),
            "require" => {
                if let Some((path, version)) = rest.split_once(' ') {
                    self.requirements.push((path.to_owned(), version.to_owned()));
                }
            }
            _ => {}
        }
    }

    /// The pinned version of a module, without the leading v.
    pub(crate) fn version_of(&self, path: &str) -> Result<String> {
        self.requirements
            .iter()
            .find(|(required, _)| required == path)
            .map(|(_, version)| version.trim_start_matches('v').to_owned())
            .with_context(|| format!("{}/go.mod does not require {path}", self.folder.display()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = "module example.test/components

go 1.26.0

tool example.test/alone

require (
\texample.test/server/v3 v3.7.3
\texample.test/other v0.1.0 // indirect
)

require example.test/single v1.2.3

tool (
\texample.test/server/v3
\texample.test/cmd/client
)

replace (
\texample.test/other => example.test/other v0.2.0
)
";

    #[test]
    fn pins_are_read_from_lines_and_blocks() {
        let module = GoModule::parse(Path::new("folder"), TEXT).unwrap();
        assert_eq!(module.go, "1.26.0");
        assert_eq!(module.tools, ["example.test/alone", "example.test/server/v3", "example.test/cmd/client"]);
        assert_eq!(module.version_of("example.test/server/v3").unwrap(), "3.7.3");
        assert_eq!(module.version_of("example.test/other").unwrap(), "0.1.0");
        assert_eq!(module.version_of("example.test/single").unwrap(), "1.2.3");
    }

    #[test]
    fn what_is_not_pinned_is_an_error_that_names_it() {
        let module = GoModule::parse(Path::new("folder"), TEXT).unwrap();
        let error = module.version_of("example.test/absent").unwrap_err().to_string();
        assert_eq!(error, "folder/go.mod does not require example.test/absent");
        assert!(GoModule::parse(Path::new("folder"), "module example.test/components\n").is_err());
    }
}
