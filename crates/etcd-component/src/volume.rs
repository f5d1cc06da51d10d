//! The member's volume: etcd's data in a directory of its own, and beside it volume id, identity and crash note.
//! Everything blocks and runs on a thread that may hang with the disk. Refuses to judge what it finds.

use std::io;
use std::path::{Path, PathBuf};

use cluster_record::random_identifier;
use component_flags::Release;
use durable_files::{
    FileError, FileLock, create_private_directory, read_limited, take_volume_directory, write_private,
};
use etcd_membership::{ClusterId, Data, Identity, MemberId, Volume};
use serde::{Deserialize, Serialize};

use crate::KnownMember;
use crate::crash_note::CrashNote;

/// etcd writes at least this much (one page of its database and a record of its log) when it does anything.
pub(crate) const LEAST_FREE_BYTES: u64 = 16 * MIB;
/// etcd takes the first segment of its log at once (64 MB, `wal.SegmentSizeBytes`).
pub(crate) const LOG_SEGMENT_BYTES: u64 = 62 * MIB;
const MIB: u64 = 1024 * 1024;
const SMALL_FILE: u64 = 16 * 1024;

const DATA: &str = "member-data";
const ASIDE: &str = "member-data.aside-";
const MEMBERS: &str = "members.json";
const CLUSTER_VERSION: &str = "cluster-version";

/// Why the volume cannot be used now.
#[derive(Debug, thiserror::Error)]
pub(crate) enum VolumeError {
    #[error(transparent)]
    File(#[from] FileError),
    #[error("cannot {action} {}", path.display())]
    Directory {
        action: &'static str,
        path: PathBuf,
        #[source]
        source: io::Error,
    },
    #[error("{} is damaged; if the data beside it belongs to this member, remove the file", path.display())]
    Damaged {
        path: PathBuf,
        #[source]
        source: serde_json::Error,
    },
    #[error("the disk of {} did not answer", path.display())]
    Gone { path: PathBuf },
}

/// The paths below `--data-directory`.
#[derive(Debug, Clone)]
pub(crate) struct VolumeFiles {
    pub(crate) root: PathBuf,
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct IdentityFile {
    name: String,
    cluster_id: String,
    member_id: String,
}

impl VolumeFiles {
    pub(crate) fn new(root: PathBuf) -> Self {
        Self { root }
    }

    /// etcd's `--data-dir`.
    pub(crate) fn data(&self) -> PathBuf {
        self.root.join(DATA)
    }

    /// Runs `work` where a hanging disk does not stop the supervisor's own answers.
    pub(crate) async fn with<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Self) -> Result<T, VolumeError> + Send + 'static,
    ) -> Result<T, VolumeError> {
        let files = self.clone();
        let path = self.root.clone();
        tokio::task::spawn_blocking(move || work(&files)).await.unwrap_or(Err(VolumeError::Gone { path }))
    }

    /// Makes the volume ours for as long as the lock lives.
    pub(crate) fn lock(&self) -> Result<FileLock, VolumeError> {
        take_volume_directory(&self.root)?;
        Ok(FileLock::acquire(&self.root.join("lock"))?)
    }

    pub(crate) fn read(&self) -> Result<Volume, VolumeError> {
        Ok(Volume {
            id: self.id()?,
            data: self.data_state()?,
            identity: self.identity()?,
            full: self.is_full(),
        })
    }

    /// Whether the write-ahead log is still there; while a child runs it can only vanish by somebody's hand.
    pub(crate) fn has_data(&self) -> Result<bool, VolumeError> {
        Ok(self.data_state()? == Data::Present)
    }

    /// Forgets whose volume this was, makes the data directory, writes a fresh id last.
    pub(crate) fn prepare(&self) -> Result<(), VolumeError> {
        self.remove_file("volume-id")?;
        self.forget_identity()?;
        create_private_directory(&self.data())?;
        self.write_id()
    }

    pub(crate) fn write_id(&self) -> Result<(), VolumeError> {
        Ok(write_private(&self.root.join("volume-id"), format!("{}\n", random_identifier()).as_bytes())?)
    }

