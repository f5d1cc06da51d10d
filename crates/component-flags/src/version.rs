//! Versions as the upstream binaries print them, and which of them are supported.
//! Refuses to run a binary; refuses guesses about versions it does not know.

use std::fmt;

/// Kubernetes minor versions whose flags are known here.
const SUPPORTED_KUBERNETES: std::ops::RangeInclusive<u32> = 35..=37;
/// etcd minor versions whose flags are known here.
const SUPPORTED_ETCD: std::ops::RangeInclusive<u32> = 6..=7;

/// Why a version is of no use.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum VersionError {
    /// No version in the text.
    #[error("no version in {output:?}")]
    Unreadable {
        /// What was printed, at most 200 characters of it.
        output: String,
    },
    /// A version that is not supported.
    #[error("{product} {found} is not supported; supported are {supported}")]
    Unsupported {
        /// Kubernetes or etcd.
        product: &'static str,
        /// The version found.
        found: String,
        /// The versions that are.
        supported: &'static str,
    },
}

/// A version of a Kubernetes component that has been checked to be supported. Ordered by age.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct KubernetesVersion {
    minor: u32,
    patch: u32,
}

impl KubernetesVersion {
    /// The first release of the newest supported minor version.
    pub const NEWEST: Self = Self { minor: *SUPPORTED_KUBERNETES.end(), patch: 0 };

    /// Reads `kube-apiserver --version` ("Kubernetes v1.37.2") or a `gitVersion` ("v1.37.2+vendor").
    pub fn parse(output: &str) -> Result<Self, VersionError> {
        let [major, minor, patch] = numbers(output)?;
        if major != 1 || !SUPPORTED_KUBERNETES.contains(&minor) {
            let found = format!("{major}.{minor}.{patch}");
            return Err(VersionError::Unsupported {
                product: "Kubernetes",
                found,
                supported: "1.35, 1.36 and 1.37",
            });
        }
        Ok(Self { minor, patch })
    }

    /// 37 of 1.37.2.
    #[must_use]
    pub const fn minor(self) -> u32 {
        self.minor
    }
}

impl fmt::Display for KubernetesVersion {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "1.{}.{}", self.minor, self.patch)
    }
}

/// A version of etcd that has been checked to be supported. Ordered by age.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct EtcdVersion {
    minor: u32,
    patch: u32,
}

impl EtcdVersion {
    /// Reads `etcd --version` ("etcd Version: 3.7.3" and more lines) or a bare "3.7.3".
    pub fn parse(output: &str) -> Result<Self, VersionError> {
        let first_line = output.lines().next().unwrap_or_default();
        let [major, minor, patch] = numbers(first_line)?;
        if major != 3 || !SUPPORTED_ETCD.contains(&minor) {
            let found = format!("{major}.{minor}.{patch}");
            return Err(VersionError::Unsupported { product: "etcd", found, supported: "3.6 and 3.7" });
        }
        Ok(Self { minor, patch })
    }
}

impl fmt::Display for EtcdVersion {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "3.{}.{}", self.minor, self.patch)
    }
}

/// A version that somebody else tells or that was written down, whether it is supported here or not. Ordered by age.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Release {
    major: u32,
    minor: u32,
    patch: u32,
}

impl Release {
    /// Reads a bare "1.37.2", a `gitVersion` or what a binary prints.
    pub fn parse(text: &str) -> Result<Self, VersionError> {
        let [major, minor, patch] = numbers(text)?;
        Ok(Self { major, minor, patch })
    }

    /// 37 of 1.37.2.
    #[must_use]
    pub const fn minor(self) -> u32 {
        self.minor
    }

    /// "1.37" of 1.37.2.
    #[must_use]
    pub fn series(self) -> String {
        format!("{}.{}", self.major, self.minor)
    }

    /// The first release of the next minor version.
    #[must_use]
    pub const fn next_minor(self) -> Self {
        Self { major: self.major, minor: self.minor + 1, patch: 0 }
    }
}

impl fmt::Display for Release {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}.{}.{}", self.major, self.minor, self.patch)
    }
}

impl From<KubernetesVersion> for Release {
    fn from(KubernetesVersion { minor, patch }: KubernetesVersion) -> Self {
        Self { major: 1, minor, patch }
    }
}

impl From<EtcdVersion> for Release {
    fn from(EtcdVersion { minor, patch }: EtcdVersion) -> Self {
        Self { major: 3, minor, patch }
    }
}

/// The first `X.Y.Z` of a text, whatever precedes it and whatever suffix follows.
fn numbers(text: &str) -> Result<[u32; 3], VersionError> {
    text.split_whitespace()
        .find_map(|word| {
            let word = word.strip_prefix('v').unwrap_or(word);
            let core = word.split(['-', '+']).next().unwrap_or_default();
            let mut parts = core.split('.').map(str::parse::<u32>);
            match (parts.next(), parts.next(), parts.next(), parts.next()) {
                (Some(Ok(major)), Some(Ok(minor)), Some(Ok(patch)), None) => Some([major, minor, patch]),
                _ => None,
            }
        })
        .ok_or_else(|| VersionError::Unreadable { output: text.chars().take(200).collect() })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_binaries_print_is_read() {
        for (output, shown) in [
            ("Kubernetes v1.37.2\n", "1.37.2"),
            ("Kubernetes v1.36.0-rc.1", "1.36.0"),
            ("v1.35.4+k3s1", "1.35.4"),
        ] {
            assert_eq!(KubernetesVersion::parse(output).unwrap().to_string(), shown);
        }
        let etcd = "etcd Version: 3.7.3\nGit SHA: Not provided\nGo Version: go1.26.8\n";
        assert_eq!(EtcdVersion::parse(etcd).unwrap().to_string(), "3.7.3");
    }

    #[test]
    fn other_versions_and_other_texts_are_errors_that_name_them() {
        assert_eq!(
            KubernetesVersion::parse("Kubernetes v1.34.9").unwrap_err().to_string(),
            "Kubernetes 1.34.9 is not supported; supported are 1.35, 1.36 and 1.37"
        );
        assert!(KubernetesVersion::parse("Kubernetes v1.38.0").is_err());
        assert!(matches!(
            KubernetesVersion::parse("command not found"),
            Err(VersionError::Unreadable { .. })
        ));
        assert!(EtcdVersion::parse("etcd Version: 3.5.21\n").is_err());
        assert!(matches!(EtcdVersion::parse(""), Err(VersionError::Unreadable { .. })));
    }

    #[test]
    fn releases_of_others_are_read_whether_supported_or_not() {
        let other = Release::parse("v1.52.0-beta.1").unwrap();
        assert_eq!((other.to_string().as_str(), other.series().as_str()), ("1.52.0", "1.52"));
        assert_eq!(other.next_minor().to_string(), "1.53.0");
        let ours = KubernetesVersion::parse("v1.37.2").unwrap();
        assert!(Release::from(ours) < other);
        assert_eq!(Release::from(EtcdVersion::parse("3.6.9").unwrap()).to_string(), "3.6.9");
        assert!(Release::parse("unknown").is_err());
    }

    #[test]
    fn versions_are_ordered_by_age() {
        let version = |text| KubernetesVersion::parse(text).unwrap();
        assert!(version("v1.35.9") < version("v1.36.0"));
        assert!(version("v1.37.2") < version("v1.37.10"));
    }
}
