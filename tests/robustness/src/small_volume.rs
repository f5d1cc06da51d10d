//! A small disk in the place of a member's volume, that can be filled and slowed down: ext4 on a loop device over a file in
//! memory. Refuses to be where others see it: it is mounted in a mount namespace of the run's own, and goes with it.

use std::fs::File;
use std::io::{self, Write as _};
use std::os::linux::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use nix::fcntl::{FallocateFlags, fallocate};
use nix::mount::{MntFlags, MsFlags, mount, umount2};
use nix::sys::stat::{major, minor};

use crate::network::run;

/// Enough for etcd's log, its database and a copy of it, in bytes.
const SIZE: u64 = 400 << 20;
/// Of the file system in memory that holds it.
const HOLDER: &str = "size=410m,mode=0700";
const DATA: &str = "data";
const PIECE: i64 = 1 << 20;
/// How many writes a second a device takes, of all processes together: what syncs others' data belongs to nobody else (cgroup v1).
const THROTTLE: &str = "/sys/fs/cgroup/blkio/blkio.throttle.write_iops_device";

/// It is unmounted when this is dropped.
pub(crate) struct SmallVolume {
    /// Holds the disk.
    holder: PathBuf,
    /// The whole file system, the data in a directory of it.
    root: PathBuf,
    data: PathBuf,
    /// MAJOR:MINOR of the disk.
    device: String,
}

/// Space that is taken; it is free again when this is dropped.
pub(crate) struct Filled(PathBuf);

/// A slow disk; it is as fast as ever when this is dropped.
pub(crate) struct Slow(String);

impl SmallVolume {
    /// Covers `data`, empty; whoever has files open there keeps them.
    pub(crate) fn over(data: &Path, holder: PathBuf) -> Self {
        let nothing = None::<&str>;
        std::fs::create_dir_all(&holder).expect("a directory to mount it on");
        mount(Some("pilothouse-test"), &holder, Some("tmpfs"), MsFlags::empty(), Some(HOLDER))
            .expect("a file system in memory");
        let (disk, root) = (holder.join("disk"), holder.join("root"));
        File::create(&disk).and_then(|file| file.set_len(SIZE)).expect("a disk");
        std::fs::create_dir(&root).expect("a directory to mount it on");
        let text = |path: &Path| path.display().to_string();
        // Nothing reserved for root, who runs etcd here.
        run(&["mkfs.ext4", "-q", "-m", "0", &text(&disk)], "");
        // So made, the loop device goes with its last mount.
        run(&["mount", "-o", "loop", &text(&disk), &text(&root)], "");
        std::fs::create_dir(root.join(DATA)).expect("a directory for the data");
        mount(Some(&root.join(DATA)), data, nothing, MsFlags::MS_BIND, nothing).expect("a volume");
        let device = std::fs::metadata(&root).expect("it is mounted").st_dev();
        let device = format!("{}:{}", major(device), minor(device));
        // A killed run may have left its slow disk's number behind.
        throttle(&device, 0).unwrap_or_else(|error| panic!("{THROTTLE} of cgroup v1 with blkio: {error}"));
        Self { holder, root, data: data.to_owned(), device }
    }

    /// Where what is renamed away from the volume stays on its file system.
    pub(crate) fn graveyard(&self) -> PathBuf {
        self.root.join("lost")
    }

    /// Takes all space that is left.
    pub(crate) fn fill(&self) -> Filled {
        let ballast = self.root.join("ballast");
        let file = File::create(&ballast).expect("a file can be made");
        let mut taken = 0;
        // What a whole piece does not fit into is left; etcd needs more than that for anything new.
        while fallocate(&file, FallocateFlags::empty(), taken, PIECE).is_ok() {
            taken += PIECE;
        }
        Filled(ballast)
    }

    /// Takes so many writes a second, and no more. A member writes about two for each commit.
    pub(crate) fn slow(&self, writes_a_second: u32) -> Slow {
        throttle(&self.device, writes_a_second).expect("a disk can be slowed down");
        Slow(self.device.clone())
    }
}

/// 0 is without a limit.
fn throttle(device: &str, writes_a_second: u32) -> io::Result<()> {
    let mut limit = File::options().write(true).open(THROTTLE)?;
    limit.write_all(format!("{device} {writes_a_second}").as_bytes())
}

impl Drop for Slow {
    fn drop(&mut self) {
        // A second panic would end the run before anything is cleaned up.
        let _as_it_was = throttle(&self.0, 0);
    }
}

impl Drop for Filled {
    fn drop(&mut self) {
        let _gone = std::fs::remove_file(&self.0);
    }
}

impl Drop for SmallVolume {
    fn drop(&mut self) {
        for mounted in [&self.data, &self.root, &self.holder] {
            // Processes that still run keep it until they end.
            let _gone = umount2(mounted, MntFlags::MNT_DETACH);
        }
    }
}