    pub(crate) fn write_identity(&self, identity: &Identity) -> Result<(), VolumeError> {
        let path = self.root.join("identity.json");
        let file = IdentityFile {
            name: identity.name.clone(),
            cluster_id: identity.cluster.to_string(),
            member_id: identity.member.to_string(),
        };
        let damaged = |source| VolumeError::Damaged { path: path.clone(), source };
        let mut bytes = serde_json::to_vec_pretty(&file).map_err(damaged)?;
        bytes.push(b'\n');
        Ok(write_private(&path, &bytes)?)
    }

    /// Forgets whom the data directory belongs to, and what its cluster was at.
    pub(crate) fn forget_identity(&self) -> Result<(), VolumeError> {
        self.remove_file(CLUSTER_VERSION)?;
        self.remove_file("identity.json")
    }

    /// Deletes what never took part.
    pub(crate) fn clear_leftovers(&self) -> Result<(), VolumeError> {
        remove_directory(&self.data())?;
        Ok(create_private_directory(&self.data())?)
    }

    /// Renames the data directory and deletes what was set aside before.
    pub(crate) fn set_aside(&self, reason: &str, now: i64) -> Result<PathBuf, VolumeError> {
        let aside = self.root.join(format!("{ASIDE}{reason}-{now}"));
        std::fs::rename(self.data(), &aside).map_err(io_error("set aside", &self.data()))?;
        for entry in Self::entries(&self.root)? {
            let old = entry.file_name().is_some_and(|name| name.to_string_lossy().starts_with(ASIDE));
            if old && entry != aside {
                remove_directory(&entry)?;
            }
        }
        Ok(aside)
    }

    /// The version that the cluster was at, if this volume's data ever served; another volume's is none of ours.
    pub(crate) fn cluster_version(&self) -> Result<Option<Release>, VolumeError> {
        if !self.has_data()? {
            return Ok(None);
        }
        let text = self.small_file(CLUSTER_VERSION)?;
        Ok(text.and_then(|bytes| Release::parse(&String::from_utf8_lossy(&bytes)).ok()))
    }

    pub(crate) fn write_cluster_version(&self, version: Release) -> Result<(), VolumeError> {
        Ok(write_private(&self.root.join(CLUSTER_VERSION), format!("{version}\n").as_bytes())?)
    }

    pub(crate) fn crash_note(&self) -> Result<CrashNote, VolumeError> {
        self.json("crashes.json").map(Option::unwrap_or_default)
    }

    pub(crate) fn write_crash_note(&self, note: CrashNote) -> Result<(), VolumeError> {
        if note == CrashNote::default() {
            return self.remove_file("crashes.json");
        }
        let path = self.root.join("crashes.json");
        let bytes = serde_json::to_vec(&note)
            .map_err(|source| VolumeError::Damaged { path: path.clone(), source })?;
        Ok(write_private(&path, &bytes)?)
    }

    /// The members that should exist, as they were known when this volume was last used.
    pub(crate) fn members(&self) -> Result<Option<Vec<KnownMember>>, VolumeError> {
        self.json(MEMBERS)
    }

    pub(crate) fn write_members(&self, members: &[KnownMember]) -> Result<(), VolumeError> {
        if self.members().is_ok_and(|known| known.as_deref() == Some(members)) {
            return Ok(());
        }
        let path = self.root.join(MEMBERS);
        let damaged = |source| VolumeError::Damaged { path: path.clone(), source };
        let bytes = serde_json::to_vec_pretty(members).map_err(damaged)?;
        Ok(write_private(&path, &bytes)?)
    }

    fn id(&self) -> Result<Option<String>, VolumeError> {
        let text = self.small_file("volume-id")?;
        Ok(text.map(|bytes| String::from_utf8_lossy(&bytes).trim().to_owned()).filter(|id| !id.is_empty()))
    }

    fn identity(&self) -> Result<Option<Identity>, VolumeError> {
        let Some(file) = self.json::<IdentityFile>("identity.json")? else { return Ok(None) };
        let ids = file.cluster_id.parse::<ClusterId>().ok().zip(file.member_id.parse::<MemberId>().ok());
        Ok(ids.map(|(cluster, member)| Identity { name: file.name, cluster, member }))
    }

