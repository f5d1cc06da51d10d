//! May a leader-elected component of this version work with the API servers that serve. Pure.
//! Refuses one that is newer than any of them, so that upgrades go API servers first, and one that is left behind.

use component_flags::Release;

use crate::{Permission, Serving};

/// How many minor versions a component may be older than an API server (Kubernetes' version skew policy).
const OLDER_BY_AT_MOST: u32 = 1;

/// Whether a component of version `ours` may start beside these API servers.
#[must_use]
pub fn controller(ours: Release, serving: &[Serving]) -> Permission {
    if serving.is_empty() {
        return Permission::Later("no API server tells its version".to_owned());
    }
    for (server, theirs) in serving {
        if theirs.minor() < ours.minor() {
            return Permission::Later(format!(
                "the API server at {server} is {theirs}, older than this component ({ours}); it starts once all API servers \
                 are upgraded"
            ));
        }
        if theirs.minor() > ours.minor() + OLDER_BY_AT_MOST {
            return Permission::Refused(format!(
                "version {ours} is refused: the API server at {server} is {theirs}, more than one minor version newer; set \
                 the version of the API servers"
            ));
        }
    }
    Permission::Granted
}

#[cfg(test)]
mod tests {
    use super::*;

    fn serving(versions: &[&str]) -> Vec<Serving> {
        versions.iter().map(|text| (format!("https://{text}"), Release::parse(text).unwrap())).collect()
    }

    #[test]
    fn all_serving_api_servers_must_be_as_new_or_one_minor_newer() {
        let ours = Release::parse("v1.36.3").unwrap();
        for good in [&["v1.36.0"][..], &["v1.36.9", "v1.37.2"]] {
            assert_eq!(controller(ours, &serving(good)), Permission::Granted, "{good:?}");
        }
        for early in [&[][..], &["v1.35.9"], &["v1.37.0", "v1.35.9"]] {
            assert!(matches!(controller(ours, &serving(early)), Permission::Later(_)), "{early:?}");
        }
        let oldest = Release::parse("v1.35.0").unwrap();
        let Permission::Refused(why) = controller(oldest, &serving(&["v1.37.0"])) else { panic!("granted") };
        assert!(why.contains("more than one minor"), "{why}");
    }
}
