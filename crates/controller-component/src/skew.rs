//! May a component of this version work with API servers of those versions. Pure.
//! Refuses a component that is newer than any serving API server: upgrades go API servers first.

use component_flags::KubernetesVersion;

/// How many minor versions a component may be older than an API server (Kubernetes' version skew policy).
const OLDER_BY_AT_MOST: u32 = 1;

/// Whether a component of version `ours` may start; the error says which API server stands against it.
pub(crate) fn allowed(
    ours: KubernetesVersion,
    servers: &[(String, KubernetesVersion)],
) -> Result<(), String> {
    if servers.is_empty() {
        return Err("no API server tells its version".to_owned());
    }
    for (server, version) in servers {
        if version.minor() < ours.minor() {
            return Err(format!(
                "the API server at {server} is {version}, older than this component ({ours}); it starts once all API servers are upgraded"
            ));
        }
        if version.minor() > ours.minor() + OLDER_BY_AT_MOST {
            return Err(format!(
                "the API server at {server} is {version}, more than one minor version newer than this component ({ours})"
            ));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn servers(versions: &[&str]) -> Vec<(String, KubernetesVersion)> {
        versions
            .iter()
            .map(|text| (format!("https://{text}"), KubernetesVersion::parse(text).unwrap()))
            .collect()
    }

    #[test]
    fn all_serving_api_servers_must_be_as_new_or_one_minor_newer() {
        let ours = KubernetesVersion::parse("v1.36.3").unwrap();
        for good in [&["v1.36.0"][..], &["v1.36.9", "v1.37.2"]] {
            assert_eq!(allowed(ours, &servers(good)), Ok(()), "{good:?}");
        }
        for bad in [&[][..], &["v1.35.9"], &["v1.37.0", "v1.35.9"]] {
            assert!(allowed(ours, &servers(bad)).is_err(), "{bad:?}");
        }
        let oldest = KubernetesVersion::parse("v1.35.0").unwrap();
        assert!(allowed(oldest, &servers(&["v1.37.0"])).unwrap_err().contains("more than one minor"));
    }
}
