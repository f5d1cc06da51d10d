//! The flags of an etcd member's supervisor, of `recover` and of `snapshot`, and what they become.
//! Refuses flags of etcd itself: those follow after `--`.

use std::net::IpAddr;
use std::path::PathBuf;
use std::time::Duration;

use clap::{ArgGroup, Args, Subcommand, ValueEnum};
use cluster_record::RecordStore;
use component_runtime::{Context, FurtherCommand, Needs, RuntimeError, SupervisedComponent};
use etcd_component::{
    DEFAULT_BUMP_REVISION, DefragmentationPolicy, EtcdConfiguration, EtcdMember, KnownMember, LEAST_CALM,
    LEAST_SETTLE, MemberSource, MembersOfSet, NEEDS, RecoverCommand, RecoveryRequest, RecoverySource,
    SaveCommand, Snapshot, USUAL_CALM, USUAL_FREE_BYTES, USUAL_FREE_PERCENT, USUAL_SETTLE,
};
use naming_contract::{Component, ports};
use supervision::Configuration;

/// What one member is told, and who the others are.
#[derive(Debug, Clone, Args)]
#[command(
    next_help_heading = "etcd member",
    group(ArgGroup::new("record").required(true).args(["cluster_record", "cluster_record_config_map"])),
    group(ArgGroup::new("members_from").required(true).args(["members", "stateful_set"]))
)]
pub(crate) struct EtcdArguments {
    /// The volume: etcd's data, and beside it what the supervisor must know about it
    #[arg(long, env = "PILOTHOUSE_DATA_DIRECTORY", value_name = "DIR")]
    data_directory: PathBuf,
    /// File shared by all members' supervisors: who founded the cluster, and which volume each member had
    #[arg(long, env = "PILOTHOUSE_CLUSTER_RECORD", value_name = "FILE")]
    cluster_record: Option<PathBuf>,
    /// The same in a ConfigMap of the management cluster, which is made when the cluster is founded
    #[arg(long, env = "PILOTHOUSE_CLUSTER_RECORD_CONFIG_MAP", value_name = "NAME")]
    cluster_record_config_map: Option<String>,
    /// A member that should exist, this one among them (repeat; several in the variable are separated by `;`)
    #[arg(
        long = "member",
        env = "PILOTHOUSE_MEMBER",
        value_name = "NAME=PEER_URL,CLIENT_URL",
        value_delimiter = ';',
        value_parser = member
    )]
    members: Vec<KnownMember>,
    /// StatefulSet of the management cluster whose Pods the members are, as many as it wants
    #[arg(long, env = "PILOTHOUSE_STATEFUL_SET", value_name = "NAME", requires = "peer_domain")]
    stateful_set: Option<String>,
    /// Name of its headless Service: a member is reached at POD.DOMAIN
    #[arg(long, env = "PILOTHOUSE_PEER_DOMAIN", value_name = "DOMAIN", requires = "stateful_set")]
    peer_domain: Option<String>,
    /// Health endpoints of another member's supervisor (repeat)
    #[arg(
        long,
        env = "PILOTHOUSE_PEER_HEALTH",
        value_name = "NAME=URL",
        value_delimiter = ',',
        conflicts_with = "stateful_set",
        value_parser = peer_health
    )]
    peer_health: Vec<(String, String)>,
    /// Where etcd listens; the ports for peers and clients are those of its URLs
    #[arg(long, env = "PILOTHOUSE_LISTEN_ADDRESS", default_value = "127.0.0.1", value_name = "IP")]
    listen_address: IpAddr,
    /// Port of etcd's own /livez, /readyz and /metrics, with the same client-certificate check as gRPC
    #[arg(long, env = "PILOTHOUSE_HTTP_PORT", default_value_t = ports::ETCD_HTTP, value_name = "PORT")]
    http_port: u16,
    /// Size of the database at which etcd takes no more writes [default: etcd's own, 2 GiB]
    #[arg(long, env = "PILOTHOUSE_QUOTA_BACKEND_BYTES", value_name = "BYTES")]
    quota_backend_bytes: Option<u64>,
    /// Seconds for which all other members must have served before the next one is replaced in an update; API servers find a
    /// replaced member by DNS meanwhile
    #[arg(
        long,
        env = "PILOTHOUSE_UPDATE_SETTLE",
        default_value_t = USUAL_SETTLE.as_secs(),
        value_parser = clap::value_parser!(u64).range(LEAST_SETTLE.as_secs()..),
        value_name = "SECONDS"
    )]
    update_settle: u64,
    /// Whether members' database files are rewritten one after the other, without a hand, once much of them is free; a file
    /// that reached the quota is rewritten anyway
    #[arg(long, env = "PILOTHOUSE_DEFRAGMENT", default_value = "by-need", value_name = "WHEN")]
    defragment: Defragment,
    /// Percent of a file that must be free; from 80 percent of the quota on 10 are enough
    #[arg(
        long,
        env = "PILOTHOUSE_DEFRAGMENT_FREE_PERCENT",
        default_value_t = USUAL_FREE_PERCENT,
        value_parser = clap::value_parser!(u8).range(1..100),
        value_name = "PERCENT"
    )]
    defragment_free_percent: u8,
    /// Bytes of a file that must be free, but for one near its quota
    #[arg(
        long,
        env = "PILOTHOUSE_DEFRAGMENT_FREE_BYTES",
        default_value_t = USUAL_FREE_BYTES,
        value_name = "BYTES"
    )]
    defragment_free_bytes: u64,
    /// Seconds for which all members must have served before the next file is rewritten
    #[arg(
        long,
        env = "PILOTHOUSE_DEFRAGMENT_SETTLE",
        default_value_t = USUAL_CALM.as_secs(),
        value_parser = clap::value_parser!(u64).range(LEAST_CALM.as_secs()..),
        value_name = "SECONDS"
    )]
    defragment_settle: u64,
}

