//! The checkout as texts by path. It leaves out what git and builds own and what is not text.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use anyhow::{Context, Result};

/// Never ours, whatever lies in them.
const SKIPPED: [&str; 2] = [".git", "target"];

/// Paths below the root, with slashes, and their texts.
#[derive(Default)]
pub(crate) struct Tree(BTreeMap<String, String>);

impl Tree {
    pub(crate) fn read(root: &Path) -> Result<Self> {
        let mut tree = Self::default();
        tree.read_folder(root, "")?;
        Ok(tree)
    }

    fn read_folder(&mut self, folder: &Path, prefix: &str) -> Result<()> {
        let entries = fs::read_dir(folder).with_context(|| format!("cannot list {}", folder.display()))?;
        for entry in entries {
            let entry = entry.with_context(|| format!("cannot list {}", folder.display()))?;
            let name = entry.file_name().to_string_lossy().into_owned();
            let (path, kind) = (format!("{prefix}{name}"), entry.file_type()?);
            if kind.is_dir() && !SKIPPED.contains(&name.as_str()) {
                self.read_folder(&entry.path(), &format!("{path}/"))?;
            } else if kind.is_file() {
                let bytes = fs::read(entry.path()).with_context(|| format!("cannot read {path}"))?;
                // What is not UTF-8 is a picture or a binary: no rule here reads those.
                if let Ok(text) = String::from_utf8(bytes) {
                    self.0.insert(path, text);
                }
            }
        }
        Ok(())
    }

    pub(crate) fn files(&self) -> impl Iterator<Item = (&str, &str)> {
        self.0.iter().map(|(path, text)| (path.as_str(), text.as_str()))
    }

    pub(crate) fn rust_files(&self) -> impl Iterator<Item = (&str, &str)> {
        self.files().filter(|(path, _)| has_extension(path, "rs"))
    }

    pub(crate) fn has(&self, path: &str) -> bool {
        self.0.contains_key(path)
    }

    pub(crate) fn len(&self) -> usize {
        self.0.len()
    }

    #[cfg(test)]
    pub(crate) fn of(files: &[(&str, &str)]) -> Self {
        Self(files.iter().map(|(path, text)| ((*path).to_owned(), (*text).to_owned())).collect())
    }
}

pub(crate) fn has_extension(path: &str, extension: &str) -> bool {
    Path::new(path).extension().is_some_and(|found| found == extension)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    #[expect(clippy::disallowed_methods, reason = "fixtures in a temporary directory")]
    fn texts_are_read_and_the_rest_is_left_out() {
        let root = tempfile::tempdir().unwrap();
        for folder in ["crates/one/src", ".git", "target/debug", ".ci"] {
            fs::create_dir_all(root.path().join(folder)).unwrap();
        }
        for path in ["crates/one/src/lib.rs", ".git/config", "target/debug/a.rs", ".ci/run"] {
            fs::write(root.path().join(path), "text").unwrap();
        }
        fs::write(root.path().join("picture.png"), [0x89, 0xff, 0xfe]).unwrap();
        let tree = Tree::read(root.path()).unwrap();
        let paths: Vec<_> = tree.files().map(|(path, _)| path).collect();
        assert_eq!(paths, [".ci/run", "crates/one/src/lib.rs"]);
        assert_eq!(tree.rust_files().count(), 1);
    }
}
