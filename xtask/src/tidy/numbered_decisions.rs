//! Rule: decisions are numbered from 0001 without gaps or doubles, so that a number cites exactly one.

use super::Finding;
use super::tree::Tree;

const FOLDER: &str = "docs/decisions/";

pub(crate) fn check(tree: &Tree) -> Vec<Finding> {
    let mut findings = Vec::new();
    let mut expected = 1;
    let decisions = tree.files().filter_map(|(path, _)| Some((path, path.strip_prefix(FOLDER)?)));
    for (path, name) in decisions.filter(|(_, name)| *name != "README.md") {
        match number(name) {
            None => findings.push(Finding::new(path, "name it NNNN-words-with-hyphens.md")),
            Some(number) if number != expected => {
                findings.push(Finding::new(path, format!("number {number:04} where {expected:04} is next")));
                expected = number + 1;
            }
            Some(_) => expected += 1,
        }
    }
    findings
}

/// The number of `0001-some-words.md`.
fn number(name: &str) -> Option<u32> {
    let (digits, words) = name.strip_suffix(".md")?.split_once('-')?;
    let plain = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
    let well_formed = digits.len() == 4 && !words.is_empty() && words.bytes().all(plain);
    well_formed.then(|| digits.parse().ok()).flatten()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn findings(names: &[&str]) -> Vec<String> {
        let paths: Vec<_> = names.iter().map(|name| format!("{FOLDER}{name}")).collect();
        let files: Vec<_> = paths.iter().map(|path| (path.as_str(), "")).collect();
        check(&Tree::of(&files)).into_iter().map(|finding| finding.message).collect()
    }

    #[test]
    fn a_row_from_one_passes() {
        assert!(findings(&["README.md", "0001-one-etcd.md", "0002-two.md"]).is_empty());
    }

    #[test]
    fn gaps_doubles_and_other_names_do_not() {
        assert_eq!(
            findings(&["0001-one.md", "0003-three.md", "0004-four.md"]),
            ["number 0003 where 0002 is next"]
        );
        assert_eq!(findings(&["0001-one.md", "0001-other.md"]), ["number 0001 where 0002 is next"]);
        assert_eq!(findings(&["1-one.md", "Notes.md"]).len(), 2);
    }
}
