//! Rule: no file or folder has a name that says nothing of what it owns.

use super::Finding;
use super::tree::Tree;

const BANNED: [&str; 8] = ["util", "utils", "helper", "helpers", "common", "manager", "misc", "shared"];

pub(crate) fn check(tree: &Tree) -> Vec<Finding> {
    let mut findings = Vec::new();
    for (path, _) in tree.files() {
        for element in path.split('/') {
            let stem = element.split_once('.').map_or(element, |(stem, _)| stem);
            if BANNED.contains(&stem) {
                findings
                    .push(Finding::new(path, format!("`{stem}` says nothing: name it after what it owns")));
            }
        }
    }
    findings
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn empty_names_are_found_in_files_and_folders() {
        let tree = Tree::of(&[
            ("crates/one/src/utils.rs", ""),
            ("crates/common/src/lib.rs", ""),
            ("crates/one/src/manager.rs", ""),
        ]);
        assert_eq!(check(&tree).len(), 3);
    }

    #[test]
    fn full_names_that_contain_them_pass() {
        let tree =
            Tree::of(&[("bin/controller-manager-supervisor/src/main.rs", ""), ("docs/utilities.md", "")]);
        assert_eq!(check(&tree), []);
    }
}
