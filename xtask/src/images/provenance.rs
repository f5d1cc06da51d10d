//! From what and when: the commit and its time, which go into every image instead of the time of the build.
//! Refuses to guess: without git, `SOURCE_DATE_EPOCH` must be set.

use std::env;

use anyhow::{Context, Result};

use crate::program;

/// What the labels tell of an image's origin.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Provenance {
    /// Seconds since 1970: `SOURCE_DATE_EPOCH`, else the commit's time.
    pub(super) epoch: u64,
    /// The commit, with "-modified" behind it when the checkout differs from it; empty when git cannot tell.
    pub(super) revision: String,
}

impl Provenance {
    pub(super) fn of_checkout() -> Result<Self> {
        let set = env::var("SOURCE_DATE_EPOCH").ok().filter(|value| !value.is_empty());
        let epoch = match set {
            Some(set) => set
                .trim()
                .parse()
                .with_context(|| format!("SOURCE_DATE_EPOCH is {set:?}, which is no number"))?,
            None => git(&["log", "-1", "--format=%ct"])
                .and_then(|time| time.parse().context("git tells no time"))
                .context("cannot tell the commit's time: set SOURCE_DATE_EPOCH (seconds since 1970)")?,
        };
        Ok(Self { epoch, revision: revision().unwrap_or_default() })
    }

    /// The time as RFC 3339, as the label wants it.
    pub(super) fn created(&self) -> String {
        rfc3339(self.epoch)
    }
}

fn revision() -> Result<String> {
    let commit = git(&["rev-parse", "HEAD"])?;
    let modified = !git(&["status", "--porcelain"])?.is_empty();
    Ok(if modified { format!("{commit}-modified") } else { commit })
}

fn git(arguments: &[&str]) -> Result<String> {
    Ok(program::output(program::program("git").args(arguments))?.trim().to_owned())
}

/// Days to a date as in Howard Hinnant's `civil_from_days`.
fn rfc3339(epoch: u64) -> String {
    let (days, seconds) = (epoch / 86_400, epoch % 86_400);
    let days = days + 719_468;
    let (era, day_of_era) = (days / 146_097, days % 146_097);
    let year_of_era = (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted_month = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * shifted_month + 2) / 5 + 1;
    let month = if shifted_month < 10 { shifted_month + 3 } else { shifted_month - 9 };
    let year = year_of_era + era * 400 + u64::from(month <= 2);
    let (hour, minute, second) = (seconds / 3_600, seconds / 60 % 60, seconds % 60);
    format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}Z")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_written_as_the_label_wants_them() {
        assert_eq!(rfc3339(0), "1970-01-01T00:00:00Z");
        assert_eq!(rfc3339(951_827_696), "2000-02-29T12:34:56Z");
        assert_eq!(rfc3339(1_709_251_199), "2024-02-29T23:59:59Z");
        assert_eq!(rfc3339(1_795_388_399), "2026-11-22T22:59:59Z");
    }

    #[test]
    fn this_checkout_has_a_time() {
        assert!(Provenance::of_checkout().unwrap().epoch > 1_700_000_000);
    }
}
