//! A state directory on disk: recognised, created, locked, remembered, and removed whole.
//! Refuses to touch a directory that is not a control plane's own: no mode is changed and nothing removed in it.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use durable_files::{FileError, FileLock};
use serde::Deserialize;

use crate::cluster_name::ClusterName;
use crate::manifest::{FORMAT_VERSION, Manifest};
use crate::paths::{LOCK, MANIFEST, StatePaths};

/// A state directory that is ours while this value lives.
#[derive(Debug)]
pub struct StateDirectory {
    paths: StatePaths,
    manifest: Option<Manifest>,
    _lock: FileLock,
}

/// Why a state directory cannot be used. Each text names the directory and the remedy.
#[derive(Debug, thiserror::Error)]
pub enum StateError {
    /// No such control plane.
    #[error("there is no control plane {name}: {} does not exist; `pilothouse up` makes one", root.display())]
    Absent {
        /// The directory.
        root: PathBuf,
        /// The name asked for.
        name: ClusterName,
    },
    /// Somebody else's files.
    #[error("{} is not empty and not a state directory of pilothouse; give another --state-dir", root.display())]
    NotOurs {
        /// The directory.
        root: PathBuf,
    },
    /// A control plane of another name.
    #[error("{} belongs to the control plane {found}, not {asked}; give --name {found} or another --state-dir", root.display())]
    OtherName {
        /// The directory.
        root: PathBuf,
        /// Its control plane.
        found: String,
        /// The name asked for.
        asked: ClusterName,
    },
    /// Another layout.
    #[error(
        "{} has format version {found}, this pilothouse knows {FORMAT_VERSION}; use the pilothouse that made it",
        root.display()
    )]
    OtherFormat {
        /// The directory.
        root: PathBuf,
        /// Its version.
        found: u32,
    },
    /// Not what we write.
    #[error(
        "{} is damaged; restore it from a copy, or remove the directory and all data of the control plane with it",
        path.display()
    )]
    Damaged {
        /// `pilothouse.json`.
        path: PathBuf,
        /// Where it does not parse.
        #[source]
        source: serde_json::Error,
    },
    /// Another `pilothouse` has it.
    #[error("the control plane is already run by {}; `pilothouse status` shows it, `pilothouse down` stops it",
        holder.map_or_else(|| "another pilothouse".to_owned(), |pid| format!("pilothouse with process id {pid}")))]
    Running {
        /// Its process id.
        holder: Option<u32>,
    },
    /// The disk says no.
    #[error("the state directory {} cannot be used; make it accessible or give another --state-dir", root.display())]
    Unusable {
        /// The directory.
        root: PathBuf,
        /// Why.
        #[source]
        source: FileError,
    },
    /// Removal failed half-way; what is left can still be removed.
    #[error("cannot remove {}; remove it by hand", path.display())]
    Removal {
        /// What could not be removed.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
}

impl StateDirectory {
    /// Locks the state directory of `name`, creating it if it is absent or empty.
    pub fn open_or_create(paths: StatePaths, name: &ClusterName) -> Result<Self, StateError> {
        refuse_foreign(&paths)?;
        let unusable = |source| StateError::Unusable { root: paths.root().to_owned(), source };
        durable_files::create_private_directory(paths.root()).map_err(unusable)?;
        let lock = lock(&paths)?;
        let manifest = match read_manifest(&paths, name) {
            Ok(manifest) => Some(manifest),
            Err(StateError::Absent { .. }) => None,
            Err(error) => return Err(error),
        };
        Ok(Self { paths, manifest, _lock: lock })
    }

    /// Locks a state directory that exists.
    pub fn open(paths: StatePaths, name: &ClusterName) -> Result<Self, StateError> {
        let manifest = read_manifest(&paths, name)?;
        let lock = lock(&paths)?;
        Ok(Self { paths, manifest: Some(manifest), _lock: lock })
    }

    /// What was remembered; none in a directory that was just made.
    #[must_use]
    pub fn manifest(&self) -> Option<&Manifest> {
        self.manifest.as_ref()
    }

    /// Where everything lies.
    #[must_use]
    pub fn paths(&self) -> &StatePaths {
        &self.paths
    }

