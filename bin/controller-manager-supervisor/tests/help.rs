//! What people read.

#[test]
fn help_reads_well() {
    for arguments in [&["--help"][..], &["run", "--help"]] {
        let told = assert_cmd::cargo::cargo_bin_cmd!("controller-manager-supervisor")
            .args(arguments)
            .assert()
            .success();
        insta::assert_snapshot!(String::from_utf8_lossy(&told.get_output().stdout));
    }
}
