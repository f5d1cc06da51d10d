//! Files survive crashes, concurrent readers and concurrent writers; secrets that lie open are refused.
#![allow(
    clippy::unwrap_used,
    clippy::disallowed_methods,
    reason = "a test may panic and writes what a crash would leave"
)]

use std::fs;
use std::io::Read;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use durable_files::{
    ContentWatch, FileError, FileLock, create_directory_once, create_private_directory, read_limited,
    read_mounted_secret, read_private, replace_directory, write_private, write_public,
};

fn mode(path: &Path) -> u32 {
    fs::metadata(path).unwrap().permissions().mode() & 0o7777
}

fn names(directory: &Path) -> Vec<String> {
    let mut names: Vec<_> = fs::read_dir(directory)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    names
}

#[test]
fn files_get_their_permissions_and_replace_what_was_there() {
    let root = tempfile::tempdir().unwrap();
    let (private, public) = (root.path().join("private"), root.path().join("public"));
    fs::write(&private, "an older and longer content").unwrap();
    write_private(&private, b"secret").unwrap();
    write_public(&public, b"open").unwrap();
    assert_eq!((mode(&private), mode(&public)), (0o600, 0o644));
    assert_eq!(read_private(&private, 6).unwrap(), b"secret");
    assert_eq!(names(root.path()), ["private", "public"]);
}

#[test]
fn an_open_secret_is_refused_with_its_remedy() {
    let root = tempfile::tempdir().unwrap();
    let path = root.path().join("key");
    write_private(&path, b"secret").unwrap();
    for open in [0o640, 0o604, 0o644, 0o666] {
        fs::set_permissions(&path, fs::Permissions::from_mode(open)).unwrap();
        let error = read_private(&path, 100).unwrap_err();
        assert!(matches!(error, FileError::Exposed { .. }));
        let text = error.to_string();
        assert!(text.contains(&format!("chmod 600 {}", path.display())), "{text}");
    }
}

#[test]
fn reading_has_a_limit_and_errors_name_the_path() {
    let root = tempfile::tempdir().unwrap();
    let path = root.path().join("long");
    write_public(&path, &[b'x'; 11]).unwrap();
    assert!(matches!(read_limited(&path, 10).unwrap_err(), FileError::TooLarge { limit: 10, .. }));
    let missing = read_limited(&root.path().join("missing"), 10).unwrap_err();
    assert!(missing.is_not_found() && missing.to_string().contains("missing"), "{missing}");
    let unwritable = write_private(&root.path().join("no/such/place"), b"").unwrap_err();
    assert!(unwritable.to_string().contains("no/such"), "{unwritable}");
}

#[test]
fn directories_are_created_private_and_made_private() {
    let root = tempfile::tempdir().unwrap();
    let path = root.path().join("a/b");
    create_private_directory(&path).unwrap();
    assert_eq!((mode(&root.path().join("a")), mode(&path)), (0o700, 0o700));
    fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
    create_private_directory(&path).unwrap();
    assert_eq!(mode(&path), 0o700);
}

#[test]
fn kubelet_decides_who_reads_what_it_mounts() {
    let root = tempfile::tempdir().unwrap();
    let (mounted, lone) = (root.path().join("token"), root.path().join("lone"));
    fs::create_dir(root.path().join("..2026_11_22")).unwrap();
    fs::write(root.path().join("..2026_11_22/token"), "secret").unwrap();
    std::os::unix::fs::symlink("..2026_11_22", root.path().join("..data")).unwrap();
    std::os::unix::fs::symlink("..data/token", &mounted).unwrap();
    fs::write(&lone, "secret").unwrap();
    for path in [&mounted, &lone] {
        fs::set_permissions(path, fs::Permissions::from_mode(0o640)).unwrap();
    }
    assert_eq!(read_mounted_secret(&mounted, 6).unwrap(), b"secret");
    assert!(matches!(read_mounted_secret(&lone, 6), Err(FileError::Exposed { .. })));
}

