//! Rule: every Rust file opens with one to four `//!` lines on what it owns and what it refuses.

use super::Finding;
use super::tree::Tree;

const MOST: usize = 4;

pub(crate) fn check(tree: &Tree) -> Vec<Finding> {
    tree.rust_files().filter_map(|(path, text)| check_file(path, text)).collect()
}

fn check_file(path: &str, text: &str) -> Option<Finding> {
    let lines = text.lines().take_while(|line| line.starts_with("//!")).count();
    match lines {
        0 => Some(Finding::at(path, 1, "open with `//!` lines on what the file owns and what it refuses")),
        1..=MOST => None,
        _ => Some(Finding::at(
            path,
            1,
            format!("{lines} lines of `//!`: {MOST} at most, say the rest elsewhere"),
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn findings(text: &str) -> usize {
        check(&Tree::of(&[("a.rs", text), ("a.md", "no docs needed")])).len()
    }

    #[test]
    fn one_to_four_lines_pass() {
        assert_eq!(findings("//! Owns a.\n\nfn a() {}\n"), 0);
        assert_eq!(findings("//! 1\n//! 2\n//!\n//! 4\nfn a() {}\n"), 0);
    }

    #[test]
    fn none_five_or_late_ones_do_not() {
        assert_eq!(findings("fn a() {}\n"), 1);
        assert_eq!(findings("//! 1\n//! 2\n//! 3\n//! 4\n//! 5\n"), 1);
        assert_eq!(findings("#![allow(dead_code)]\n//! Owns a.\n"), 1);
    }
}
