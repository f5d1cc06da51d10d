//! Rule: no Rust file is longer than people read in one go.

use super::Finding;
use super::tree::Tree;

const MOST: usize = 500;

pub(crate) fn check(tree: &Tree) -> Vec<Finding> {
    tree.rust_files()
        .map(|(path, text)| (path, text.lines().count()))
        .filter(|(_, lines)| *lines > MOST)
        .map(|(path, lines)| {
            Finding::new(path, format!("{lines} lines: {MOST} at most, split it by what it owns"))
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn five_hundred_lines_pass_and_one_more_does_not() {
        let tree = Tree::of(&[("short.rs", &"\n".repeat(500)), ("long.rs", &"\n".repeat(501))]);
        let paths: Vec<_> = check(&tree).into_iter().map(|finding| finding.path).collect();
        assert_eq!(paths, ["long.rs"]);
    }
}
