//! A log that cannot be written costs its lines and nothing else.
#![allow(
    clippy::unwrap_used,
    clippy::disallowed_methods,
    reason = "test code: a broken expectation is a failed test"
)]

use std::fs::File;
use std::process::{Command, Stdio};

use telemetry::{LogArguments, LogFormat, tell};

const IS_CHILD: &str = "PILOTHOUSE_TEST_LOGS_TO_FULL_DEVICE";

#[test]
fn a_process_whose_log_is_full_goes_on() {
    if std::env::var_os(IS_CHILD).is_some() {
        LogArguments { log_format: LogFormat::Text, log_level: "info".to_owned() }.install().unwrap();
        tracing::info!("nobody will read this");
        tell("nor this");
        return;
    }
    let status = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "a_process_whose_log_is_full_goes_on", "--nocapture"])
        .env(IS_CHILD, "1")
        .stdout(Stdio::null())
        .stderr(File::options().write(true).open("/dev/full").unwrap())
        .status()
        .unwrap();
    assert!(status.success(), "{status}");
}
