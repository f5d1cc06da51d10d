//! How long leaves live: the profile table's defaults and what an operator sets instead. Pure.
//! Refuses less than a profile's minimum: whoever reloads late would be locked out.

use std::collections::BTreeMap;
use std::time::Duration;

use certificates::{Profile, UnknownName};

/// Lifetimes that differ from the table.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Lifetimes {
    set: BTreeMap<Profile, Duration>,
}

/// Why a lifetime is refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum LifetimeError {
    /// Not of the form `PROFILE=DURATION`.
    #[error(
        "{given:?} is not PROFILE=DURATION, such as etcd-server=72h; durations are a number and s, m, h or d"
    )]
    Form {
        /// What was given.
        given: String,
    },
    /// No such profile.
    #[error(transparent)]
    Profile(#[from] UnknownName),
    /// Shorter than what works.
    #[error(
        "{profile}: {given:?} is shorter than {minimum:?}, the least in which a renewed certificate is surely taken up"
    )]
    TooShort {
        /// For which leaves.
        profile: Profile,
        /// What was given.
        given: Duration,
        /// What is possible.
        minimum: Duration,
    },
}

impl Lifetimes {
    /// Reads `PROFILE=DURATION` entries; a later one for the same profile wins.
    pub fn parse<'a>(entries: impl IntoIterator<Item = &'a str>) -> Result<Self, LifetimeError> {
        let mut lifetimes = Self::default();
        for entry in entries {
            let form = || LifetimeError::Form { given: entry.to_owned() };
            let (profile, duration) = entry.split_once('=').ok_or_else(form)?;
            let profile: Profile = profile.parse()?;
            let given = parse_duration(duration).ok_or_else(form)?;
            let minimum = profile.row().minimum_lifetime;
            if given < minimum {
                return Err(LifetimeError::TooShort { profile, given, minimum });
            }
            lifetimes.set.insert(profile, given);
        }
        Ok(lifetimes)
    }

    /// How long a leaf of `profile` lives.
    #[must_use]
    pub fn of(&self, profile: Profile) -> Duration {
        self.set.get(&profile).copied().unwrap_or(profile.row().default_lifetime)
    }
}

/// A number and a unit: s, m, h or d.
#[must_use]
pub fn parse_duration(text: &str) -> Option<Duration> {
    let (number, unit) = text.split_at_checked(text.len().checked_sub(1)?)?;
    let seconds = match unit {
        "s" => 1,
        "m" => 60,
        "h" => 3600,
        "d" => 24 * 3600,
        _ => return None,
    };
    number.parse::<u32>().ok().map(|number| Duration::from_secs(u64::from(number) * seconds))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lifetimes_replace_those_of_the_table() {
        let lifetimes =
            Lifetimes::parse(["etcd-server=20s", "scheduler-client=12m", "administrator=30d"]).unwrap();
        assert_eq!(lifetimes.of(Profile::EtcdServer), Duration::from_secs(20));
        assert_eq!(lifetimes.of(Profile::SchedulerClient), Duration::from_secs(720));
        assert_eq!(lifetimes.of(Profile::Administrator), Duration::from_secs(30 * 24 * 3600));
        assert_eq!(lifetimes.of(Profile::EtcdPeer), Profile::EtcdPeer.row().default_lifetime);
    }

    #[test]
    fn what_cannot_work_is_refused_with_the_reason() {
        let refused = |entry| Lifetimes::parse([entry]).unwrap_err();
        for entry in ["etcd-server", "etcd-server=", "etcd-server=20", "etcd-server=-1s", "etcd-server=1µ"] {
            assert!(matches!(refused(entry), LifetimeError::Form { .. }), "{entry}");
        }
        assert!(matches!(refused("etcd=20s"), LifetimeError::Profile(_)));
        let late = refused("scheduler-client=20s");
        assert!(
            matches!(late, LifetimeError::TooShort { .. }) && late.to_string().contains("720s"),
            "{late}"
        );
        assert!(matches!(refused("etcd-peer=9s"), LifetimeError::TooShort { .. }));
    }
}
