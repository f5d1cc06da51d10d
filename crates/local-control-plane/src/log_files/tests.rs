//! Logs of one instance and of several, their last lines, rotation, and lines that are not complete yet.

use tempfile::TempDir;

use super::*;
use crate::settings::Requested;
use crate::{Blueprint, Extras, PortBlock};

fn control_plane() -> (TempDir, StatePaths, Plan) {
    let state = TempDir::new().unwrap();
    let paths = StatePaths::new(state.path().to_owned());
    let requested = Requested { components: Some("/components".into()), ..Requested::default() };
    let plan = Plan::new(&Blueprint {
        name: &"local".parse().unwrap(),
        settings: &requested.settle(None).unwrap(),
        block: PortBlock::candidates("local").next().unwrap(),
        paths: &paths,
        supervisors: Path::new("/supervisors"),
        extras: &Extras::default(),
    });
    for (instance, text) in [("etcd-0", "a\nb\nc\n"), ("etcd-1", "x\ny\nhalf a li"), (SELF, "self\n")] {
        durable_files::create_private_directory(&paths.instance(instance)).unwrap();
        durable_files::write_private(&paths.log(instance), text.as_bytes()).unwrap();
    }
    (state, paths, plan)
}

async fn printed(of: &str, tail: Option<usize>) -> Result<String, LogError> {
    let (_state, paths, plan) = control_plane();
    let mut output = Vec::new();
    let request = LogRequest { of: of.into(), follow: false, tail };
    print_logs(&plan, &paths, &request, &mut output).await?;
    Ok(String::from_utf8(output).unwrap())
}

#[tokio::test]
async fn one_instance_is_printed_as_it_is_and_several_with_their_names() {
    assert_eq!(printed("etcd-0", None).await.unwrap(), "a\nb\nc\n");
    assert_eq!(
        printed("etcd", None).await.unwrap(),
        "[etcd-0] a\n[etcd-0] b\n[etcd-0] c\n[etcd-1] x\n[etcd-1] y\n"
    );
    assert_eq!(printed(SELF, None).await.unwrap(), "self\n");
    assert_eq!(printed("kube-scheduler-0", None).await.unwrap(), "");
}

#[tokio::test]
async fn the_last_lines_are_enough_for_some() {
    assert_eq!(printed("etcd-0", Some(2)).await.unwrap(), "b\nc\n");
    assert_eq!(printed("etcd-0", Some(9)).await.unwrap(), "a\nb\nc\n");
    assert_eq!(printed("etcd-0", Some(0)).await.unwrap(), "");
}

#[tokio::test]
async fn what_does_not_exist_is_answered_with_what_does() {
    let error = printed("etdc", None).await.unwrap_err().to_string();
    assert!(error.contains("no etdc") && error.contains("kube-apiserver, "), "{error}");
}

#[tokio::test]
async fn a_rotated_log_is_followed_from_its_new_beginning() {
    let (_state, paths, _plan) = control_plane();
    let path = paths.log("etcd-0");
    let mut log = Log { path: path.clone(), prefix: String::new(), offset: 0 };
    let mut output = Vec::new();
    assert!(log.print_new(&mut output).unwrap());
    rotate_if_large(&path, &paths.rotated_log("etcd-0"), 3).unwrap();
    assert_eq!(fs::read(paths.rotated_log("etcd-0")).unwrap(), b"a\nb\nc\n");
    OpenOptions::new().append(true).open(&path).unwrap().write_all(b"d\n").unwrap();
    assert!(log.print_new(&mut output).unwrap());
    assert_eq!(output, b"a\nb\nc\nd\n");
    rotate_if_large(&path, &paths.rotated_log("etcd-0"), 1000).unwrap();
    assert_eq!(fs::read(&path).unwrap(), b"d\n");
}

#[test]
fn a_log_that_cannot_be_copied_to_a_full_disk_is_emptied() {
    let (_state, paths, _plan) = control_plane();
    let (log, rotated) = (paths.log("etcd-0"), paths.rotated_log("etcd-0"));
    // Every write to it meets ENOSPC.
    std::os::unix::fs::symlink("/dev/full", &rotated).unwrap();
    rotate_if_large(&log, &rotated, 3).unwrap();
    assert!(rotated.symlink_metadata().is_err(), "half a copy would keep the space");
    assert_eq!(fs::read(&log).unwrap(), b"");
}

#[test]
fn a_log_that_cannot_be_copied_for_another_reason_stays() {
    let (_state, paths, _plan) = control_plane();
    let (log, rotated) = (paths.log("etcd-0"), paths.rotated_log("etcd-0"));
    fs::create_dir(&rotated).unwrap();
    rotate_if_large(&log, &rotated, 3).unwrap_err();
    assert_eq!(fs::read(&log).unwrap(), b"a\nb\nc\n");
}

#[test]
fn the_tail_begins_where_it_is_told() {
    let (_state, paths, _plan) = control_plane();
    assert_eq!(tail(&paths.log("etcd-0"), 0, 2), "b\nc");
    assert_eq!(tail(&paths.log("etcd-0"), 4, 2), "c");
    assert_eq!(tail(Path::new("/nowhere"), 0, 2), "");
}
