//! Rule: no committed text tells of the machine it was written on: no absolute paths of it, and no
//! host names of package registries, which differ between machines and belong in their settings.

use super::Finding;
use super::tree::Tree;

/// Written in two pieces, so that this file does not break its own rule.
const HOSTS: [&str; 8] = [
    concat!("crates", ".io"),
    concat!("proxy.golang", ".org"),
    concat!("sum.golang", ".org"),
    concat!("registry.npmjs", ".org"),
    concat!("pypi", ".org"),
    concat!("files.pythonhosted", ".org"),
    concat!("deb.debian", ".org"),
    concat!("security.debian", ".org"),
];

const PATHS: [&str; 2] = [concat!("/wo", "rk/"), concat!("/ro", "ot/")];

/// Cargo writes the default registry into it by itself, on every machine the same.
const GENERATED: [&str; 1] = ["Cargo.lock"];

pub(crate) fn check(tree: &Tree) -> Vec<Finding> {
    let mut findings = Vec::new();
    for (path, text) in tree.files().filter(|(path, _)| !GENERATED.contains(path)) {
        for (index, line) in text.lines().enumerate() {
            if let Some(host) = HOSTS.into_iter().find(|host| line.contains(host)) {
                findings.push(Finding::at(
                    path,
                    index + 1,
                    format!("names the registry host {host}: leave it out"),
                ));
            }
            if let Some(trace) = PATHS.into_iter().find(|trace| has_absolute(line, trace)) {
                let message =
                    format!("holds {trace}, a path of one machine: make it relative or an argument");
                findings.push(Finding::at(path, index + 1, message));
            }
        }
    }
    findings
}

/// Whether the path begins there, rather than going on from something ("frame/work/").
fn has_absolute(line: &str, path: &str) -> bool {
    line.match_indices(path).any(|(start, _)| {
        let before = line[..start].chars().next_back();
        !before.is_some_and(|character| character.is_alphanumeric() || "._-~/}".contains(character))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_and_hosts_are_found_with_their_line() {
        let text = format!("fine\ncd {}main\nurl = https://index.{}/\n", PATHS[0], HOSTS[0]);
        let lines: Vec<_> =
            check(&Tree::of(&[("notes.md", &text)])).iter().map(|finding| finding.line).collect();
        assert_eq!(lines, [Some(2), Some(3)]);
    }

    #[test]
    fn relative_paths_and_the_lock_file_pass() {
        let tree =
            Tree::of(&[("notes.md", "frame/work/a ./root/b ${HOME}/work/c"), ("Cargo.lock", HOSTS[0])]);
        assert_eq!(check(&tree), []);
    }
}
