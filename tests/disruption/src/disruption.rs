//! A run: load from `start` to `stop` or to its own end, marks in between, then the checks and the report.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use tokio::task::{JoinHandle, JoinSet};
use tokio::time::timeout;
use tokio_util::sync::{CancellationToken, DropGuard};

use crate::error::DisruptionError;
use crate::model::{
    Moment, Operation, OperationSummary, WatchLog, examine_lease, examine_watches, gap, rounded, seconds,
    summarize,
};
use crate::report::{Load, Report};
use crate::settings::Settings;
use crate::traffic::{
    Checker, Client, ClientContext, Collection, Ledger, Recorder, Server, Watcher, follow_lease,
};

/// How far a watch has come (none: not begun), and what it saw, once it ends.
type RunningWatch = (watch::Receiver<Option<u64>>, JoinHandle<WatchLog>);

/// A run that goes on. Dropped without [`Self::stop`], it ends at once and leaves its namespace.
pub struct Disruption {
    settings: Settings,
    context: Arc<ClientContext>,
    load: CancellationToken,
    clients: JoinSet<()>,
    watches: Vec<RunningWatch>,
    watching: CancellationToken,
    _watching_ends: DropGuard,
    _load_ends: DropGuard,
    timer: JoinHandle<Moment>,
}

impl Disruption {
    /// Begins: the namespace is there, all watches have begun, then the clients start.
    pub async fn start(settings: Settings) -> Result<Self, DisruptionError> {
        let server = Server::from_kubeconfig(&settings.kubeconfig, &settings.servers).await?;
        let collection = Collection::new(&settings.namespace);
        let mut checker = Checker::new(server.clone(), collection.clone(), settings.patience);
        checker
            .create_namespace(&settings.namespace)
            .await
            .map_err(|trouble| DisruptionError::check("create the namespace", &server, &trouble))?;
        let revision =
            checker.revision().await.map_err(|trouble| DisruptionError::check("list", &server, &trouble))?;
        let recorder = Arc::new(Recorder::default());
        let context = Arc::new(ClientContext {
            server,
            collection,
            recorder: Arc::clone(&recorder),
            ledger: Ledger::default(),
            limit: settings.request_limit,
            mix: settings.mix,
        });
        let (load, watching) = (CancellationToken::new(), CancellationToken::new());
        let watches: Vec<_> =
            (0..settings.watches).map(|number| watch(&context, number, revision, &watching)).collect();
        for name in &settings.leases {
            let server = context.server.clone();
            let lease = follow_lease(
                server,
                Arc::clone(&recorder),
                name.clone(),
                settings.request_limit,
                watching.clone(),
            );
            tokio::spawn(lease);
        }
        let mut disruption = Self {
            _load_ends: load.clone().drop_guard(),
            _watching_ends: watching.clone().drop_guard(),
            clients: JoinSet::new(),
            timer: tokio::spawn(async { Moment::ZERO }),
            settings,
            context,
            load,
            watches,
            watching,
        };
        disruption.until_all_watch().await?;
        disruption.start_clients();
        Ok(disruption)
    }

    /// The namespace of this run.
    #[must_use]
    pub fn namespace(&self) -> &str {
        &self.settings.namespace
    }

    /// Writes down that something is done to the server now.
    pub fn mark(&self, text: &str) {
        self.context.recorder.mark(text);
    }

    /// How many requests succeeded so far, and how many failed.
    #[must_use]
    pub fn so_far(&self) -> (u64, u64) {
        let records = self.context.recorder.records();
        let summaries = Operation::ALL.map(|operation| summarize(&records.requests, operation));
        (
            summaries.iter().map(|it| it.succeeded).sum(),
            summaries.iter().map(OperationSummary::failures).sum(),
        )
    }

    /// Waits until the load's own time is over.
    pub async fn finished(&self) {
        self.load.cancelled().await;
    }

