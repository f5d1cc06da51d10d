//! A container that is given no more memory than it has, so that the kernel kills for want of it, alone or a whole group as
//! the machine does. It has its limit back when this is dropped. Refuses to touch what is no cgroup of the process it is given.

use std::path::{Path, PathBuf};

/// By so much the limit is lowered at a time, in bytes.
const STEP: u64 = 1 << 20;

/// A container whose memory is taken away.
pub(crate) struct Starved {
    limit: PathBuf,
    before: String,
}

impl Starved {
    /// The container of a process of this machine.
    pub(crate) fn container_of(pid: u32) -> Self {
        let groups = std::fs::read_to_string(format!("/proc/{pid}/cgroup")).expect("it runs");
        let group = |controllers: &str| {
            let lines = groups.lines().filter_map(|line| line.split_once(':')?.1.split_once(':'));
            let mut of = lines.filter(|(names, _)| names.split(',').any(|name| name == controllers));
            of.next().map(|(_, path)| path.trim_start_matches('/').to_owned())
        };
        // Version 1 has a hierarchy for memory alone, version 2 has one for everything.
        let (directory, limit, usage) = if let Some(path) = group("memory") {
            let directory = Path::new("/sys/fs/cgroup/memory").join(path);
            (directory, "memory.limit_in_bytes", "memory.usage_in_bytes")
        } else {
            let path = group("").expect("a cgroup of version 2");
            (Path::new("/sys/fs/cgroup").join(path), "memory.max", "memory.current")
        };
        let limit = directory.join(limit);
        let before = std::fs::read_to_string(&limit).expect("it has a limit").trim().to_owned();
        let usage = std::fs::read_to_string(directory.join(usage)).expect("its use is told");
        let starved = Self { limit, before };
        let mut allowed: u64 = usage.trim().parse().expect("a number of bytes");
        // Until the kernel has nothing left to give back: version 1 refuses less then, version 2 kills.
        while starved.set(&allowed.to_string()) && allowed > STEP {
            allowed -= STEP;
        }
        starved
    }

    fn set(&self, limit: &str) -> bool {
        // A cgroup's file is written as it is.
        std::fs::OpenOptions::new()
            .write(true)
            .open(&self.limit)
            .and_then(|mut file| std::io::Write::write_all(&mut file, limit.as_bytes()))
            .is_ok()
    }
}

impl Drop for Starved {
    fn drop(&mut self) {
        // With its whole group it may be gone.
        let _gone = self.set(&self.before);
    }
}
