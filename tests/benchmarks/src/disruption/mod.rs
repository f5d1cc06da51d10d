//! What clients of a control plane notice while it changes, beside the same changes made to plain Pods without supervisors.
//! Refuses to hide what it counts: every measurement is on the page, the bad ones too.

mod change;
mod elections;
mod making;
mod measured;
mod page;
mod side;

use std::cell::{Cell, RefCell};
use std::path::Path;
use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use hosted_control_plane::{Helm, Hosted, Release, Scene, Stage, Tenant, helm_binary};
use management_cluster::ComponentVersions;
use tokio::signal::unix::{SignalKind, signal};

use crate::floor::{self, Floor};
use crate::machine;
use crate::page::Page;
use change::Change;
use side::{Kind, Side};

/// How often and how much.
#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    /// How often each change is measured
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u32).range(1..))]
    rounds: u32,
    /// Which changes, separated by commas; all if none is named
    #[arg(long, value_delimiter = ',')]
    changes: Vec<Change>,
    /// Clients; one in ten makes a new connection for every request
    #[arg(long, default_value_t = 20)]
    clients: usize,
    /// Requests per second of all clients together
    #[arg(long, default_value_t = 200.0)]
    rate: f64,
    /// Watches
    #[arg(long, default_value_t = 50)]
    watches: usize,
    /// Values of our chart, as helm takes them, to compare settings of ours (repeat)
    #[arg(long)]
    set: Vec<String>,
    /// Leave the plain Pods out
    #[arg(long)]
    without_floor: bool,
}

/// How much load there is, and on what.
#[derive(Debug, Clone)]
pub(crate) struct Much {
    pub(crate) clients: usize,
    pub(crate) rate: f64,
    pub(crate) watches: usize,
    /// Values of our chart that are not the defaults.
    pub(crate) set: Vec<String>,
}

/// Of its nodes, cgroups and directory.
const NAME: &str = "disruption";
/// 3 etcd, 2 API servers, 2 and 2 controllers, 2 certificate-authorities, 1 cluster-bootstrap.
const PODS: usize = 12;
/// Of them, on either side.
const API_SERVERS: usize = 2;
/// A change is over long before.
const WHOLE_LIMIT: Duration = Duration::from_secs(300);
/// What one measurement usually takes, and when a run is given up.
const USUALLY: Duration = Duration::from_secs(75);
const AT_MOST: Duration = Duration::from_secs(240);
const SETTING_UP: Duration = Duration::from_secs(240);
/// What certificates take more than other changes: they are waited for.
const RENEWAL: Duration = Duration::from_secs(600);

impl Arguments {
    fn changes(&self) -> Vec<Change> {
        if self.changes.is_empty() { Change::ALL.to_vec() } else { self.changes.clone() }
    }

    fn times(&self, one: Duration) -> Duration {
        let changes = self.changes();
        let rounds = |change: &Change| if change.is_made_once() { 1 } else { self.rounds };
        let renewal = if changes.contains(&Change::CertificatesRenewed) { RENEWAL } else { Duration::ZERO };
        SETTING_UP + renewal + one * changes.iter().map(rounds).fold(0, u32::saturating_add).saturating_mul(2)
    }
}

/// Measures, and writes into `output` what is measured after every measurement.
pub(crate) async fn run(arguments: &Arguments, output: &Path) -> Result<Page> {
    let minutes = |duration: Duration| duration.as_secs().div_ceil(60);
    let at_most = arguments.times(AT_MOST);
    println!("about {} minutes; given up after {}", minutes(arguments.times(USUALLY)), minutes(at_most));
    let (mut terminate, mut interrupt) = (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?);
    // What is dropped here takes its nodes with it.
    let measured = tokio::select! {
        measured = Box::pin(tokio::time::timeout(at_most, measure(arguments, output))) => measured,
        _ = terminate.recv() => bail!("ended by SIGTERM"),
        _ = interrupt.recv() => bail!("ended by SIGINT"),
    };
    let results = measured.with_context(|| format!("not done after {} minutes", minutes(at_most)))??;
    Ok(page::render(&results))
}

async fn measure(arguments: &Arguments, output: &Path) -> Result<page::Results> {
    let (stage, [older, newest]) = Stage::to_upgrade_where_others_were(NAME).await;
    let changes = arguments.changes();
    let kubernetes =
        if changes.contains(&Change::MinorUpgrade) { &older } else { &newest }.kubernetes.clone();
    let begin = ComponentVersions { kubernetes, ..newest.clone() };
    let administrators = stage.cluster.kubeconfig();
    let images = floor::Images::loaded(&end_to_end::client(&administrators).await, &begin).await?;

    let tenant = Tenant::new(&administrators, "ours").await;
    let helm = Helm::new(helm_binary(), tenant.kubeconfig());
    let ours = Release::new(
        &tenant,
        &helm,
        "demo",
        &values(&begin, &arguments.set).iter().map(String::as_str).collect::<Vec<_>>(),
    );
    ours.install().await;
    let floors_tenant = Tenant::new(&administrators, "floor").await;
    let floors_helm = Helm::new(helm_binary(), floors_tenant.kubeconfig());
    let prepared = Floor::prepare(&floors_tenant, &images).await?;
    let floor = prepared.release(&floors_tenant, &floors_helm);
    floor.install().await;

    let ours_hosted = Hosted::new(&stage.cluster, &tenant, &ours, WHOLE_LIMIT).await;
    let floors_hosted = Hosted::new(&stage.cluster, &floors_tenant, &floor, WHOLE_LIMIT).await;
    let side = |kind, tenant, release, hosted, pods| Side {
        kind,
        tenant,
        scene: Scene { cluster: &stage.cluster, release, hosted, pods },
        newest: &newest,
        values: RefCell::default(),
        api_servers: Cell::new(API_SERVERS),
    };
    let mut sides = vec![
        side(Kind::Floor, &floors_tenant, &floor, &floors_hosted, floor::PODS),
        side(Kind::Ours, &tenant, &ours, &ours_hosted, PODS),
    ];
    if arguments.without_floor {
        sides.retain(|side| side.kind == Kind::Ours);
        floor.uninstall().await;
    }
    let much = Much {
        clients: arguments.clients,
        rate: arguments.rate,
        watches: arguments.watches,
        set: arguments.set.clone(),
    };
    let mut results = page::Results::new(machine::describe(), much.clone());
    for round in 1..=arguments.rounds {
        for change in changes.iter().copied().filter(|change| round == 1 || !change.is_made_once()) {
            for side in sides.iter().filter(|side| change.can_be_made_to(side.kind)) {
                for whole in &sides {
                    whole.until_whole(WHOLE_LIMIT).await;
                }
                let measured = side.measure(change, &much).await?;
                println!("round {round}: {:10} {:24} {measured}", side.kind.name(), change.name());
                results.add(change, side.kind, measured);
                page::render(&results).write(output)?;
            }
        }
    }
    stage.cluster.down().await?;
    Ok(results)
}

fn values(begin: &ComponentVersions, set: &[String]) -> Vec<String> {
    let mut values = vec![
        Release::values_file("values-ha.yaml"),
        format!("--set=kubernetesVersion={}", begin.kubernetes),
        format!("--set=etcd.version={}", begin.etcd),
    ];
    // The volumes of the management cluster are as large as the floor wants them.
    let sizes = ["etcd.storage.size=1Gi", "etcd.quota=512Mi"].map(str::to_owned);
    values.extend(sizes.iter().chain(set).map(|value| format!("--set={value}")));
    values
}
