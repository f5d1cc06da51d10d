//! Rule: a pure core decides from its arguments alone. It imports no runtime, no client and no clock,
//! so that its tests can generate any history. Which cores are pure is declared here.

use super::Finding;
use super::rust_source::{code, is_identifier};
use super::tree::Tree;

/// Beginnings of paths, and why what lies there must stay pure.
pub(super) const PURE: [(&str, &str); 16] = [
    ("crates/naming-contract/", "the chart and every binary share it"),
    ("crates/component-flags/", "argv is compared against snapshots for each Kubernetes version"),
    ("crates/version-skew/", "histories of upgrades and rollbacks are generated"),
    ("crates/kubeconfig/", "what is rendered depends on nothing but its input"),
    ("crates/hosted-status/src/rows", "what Pods look like in a bad night cannot be had at will"),
    ("crates/instance-status/src/table", "what people see is a snapshot"),
    ("crates/supervision/src/machine", "every order of events is tested without waiting"),
    ("crates/etcd-membership/src/planner", "its histories are generated"),
    ("crates/etcd-membership/src/recovery", "a crash is tested between any two of its steps"),
    ("crates/certificates/src/profiles", "who may have what must be readable as a table"),
    ("crates/certificates/src/due", "renewal is tested at any moment of any lifetime"),
    (
        "crates/certificate-signing/src/rotation/planner",
        "a key that somebody lacks shows in some orders only",
    ),
    ("crates/certificate-signing/src/rotation/standing", "a clock that jumps cannot be had at will"),
    ("crates/tcp-front/src/roster", "what is cut and what is not holds for every history of answers"),
    ("tests/disruption/src/model/", "a checker that cannot be made to miss a fault cannot be trusted"),
    ("crates/certificates/src/entitlement", "who may have what must not depend on the moment"),
];

/// Crates that do I/O, as they are written in code.
pub(super) const IMPURE_CRATES: [&str; 7] =
    ["tokio", "tokio_util", "kube", "etcd_client", "reqwest", "hyper", "hyper_util"];

/// Clocks: time is an argument.
const CLOCKS: [&str; 4] = ["SystemTime", "Instant::now", "now_utc", "now_local"];

pub(crate) fn check(tree: &Tree) -> Vec<Finding> {
    let mut findings = Vec::new();
    for (prefix, reason) in PURE {
        let mut exists = false;
        for (path, text) in tree.rust_files().filter(|(path, _)| path.starts_with(prefix)) {
            exists = true;
            check_file(path, text, reason, &mut findings);
        }
        if !exists {
            findings.push(Finding::new(
                prefix,
                "declared a pure core in xtask/src/tidy/pure_cores.rs, but not there",
            ));
        }
    }
    findings
}

fn check_file(path: &str, text: &str, reason: &str, findings: &mut Vec<Finding>) {
    for (index, line) in code(text).lines().enumerate() {
        let imported = IMPURE_CRATES.into_iter().find(|name| names_crate(line, name));
        let clock = CLOCKS.into_iter().find(|name| has_word(line, name));
        if let Some(name) = imported.or(clock) {
            let message =
                format!("`{name}` in a pure core ({reason}): make it an argument, or move the code out");
            findings.push(Finding::at(path, index + 1, message));
        }
    }
}

/// Whether the line uses a crate: `name::…` or `use name`, but not `other::name::…`.
fn names_crate(line: &str, name: &str) -> bool {
    occurrences(line, name).any(|at| {
        let (before, after) = (line[..at].trim_end(), line[at + name.len()..].trim_start());
        let used = before.ends_with("use") || before.ends_with("extern crate");
        (after.starts_with("::") || used) && !before.ends_with("::")
    })
}

fn has_word(line: &str, word: &str) -> bool {
    occurrences(line, word).next().is_some()
}

/// Where the word stands as a whole word.
fn occurrences<'line>(line: &'line str, word: &str) -> impl Iterator<Item = usize> + 'line {
    let length = word.len();
    let found: Vec<_> = line.match_indices(word).map(|(at, _)| at).collect();
    found.into_iter().filter(move |at| {
        !line[..*at].chars().next_back().is_some_and(is_identifier)
            && !line[at + length..].chars().next().is_some_and(is_identifier)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn messages(path: &str, text: &str) -> Vec<String> {
        let mut findings = check(&Tree::of(&[(path, text)]));
        findings.retain(|finding| finding.line.is_some());
        findings.into_iter().map(|finding| finding.message).collect()
    }

    const CORE: &str = "crates/supervision/src/machine/states.rs";

    #[test]
    fn runtimes_clients_and_clocks_are_found() {
        for line in [
            "use tokio::time::Duration;",
            "use kube as k;",
            "let client = etcd_client::Client::connect();",
            "let at = std::time::Instant::now();",
            "use std::time::{Duration, SystemTime};",
            "let now = OffsetDateTime::now_utc();",
        ] {
            assert_eq!(messages(CORE, line).len(), 1, "{line}");
        }
    }

    #[test]
    fn prose_and_names_that_only_look_alike_pass() {
        for line in [
            "// tokio::spawn is for the driver",
            "const SENTENCE: &str = \"use tokio::spawn\";",
            "use naming_contract::kube::PORT;",
            "use kubeconfig::Kubeconfig;",
            "fn known_utc(now: Duration) {}",
        ] {
            assert!(messages(CORE, line).is_empty(), "{line}");
        }
    }

    #[test]
    fn drivers_may_do_io() {
        assert!(messages("crates/supervision/src/driver.rs", "use tokio::time::Duration;").is_empty());
    }

    #[test]
    fn a_declared_core_that_is_gone_is_found() {
        let missing = check(&Tree::of(&[(CORE, "")]));
        assert_eq!(missing.len(), PURE.len() - 1);
        assert!(missing.iter().all(|finding| finding.path != "crates/supervision/src/machine"));
    }
}
