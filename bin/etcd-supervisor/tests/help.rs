//! What people read.
#![allow(clippy::unwrap_used, reason = "a test may panic")]

fn help(arguments: &[&str]) -> String {
    let output = assert_cmd::cargo::cargo_bin_cmd!("etcd-supervisor").args(arguments).output().unwrap();
    assert!(output.status.success());
    String::from_utf8(output.stdout).unwrap()
}

#[test]
fn help_reads_well() {
    insta::assert_snapshot!(help(&["--help"]));
    insta::assert_snapshot!(help(&["recover", "--help"]));
    insta::assert_snapshot!(help(&["snapshot", "--help"]));
    insta::assert_snapshot!(help(&["run", "--help"]));
}