/// When a member's database file is rewritten.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Defragment {
    ByNeed,
    Never,
}

impl SupervisedComponent for EtcdArguments {
    const COMPONENT: Component = Component::Etcd;
    const ABOUT: &'static str =
        "Founds, joins or rejoins an etcd cluster, runs one member and leaves without a gap";
    type Supervised = EtcdMember;

    fn needs(&self) -> Needs {
        NEEDS
    }

    fn policy(&self) -> Configuration {
        EtcdConfiguration::policy()
    }

    fn supervised(self, context: Context) -> Result<EtcdMember, RuntimeError> {
        let configuration = EtcdConfiguration {
            cluster_record: self.cluster_record(&context)?,
            members: self.member_source(&context)?,
            data_directory: self.data_directory,
            listen_address: self.listen_address,
            http_port: self.http_port,
            quota_backend_bytes: self.quota_backend_bytes,
            update_settle: Duration::from_secs(self.update_settle),
            defragmentation: (self.defragment == Defragment::ByNeed).then(|| DefragmentationPolicy {
                free_percent: self.defragment_free_percent,
                free_bytes: self.defragment_free_bytes,
                calm: Duration::from_secs(self.defragment_settle),
            }),
        };
        EtcdMember::new(configuration, context)
    }
}

impl EtcdArguments {
    fn cluster_record(&self, context: &Context) -> Result<RecordStore, RuntimeError> {
        Ok(match &self.cluster_record_config_map {
            Some(name) => RecordStore::config_map(context.management.api()?, name),
            // The command line is wrong without one of both.
            None => RecordStore::file(self.cluster_record.clone().unwrap_or_default()),
        })
    }

    fn member_source(&self, context: &Context) -> Result<MemberSource, RuntimeError> {
        if let Some((name, peer_domain)) = self.stateful_set.clone().zip(self.peer_domain.clone()) {
            let api = context.management.api()?;
            return Ok(MemberSource::StatefulSet(MembersOfSet { api, name, peer_domain }));
        }
        let with_health = |member: &KnownMember| {
            let health = self.peer_health.iter().find(|(name, _)| *name == member.name);
            KnownMember { health_url: health.map(|(_, url)| url.clone()), ..member.clone() }
        };
        Ok(MemberSource::Listed(self.members.iter().map(with_health).collect()))
    }
}

#[derive(Debug, Subcommand)]
pub(crate) enum EtcdCommand {
    /// After a majority was lost for good: make one member, or a snapshot, a new cluster; without --yes only say what that
    /// would cost
    Recover(Recover),
    /// Write all that the member beside has to standard output, for a backup
    Snapshot(Save),
}

/// As `etcdctl snapshot save` does, with the certificate of the running supervisor; from a Pod, whose images have no tar, by
/// `kubectl exec … -- /pilothouse/etcd-supervisor snapshot > backup.db`. Exit code 0 only if it is whole.
#[derive(Debug, Args)]
pub(crate) struct Save {
    /// Directory of the member's certificates
    #[arg(long, env = "PILOTHOUSE_RUNTIME_DIRECTORY", default_value = "/run/pilothouse", value_name = "DIR")]
    runtime_directory: PathBuf,
    /// The member's client URL
    #[arg(long, default_value = "https://127.0.0.1:2379", value_name = "URL")]
    endpoint: String,
}

