//! `helm install` of hosted control planes on three real nodes, beside the floor: the same components as plain Pods.
//! Refuses to run for ever, and to leave its nodes behind: a killed run's are removed by the next.

mod at_once;
mod footprint;
mod install;
mod page;
mod rounds;

use std::path::Path;
use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use hosted_control_plane::{NodeNetwork, Stage};
use management_cluster::ComponentVersions;
use tokio::signal::unix::{SignalKind, signal};

use crate::floor;
use crate::machine;
use crate::page::Page;
use install::Watch;
use rounds::{COPIED, MOUNTED, Rounds};

/// How often and how many.
#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    /// How often each installation is measured
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u32).range(1..))]
    rounds: u32,
    /// How many small control planes are installed at once; 0 leaves that out
    #[arg(long, default_value_t = 10)]
    control_planes: usize,
    /// Seconds from ready Pods to the look at their memory
    #[arg(long, default_value_t = 5)]
    settle_seconds: u64,
}

/// Of its nodes, cgroups and directory.
const NAME: &str = "bench";
/// A first install takes a quarter of a minute, the floor three quarters.
const INSTALL_LIMIT: Duration = Duration::from_secs(180);
/// Ten control planes on two cores take minutes.
const AT_ONCE_LIMIT: Duration = Duration::from_secs(420);
const MINUTE: u32 = 60;

impl Arguments {
    /// Seconds that everything usually takes on two cores, and after which it is given up.
    fn duration(&self) -> (Duration, Duration) {
        let seconds = |seconds: u32| Duration::from_secs(seconds.into());
        let many = u32::from(self.control_planes > 0);
        let usually = seconds(MINUTE) + seconds(140) * self.rounds + seconds(6 * MINUTE) * many;
        let at_most = seconds(5 * MINUTE) + seconds(6 * MINUTE) * self.rounds + seconds(24 * MINUTE) * many;
        (usually, at_most)
    }
}

/// Measures, and writes into `output` what is measured before the next thing is begun.
pub(crate) async fn run(arguments: &Arguments, output: &Path) -> Result<Page> {
    let (usually, at_most) = arguments.duration();
    let minutes = |duration: Duration| duration.as_secs().div_ceil(MINUTE.into());
    println!("about {} minutes on two cores; given up after {}", minutes(usually), minutes(at_most));
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
    let stage = Stage::up_where_others_were(NAME).await;
    let network = NodeNetwork::enter(&stage.cluster, 1);
    let administrator = end_to_end::client(&stage.cluster.kubeconfig()).await;
    let versions = ComponentVersions::of(&end_to_end::components()).await?;
    let images = floor::Images::loaded(&administrator, &versions).await?;
    let settle = Duration::from_secs(arguments.settle_seconds);
    let watch = |limit| Watch { cluster: &stage.cluster, network: &network, limit };
    let rounds = Rounds { watch: watch(INSTALL_LIMIT), images: &images, settle };
    let mut results = page::Results::new(settle, machine::describe());
    for round in 1..=arguments.rounds {
        rounds.ours(round, COPIED, &mut results.ours).await?;
        rounds.ours(round, MOUNTED, &mut results.mounted).await?;
        rounds.floor(round, &mut results.floor).await?;
    }
    page::render(&results).write(output)?;
    if arguments.control_planes > 0 {
        for kind in [COPIED, MOUNTED] {
            let many = at_once::install(watch(AT_ONCE_LIMIT), kind, arguments.control_planes, settle).await?;
            results.at_once.push(many);
        }
    }
    drop(network);
    stage.cluster.down().await?;
    Ok(results)
}
