//! CA keys are made once, and a set that is not whole, ours and closed is refused by name.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::disallowed_methods,
    reason = "a test may panic and spoils files"
)]

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::rc::Rc;

use certificate_signing::{
    AuthorityKeys, IssueError, Issuing, Lifetimes, MakeError, Origin, StateError, publish_bundles,
};
use certificates::{Authority, NamingSettings, Profile, Requester};
use time::OffsetDateTime;
use time::macros::datetime;

const NOW: OffsetDateTime = datetime!(2026-11-22 12:00 UTC);

fn open(directory: &Path) -> Result<AuthorityKeys, StateError> {
    AuthorityKeys::open_or_found(directory, NOW).map(|(keys, _)| keys)
}

fn founded() -> (tempfile::TempDir, PathBuf) {
    let root = tempfile::tempdir().unwrap();
    let directory = root.path().join("authority");
    open(&directory).unwrap();
    (root, directory)
}

fn file_names(directory: &Path) -> Vec<String> {
    let entries = fs::read_dir(directory).unwrap();
    entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect()
}

fn refusal(directory: &Path) -> String {
    open(directory).unwrap_err().to_string()
}

#[test]
fn keys_are_made_once_and_closed_to_others() {
    let root = tempfile::tempdir().unwrap();
    let directory = root.path().join("not/there/yet");
    let (first, origin) = AuthorityKeys::open_or_found(&directory, NOW).unwrap();
    assert_eq!(origin, Origin::Founded);
    let (second, origin) = AuthorityKeys::open_or_found(&directory, NOW).unwrap();
    assert_eq!(origin, Origin::Found);
    for authority in Authority::ALL {
        assert_eq!(first.bundle(authority), second.bundle(authority));
        assert!(!first.bundle(authority).contains("PRIVATE"));
    }
    assert_eq!(fs::metadata(&directory).unwrap().permissions().mode() & 0o777, 0o700);
    for name in file_names(&directory) {
        let mode = fs::metadata(directory.join(&name)).unwrap().permissions().mode() & 0o777;
        assert_eq!(mode, 0o600, "{name}");
    }
}

#[test]
fn several_that_start_at_once_agree() {
    let root = tempfile::tempdir().unwrap();
    let directory = root.path().join("authority");
    fs::create_dir(&directory).unwrap();
    fs::set_permissions(&directory, fs::Permissions::from_mode(0o700)).unwrap();
    let outcomes: Vec<(String, Origin)> = std::thread::scope(|scope| {
        let starts: Vec<_> = (0..4)
            .map(|_| {
                scope.spawn(|| {
                    let (keys, origin) = AuthorityKeys::open_or_found(&directory, NOW).unwrap();
                    (Authority::ALL.map(|authority| keys.bundle(authority)).concat(), origin)
                })
            })
            .collect();
        starts.into_iter().map(|start| start.join().unwrap()).collect()
    });
    assert!(outcomes.iter().all(|(bundles, _)| *bundles == outcomes[0].0));
    assert_eq!(outcomes.iter().filter(|(_, origin)| *origin == Origin::Founded).count(), 1);
    assert_eq!(file_names(root.path()), ["authority"], "no leftovers");
}

#[test]
fn a_founding_that_crashed_is_begun_anew() {
    let root = tempfile::tempdir().unwrap();
    let directory = root.path().join("authority");
    let staged = root.path().join(".authority.staged-0");
    fs::create_dir(&staged).unwrap();
    fs::write(staged.join("cluster.key"), "half").unwrap();
    open(&directory).unwrap();
    assert_eq!(file_names(root.path()), ["authority"]);
}

#[test]
fn every_file_that_is_missing_truncated_or_open_is_named() {
    let (_root, directory) = founded();
    for name in file_names(&directory) {
        let path = directory.join(&name);
        let content = fs::read(&path).unwrap();
        let named = |text: &str, word: &str| {
            assert!(text.contains(&path.display().to_string()) && text.contains(word), "{name}: {text}");
        };

        fs::remove_file(&path).unwrap();
        named(&refusal(&directory), "is missing");

        for kept in [0, 1, content.len() / 2, content.len() - 2] {
            fs::write(&path, &content[..kept]).unwrap();
            fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
            named(&refusal(&directory), "damaged");
        }

        fs::write(&path, &content).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o644)).unwrap();
        named(&refusal(&directory), "chmod 600");

        fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
        open(&directory).unwrap();
    }
    fs::set_permissions(&directory, fs::Permissions::from_mode(0o755)).unwrap();
    assert!(refusal(&directory).contains("chmod 700"));
}