/// Run beside the running supervisor of the member that becomes the new cluster. It refuses while a quorum serves, and while
/// anybody could still come back who was not named as lost.
#[derive(Debug, Args)]
pub(crate) struct Recover {
    /// The volume of that member
    #[arg(long, env = "PILOTHOUSE_DATA_DIRECTORY", default_value = "/var/lib/etcd", value_name = "DIR")]
    data_directory: PathBuf,
    /// A member whose data is gone for good (repeat: every other member that shows no data)
    #[arg(long, value_name = "NAME")]
    lost: Vec<String>,
    /// A member that has newer data, which is given up (repeat)
    #[arg(long, value_name = "NAME")]
    despite_newer: Vec<String>,
    /// Begin with this snapshot instead of the member's own data; `-` reads it from standard input
    #[arg(long, value_name = "FILE")]
    snapshot: Option<PathBuf>,
    /// Begin with nothing: all volumes are gone, and only the cluster record is left
    #[arg(long, conflicts_with = "snapshot")]
    found_anew: bool,
    /// So many revisions are skipped, at least as many as may have been given out since; 0 gives numbers out again
    #[arg(long, default_value_t = DEFAULT_BUMP_REVISION, value_name = "COUNT")]
    bump_revision: u64,
    /// Do it
    #[arg(long)]
    yes: bool,
}

impl FurtherCommand for EtcdCommand {
    async fn carry_out(self) -> u8 {
        match self {
            Self::Recover(recover) => recover.command().carry_out().await,
            Self::Snapshot(Save { runtime_directory, endpoint }) => {
                SaveCommand { runtime_directory, endpoint }.carry_out().await
            }
        }
    }
}

impl Recover {
    fn command(self) -> RecoverCommand {
        let source = match (&self.snapshot, self.found_anew) {
            (Some(_), _) => RecoverySource::Snapshot,
            (None, true) => RecoverySource::Nothing,
            (None, false) => RecoverySource::OwnData,
        };
        let snapshot = self
            .snapshot
            .map(|path| if path.as_os_str() == "-" { Snapshot::StandardInput } else { Snapshot::File(path) });
        RecoverCommand {
            data_directory: self.data_directory,
            request: RecoveryRequest { source, lost: self.lost, despite_newer: self.despite_newer },
            snapshot,
            bump_revision: self.bump_revision,
            confirmed: self.yes,
        }
    }
}

fn member(text: &str) -> Result<KnownMember, String> {
    let parts = text.split_once('=').and_then(|(name, urls)| Some((name, urls.split_once(',')?)));
    let Some((name, (peer_url, client_url))) = parts else {
        return Err("write it as NAME=PEER_URL,CLIENT_URL".to_owned());
    };
    for url in [peer_url, client_url] {
        let has_port = url.strip_prefix("https://").is_some_and(|rest| rest.contains(':'));
        if !has_port {
            return Err(format!("{url} is not of the form https://HOST:PORT"));
        }
    }
    Ok(KnownMember {
        name: name.to_owned(),
        peer_url: peer_url.to_owned(),
        client_url: client_url.to_owned(),
        health_url: None,
    })
}

fn peer_health(text: &str) -> Result<(String, String), String> {
    let (name, url) = text.split_once('=').ok_or("write it as NAME=URL")?;
    if !url.starts_with("http://") {
        return Err(format!("{url} is not of the form http://HOST:PORT"));
    }
    Ok((name.to_owned(), url.to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn members_and_their_health_are_read() {
        let read = member("etcd-0=https://127.0.0.1:2380,https://127.0.0.1:2379").unwrap();
        assert_eq!((read.name.as_str(), read.client_url.as_str()), ("etcd-0", "https://127.0.0.1:2379"));
        for wrong in
            ["etcd-0", "etcd-0=https://a:1", "etcd-0=http://a:1,https://a:2", "etcd-0=https://a,https://a:2"]
        {
            member(wrong).unwrap_err();
        }
        assert_eq!(peer_health("etcd-1=http://a:1").unwrap().1, "http://a:1");
        peer_health("etcd-1=https://a:1").unwrap_err();
    }
}
