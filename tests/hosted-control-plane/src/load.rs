//! Clients of a hosted control plane while it is hurt: `disruption`'s load and checker, at home in a node's network.
//! Refuses what must never happen, where it is asked to: a lost write, a missed event, a second leader.

use std::time::Duration;

use disruption::{Disruption, Report, Settings};
use end_to_end::eventually;
use management_cluster::ManagementCluster;

use crate::hosted::Hosted;
use crate::network::NodeNetwork;

/// Successes that show that clients are at work.
const AT_WORK: u64 = 30;
/// Clients give up a silent connection after 8 s and a request after 10 s.
const AT_WORK_LIMIT: Duration = Duration::from_secs(60);

/// Load that goes on until it is [ended](Self::end).
pub struct Load {
    /// Before what runs in it: dropped in this order.
    network: NodeNetwork,
    run: Option<Disruption>,
}

impl Load {
    /// Starts on a node, through the Service, what tests can have beside everything else; returns when clients are at work.
    pub async fn start(cluster: &ManagementCluster, node: u8, hosted: &Hosted<'_>) -> Self {
        let light = Settings {
            clients: 4,
            fresh_clients: 1,
            rate: 25.0,
            watches: 5,
            ..Settings::light(hosted.kubeconfig())
        };
        Self::start_as(cluster, node, hosted, light).await
    }

    /// Starts as much as `settings` say, through the Service.
    pub async fn start_as(
        cluster: &ManagementCluster,
        node: u8,
        hosted: &Hosted<'_>,
        settings: Settings,
    ) -> Self {
        let network = NodeNetwork::enter(cluster, node);
        let servers = vec![hosted.server().trim_start_matches("https://").to_owned()];
        let settings = Settings { servers, ..settings };
        let run = network.run(Disruption::start(settings)).await.expect("the load begins");
        let load = Self { network, run: Some(run) };
        load.goes_on().await;
        load
    }

    /// Waits until more requests have succeeded.
    pub async fn goes_on(&self) {
        let (before, _) = self.so_far();
        eventually("requests succeed", AT_WORK_LIMIT, async || match self.so_far() {
            (succeeded, _) if succeeded >= before + AT_WORK => Ok(()),
            so_far => Err(so_far),
        })
        .await;
    }

    /// Writes down that something is done now.
    pub fn mark(&self, text: &str) {
        self.run.as_ref().unwrap().mark(text);
    }

    /// How many requests succeeded and failed so far.
    #[must_use]
    pub fn so_far(&self) -> (u64, u64) {
        self.run.as_ref().unwrap().so_far()
    }

    /// Ends it, reads everything back, and tells what clients noticed of `what`.
    pub async fn end(self, what: &str) -> Report {
        let report = self.report().await;
        println!(
            "{what}: longest gap of reads {:.1} s, of writes {:.1} s; {} requests failed, {} were told to retry, {} \
             succeeded; {} breaks of watches, the longest {:.1} s; controllers paused {:.1} s",
            report.longest_gap_of_reads.seconds,
            report.longest_gap_of_writes.seconds,
            report.failed_reads() + report.failed_writes(),
            report.told_to_retry(),
            report.succeeded(),
            report.watch_breaks(),
            report.watches.longest_break,
            report.longest_controller_pause(),
        );
        let text = report.text();
        let kinds = |line: &&str| line.starts_with("  failed") || line.starts_with("  told to retry");
        text.lines().filter(kinds).for_each(|line| println!("{line}"));
        assert_eq!(report.broken_promises(), [""; 0], "{what}: {text}");
        report
    }
    /// Ends it, reads everything back, and tells nothing but what happened.
    pub async fn report(mut self) -> Report {
        self.goes_on().await;
        let run = self.run.take().unwrap();
        self.network.run(run.stop()).await.expect("what happened is checked")
    }
}