    /// Remembers, replacing what was remembered before, atomically.
    pub fn record(&mut self, manifest: Manifest) -> Result<(), StateError> {
        let path = self.paths.manifest();
        let mut text = serde_json::to_vec_pretty(&manifest)
            .map_err(|source| StateError::Damaged { path: path.clone(), source })?;
        text.push(b'\n');
        durable_files::write_private(&path, &text)
            .map_err(|source| StateError::Unusable { root: self.paths.root().to_owned(), source })?;
        self.manifest = Some(manifest);
        Ok(())
    }

    /// Removes everything. What tells that the directory is ours goes last, so that an interrupted removal can be repeated.
    pub fn remove(self) -> Result<(), StateError> {
        let root = self.paths.root().to_owned();
        let removal = |path: &Path, source| StateError::Removal { path: path.to_owned(), source };
        let entries = fs::read_dir(&root).map_err(|source| removal(&root, source))?;
        for entry in entries {
            let entry = entry.map_err(|source| removal(&root, source))?;
            let kind = entry.file_type().map_err(|source| removal(&entry.path(), source))?;
            if entry.file_name() == MANIFEST || entry.file_name() == LOCK {
                continue;
            }
            let path = entry.path();
            let removed = if kind.is_dir() { fs::remove_dir_all(&path) } else { fs::remove_file(&path) };
            removed.map_err(|source| removal(&path, source))?;
        }
        fs::remove_dir_all(&root).map_err(|source| removal(&root, source))
    }
}

/// Reads what a state directory remembers, without locking it.
pub fn read_manifest(paths: &StatePaths, name: &ClusterName) -> Result<Manifest, StateError> {
    let root = || paths.root().to_owned();
    let path = paths.manifest();
    let bytes = match durable_files::read_limited(&path, LARGEST_MANIFEST) {
        Ok(bytes) => bytes,
        Err(error) if error.is_not_found() => {
            refuse_foreign(paths)?;
            return Err(StateError::Absent { root: root(), name: name.clone() });
        }
        Err(source) => return Err(StateError::Unusable { root: root(), source }),
    };
    let damaged = |source| StateError::Damaged { path: path.clone(), source };
    let head: ManifestHead = serde_json::from_slice(&bytes).map_err(damaged)?;
    if head.format_version != FORMAT_VERSION {
        return Err(StateError::OtherFormat { root: root(), found: head.format_version });
    }
    if head.name != name.as_str() {
        return Err(StateError::OtherName { root: root(), found: head.name, asked: name.clone() });
    }
    serde_json::from_slice(&bytes).map_err(damaged)
}

/// Every control plane beside this one, as far as their manifests can be read: their ports are not to be taken.
#[must_use]
pub fn neighbours(paths: &StatePaths) -> Vec<Manifest> {
    let Some(parent) = paths.root().parent() else { return Vec::new() };
    let Ok(entries) = fs::read_dir(parent) else { return Vec::new() };
    entries
        .flatten()
        .map(|entry| entry.path())
        .filter(|path| path != paths.root())
        .filter_map(|path| durable_files::read_limited(&path.join(MANIFEST), LARGEST_MANIFEST).ok())
        .filter_map(|bytes| serde_json::from_slice(&bytes).ok())
        .collect()
}

/// What every format version must tell, so that the others can be refused by name.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct ManifestHead {
    format_version: u32,
    name: String,
}

/// A manifest is about 1 KiB.
const LARGEST_MANIFEST: u64 = 256 * 1024;

fn lock(paths: &StatePaths) -> Result<FileLock, StateError> {
    FileLock::acquire(&paths.lock()).map_err(|error| match error {
        FileError::Locked { holder, .. } => StateError::Running { holder },
        source => StateError::Unusable { root: paths.root().to_owned(), source },
    })
}

/// A directory without a manifest is ours only if it is absent, empty, or was left by a first start that was killed
/// before it wrote one: then it holds nothing but what such a start makes.
fn refuse_foreign(paths: &StatePaths) -> Result<(), StateError> {
    if paths.manifest().exists() {
        return Ok(());
    }
    let Ok(entries) = fs::read_dir(paths.root()) else { return Ok(()) };
    let mut ours: Vec<PathBuf> = paths.made_before_the_manifest().to_vec();
    ours.push(paths.lock());
    let staged = format!(".{MANIFEST}");
    let foreign = entries.flatten().any(|entry| {
        !ours.contains(&entry.path()) && !entry.file_name().to_string_lossy().starts_with(&staged)
    });
    if foreign { Err(StateError::NotOurs { root: paths.root().to_owned() }) } else { Ok(()) }
}

#[cfg(test)]
mod tests;
