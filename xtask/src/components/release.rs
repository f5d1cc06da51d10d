//! Which Kubernetes versions can be asked for, and the etcd each runs with. Versions themselves
//! stand in the go.mod files alone; here is only which folders belong together.

use std::fmt;
use std::path::PathBuf;

use anyhow::{Result, bail};

use super::go_module::GoModule;
use crate::checkout;
use crate::machine::compare_versions;

/// The minors and the etcd folder of each: the etcd that upstream's own kubeadm of that minor runs.
const MINORS: [(&str, &str); 3] = [("1.35", "etcd-3.6"), ("1.36", "etcd-3.6"), ("1.37", "etcd-3.7")];

/// One Kubernetes version with its etcd, as pinned in tests/components/.
pub(crate) struct Release {
    pub(crate) kubernetes: GoModule,
    pub(crate) kubernetes_version: String,
    pub(crate) etcd: GoModule,
    pub(crate) etcd_version: String,
}

impl Release {
    /// Finds the release that "1.37", "1.37.2" or "v1.37.2" means.
    pub(crate) fn pinned(asked: &str) -> Result<Self> {
        let version = asked.trim_start_matches('v');
        let Some((minor, etcd_folder)) = folders(version) else {
            let known: Vec<_> = MINORS.iter().map(|(minor, _)| *minor).collect();
            bail!("no components for Kubernetes {asked}: ask for one of {}", known.join(", "));
        };
        let kubernetes = GoModule::read(&pins().join(format!("kubernetes-{minor}")))?;
        let etcd = GoModule::read(&pins().join(etcd_folder))?;
        let kubernetes_version = kubernetes.version_of("k8s.io/kubernetes")?;
        let etcd_version = etcd.version_of("go.etcd.io/etcd/server/v3")?;
        if version != minor && version != kubernetes_version {
            bail!(
                "Kubernetes {version} is not pinned: ask for {kubernetes_version}, \
                 or change tests/components/kubernetes-{minor}/go.mod"
            );
        }
        Ok(Self { kubernetes, kubernetes_version, etcd, etcd_version })
    }

    /// The oldest Go that builds all of it.
    pub(crate) fn minimum_go(&self) -> String {
        let (kubernetes, etcd) = (&self.kubernetes.go, &self.etcd.go);
        if compare_versions(kubernetes, etcd).is_lt() { etcd.clone() } else { kubernetes.clone() }
    }
}

impl fmt::Display for Release {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "Kubernetes {} with etcd {}", self.kubernetes_version, self.etcd_version)
    }
}

/// The folder that holds one go.mod for each upstream project.
pub(crate) fn pins() -> PathBuf {
    checkout::root().join("tests/components")
}

fn folders(version: &str) -> Option<(&'static str, &'static str)> {
    MINORS.into_iter().find(|(minor, _)| {
        version.strip_prefix(minor).is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_minor_is_pinned_to_a_patch_of_its_own() {
        for (minor, etcd_folder) in MINORS {
            let release = Release::pinned(minor).unwrap();
            assert!(release.kubernetes_version.starts_with(&format!("{minor}.")), "{release}");
            let etcd_minor = etcd_folder.trim_start_matches("etcd-");
            assert!(release.etcd_version.starts_with(&format!("{etcd_minor}.")), "{release}");
            assert!(release.minimum_go().starts_with("1."), "{release}");
        }
    }

    #[test]
    fn the_exact_version_may_be_asked_for() {
        let pinned = Release::pinned("1.37").unwrap().kubernetes_version;
        assert_eq!(Release::pinned(&format!("v{pinned}")).unwrap().kubernetes_version, pinned);
    }

    #[test]
    fn what_is_not_pinned_is_refused_with_what_is() {
        let refusal = |asked| Release::pinned(asked).err().unwrap().to_string();
        assert!(refusal("1.30").ends_with("ask for one of 1.35, 1.36, 1.37"));
        assert!(refusal("1.370").starts_with("no components"));
        let pinned = Release::pinned("1.37").unwrap().kubernetes_version;
        assert!(refusal("1.37.999").contains(&format!("ask for {pinned}")));
    }
}
