//! Where leaves, trust bundles and shared keys lie below a supervisor's runtime directory, read and written whole.
//! Refuses to judge what it reads: `due` does.

use std::path::{Path, PathBuf};

use durable_files::{FileError, read_limited, read_private, replace_directory, write_public};
use naming_contract::files;

use crate::facts::{LeafFacts, ParseError, bundle_certificates};
use crate::{Authority, Observed, Profile, PublishedGenerations, SharedKeySet, SharedKeys};

/// Beyond this no certificate, key or bundle of ours is ours, in bytes.
pub(crate) const FILE_LIMIT: u64 = 256 * 1024;

/// The two files of a leaf.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LeafFiles {
    /// PEM chain.
    pub certificate: PathBuf,
    /// PEM private key.
    pub key: PathBuf,
}

/// The runtime directory of one instance: `certificates/<profile>/`, `trust/<authority>.crt`, `keys/<set>/`.
#[derive(Debug, Clone)]
pub struct RuntimeDirectory {
    root: PathBuf,
}

impl RuntimeDirectory {
    /// Names the directory; nothing is touched.
    #[must_use]
    pub fn new(root: impl Into<PathBuf>) -> Self {
        Self { root: root.into() }
    }

    /// Makes the directories, private ones (0700).
    pub fn create(&self) -> Result<(), FileError> {
        for directory in [files::CERTIFICATES, files::TRUST, files::KEYS] {
            durable_files::create_private_directory(&self.root.join(directory))?;
        }
        Ok(())
    }

    /// The files of a leaf.
    #[must_use]
    pub fn leaf(&self, profile: Profile) -> LeafFiles {
        let directory = self.leaf_directory(profile);
        LeafFiles {
            certificate: directory.join(files::LEAF_CERTIFICATE),
            key: directory.join(files::LEAF_KEY),
        }
    }

    /// The copy of a CA's trust bundle.
    #[must_use]
    pub fn trust(&self, authority: Authority) -> PathBuf {
        self.root.join(files::TRUST).join(authority.bundle())
    }

    /// A file of a shared key set.
    #[must_use]
    pub fn shared_key(&self, set: SharedKeySet, file: &str) -> PathBuf {
        self.keys_directory(set).join(file)
    }

    /// Looks at a leaf. What cannot be read or lies open counts as unreadable: it is replaced.
    #[must_use]
    pub fn observe(&self, profile: Profile) -> Observed {
        let leaf = self.leaf(profile);
        let read = || -> Result<LeafFacts, Unreadable> {
            let certificate = read_private(&leaf.certificate, FILE_LIMIT)?;
            let key = read_private(&leaf.key, FILE_LIMIT)?;
            let bundle = read_limited(&self.trust(profile.authority()), FILE_LIMIT)?;
            Ok(LeafFacts::parse(&certificate, Some(&key), Some(&bundle))?)
        };
        match read() {
            Ok(facts) => Observed::Leaf(facts),
            Err(Unreadable::File(error)) if error.is_not_found() => Observed::Missing,
            Err(error) => Observed::Unreadable(error.to_string()),
        }
    }

    /// Puts a leaf in place, both files at once.
    pub fn write_leaf(
        &self,
        profile: Profile,
        certificate_pem: &str,
        key_pem: &str,
    ) -> Result<(), FileError> {
        replace_directory(
            &self.leaf_directory(profile),
            &[
                (files::LEAF_CERTIFICATE.to_owned(), certificate_pem.as_bytes().to_vec()),
                (files::LEAF_KEY.to_owned(), key_pem.as_bytes().to_vec()),
            ],
        )
    }

    /// The generation of a shared key set that lies here complete; none otherwise.
    #[must_use]
    pub fn key_generation(&self, set: SharedKeySet) -> Option<u64> {
        let present = |file: &&str| {
            read_private(&self.shared_key(set, file), FILE_LIMIT).is_ok_and(|it| !it.is_empty())
        };
        if !set.files().iter().all(present) {
            return None;
        }
        let text = read_private(&self.shared_key(set, SharedKeySet::GENERATION), FILE_LIMIT).ok()?;
        str::from_utf8(&text).ok()?.trim().parse().ok()
    }

    /// Puts a shared key set in place, all files at once.
    pub fn write_keys(&self, set: SharedKeySet, keys: &SharedKeys) -> Result<(), FileError> {
        let mut contents: Vec<(String, Vec<u8>)> =
            keys.files.iter().map(|(name, content)| (name.clone(), content.as_bytes().to_vec())).collect();
        contents.push((SharedKeySet::GENERATION.to_owned(), keys.generation.to_string().into_bytes()));
        replace_directory(&self.keys_directory(set), &contents)
    }

    /// What was published last about shared keys.
    pub(crate) fn published_generations(published: &Path) -> PublishedGenerations {
        read_limited(&published.join(files::GENERATIONS), FILE_LIMIT)
            .map(|content| PublishedGenerations::read(&content))
            .unwrap_or_default()
    }

    /// Whether one of `names` is another in `keys` than it is here.
    pub(crate) fn would_change(&self, set: SharedKeySet, names: &[&str], keys: &SharedKeys) -> bool {
        names.iter().any(|name| {
            let here = read_private(&self.shared_key(set, name), FILE_LIMIT).ok();
            here.as_deref() != keys.files.get(*name).map(String::as_bytes)
        })
    }

    /// Takes over what is published about a CA; says whether it is new. Refuses what is no bundle.
    pub(crate) fn take_bundle(&self, authority: Authority, published: &Path) -> Result<bool, BundleError> {
        let published = published.join(authority.bundle());
        let bundle = read_limited(&published, FILE_LIMIT)?;
        let copy = self.trust(authority);
        if read_limited(&copy, FILE_LIMIT).is_ok_and(|known| known == bundle) {
            return Ok(false);
        }
        bundle_certificates(&bundle).map_err(|source| BundleError::Content { path: published, source })?;
        write_public(&copy, &bundle)?;
        Ok(true)
    }

    /// Whether a usable copy of a CA's bundle lies here.
    pub(crate) fn has_bundle(&self, authority: Authority) -> bool {
        read_limited(&self.trust(authority), FILE_LIMIT)
            .is_ok_and(|bundle| bundle_certificates(&bundle).is_ok())
    }

    fn leaf_directory(&self, profile: Profile) -> PathBuf {
        self.root.join(files::CERTIFICATES).join(profile.name())
    }

    fn keys_directory(&self, set: SharedKeySet) -> PathBuf {
        self.root.join(files::KEYS).join(set.name())
    }
}

/// Why a published bundle was not taken over.
#[derive(Debug, thiserror::Error)]
pub(crate) enum BundleError {
    #[error(transparent)]
    File(#[from] FileError),
    #[error("{} cannot be used: {source}", path.display())]
    Content { path: PathBuf, source: ParseError },
}

#[derive(Debug, thiserror::Error)]
enum Unreadable {
    #[error(transparent)]
    File(#[from] FileError),
    #[error(transparent)]
    Content(#[from] ParseError),
}
