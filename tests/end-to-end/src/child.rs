//! What a running child was given, as the kernel tells it: its arguments and its environment.
//! Refuses to tell what a supervisor meant to give.

use std::collections::BTreeMap;

use crate::Instance;

impl Instance {
    /// The value of a child's `--FLAG=VALUE`; none if it was not given. Panics if the child does not run.
    #[must_use]
    pub fn child_flag(&self, flag: &str) -> Option<String> {
        let beginning = format!("--{flag}=");
        self.of_child("cmdline")
            .iter()
            .find_map(|argument| Some(argument.strip_prefix(&beginning)?.to_owned()))
    }

    /// The environment with which the child was started. Panics if it does not run.
    #[must_use]
    pub fn child_environment(&self) -> BTreeMap<String, String> {
        let variables = self.of_child("environ");
        let pairs = variables.iter().filter_map(|variable| variable.split_once('='));
        pairs.map(|(name, value)| (name.to_owned(), value.to_owned())).collect()
    }

    fn of_child(&self, file: &str) -> Vec<String> {
        let pid = self.pid.unwrap_or_else(|| panic!("{} has no child", self.name));
        let bytes = std::fs::read(format!("/proc/{pid}/{file}")).expect("the child runs");
        bytes.split(|byte| *byte == 0).map(|part| String::from_utf8_lossy(part).into_owned()).collect()
    }
}
