//! Every way in which a state directory can be wrong, the words for it, and that nothing of others is touched.

use std::os::unix::fs::PermissionsExt as _;

use tempfile::TempDir;

use super::*;
use crate::ports::PortBlock;
use crate::settings::Requested;

fn name(text: &str) -> ClusterName {
    text.parse().unwrap()
}

fn manifest(of: &str) -> Manifest {
    Manifest {
        format_version: FORMAT_VERSION,
        name: name(of),
        port_block: PortBlock::candidates(of).next().unwrap(),
        settings: Requested { components: Some("/components".into()), ..Requested::default() }
            .settle(None)
            .unwrap(),
        versions: None,
    }
}

fn made(parent: &TempDir, of: &str) -> StatePaths {
    let paths = StatePaths::new(parent.path().join(of));
    let mut directory = StateDirectory::open_or_create(paths.clone(), &name(of)).unwrap();
    assert_eq!(directory.manifest(), None);
    directory.record(manifest(of)).unwrap();
    paths
}

#[test]
fn what_is_recorded_is_read_again() {
    let parent = TempDir::new().unwrap();
    let paths = made(&parent, "first");
    assert_eq!(read_manifest(&paths, &name("first")).unwrap(), manifest("first"));
    assert_eq!(
        StateDirectory::open(paths.clone(), &name("first")).unwrap().manifest(),
        Some(&manifest("first"))
    );
    assert_eq!(paths.root().metadata().unwrap().permissions().mode() & 0o777, 0o700);
    assert_eq!(paths.manifest().metadata().unwrap().permissions().mode() & 0o777, 0o600);
}

#[test]
fn a_second_pilothouse_is_told_the_first_ones_process_id() {
    let parent = TempDir::new().unwrap();
    let paths = made(&parent, "first");
    let _held = StateDirectory::open(paths.clone(), &name("first")).unwrap();
    let error = StateDirectory::open_or_create(paths, &name("first")).unwrap_err();
    assert!(error.to_string().contains(&format!("process id {}", std::process::id())), "{error}");
}

#[test]
fn the_directory_of_another_name_is_refused() {
    let parent = TempDir::new().unwrap();
    let paths = made(&parent, "first");
    let error = StateDirectory::open_or_create(paths, &name("second")).unwrap_err();
    assert!(error.to_string().contains("give --name first"), "{error}");
}

#[test]
fn other_formats_and_damaged_manifests_are_refused() {
    let parent = TempDir::new().unwrap();
    let paths = made(&parent, "first");
    durable_files::write_private(&paths.manifest(), br#"{"formatVersion": 2, "name": "first", "new": true}"#)
        .unwrap();
    let error = read_manifest(&paths, &name("first")).unwrap_err();
    assert!(matches!(error, StateError::OtherFormat { found: 2, .. }), "{error}");
    for broken in [&b"{\"formatVersion\": 1, \"na"[..], b"", br#"{"formatVersion": 1, "name": "first"}"#] {
        durable_files::write_private(&paths.manifest(), broken).unwrap();
        let error = StateDirectory::open_or_create(paths.clone(), &name("first")).unwrap_err();
        assert!(matches!(error, StateError::Damaged { .. }), "{error}");
    }
}

#[test]
fn somebody_elses_directory_is_left_as_it_is() {
    let parent = TempDir::new().unwrap();
    let root = parent.path().join("photos");
    fs::create_dir(&root).unwrap();
    fs::set_permissions(&root, fs::Permissions::from_mode(0o755)).unwrap();
    fs::create_dir(root.join("album")).unwrap();
    let paths = StatePaths::new(root.clone());
    for error in [
        StateDirectory::open_or_create(paths.clone(), &name("first")).unwrap_err(),
        StateDirectory::open(paths.clone(), &name("first")).unwrap_err(),
    ] {
        assert!(matches!(error, StateError::NotOurs { .. }), "{error}");
    }
    assert_eq!(root.metadata().unwrap().permissions().mode() & 0o777, 0o755);
    assert!(root.join("album").exists());
}

#[test]
fn a_first_start_that_was_killed_early_is_taken_up() {
    let parent = TempDir::new().unwrap();
    let paths = StatePaths::new(parent.path().join("first"));
    drop(StateDirectory::open_or_create(paths.clone(), &name("first")).unwrap());
    assert!(paths.lock().exists());
    for directory in paths.made_before_the_manifest() {
        durable_files::create_private_directory(&directory).unwrap();
    }
    assert!(StateDirectory::open_or_create(paths, &name("first")).is_ok());
}

#[test]
fn an_absent_control_plane_is_called_absent() {
    let parent = TempDir::new().unwrap();
    let paths = StatePaths::new(parent.path().join("none"));
    let error = read_manifest(&paths, &name("none")).unwrap_err();
    assert!(error.to_string().contains("there is no control plane none"), "{error}");
    assert!(!paths.root().exists());
}

#[test]
fn a_path_that_cannot_be_a_directory_is_unusable() {
    let parent = TempDir::new().unwrap();
    let file = parent.path().join("file");
    durable_files::write_private(&file, b"").unwrap();
    let error =
        StateDirectory::open_or_create(StatePaths::new(file.join("below")), &name("first")).unwrap_err();
    assert!(matches!(error, StateError::Unusable { .. }), "{error}");
    assert!(error.to_string().contains("--state-dir"), "{error}");
}

#[test]
fn removal_leaves_nothing() {
    let parent = TempDir::new().unwrap();
    let paths = made(&parent, "first");
    durable_files::create_private_directory(&paths.data("etcd-0")).unwrap();
    durable_files::write_private(&paths.kubeconfig(), b"x").unwrap();
    StateDirectory::open(paths.clone(), &name("first")).unwrap().remove().unwrap();
    assert!(!paths.root().exists());
}

#[test]
fn neighbours_are_the_other_control_planes() {
    let parent = TempDir::new().unwrap();
    let first = made(&parent, "first");
    made(&parent, "second");
    fs::create_dir(parent.path().join("unrelated")).unwrap();
    let names: Vec<String> = neighbours(&first).into_iter().map(|found| found.name.into()).collect();
    assert_eq!(names, ["second"]);
}