    /// Ends the load, lets the watches catch up, reads everything back, removes the namespace, and tells what happened.
    pub async fn stop(mut self) -> Result<Report, DisruptionError> {
        self.load.cancel();
        let end = (&mut self.timer).await.map_err(DisruptionError::Task)?;
        while let Some(ended) = self.clients.join_next().await {
            ended.map_err(DisruptionError::Task)?;
        }
        let server = &self.context.server;
        let mut checker =
            Checker::new(server.clone(), self.context.collection.clone(), self.settings.patience);
        let last = checker
            .last_revision()
            .await
            .map_err(|trouble| DisruptionError::check("write the last object", server, &trouble))?;
        let recorder = &self.context.recorder;
        let begun = recorder.read_begins();
        let found = checker
            .found()
            .await
            .map_err(|trouble| DisruptionError::check("read everything back", server, &trouble))?;
        recorder.read_ends(|history, now| history.read_back(&found, begun, now));
        // Those that do not are told of as behind.
        let _behind = timeout(self.settings.patience, until_reached(&mut self.watches, last)).await;
        let leases_until = self.context.recorder.began() + end;
        self.watching.cancel();
        let mut logs = Vec::new();
        for (_, task) in self.watches.drain(..) {
            logs.push(task.await.map_err(DisruptionError::Task)?);
        }
        let deleted = checker.delete_namespace().await;
        let mut report = report(&self.settings, &self.context, end, leases_until, &logs, last);
        if let Err(trouble) = deleted {
            let namespace = &self.settings.namespace;
            report
                .notes
                .push(format!("namespace {namespace} is still there: {}: {}", trouble.kind, trouble.message));
        }
        Ok(report)
    }

    async fn until_all_watch(&mut self) -> Result<(), DisruptionError> {
        let limit = self.settings.patience;
        let all = async {
            for (progress, _) in &mut self.watches {
                // An error is a watch that ended, which is told of when it is joined.
                let _ended = progress.wait_for(Option::is_some).await;
            }
        };
        if timeout(limit, all).await.is_ok() {
            return Ok(());
        }
        let begun = self.watches.iter().filter(|(progress, _)| progress.borrow().is_some()).count();
        let records = self.context.recorder.records();
        let last = records.examples.iter().next().map(|(kind, message)| format!("{kind}: {message}"));
        Err(DisruptionError::Watches {
            begun,
            wanted: self.watches.len(),
            server: self.context.server.addresses()[0].clone(),
            limit,
            last: last.unwrap_or_default(),
        })
    }

    fn start_clients(&mut self) {
        let settings = &self.settings;
        let recorder = Arc::clone(&self.context.recorder);
        recorder.begin();
        let count = settings.clients + settings.fresh_clients;
        let period = Duration::from_secs_f64(count.max(1) as f64 / settings.rate.max(0.001));
        for number in 0..count {
            let client = Client::new(Arc::clone(&self.context), number, number >= settings.clients);
            let delay = period.mul_f64(number as f64 / count as f64);
            self.clients.spawn(client.run(period, delay, self.load.clone()));
        }
        let (load, duration) = (self.load.clone(), settings.duration);
        self.timer = tokio::spawn(async move {
            let _stopped_earlier = timeout(duration, load.cancelled()).await;
            load.cancel();
            recorder.now()
        });
    }
}

async fn until_reached(watches: &mut [RunningWatch], last: u64) {
    for (progress, _) in watches {
        let _ended = progress.wait_for(|reached| reached.is_some_and(|reached| reached >= last)).await;
    }
}

fn watch(context: &ClientContext, number: usize, revision: u64, stop: &CancellationToken) -> RunningWatch {
    let (tell, progress) = watch::channel(None);
    let watcher = Watcher {
        server: context.server.clone(),
        recorder: Arc::clone(&context.recorder),
        number,
        path: context.collection.path(),
        revision,
        limit: context.limit,
    };
    (progress, tokio::spawn(watcher.run(tell, stop.clone())))
}

fn report(
    settings: &Settings,
    context: &ClientContext,
    end: Moment,
    leases_until: Duration,
    logs: &[WatchLog],
    last: u64,
) -> Report {
    let recorder = &context.recorder;
    let records = std::mem::take(&mut *recorder.records());
    let breaks: Vec<Moment> = logs.iter().flat_map(WatchLog::breaks).filter(|at| *at <= end).collect();
    let (writes, reads) = records.history.into_summaries();
    let views = |name: &String| records.leases.get(name).cloned().unwrap_or_default();
    Report {
        load: Load {
            servers: context.server.addresses().to_vec(),
            clients: settings.clients,
            fresh_clients: settings.fresh_clients,
            rate: settings.rate,
            watches: settings.watches,
        },
        began: recorder.began().as_secs(),
        seconds: rounded(end),
        operations: Operation::ALL
            .map(|operation| (operation, summarize(&records.requests, operation)))
            .into(),
        longest_gap_of_reads: gap(&records.requests, end, Operation::looks),
        longest_gap_of_writes: gap(&records.requests, end, Operation::changes),
        reads,
        writes,
        watches: examine_watches(logs, &records.attempts, last, end),
        leases: settings
            .leases
            .iter()
            .map(|name| examine_lease(name, &views(name), recorder.began(), leases_until))
            .collect(),
        not_sent: records.not_sent,
        reconnects: records.reconnects,
        marks: records.marks,
        examples: records.examples,
        timeline: seconds(&records.requests, &breaks, end),
        notes: Vec::new(),
    }
}