    fn data_state(&self) -> Result<Data, VolumeError> {
        let data = self.data();
        if !data.exists() {
            return Ok(Data::NoDirectory);
        }
        let is_log = |path: &PathBuf| path.extension().is_some_and(|extension| extension == "wal");
        if Self::entries(&data.join("member/wal"))?.iter().any(is_log) {
            return Ok(Data::Present);
        }
        Ok(if Self::entries(&data)?.is_empty() { Data::Empty } else { Data::Leftovers })
    }

    pub(crate) fn entries(directory: &Path) -> Result<Vec<PathBuf>, VolumeError> {
        let failed = io_error("list", directory);
        match std::fs::read_dir(directory) {
            Ok(entries) => {
                entries.map(|entry| entry.map(|entry| entry.path())).collect::<Result<_, _>>().map_err(failed)
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Vec::new()),
            Err(error) => Err(failed(error)),
        }
    }

    /// Whether the disk has too little space for etcd to go on, or to begin; tells how much and where. A disk that does
    /// not tell has enough.
    pub(crate) fn lack_of_space(&self) -> Result<Option<String>, VolumeError> {
        let needed = if self.has_data()? { LEAST_FREE_BYTES } else { LEAST_FREE_BYTES + LOG_SEGMENT_BYTES };
        let lacks = self.free_bytes().filter(|free| *free < needed);
        Ok(lacks.map(|free| {
            format!(
                "the disk of {} is full: {} MiB are free, etcd needs {} MiB; free space there or enlarge it",
                self.root.display(),
                free / MIB,
                needed / MIB
            )
        }))
    }

    fn is_full(&self) -> bool {
        self.free_bytes().is_some_and(|free| free < LEAST_FREE_BYTES)
    }

    pub(crate) fn free_bytes(&self) -> Option<u64> {
        let volume = nix::sys::statvfs::statvfs(&self.root).ok()?;
        Some(volume.blocks_available().saturating_mul(volume.fragment_size()))
    }

    pub(crate) fn json<T: serde::de::DeserializeOwned>(&self, name: &str) -> Result<Option<T>, VolumeError> {
        let Some(bytes) = self.small_file(name)? else { return Ok(None) };
        let path = self.root.join(name);
        serde_json::from_slice(&bytes).map(Some).map_err(|source| VolumeError::Damaged { path, source })
    }

    fn small_file(&self, name: &str) -> Result<Option<Vec<u8>>, VolumeError> {
        match read_limited(&self.root.join(name), SMALL_FILE) {
            Ok(bytes) => Ok(Some(bytes)),
            Err(error) if error.is_not_found() => Ok(None),
            Err(error) => Err(error.into()),
        }
    }

    pub(crate) fn remove_file(&self, name: &str) -> Result<(), VolumeError> {
        let path = self.root.join(name);
        match std::fs::remove_file(&path) {
            Ok(()) => Ok(()),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
            Err(error) => Err(io_error("remove", &path)(error)),
        }
    }
}

pub(crate) fn remove_directory(path: &Path) -> Result<(), VolumeError> {
    match std::fs::remove_dir_all(path) {
        Ok(()) => Ok(()),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        Err(error) => Err(io_error("remove", path)(error)),
    }
}

