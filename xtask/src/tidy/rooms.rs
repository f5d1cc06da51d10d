//! Rule: no empty rooms. A folder of a crate has content and a Cargo.toml; a binary is main.rs and args.rs.

use std::collections::BTreeSet;

use super::Finding;
use super::tree::Tree;

/// What the workspace's skeleton wrote into rooms before their first content.
const PLACEHOLDER: &str = concat!("(room to be ", "filled)");

pub(crate) fn check(tree: &Tree) -> Vec<Finding> {
    let mut findings = Vec::new();
    for (path, text) in tree.rust_files() {
        if text.contains(PLACEHOLDER) {
            findings.push(Finding::new(path, "an empty room: fill it or remove it"));
        }
        if !belongs_in_a_binary(path) {
            findings.push(Finding::new(path, "a binary is main.rs and args.rs: move the logic to a crate"));
        }
    }
    for room in folders(tree) {
        let manifest = format!("{room}/Cargo.toml");
        if !tree.has(&manifest) {
            findings.push(Finding::new(&manifest, "a room without a package: add it or remove the folder"));
        }
    }
    findings
}

fn belongs_in_a_binary(path: &str) -> bool {
    let Some((_, inside)) = path.strip_prefix("bin/").and_then(|rest| rest.split_once('/')) else {
        return true;
    };
    matches!(inside, "src/main.rs" | "src/args.rs") || inside.starts_with("tests/")
}

fn folders(tree: &Tree) -> BTreeSet<String> {
    let room = |path: &str| {
        let mut elements = path.split('/');
        let (area, name) = (elements.next()?, elements.next()?);
        elements.next()?;
        matches!(area, "bin" | "crates").then(|| format!("{area}/{name}"))
    };
    tree.files().filter_map(|(path, _)| room(path)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_thin_binary_and_a_filled_crate_pass() {
        let tree = Tree::of(&[
            ("bin/one/Cargo.toml", ""),
            ("bin/one/src/main.rs", "//! Parses."),
            ("bin/one/src/args.rs", ""),
            ("bin/one/tests/help.rs", ""),
            ("crates/two/Cargo.toml", ""),
            ("crates/two/src/any/deep.rs", ""),
            ("tests/three/data.txt", ""),
        ]);
        assert_eq!(check(&tree), []);
    }

    #[test]
    fn placeholders_logic_in_binaries_and_folders_without_a_package_do_not() {
        let tree = Tree::of(&[
            ("bin/one/Cargo.toml", ""),
            ("bin/one/src/logic.rs", ""),
            ("crates/two/Cargo.toml", ""),
            ("crates/two/src/lib.rs", &format!("//! {PLACEHOLDER}")),
            ("crates/three/notes.txt", ""),
        ]);
        let paths: Vec<_> = check(&tree).into_iter().map(|finding| finding.path).collect();
        assert_eq!(paths, ["bin/one/src/logic.rs", "crates/two/src/lib.rs", "crates/three/Cargo.toml"]);
    }
}
