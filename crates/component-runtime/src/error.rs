//! Why a supervisor or service ends without having run, each with the remedy.
//! Refuses temporary trouble: that is waited out, never an error here.

/// Ends the process with exit code 78 (`EX_CONFIG` of sysexits.h): starting again changes nothing.
#[derive(Debug, thiserror::Error)]
pub enum RuntimeError {
    /// A setting cannot work.
    #[error("{what}; {remedy}")]
    Setting {
        /// What is wrong, naming the thing.
        what: String,
        /// What the operator can do.
        remedy: String,
        /// The cause, if another error is.
        #[source]
        source: Option<Box<dyn std::error::Error + Send + Sync>>,
    },
    /// The logs cannot be set up.
    #[error(transparent)]
    Telemetry(#[from] telemetry::TelemetryError),
    /// The health address is taken.
    #[error(transparent)]
    Health(#[from] health_endpoints::BindError),
    /// The client of other replicas' health endpoints cannot be made.
    #[error(transparent)]
    HealthClient(#[from] health_endpoints::HealthClientError),
    /// A file of ours cannot be written.
    #[error(transparent)]
    File(#[from] durable_files::FileError),
    /// Certificates cannot be kept.
    #[error(transparent)]
    Certificates(#[from] certificates::KeeperError),
    /// There is no way to the management cluster, and a flag needs one.
    #[error(transparent)]
    Management(#[from] management_api::ManagementError),
    /// Signal handlers could not be installed.
    #[error(transparent)]
    Signals(#[from] process_control::SignalError),
    /// The runtime could not be set up.
    #[error("cannot set up the process")]
    Process(#[source] std::io::Error),
}

impl RuntimeError {
    /// No loopback port for a front.
    #[must_use]
    pub fn front(source: std::io::Error) -> Self {
        Self::Setting {
            what: "no loopback port can be taken for the front between the child and what it needs"
                .to_owned(),
            remedy: "free a port of 127.0.0.1, or widen net.ipv4.ip_local_port_range".to_owned(),
            source: Some(Box::new(source)),
        }
    }

    /// A setting that cannot work, and what to do about it.
    pub fn setting(what: impl Into<String>, remedy: impl Into<String>) -> Self {
        Self::Setting { what: what.into(), remedy: remedy.into(), source: None }
    }
}
