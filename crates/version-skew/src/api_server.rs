//! May an API server of this version start, and what is remembered once all of them run one version. Pure.
//! Refuses to go below what all of them ever ran, to skip a minor version, and two that are further apart than one.

use component_flags::Release;

use crate::{Permission, Serving};

/// How many minor versions the API servers of one control plane may be apart (Kubernetes' version skew policy).
const APART_BY_AT_MOST: u32 = 1;

/// Whether an API server of version `ours` may start. `record` is the highest version that all API servers ever ran
/// together, `serving` who serves now. Without a record, those who serve one version stand for it.
#[must_use]
pub fn api_server(ours: Release, record: Option<Release>, serving: &[Serving]) -> Permission {
    if let Some(ran) = record.or_else(|| common(serving)) {
        if ours.minor() < ran.minor() {
            return Permission::Refused(format!(
                "Kubernetes {ours} is refused: every API server of this control plane has run {ran}, and an older one may \
                 not understand what they stored; set {} again",
                ran.series()
            ));
        }
        let next = ran.next_minor();
        if ours.minor() > next.minor() {
            return Permission::Refused(format!(
                "Kubernetes {ours} is refused: the API servers of this control plane have run {ran} so far, and no minor \
                 version can be skipped; set {} first",
                next.series()
            ));
        }
    }
    match serving.iter().find(|(_, theirs)| theirs.minor().abs_diff(ours.minor()) > APART_BY_AT_MOST) {
        Some((server, theirs)) => Permission::Refused(format!(
            "Kubernetes {ours} is refused while the API server at {server} runs {theirs}: API servers may be one minor \
             version apart"
        )),
        None => Permission::Granted,
    }
}

/// What is to be written down, if anything: `serving` are all API servers that serve, one of `ours` among them, and all
/// run the same minor version.
#[must_use]
pub fn recorded(record: Option<Release>, ours: Release, serving: &[Serving]) -> Option<Release> {
    let lowest = common(serving).filter(|common| common.minor() == ours.minor())?;
    (record < Some(lowest)).then_some(lowest)
}

/// The lowest version of those that serve, if all are of one minor version.
fn common(serving: &[Serving]) -> Option<Release> {
    let lowest = serving.iter().map(|(_, version)| *version).min()?;
    serving.iter().all(|(_, version)| version.minor() == lowest.minor()).then_some(lowest)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn release(text: &str) -> Release {
        Release::parse(text).unwrap()
    }

    fn serving(versions: &[&str]) -> Vec<Serving> {
        versions.iter().map(|text| (format!("10.0.0.{}", text.len()), release(text))).collect()
    }

    fn refused(ours: &str, record: Option<&str>, versions: &[&str]) -> String {
        match api_server(release(ours), record.map(release), &serving(versions)) {
            Permission::Refused(why) => why,
            other => panic!("{ours} after {record:?} beside {versions:?}: {other:?}"),
        }
    }

    #[test]
    fn what_all_ran_is_not_gone_below() {
        let why = refused("1.36.3", Some("1.37.2"), &["1.37.2", "1.37.2"]);
        assert!(why.contains("has run 1.37.2") && why.contains("set 1.37 again"), "{why}");
        // Not even when nobody serves any more, or when nothing was written down.
        refused("1.36.3", Some("1.37.2"), &[]);
        refused("1.36.3", None, &["1.37.2"]);
    }

    #[test]
    fn no_minor_version_is_skipped() {
        let why = refused("1.37.2", Some("1.35.4"), &["1.36.3", "1.35.4"]);
        assert!(why.contains("1.35.4 so far") && why.contains("set 1.36 first"), "{why}");
        refused("1.37.2", None, &["1.35.4"]);
    }

    #[test]
    fn a_half_done_upgrade_goes_both_ways() {
        let mixed = serving(&["1.36.3", "1.37.2"]);
        for ours in ["1.36.3", "1.37.2", "1.37.0"] {
            assert_eq!(api_server(release(ours), Some(release("1.36.3")), &mixed), Permission::Granted);
        }
        // Only the new one serves, and not yet for long enough to count.
        let new = serving(&["1.37.2"]);
        assert_eq!(api_server(release("1.36.3"), Some(release("1.36.3")), &new), Permission::Granted);
    }

    #[test]
    fn patch_releases_go_both_ways_and_a_first_start_needs_nobody() {
        assert_eq!(api_server(release("1.37.1"), Some(release("1.37.2")), &[]), Permission::Granted);
        assert_eq!(api_server(release("1.35.0"), None, &[]), Permission::Granted);
    }

    #[test]
    fn those_of_an_abandoned_upgrade_must_be_gone() {
        let why = refused("1.37.0", Some("1.36.0"), &["1.35.9", "1.36.0"]);
        assert!(why.contains("while the API server at") && why.contains("1.35.9"), "{why}");
    }

    #[test]
    fn what_is_recorded_is_the_lowest_of_what_all_run() {
        let ours = release("1.37.2");
        let all = serving(&["1.37.2", "1.37.1"]);
        assert_eq!(recorded(None, ours, &all), Some(release("1.37.1")));
        assert_eq!(recorded(Some(release("1.36.9")), ours, &all), Some(release("1.37.1")));
        assert_eq!(recorded(Some(release("1.37.1")), ours, &all), None);
        assert_eq!(recorded(Some(release("1.38.0")), ours, &all), None);
        assert_eq!(recorded(None, ours, &serving(&["1.37.2", "1.36.0"])), None);
        assert_eq!(recorded(None, ours, &serving(&["1.36.0"])), None);
        assert_eq!(recorded(None, ours, &[]), None);
    }
}