#[test]
fn a_ca_swapped_for_another_is_refused() {
    let (_root, directory) = founded();
    let (_other_root, other) = founded();
    for authority in Authority::ALL {
        let (certificate, key) = (format!("{authority}.crt"), format!("{authority}.key"));
        let (own_certificate, own_key) =
            (fs::read(directory.join(&certificate)).unwrap(), fs::read(directory.join(&key)).unwrap());

        fs::copy(other.join(&certificate), directory.join(&certificate)).unwrap();
        assert!(
            matches!(open(&directory).unwrap_err(), StateError::Swapped { path } if path.ends_with(&certificate))
        );
        fs::copy(other.join(&key), directory.join(&key)).unwrap();
        assert!(
            matches!(open(&directory).unwrap_err(), StateError::Swapped { .. }),
            "certificate and key swapped"
        );

        fs::write(directory.join(&certificate), own_certificate).unwrap();
        assert!(
            matches!(open(&directory).unwrap_err(), StateError::Mismatch { key: path, .. } if path.ends_with(&key))
        );
        fs::write(directory.join(&key), own_key).unwrap();
        open(&directory).unwrap();
    }
}

#[test]
fn keys_of_another_control_plane_are_not_published_over_ours() {
    let (root, directory) = founded();
    let (_other_root, other) = founded();
    let published = root.path().join("trust");
    let (ours, foreign) = (open(&directory).unwrap(), open(&other).unwrap());
    assert!(publish_bundles(&ours, &published).unwrap());
    assert!(!publish_bundles(&ours, &published).unwrap(), "nothing changed");
    assert_eq!(fs::metadata(published.join("etcd.crt")).unwrap().permissions().mode() & 0o777, 0o644);
    ours.check_published(&directory, &published).unwrap();
    let refused = foreign.check_published(&other, &published).unwrap_err().to_string();
    assert!(refused.contains("another control plane") && refused.contains("trust/cluster.crt"), "{refused}");
    fs::write(published.join("cluster.crt"), "half").unwrap();
    ours.check_published(&directory, &published).unwrap();
}

#[test]
fn a_set_of_a_later_version_is_left_alone() {
    let (_root, directory) = founded();
    let path = directory.join("manifest.json");
    let manifest = fs::read_to_string(&path).unwrap().replace("\"formatVersion\": 1", "\"formatVersion\": 2");
    fs::write(&path, manifest).unwrap();
    assert!(matches!(open(&directory).unwrap_err(), StateError::Version { found: 2, known: 1, .. }));
}

#[test]
fn nothing_is_founded_by_a_clock_that_cannot_be_right() {
    let root = tempfile::tempdir().unwrap();
    let directory = root.path().join("authority");
    let refused = AuthorityKeys::open_or_found(&directory, OffsetDateTime::UNIX_EPOCH).unwrap_err();
    assert!(matches!(refused, StateError::Make(MakeError::Clock { .. })), "{refused:?}");
    let told = refused.to_string();
    assert!(told.contains("1970-01-01") && told.contains("set the clock right"), "{told}");
    assert!(!directory.exists());
    let (_keys, origin) = AuthorityKeys::open_or_found(&directory, NOW).unwrap();
    assert_eq!(origin, Origin::Founded);
}

#[test]
fn nothing_is_signed_while_the_clock_cannot_be_right() {
    let (_root, directory) = founded();
    let issuing = Issuing::new(
        Rc::new(open(&directory).unwrap()),
        NamingSettings { cluster_domain: "cluster.local".to_owned(), ..NamingSettings::default() },
        Lifetimes::default(),
    );
    let key = rcgen::KeyPair::generate().unwrap();
    let requester = Requester { instance: "etcd-0", names: &[] };
    let contents = issuing.preview(Profile::EtcdServer, requester).unwrap().contents;
    let issue = |now| issuing.issue(Profile::EtcdServer, &contents, &key, now);
    let behind = issue(NOW - time::Duration::hours(25)).unwrap_err();
    assert!(matches!(behind, IssueError::ClockIsBehind { .. }), "{behind}");
    for cause in ["set the clock right", "the CA was made while the clock was ahead"] {
        assert!(behind.to_string().contains(cause), "{behind}");
    }
    issue(NOW - time::Duration::hours(23)).unwrap();
    let ahead = issue(NOW + time::Duration::days(3651)).unwrap_err();
    assert!(
        matches!(ahead, IssueError::AuthorityExpired { .. }) && ahead.to_string().contains("clock"),
        "{ahead}"
    );
    let last = issue(NOW + time::Duration::days(3649)).unwrap();
    assert_eq!(last.not_after, NOW + time::Duration::days(3650), "a leaf never outlives its CA");
}
