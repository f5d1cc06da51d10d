//! What a health endpoint answered, read from its status and body. Pure.
//! Refuses to weigh checks: which of them matter depends on who asks.

use std::fmt;

/// An answer of a health endpoint of Kubernetes or etcd.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum HealthAnswer {
    /// 2xx.
    Healthy,
    /// The endpoint ran its checks and some failed; their names, in its order.
    Failing(Vec<String>),
    /// Another answer: it serves, but not this (403 before its roles exist, 429 while it drains).
    Other(u16),
    /// No answer; why.
    None(String),
}

/// Longest list of failed checks that is told.
const TOLD_CHECKS: usize = 6;

impl HealthAnswer {
    /// Reads an answer. Failed checks are lines `[-]name failed: …`, verbose or not.
    #[must_use]
    pub fn read(status: u16, body: &str) -> Self {
        if (200..300).contains(&status) {
            return Self::Healthy;
        }
        let failed: Vec<String> = body
            .lines()
            .filter_map(|line| line.trim().strip_prefix("[-]"))
            .map(|line| line.split_once(" failed").map_or(line, |(name, _)| name).to_owned())
            .collect();
        if failed.is_empty() { Self::Other(status) } else { Self::Failing(failed) }
    }

    /// Whether all checks passed; the error says what did not.
    pub fn healthy(&self) -> Result<(), String> {
        match self {
            Self::Healthy => Ok(()),
            other => Err(other.to_string()),
        }
    }
}

impl fmt::Display for HealthAnswer {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Healthy => formatter.write_str("healthy"),
            Self::Failing(checks) => {
                let told: Vec<&str> = checks.iter().take(TOLD_CHECKS).map(String::as_str).collect();
                let noun = if checks.len() == 1 { "check" } else { "checks" };
                write!(formatter, "failed {noun}: {}", told.join(", "))?;
                match checks.len().saturating_sub(TOLD_CHECKS) {
                    0 => Ok(()),
                    more => write!(formatter, " and {more} more"),
                }
            }
            Self::Other(status) => write!(formatter, "answered {status}"),
            Self::None(why) => formatter.write_str(why),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn failed_checks_are_read_from_the_body() {
        let body = "[+]ping ok\n[-]etcd failed: reason withheld\n[+]poststarthook/a ok\n[-]shutdown failed: reason withheld\nreadyz check failed\n";
        let answer = HealthAnswer::read(500, body);
        assert_eq!(answer, HealthAnswer::Failing(vec!["etcd".into(), "shutdown".into()]));
        assert_eq!(answer.to_string(), "failed checks: etcd, shutdown");
        assert!(answer.healthy().is_err());
    }

    #[test]
    fn etcd_writes_the_same_format() {
        let body = "[+]data_corruption ok\n[-]linearizable_read failed: context deadline exceeded\n";
        assert_eq!(HealthAnswer::read(503, body).to_string(), "failed check: linearizable_read");
    }

    #[test]
    fn other_answers_keep_their_status() {
        assert_eq!(HealthAnswer::read(200, "ok"), HealthAnswer::Healthy);
        assert_eq!(HealthAnswer::read(403, "forbidden"), HealthAnswer::Other(403));
        assert_eq!(HealthAnswer::read(500, "").to_string(), "answered 500");
    }

    #[test]
    fn a_long_list_is_cut() {
        let lines: Vec<String> =
            (0..9).map(|number| format!("[-]hook{number} failed: not finished")).collect();
        let body = lines.join("\n");
        assert!(HealthAnswer::read(500, &body).to_string().ends_with("hook5 and 3 more"));
    }
}
