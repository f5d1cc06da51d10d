//! `cargo xtask tidy`: what compilers do not check, one module per rule. Rules are pure functions over
//! a tree of texts; only `tree` reads the disk.

mod dependency_direction;
mod file_length;
mod file_names;
mod machine_traces;
mod module_docs;
mod numbered_decisions;
mod pure_cores;
mod rooms;
mod rust_source;
mod tree;

use std::fmt;

use anyhow::{Result, bail};

use crate::cargo_metadata::Workspace;
use crate::checkout;
use tree::Tree;

/// One broken rule at one place, with the remedy in the message.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Finding {
    path: String,
    line: Option<usize>,
    message: String,
}

impl Finding {
    fn new(path: &str, message: impl Into<String>) -> Self {
        Self { path: path.to_owned(), line: None, message: message.into() }
    }

    fn at(path: &str, line: usize, message: impl Into<String>) -> Self {
        Self { path: path.to_owned(), line: Some(line), message: message.into() }
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.line {
            Some(line) => write!(formatter, "{}:{line}: {}", self.path, self.message),
            None => write!(formatter, "{}: {}", self.path, self.message),
        }
    }
}

const TREE_RULES: [fn(&Tree) -> Vec<Finding>; 7] = [
    module_docs::check,
    file_length::check,
    file_names::check,
    pure_cores::check,
    rooms::check,
    machine_traces::check,
    numbered_decisions::check,
];

pub(crate) fn run() -> Result<()> {
    let tree = Tree::read(checkout::root())?;
    let mut findings: Vec<Finding> = TREE_RULES.iter().flat_map(|rule| rule(&tree)).collect();
    findings.extend(dependency_direction::check(&Workspace::read()?));
    findings.sort_by(|left, right| (&left.path, left.line).cmp(&(&right.path, right.line)));
    for finding in &findings {
        eprintln!("{finding}");
    }
    if !findings.is_empty() {
        bail!("{} findings: each line above says what to change", findings.len());
    }
    eprintln!("{} files are tidy", tree.len());
    Ok(())
}