#[test]
fn a_directory_is_replaced_whole() {
    let root = tempfile::tempdir().unwrap();
    let path = root.path().join("leaf");
    replace_directory(&path, &[("tls.crt".into(), b"1".to_vec()), ("old".into(), b"1".to_vec())]).unwrap();
    replace_directory(&path, &[("tls.crt".into(), b"2".to_vec()), ("tls.key".into(), b"2".to_vec())])
        .unwrap();
    assert_eq!(names(&path), ["tls.crt", "tls.key"]);
    assert_eq!((mode(&path), mode(&path.join("tls.key"))), (0o700, 0o600));
    assert_eq!(names(root.path()), ["leaf"]);
}

#[test]
fn a_directory_is_created_once_whoever_tries() {
    let root = tempfile::tempdir().unwrap();
    let path = root.path().join("authority");
    fs::create_dir(&path).unwrap();
    let created: usize = std::thread::scope(|scope| {
        let tries: Vec<_> = (0..8_u8)
            .map(|number| {
                scope.spawn({
                    let path = &path;
                    move || {
                        create_directory_once(
                            path,
                            &[("one".into(), vec![number]), ("two".into(), vec![number])],
                        )
                        .unwrap()
                    }
                })
            })
            .collect();
        tries.into_iter().map(|one| usize::from(one.join().unwrap())).sum()
    });
    assert_eq!(created, 1);
    assert_eq!(fs::read(path.join("one")).unwrap(), fs::read(path.join("two")).unwrap());
    assert_eq!((mode(&path), mode(&path.join("one"))), (0o700, 0o600));
    assert_eq!(names(root.path()), ["authority"]);
}

#[test]
fn what_a_crash_left_behind_is_removed_by_the_next_write() {
    let root = tempfile::tempdir().unwrap();
    fs::create_dir(root.path().join(".leaf.staged-1-0")).unwrap();
    fs::write(root.path().join(".leaf.staged-1-0/tls.key"), "half").unwrap();
    fs::write(root.path().join(".token.staged-1-0"), "half").unwrap();
    fs::write(root.path().join(".unrelated"), "kept").unwrap();
    replace_directory(&root.path().join("leaf"), &[]).unwrap();
    write_private(&root.path().join("token"), b"whole").unwrap();
    assert_eq!(names(root.path()), [".unrelated", "leaf", "token"]);
}

#[test]
fn readers_never_miss_a_file_while_it_is_replaced() {
    let root = tempfile::tempdir().unwrap();
    let leaf = root.path().join("leaf");
    let generation =
        |number: u8| [("tls.crt".to_owned(), vec![number]), ("tls.key".to_owned(), vec![number])];
    replace_directory(&leaf, &generation(0)).unwrap();
    let done = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let reader = scope.spawn(|| {
            let mut reads = 0_u32;
            while !done.load(Ordering::Relaxed) {
                for file in ["tls.crt", "tls.key"] {
                    assert_eq!(
                        fs::read(leaf.join(file)).unwrap().len(),
                        1,
                        "by path, a file is always there and whole"
                    );
                }
                let directory = fs::File::open(&leaf).unwrap();
                if let (Some(certificate), Some(key)) =
                    (read_at(&directory, "tls.crt"), read_at(&directory, "tls.key"))
                {
                    assert_eq!(certificate, key, "by one directory handle, both files are of one generation");
                }
                reads += 1;
            }
            reads
        });
        for number in 1..=200 {
            replace_directory(&leaf, &generation(number)).unwrap();
        }
        done.store(true, Ordering::Relaxed);
        assert!(reader.join().unwrap() > 0);
    });
}

fn read_at(directory: &fs::File, name: &str) -> Option<Vec<u8>> {
    let file =
        nix::fcntl::openat(directory, name, nix::fcntl::OFlag::O_RDONLY, nix::sys::stat::Mode::empty())
            .ok()?;
    let mut content = Vec::new();
    fs::File::from(file).read_to_end(&mut content).unwrap();
    Some(content)
}