pub(crate) fn io_error(action: &'static str, path: &Path) -> impl Fn(io::Error) -> VolumeError {
    let path = path.to_owned();
    move |source| VolumeError::Directory { action, path: path.clone(), source }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    fn volume() -> (tempfile::TempDir, VolumeFiles) {
        let directory = tempfile::tempdir().unwrap();
        let files = VolumeFiles::new(directory.path().join("volume"));
        files.lock().unwrap();
        (directory, files)
    }

    fn put_log(files: &VolumeFiles) {
        std::fs::create_dir_all(files.data().join("member/wal")).unwrap();
        std::fs::File::create(files.data().join("member/wal/0-0.wal")).unwrap();
    }

    #[test]
    fn a_fresh_volume_gets_its_id_last_and_another_one_when_its_data_directory_is_gone() {
        let (_directory, files) = volume();
        assert_eq!(
            files.read().unwrap(),
            Volume { id: None, data: Data::NoDirectory, identity: None, full: false }
        );
        files.prepare().unwrap();
        let first = files.read().unwrap();
        assert_eq!((first.data, first.id.as_ref().map(String::len)), (Data::Empty, Some(32)));
        assert_eq!(files.data().metadata().unwrap().permissions().mode() & 0o777, 0o700);
        std::fs::remove_dir(files.data()).unwrap();
        assert_eq!(files.read().unwrap().data, Data::NoDirectory);
        files.prepare().unwrap();
        assert_ne!(files.read().unwrap().id, first.id);
    }

    #[test]
    fn only_a_write_ahead_log_counts_as_data() {
        let (_directory, files) = volume();
        files.prepare().unwrap();
        std::fs::create_dir_all(files.data().join("member/snap")).unwrap();
        assert_eq!(files.read().unwrap().data, Data::Leftovers);
        put_log(&files);
        assert_eq!(files.read().unwrap().data, Data::Present);
        files.clear_leftovers().unwrap();
        assert_eq!(files.read().unwrap().data, Data::Empty);
    }

    #[test]
    fn of_what_is_set_aside_the_last_one_is_kept() {
        let (_directory, files) = volume();
        for now in [1, 2] {
            files.prepare().unwrap();
            put_log(&files);
            let aside = files.set_aside("removed", now).unwrap();
            assert!(aside.join("member/wal/0-0.wal").exists());
            assert_eq!(files.read().unwrap().data, Data::NoDirectory);
        }
        let kept: Vec<_> = VolumeFiles::entries(&files.root).unwrap();
        let names: Vec<_> = kept.iter().filter_map(|path| path.file_name()?.to_str()).collect();
        assert!(names.contains(&"member-data.aside-removed-2"), "{names:?}");
        assert!(!names.contains(&"member-data.aside-removed-1"), "{names:?}");
    }

    #[test]
    fn the_clusters_version_is_that_of_the_data() {
        let (_directory, files) = volume();
        let version = Release::parse("3.7.0").unwrap();
        files.write_cluster_version(version).unwrap();
        assert_eq!(files.cluster_version().unwrap(), None, "there is no data");
        put_log(&files);
        assert_eq!(files.cluster_version().unwrap(), Some(version));
        files.forget_identity().unwrap();
        assert_eq!(files.cluster_version().unwrap(), None, "the data may be another cluster's");
    }

    #[test]
    fn a_disk_tells_whether_there_is_space() {
        let directory = tempfile::tempdir().unwrap();
        let files = VolumeFiles::new(directory.path().to_owned());
        let free = files.free_bytes().unwrap();
        assert_eq!(files.lack_of_space().unwrap().is_some(), free < LEAST_FREE_BYTES + LOG_SEGMENT_BYTES);
        // /proc has no blocks at all.
        let lack = VolumeFiles::new("/proc".into()).lack_of_space().unwrap().unwrap();
        assert!(lack.contains("/proc is full: 0 MiB") && lack.contains("free space"), "{lack}");
    }

    #[test]
    fn identity_and_crash_note_survive_and_a_damaged_one_is_named() {
        let (_directory, files) = volume();
        let identity = Identity {
            name: "etcd-0".into(),
            cluster: ClusterId(0xabc),
            member: MemberId(0xffff_ffff_ffff_ffff),
        };
        files.write_identity(&identity).unwrap();
        assert_eq!(files.read().unwrap().identity, Some(identity));
        let note = CrashNote::default().one_more(7);
        files.write_crash_note(note).unwrap();
        assert_eq!(files.crash_note().unwrap(), note);
        files.write_crash_note(CrashNote::default()).unwrap();
        assert_eq!(files.crash_note().unwrap(), CrashNote::default());
        write_private(&files.root.join("identity.json"), b"{").unwrap();
        assert!(files.read().unwrap_err().to_string().contains("identity.json is damaged"));
    }
}
