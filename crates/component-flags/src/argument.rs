//! A list of `--flag=value` and how a user's extra arguments join it: they replace, add to, or are refused.
//! Refuses to know any flag; each component brings its own rules.

use std::collections::BTreeMap;

/// Why a user's extra argument is refused. The text says what to do instead.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ArgumentError {
    /// Not of the form `--flag`, `--flag=value` or `--flag value`.
    #[error("extra argument {argument:?} is not a flag; write it as --flag=value")]
    NotAFlag {
        /// The argument as given.
        argument: String,
    },
    /// A flag that the supervisor must choose itself.
    #[error("--{flag} cannot be given as an extra argument: {reason}")]
    Owned {
        /// The flag's name without dashes.
        flag: String,
        /// A sentence that says who sets it and what to use instead.
        reason: &'static str,
    },
}

/// Flags that are refused, each with the sentence that says why.
type Owned = &'static [(&'static str, &'static str)];

/// What may happen to a flag when the user gives it too. Flags that no list names are replaced.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Rules {
    /// Refused: name (or a prefix ending in `*`) and the sentence that says why.
    pub(crate) owned: &'static [Owned],
    /// Comma-separated lists to which the user's entries are added.
    pub(crate) added_to: &'static [&'static str],
    /// The first, given by the user, drops the second of ours, which the binary refuses beside it.
    pub(crate) supersedes: &'static [(&'static str, &'static str)],
}

/// Flags in the order in which they are passed.
#[derive(Debug, Clone, Default)]
pub(crate) struct Arguments {
    flags: Vec<(String, Option<String>)>,
}

impl Arguments {
    /// Appends a flag with its value.
    #[expect(
        clippy::needless_pass_by_value,
        reason = "literals and borrowed fields alike read best by value"
    )]
    pub(crate) fn set(&mut self, flag: &str, value: impl ToString) -> &mut Self {
        self.flags.push((flag.to_owned(), Some(value.to_string())));
        self
    }

    /// Appends a flag whose value is a file.
    pub(crate) fn file(&mut self, flag: &str, path: &std::path::Path) -> &mut Self {
        self.set(flag, path.display())
    }

    /// Joins the user's extra arguments and renders everything as `--flag=value`.
    pub(crate) fn join(mut self, user: &[String], rules: &Rules) -> Result<Vec<String>, ArgumentError> {
        let given = parse(user)?;
        for (flag, _value) in &given {
            if let Some(reason) = rules.reason_against(flag) {
                return Err(ArgumentError::Owned { flag: flag.clone(), reason });
            }
        }
        let mut added: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
        let mut rest = Vec::new();
        for (flag, value) in &given {
            let ours = self.flags.iter().any(|(name, _)| name == flag);
            if ours && rules.added_to.contains(&flag.as_str()) {
                added.entry(flag).or_default().extend(value.as_deref().unwrap_or_default().split(','));
            } else {
                rest.push((flag.clone(), value.clone()));
            }
        }
        self.flags.retain(|(name, _)| {
            let replaced = rest.iter().any(|(flag, _)| flag == name);
            let superseded = rules
                .supersedes
                .iter()
                .any(|(theirs, ours)| ours == name && given.iter().any(|(flag, _)| flag == theirs));
            !replaced && !superseded
        });
        for (name, value) in &mut self.flags {
            if let (Some(entries), Some(value)) = (added.get(name.as_str()), value.as_mut()) {
                *value = union(value, entries);
            }
        }
        self.flags.extend(rest);
        Ok(self.render())
    }

    fn render(self) -> Vec<String> {
        self.flags
            .into_iter()
            .map(|(name, value)| match value {
                Some(value) => format!("--{name}={value}"),
                None => format!("--{name}"),
            })
            .collect()
    }
}

impl Rules {
    fn reason_against(&self, flag: &str) -> Option<&'static str> {
        let general: &[(&str, &str)] = &[
            (
                "help",
                "the supervisor runs the component, it does not ask for its usage; run the binary itself for that",
            ),
            ("version", "the supervisor asks for the version itself; run the binary itself to see it"),
        ];
        self.owned
            .iter()
            .copied()
            .flatten()
            .chain(general)
            .find(|(name, _)| matches(name, flag))
            .map(|(_, reason)| *reason)
    }
}

fn matches(pattern: &str, flag: &str) -> bool {
    match pattern.strip_suffix('*') {
        Some(prefix) => flag.starts_with(prefix),
        None => pattern == flag,
    }
}

fn union(ours: &str, theirs: &[&str]) -> String {
    let mut entries: Vec<&str> = ours.split(',').collect();
    for entry in theirs {
        if !entry.is_empty() && !entries.contains(entry) {
            entries.push(entry);
        }
    }
    entries.join(",")
}