#[test]
fn concurrent_writers_of_one_file_all_succeed_and_leave_one_whole_content() {
    let root = tempfile::tempdir().unwrap();
    let path = root.path().join("shared");
    std::thread::scope(|scope| {
        for writer in 0..4_u8 {
            let path = &path;
            scope.spawn(move || {
                for _ in 0..50 {
                    write_private(path, &[writer; 1000]).unwrap();
                }
            });
        }
    });
    let content = fs::read(&path).unwrap();
    assert!(content.len() == 1000 && content.iter().all(|byte| *byte == content[0]));
    assert_eq!(names(root.path()), ["shared"]);
}

#[test]
fn a_lock_names_its_holder_and_is_free_when_dropped() {
    let root = tempfile::tempdir().unwrap();
    let path = root.path().join("lock");
    assert_eq!(FileLock::holder(&path).unwrap(), None);
    let lock = FileLock::acquire(&path).unwrap();
    let error = FileLock::acquire(&path).unwrap_err();
    assert!(error.to_string().ends_with(&format!("is locked by process {}", std::process::id())), "{error}");
    assert_eq!(FileLock::holder(&path).unwrap(), Some(std::process::id()));
    drop(lock);
    assert_eq!(FileLock::holder(&path).unwrap(), None);
    FileLock::acquire(&path).unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_watch_sees_content_and_not_inodes() {
    let root = tempfile::tempdir().unwrap();
    let path = root.path().join("bundle");
    let mut watch = ContentWatch::new(&path);
    write_public(&path, b"one").unwrap();
    watch.changed().await;
    write_public(&path, b"one").unwrap();
    assert!(
        tokio::time::timeout(Duration::from_secs(5), watch.changed()).await.is_err(),
        "same content, new inode"
    );
    write_public(&path, b"two").unwrap();
    watch.changed().await;
    fs::remove_file(&path).unwrap();
    watch.changed().await;
}

/// Runs itself again in a mount namespace of its own, where the disk is a small one in memory.
#[test]
fn a_full_disk_is_named_and_what_was_there_stays() {
    const DISK: &str = "PILOTHOUSE_TEST_FULL_DISK";
    if let Some(disk) = std::env::var_os(DISK) {
        return fill(Path::new(&disk));
    }
    let disk = tempfile::tempdir().unwrap();
    let inside = std::process::Command::new("unshare")
        .args(["--user", "--map-root-user", "--mount", "sh", "-ec"])
        .arg(format!("mount -t tmpfs -o size=64k none \"${DISK}\"; exec \"$0\" --exact \"$1\""))
        .arg(std::env::current_exe().unwrap())
        .arg("a_full_disk_is_named_and_what_was_there_stays")
        .env(DISK, disk.path())
        .output()
        .unwrap();
    let told = String::from_utf8_lossy(&inside.stdout);
    assert!(
        inside.status.success() && told.contains("1 passed"),
        "{told}{}",
        String::from_utf8_lossy(&inside.stderr)
    );
}

fn fill(disk: &Path) {
    let path = disk.join("token");
    write_private(&path, b"old").unwrap();
    replace_directory(&disk.join("leaf"), &[("tls.crt".into(), b"old".to_vec())]).unwrap();
    let large = vec![0; 1024 * 1024];
    let written = write_private(&path, &large).unwrap_err();
    let replaced = replace_directory(&disk.join("leaf"), &[("tls.crt".into(), large)]).unwrap_err();
    for error in [written, replaced] {
        assert!(matches!(error, FileError::DiskFull { .. }), "{error:?}");
    }
    assert_eq!(fs::read(&path).unwrap(), b"old");
    assert_eq!(fs::read(disk.join("leaf/tls.crt")).unwrap(), b"old");
    assert_eq!(names(disk), ["leaf", "token"], "nothing half-written stays");
}
