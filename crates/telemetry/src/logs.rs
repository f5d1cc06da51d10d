//! The log flags and the subscriber behind them.
//! Refuses to be installed twice: the second caller gets an error.

use std::error::Error;
use std::fmt::Write as _;
use std::fs::File;
use std::sync::Mutex;

use tracing_subscriber::EnvFilter;
use tracing_subscriber::fmt::MakeWriter;
use tracing_subscriber::fmt::time::SystemTime;
use tracing_subscriber::util::SubscriberInitExt as _;

/// How log lines look.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, clap::ValueEnum)]
pub enum LogFormat {
    /// For people.
    #[default]
    Text,
    /// One JSON object a line, for log collectors.
    Json,
}

/// Flags that decide what is logged and how.
#[derive(Debug, Clone, clap::Args)]
#[command(next_help_heading = "Logging")]
pub struct LogArguments {
    /// How log lines look
    #[arg(long, env = "PILOTHOUSE_LOG_FORMAT", value_enum, default_value_t)]
    pub log_format: LogFormat,
    /// What is logged: a level (error, warn, info, debug, trace) or filters such as `info,supervision=debug`
    #[arg(long, env = "PILOTHOUSE_LOG_LEVEL", default_value = "info", value_name = "FILTER")]
    pub log_level: String,
}

/// Why logging could not be set up.
#[derive(Debug, thiserror::Error)]
pub enum TelemetryError {
    /// The filter does not parse.
    #[error(
        "--log-level `{filter}` is no level and no filter; give for example info or info,supervision=debug"
    )]
    Filter {
        /// What was given.
        filter: String,
        /// What the parser says.
        #[source]
        source: tracing_subscriber::filter::ParseError,
    },
    /// A subscriber is installed already.
    #[error("logging was set up twice")]
    Twice(#[source] tracing_subscriber::util::TryInitError),
}

impl LogArguments {
    /// Installs the subscriber for the whole process; lines go to standard error.
    pub fn install(&self) -> Result<(), TelemetryError> {
        self.install_with(std::io::stderr)
    }

    /// Installs the subscriber for the whole process; lines go to `file`, for a command that shows people something else.
    pub fn install_to(&self, file: File) -> Result<(), TelemetryError> {
        self.install_with(Mutex::new(file))
    }

    fn install_with<W>(&self, writer: W) -> Result<(), TelemetryError>
    where
        W: for<'writer> MakeWriter<'writer> + Send + Sync + 'static,
    {
        let lines = tracing_subscriber::fmt()
            .with_env_filter(self.filter()?)
            .with_writer(writer)
            .with_timer(SystemTime)
            // It would complain on standard error, and abort the process when that cannot be written either: a full
            // disk may cost log lines, never a supervisor.
            .log_internal_errors(false)
            .with_ansi(false);
        match self.log_format {
            LogFormat::Text => lines.finish().try_init(),
            LogFormat::Json => lines.json().flatten_event(true).with_current_span(false).finish().try_init(),
        }
        .map_err(TelemetryError::Twice)
    }

    fn filter(&self) -> Result<EnvFilter, TelemetryError> {
        // kube logs an error for every request that fails; a wait looks often, and says itself what it saw. What an
        // operator asks for comes later in the filter and wins.
        EnvFilter::try_new(format!("kube_client::client::builder=off,{}", self.log_level))
            .map_err(|source| TelemetryError::Filter { filter: self.log_level.clone(), source })
    }
}

/// An error and all its causes as one line, outermost first.
#[must_use]
pub fn error_chain(error: &dyn Error) -> String {
    let mut line = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        // Writing to a String cannot fail.
        let _infallible = write!(line, ": {error}");
        cause = error.source();
    }
    line
}

/// Tells one line to standard error, for the time before logs are set up and for commands that people type.
pub fn tell(line: &str) {
    use std::io::Write as _;
    // Nobody is left to tell when standard error is closed.
    let _closed = writeln!(std::io::stderr().lock(), "{line}");
}
