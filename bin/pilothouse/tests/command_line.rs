//! What people see: the help of every command as a snapshot, exit codes, and messages for bad input.
#![expect(clippy::unwrap_used, reason = "a test that cannot make its inputs has failed")]

use std::path::Path;

use assert_cmd::Command;
use tempfile::TempDir;

fn pilothouse(arguments: &[&str]) -> Command {
    let mut command = Command::cargo_bin("pilothouse").unwrap();
    command.args(arguments);
    for variable in ["NAME", "STATE_DIR", "COMPONENTS", "SUPERVISORS", "LOG_FORMAT", "LOG_LEVEL"] {
        command.env_remove(format!("PILOTHOUSE_{variable}"));
    }
    command.env_remove("COLUMNS").env_remove("KUBECONFIG");
    command
}

fn help(command: &[&str]) -> String {
    let output = pilothouse(command).arg("--help").assert().code(0).get_output().stdout.clone();
    String::from_utf8(output).unwrap()
}

fn refusal(arguments: &[&str], code: i32) -> String {
    let output = pilothouse(arguments).assert().code(code).get_output().stderr.clone();
    String::from_utf8(output).unwrap()
}

fn text(path: &Path) -> &str {
    path.to_str().unwrap()
}

#[test]
fn help_of_pilothouse() {
    insta::assert_snapshot!(help(&[]));
}

#[test]
fn help_of_up() {
    insta::assert_snapshot!(help(&["up"]));
}

#[test]
fn help_of_status() {
    insta::assert_snapshot!(help(&["status"]));
}

#[test]
fn help_of_kubeconfig() {
    insta::assert_snapshot!(help(&["kubeconfig"]));
}

#[test]
fn help_of_logs() {
    insta::assert_snapshot!(help(&["logs"]));
}

#[test]
fn help_of_node_credentials() {
    insta::assert_snapshot!(help(&["node-credentials"]));
}

#[test]
fn help_of_rotate() {
    insta::assert_snapshot!(help(&["rotate"]));
}

#[test]
fn help_of_down() {
    insta::assert_snapshot!(help(&["down"]));
}

#[test]
fn wrong_usage_is_told_with_code_2_and_leaves_no_trace() {
    let home = TempDir::new().unwrap();
    let state = home.path().join("state");
    let with = |more: &[&str]| {
        let mut arguments = vec!["up", "--state-dir", text(&state), "--components", "/nowhere"];
        arguments.extend(more);
        refusal(&arguments, 2)
    };
    assert!(with(&["--etcd", "2"]).contains("give 1, 3 or 5"));
    assert!(with(&["--name", "Not_A_Name"]).contains("at most 40 lower-case letters"));
    assert!(with(&["--advertise-address", "127.0.0.1"]).contains("--advertise-address 127.0.0.1"));
    assert!(with(&["--service-subnet", "10.0.0.0/16", "--pod-subnet", "10.0.0.0/8"]).contains("overlap"));
    assert!(with(&["--no-such-flag"]).contains("--no-such-flag"));
    assert!(refusal(&["up", "--state-dir", text(&state)], 2).contains("--components"));
    assert!(!state.exists());
}

#[test]
fn a_missing_component_is_named() {
    let home = TempDir::new().unwrap();
    let state = home.path().join("state");
    let message = refusal(&["up", "--state-dir", text(&state), "--components", text(home.path())], 1);
    assert!(message.contains("etcd; --components needs"), "{message}");
    assert!(!state.exists());
}

#[test]
fn what_does_not_exist_cannot_be_shown() {
    let home = TempDir::new().unwrap();
    let state = home.path().join("state");
    for command in [&["status"][..], &["kubeconfig"], &["logs", "etcd"]] {
        let mut arguments = command.to_vec();
        arguments.extend(["--state-dir", text(&state)]);
        let message = refusal(&arguments, 1);
        assert!(message.contains("there is no control plane local"), "{message}");
    }
    pilothouse(&["down", "--purge", "--state-dir", text(&state)]).assert().code(0);
    assert!(!state.exists());
}

/// `status --release demo` with a kubeconfig of an API server that nobody runs.
fn hosted_status<'a>(kubeconfig: &'a str, more: &[&'a str]) -> Vec<&'a str> {
    let mut arguments = vec!["status", "--release", "demo", "--kubeconfig", kubeconfig];
    arguments.extend(more);
    arguments
}

#[test]
fn a_control_plane_is_on_this_machine_or_in_a_management_cluster() {
    for local in [["--name", "other"], ["--state-dir", "/nowhere"]] {
        let message = refusal(&hosted_status("/nowhere", &local), 2);
        assert!(message.contains("--release names a control plane in a management cluster"), "{message}");
        assert!(message.contains(local[0]), "{message}");
    }
    for hosted in
        [["--namespace", "tenant"], ["--context", "far"], ["--kubeconfig", "/nowhere"], ["--timeout", "3"]]
    {
        let message = refusal(&["status", hosted[0], hosted[1]], 2);
        assert!(message.contains("--release"), "{message}");
    }
    for name in ["Demo", "a/b", "a,b=c"] {
        let message = refusal(&["status", "--release", name], 2);
        assert!(message.contains("no name of a namespace or release"), "{message}");
    }
    // A variable is set for other commands too.
    let message = pilothouse(&hosted_status("/nowhere", &[]))
        .env("PILOTHOUSE_NAME", "other")
        .assert()
        .code(1)
        .get_output()
        .stderr
        .clone();
    assert!(String::from_utf8(message).unwrap().contains("there is no kubeconfig /nowhere"));
}

#[test]
fn a_management_cluster_that_cannot_be_asked_is_one_sentence() {
    let home = TempDir::new().unwrap();
    let kubeconfig = home.path().join("kubeconfig");
    // Free a moment ago: a connection is refused.
    let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let content = format!(
        r#"{{"current-context": "far",
            "clusters": [{{"name": "far", "cluster": {{"server": "http://127.0.0.1:{port}"}}}}],
            "contexts": [{{"name": "far", "context": {{"cluster": "far"}}}}]}}"#
    );
    durable_files::write_private(&kubeconfig, content.as_bytes()).unwrap();
    let message = refusal(&hosted_status(text(&kubeconfig), &[]), 1);
    assert!(message.contains(&format!("API server http://127.0.0.1:{port}")), "{message}");
    assert_eq!(message.lines().count(), 1, "{message}");
    let message = refusal(&hosted_status(text(&kubeconfig), &["--context", "near"]), 1);
    assert!(message.contains("with context near") && message.lines().count() == 1, "{message}");
}

#[test]
fn a_foreign_directory_is_neither_used_nor_removed() {
    let home = TempDir::new().unwrap();
    let album = home.path().join("album");
    std::fs::create_dir(&album).unwrap();
    for command in [&["down", "--purge"][..], &["up", "--components", "/nowhere"]] {
        let mut arguments = command.to_vec();
        arguments.extend(["--state-dir", text(home.path())]);
        let message = refusal(&arguments, 1);
        assert!(message.contains("not a state directory of pilothouse"), "{message}");
    }
    assert!(album.exists());
}