/// Reads `--flag=value`, `--flag value`, `--flag` and the single-dash forms that Go's flag packages know.
fn parse(user: &[String]) -> Result<Vec<(String, Option<String>)>, ArgumentError> {
    let mut flags: Vec<(String, Option<String>)> = Vec::new();
    for argument in user {
        let Some(stripped) = argument.strip_prefix("--").or_else(|| argument.strip_prefix('-')) else {
            // `--flag value`: a word without a dash belongs to the flag before it.
            match flags.last_mut() {
                Some((_, value @ None)) => *value = Some(argument.clone()),
                _ => return Err(ArgumentError::NotAFlag { argument: argument.clone() }),
            }
            continue;
        };
        let (name, value) = match stripped.split_once('=') {
            Some((name, value)) => (name, Some(value.to_owned())),
            None => (stripped, None),
        };
        let starts_like_a_name = name.starts_with(|first: char| first.is_ascii_alphanumeric());
        if !starts_like_a_name {
            return Err(ArgumentError::NotAFlag { argument: argument.clone() });
        }
        // Kubernetes binaries take `_` for `-` in flag names; a refusal must not be dodged that way.
        flags.push((name.replace('_', "-"), value));
    }
    Ok(flags)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const RULES: Rules = Rules {
        owned: &[&[("etcd-servers", "set --etcd-endpoint")], &[("oidc-*", "use a file")]],
        added_to: &["enable-admission-plugins"],
        supersedes: &[("authorization-config", "authorization-mode")],
    };

    fn ours() -> Arguments {
        let mut arguments = Arguments::default();
        arguments
            .set("etcd-servers", "https://a")
            .set("enable-admission-plugins", "NodeRestriction")
            .set("authorization-mode", "Node,RBAC")
            .set("profiling", false);
        arguments
    }

    fn join(user: &[&str]) -> Result<Vec<String>, ArgumentError> {
        ours().join(&user.iter().map(ToString::to_string).collect::<Vec<_>>(), &RULES)
    }

    #[test]
    fn a_users_flag_replaces_ours_and_unknown_ones_follow_in_order() {
        let argv = join(&[
            "--profiling=true",
            "--v=4",
            "--runtime-config",
            "api/all=true",
            "--feature-gates=A=true",
        ]);
        assert_eq!(
            argv.unwrap(),
            [
                "--etcd-servers=https://a",
                "--enable-admission-plugins=NodeRestriction",
                "--authorization-mode=Node,RBAC",
                "--profiling=true",
                "--v=4",
                "--runtime-config=api/all=true",
                "--feature-gates=A=true",
            ]
        );
    }

    #[test]
    fn lists_are_added_to_and_a_superseding_flag_drops_ours() {
        let argv = join(&[
            "--enable-admission-plugins=PodNodeSelector,NodeRestriction",
            "--authorization-config=/a",
        ]);
        assert_eq!(
            argv.unwrap(),
            [
                "--etcd-servers=https://a",
                "--enable-admission-plugins=NodeRestriction,PodNodeSelector",
                "--profiling=false",
                "--authorization-config=/a",
            ]
        );
    }

    #[test]
    fn owned_flags_are_refused_in_every_spelling() {
        for spelling in [
            "--etcd-servers=x",
            "--etcd_servers=x",
            "-etcd-servers=x",
            "--etcd-servers",
            "--oidc-client-id=x",
        ] {
            assert!(matches!(join(&[spelling]), Err(ArgumentError::Owned { .. })), "{spelling}");
        }
        assert_eq!(
            join(&["--etcd-servers=x"]).unwrap_err().to_string(),
            "--etcd-servers cannot be given as an extra argument: set --etcd-endpoint"
        );
    }

    #[test]
    fn what_is_not_a_flag_is_refused() {
        for words in [&["word"][..], &["--"], &["--v=2", "word"], &["-"], &["--=x"], &["--v", "2", "3"]] {
            assert!(matches!(join(words), Err(ArgumentError::NotAFlag { .. })), "{words:?}");
        }
    }

    proptest! {
        #[test]
        fn our_owned_flag_survives_whatever_the_user_gives(user in proptest::collection::vec("-{0,3}[a-z_-]{0,14}(=[a-z,]{0,4})?", 0..5)) {
            if let Ok(argv) = ours().join(&user, &RULES) {
                prop_assert_eq!(argv.iter().filter(|argument| argument.starts_with("--etcd-servers")).count(), 1);
                prop_assert!(argv.iter().all(|argument| argument.starts_with("--")));
            }
        }
    }
}
