//! The memory limit of our own cgroup (v2 and v1), from which GOMEMLIMIT of Go children follows.
//! Refuses to guess: no limit found, none set.

use std::fs;
use std::path::{Path, PathBuf};

/// Share of the container's limit that Go may use before its collector works harder; the rest is for us,
/// for stacks outside Go's heap and for the kernel's share of the cgroup.
const SHARE_PERCENT: u64 = 90;

/// The value for GOMEMLIMIT in bytes, if our cgroup has a limit.
pub(crate) fn go_memory_limit() -> Option<u64> {
    let groups = fs::read_to_string("/proc/self/cgroup").ok()?;
    limit_files(&groups)
        .iter()
        .filter_map(|file| fs::read_to_string(file).ok())
        .filter_map(|text| parse_limit(&text))
        .min()
        .map(|limit| limit / 100 * SHARE_PERCENT)
}

/// The files that may hold our limit: our own group's and, as inside a container, the mounted root's.
fn limit_files(groups: &str) -> Vec<PathBuf> {
    let mut files = vec![
        PathBuf::from("/sys/fs/cgroup/memory.max"),
        PathBuf::from("/sys/fs/cgroup/memory/memory.limit_in_bytes"),
    ];
    for line in groups.lines() {
        let mut fields = line.splitn(3, ':').skip(1);
        let (Some(controllers), Some(group)) = (fields.next(), fields.next()) else { continue };
        let group = group.trim_start_matches('/');
        if controllers.is_empty() {
            files.push(Path::new("/sys/fs/cgroup").join(group).join("memory.max"));
        } else if controllers.split(',').any(|controller| controller == "memory") {
            files.push(Path::new("/sys/fs/cgroup/memory").join(group).join("memory.limit_in_bytes"));
        }
    }
    files
}

/// A limit in bytes; none for "max" and for cgroup v1's "no limit", which is close to 2^63.
fn parse_limit(text: &str) -> Option<u64> {
    text.trim().parse().ok().filter(|limit| *limit < 1 << 60)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_versions_of_cgroups_are_read() {
        assert_eq!(parse_limit("536870912\n"), Some(536_870_912));
        assert_eq!(parse_limit("max\n"), None);
        assert_eq!(parse_limit("9223372036854771712\n"), None);
        let files = limit_files("5:cpu,memory:/kubepods/pod1\n0::/user.slice\n");
        assert!(files.contains(&PathBuf::from("/sys/fs/cgroup/memory/kubepods/pod1/memory.limit_in_bytes")));
        assert!(files.contains(&PathBuf::from("/sys/fs/cgroup/user.slice/memory.max")));
    }
}
