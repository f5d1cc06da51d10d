//! The command lines of the misbehaving child and of the test supervisor, in both directions.

use std::path::PathBuf;

use clap::Args;

/// What the child does wrong. By default nothing: ready at once, ends with code 0 on SIGTERM.
#[derive(Debug, Clone, Default, Args)]
pub struct Misbehaviour {
    /// Writes a line here for its start, for each SIGTERM and for its end
    #[arg(long)]
    pub record: Option<PathBuf>,
    /// Answers on this socket whether it is alive and ready
    #[arg(long)]
    pub health_socket: Option<PathBuf>,
    /// Becomes ready only after so many milliseconds
    #[arg(long, default_value_t = 0)]
    pub ready_after: u64,
    /// Stops answering after so many milliseconds
    #[arg(long)]
    pub wedge_after: Option<u64>,
    /// Wedges only if this file is not there, and makes it
    #[arg(long)]
    pub wedge_once: Option<PathBuf>,
    /// Ends by itself after so many milliseconds
    #[arg(long)]
    pub end_after: Option<u64>,
    /// The code with which it ends by itself
    #[arg(long, default_value_t = 0)]
    pub exit_code: i32,
    /// The signal by which it ends by itself, instead of a code
    #[arg(long)]
    pub die_by: Option<i32>,
    /// Ignores SIGTERM
    #[arg(long)]
    pub ignore_terminate: bool,
    /// Needs so many milliseconds from SIGTERM to its end
    #[arg(long, default_value_t = 0)]
    pub drain: u64,
    /// The code with which it ends after SIGTERM
    #[arg(long, default_value_t = 0)]
    pub drain_exit_code: i32,
    /// Dies by SIGTERM after draining, as etcd does
    #[arg(long)]
    pub drain_by_signal: bool,
    /// Leaves a process behind that ignores SIGTERM, and writes its pid here
    #[arg(long)]
    pub orphan: Option<PathBuf>,
    /// Leaves so many processes behind that end at once
    #[arg(long, default_value_t = 0)]
    pub short_orphans: u32,
}

/// How the test supervisor supervises.
#[derive(Debug, Clone, Default, Args)]
pub struct SupervisorArguments {
    /// Where it writes its status document, over and over
    #[arg(long)]
    pub status: Option<PathBuf>,
    /// Writes a line here for each call of `ended`
    #[arg(long)]
    pub ended_record: Option<PathBuf>,
    /// Where kubelet would read why it gave up
    #[arg(long)]
    pub termination_message: Option<PathBuf>,
    /// Where the child is asked for its health
    #[arg(long)]
    pub child_socket: Option<PathBuf>,
    /// Waits until this file is there before it starts the child
    #[arg(long)]
    pub prepared_by: Option<PathBuf>,
    /// Holds SIGTERM back until this file is there
    #[arg(long)]
    pub released_by: Option<PathBuf>,
    /// Finds further waiting senseless so many milliseconds after SIGTERM
    #[arg(long)]
    pub senseless_after: Option<u64>,
    /// Milliseconds from SIGTERM to SIGKILL
    #[arg(long, default_value_t = 10_000)]
    pub drain_budget: u64,
    /// Milliseconds for which SIGTERM may be held back
    #[arg(long, default_value_t = 10_000)]
    pub hold_limit: u64,
    /// Milliseconds after which a child that does not answer is wedged
    #[arg(long, default_value_t = 30_000)]
    pub wedged_after: u64,
    /// Milliseconds that a child may take to answer for the first time
    #[arg(long, default_value_t = 240_000)]
    pub start_limit: u64,
    /// Milliseconds after SIGKILL after which a child that is still there is told as beyond help
    #[arg(long, default_value_t = 60_000)]
    pub kill_limit: u64,
    /// Death by SIGTERM is a good ending after a stop
    #[arg(long)]
    pub dies_well_by_terminate: bool,
    /// Drops the driver after so many milliseconds instead of letting it end
    #[arg(long)]
    pub drop_driver_after: Option<u64>,
}

impl Misbehaviour {
    /// The arguments by which the child behaves so.
    #[must_use]
    pub fn arguments(&self) -> Vec<String> {
        let mut line = Line::default();
        line.path("--record", self.record.as_ref());
        line.path("--health-socket", self.health_socket.as_ref());
        line.value("--ready-after", Some(self.ready_after));
        line.value("--wedge-after", self.wedge_after);
        line.path("--wedge-once", self.wedge_once.as_ref());
        line.value("--end-after", self.end_after);
        line.value("--exit-code", Some(self.exit_code));
        line.value("--die-by", self.die_by);
        line.flag("--ignore-terminate", self.ignore_terminate);
        line.value("--drain", Some(self.drain));
        line.value("--drain-exit-code", Some(self.drain_exit_code));
        line.flag("--drain-by-signal", self.drain_by_signal);
        line.path("--orphan", self.orphan.as_ref());
        line.value("--short-orphans", Some(self.short_orphans));
        line.0
    }
}

impl SupervisorArguments {
    /// Short budgets, so that a test does not last; wide enough for a busy machine.
    #[must_use]
    pub fn short() -> Self {
        Self {
            drain_budget: 10_000,
            hold_limit: 10_000,
            wedged_after: 30_000,
            start_limit: 240_000,
            kill_limit: 60_000,
            ..Self::default()
        }
    }

    /// The arguments by which the test supervisor supervises so.
    #[must_use]
    pub fn arguments(&self) -> Vec<String> {
        let mut line = Line::default();
        line.path("--status", self.status.as_ref());
        line.path("--ended-record", self.ended_record.as_ref());
        line.path("--termination-message", self.termination_message.as_ref());
        line.path("--child-socket", self.child_socket.as_ref());
        line.path("--prepared-by", self.prepared_by.as_ref());
        line.path("--released-by", self.released_by.as_ref());
        line.value("--senseless-after", self.senseless_after);
        line.value("--drain-budget", Some(self.drain_budget));
        line.value("--hold-limit", Some(self.hold_limit));
        line.value("--wedged-after", Some(self.wedged_after));
        line.value("--start-limit", Some(self.start_limit));
        line.value("--kill-limit", Some(self.kill_limit));
        line.flag("--dies-well-by-terminate", self.dies_well_by_terminate);
        line.value("--drop-driver-after", self.drop_driver_after);
        line.0
    }
}

#[derive(Default)]
struct Line(Vec<String>);

impl Line {
    fn path(&mut self, name: &str, path: Option<&PathBuf>) {
        self.value(name, path.map(|path| path.display()));
    }

    fn value(&mut self, name: &str, value: Option<impl ToString>) {
        if let Some(value) = value {
            self.0.push(format!("{name}={}", value.to_string()));
        }
    }

    fn flag(&mut self, name: &str, set: bool) {
        if set {
            self.0.push(name.to_owned());
        }
    }
}
