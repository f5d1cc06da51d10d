//! The command line of `pilothouse` and what it means to the library. Every text here is read by people in `--help`.
//! Refuses logic: values are parsed, defaults and checks that need more than one flag are the library's.

use std::net::IpAddr;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context as _, Result};
use clap::error::ErrorKind;
use clap::parser::ValueSource;
use clap::{ArgMatches, Args, CommandFactory as _, FromArgMatches as _, Parser, Subcommand, ValueEnum};
use hosted_status::{Access, ObjectName};
use ipnet::IpNet;
use local_control_plane::{
    ClusterName, DEFAULT_NAME, Extras, LogRequest, NodeRequest, Requested, StatePaths, UpRequest,
};
use naming_contract::Component;
use telemetry::{LogArguments, LogFormat};

/// A highly available Kubernetes control plane on this machine: real upstream binaries, each under its own supervisor,
/// with certificates that nobody has to make, healing itself when anything dies.
#[derive(Debug, Parser)]
#[command(name = "pilothouse", version = telemetry::VERSION, arg_required_else_help = true, max_term_width = 100)]
#[command(after_help = EXIT_CODES)]
pub(crate) struct CommandLine {
    #[command(subcommand)]
    pub(crate) action: Action,
}

const EXIT_CODES: &str = "\
Exit codes: 0 success, 1 failure, 2 wrong usage, 3 not everything is ready (status).";

#[derive(Debug, Subcommand)]
pub(crate) enum Action {
    /// Start a control plane and keep it running, making it if there is none
    ///
    /// Runs until interrupted, then stops everything in order. What is chosen at the first `up` (sizes, addresses,
    /// names, the directory of the binaries) is remembered; extra arguments and lifetimes are not. The number of etcd
    /// members and the Service addresses cannot be changed later.
    Up(Box<UpArguments>),
    /// Show the state of every component; exits with 3 unless all are ready
    ///
    /// Of a control plane on this machine, or with --release of one in a management cluster. There each Pod is asked
    /// through port-forwarding, and Kubernetes is heard about Pods that cannot answer. That takes the rights to list pods,
    /// deployments and statefulsets in the namespace, and to get and create pods/portforward; the built-in role `edit` has
    /// them.
    Status(StatusArguments),
    /// Print the administrators' kubeconfig
    Kubeconfig(KubeconfigArguments),
    /// Print what components wrote
    Logs(LogsArguments),
    /// Make the credentials by which a machine joins as a node
    ///
    /// Asks the running control plane's certificate-authority for kubelet's and kube-proxy's certificates. The keys are
    /// made here and never sent. DIR then holds kubelet.kubeconfig, kube-proxy.kubeconfig, kubelet-serving.crt and .key,
    /// and cluster.crt for kubelet's clientCAFile; the kubeconfigs name files beside them, so DIR can be moved as a
    /// whole. The certificates are good for a year; the same command renews them.
    NodeCredentials(NodeCredentialsArguments),
    /// Replace a key that the components share, or all CAs, while everything runs
    ///
    /// Returns at once; `status` shows how far it is and for whom it waits. The new key is trusted by everybody before it
    /// is used, and used by everybody before the old one goes. API servers restart one at a time to take up a
    /// service-account key, whose predecessor stays trusted for as long as tokens may live; with a new encryption key every
    /// Secret is written anew before the old key goes. With new CAs every process restarts, one of each kind at a time, and
    /// whoever is outside must be given the new kubeconfig or bundle within --certificate-authority-overlap of `up`, and new
    /// certificates within as long again. May be interrupted at any time: it goes on where it was.
    Rotate(RotateArguments),
    /// Stop the control plane, API servers before etcd; the data stays
    Down(DownArguments),
}

/// Which control plane is meant.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Which control plane")]
pub(crate) struct Which {
    /// Name of the control plane
    #[arg(long, env = "PILOTHOUSE_NAME", default_value = DEFAULT_NAME, value_name = "NAME")]
    pub(crate) name: ClusterName,
    /// Directory of all its data [default: ~/.local/state/pilothouse/NAME]
    #[arg(long, env = "PILOTHOUSE_STATE_DIR", value_name = "DIR")]
    state_dir: Option<PathBuf>,
}

#[derive(Debug, Args)]
pub(crate) struct UpArguments {
    /// Return as soon as everything is ready and keep it running in the background
    #[arg(long)]
    pub(crate) detach: bool,
    /// With --detach: how long everything may take to become ready
    #[arg(long, value_name = "SECONDS", default_value_t = 600)]
    timeout: u64,
    /// We are the background process of --detach.
    #[arg(long, hide = true)]
    pub(crate) background: bool,
    #[command(flatten)]
    pub(crate) which: Which,
    #[command(flatten)]
    sizes: Sizes,
    #[command(flatten)]
    addresses: Addresses,
    #[command(flatten)]
    binaries: Binaries,
    #[command(flatten)]
    extra: ExtraArguments,
    #[command(flatten)]
    pub(crate) logs: LogArguments,
}

#[derive(Debug, Args)]
#[command(next_help_heading = "Sizes")]
struct Sizes {
    /// etcd members: 1, 3 or 5 [default: 3]
    #[arg(long, value_name = "COUNT")]
    etcd: Option<u32>,
    /// kube-apiservers, 1 to 8 [default: 2]
    #[arg(long, value_name = "COUNT")]
    api_servers: Option<u32>,
    /// kube-controller-managers, 1 to 4 [default: 2]
    #[arg(long, value_name = "COUNT")]
    controller_managers: Option<u32>,
    /// kube-schedulers, 1 to 4 [default: 2]
    #[arg(long, value_name = "COUNT")]
    schedulers: Option<u32>,
}

#[derive(Debug, Args)]
#[command(next_help_heading = "Addresses")]
struct Addresses {
    /// Port at which clients reach the API servers, on 127.0.0.1 and the advertised address [default: 6443]
    #[arg(long, value_name = "PORT", value_parser = clap::value_parser!(u16).range(1..))]
    port: Option<u16>,
    /// Address of this machine for clients elsewhere: served, in the certificates, and what Pods find as `kubernetes`
    #[arg(long, value_name = "IP")]
    advertise_address: Option<IpAddr>,
    /// Addresses of Services, once for each IP family [default: 10.96.0.0/16]
    #[arg(long = "service-subnet", value_name = "CIDR", value_delimiter = ',')]
    service_subnets: Vec<IpNet>,
    /// Addresses of Pods, once for each IP family; without it nodes get no Pod ranges
    #[arg(long = "pod-subnet", value_name = "CIDR", value_delimiter = ',')]
    pod_subnets: Vec<IpNet>,
    /// One more name or address in the API servers' certificates (repeat)
    #[arg(long = "certificate-name", value_name = "NAME", value_delimiter = ',')]
    certificate_names: Vec<String>,
}

#[derive(Debug, Args)]
#[command(next_help_heading = "Binaries")]
struct Binaries {
    /// Directory with etcd, kube-apiserver, kube-controller-manager and kube-scheduler
    #[arg(long, env = "PILOTHOUSE_COMPONENTS", value_name = "DIR")]
    components: Option<PathBuf>,
    /// Directory with our supervisors [default: where pilothouse itself lies]
    #[arg(long, env = "PILOTHOUSE_SUPERVISORS", value_name = "DIR")]
    supervisors: Option<PathBuf>,
    /// A cloud controller manager to run, two of it
    #[arg(long, value_name = "PATH")]
    cloud_controller_manager: Option<PathBuf>,
}

#[derive(Debug, Args)]
#[command(next_help_heading = "Extra arguments")]
struct ExtraArguments {
    /// One more argument for each etcd, such as --etcd-argument=--heartbeat-interval=50 (repeat; so with all of these)
    #[arg(id = "etcd_argument", long = "etcd-argument", value_name = "ARGUMENT", allow_hyphen_values = true)]
    etcd: Vec<String>,
    /// One more argument for each kube-apiserver
    #[arg(
        id = "kube_apiserver_argument",
        long = "kube-apiserver-argument",
        value_name = "ARGUMENT",
        allow_hyphen_values = true
    )]
    kube_apiserver: Vec<String>,
    /// One more argument for each kube-controller-manager
    #[arg(
        id = "kube_controller_manager_argument",
        long = "kube-controller-manager-argument",
        value_name = "ARGUMENT",
        allow_hyphen_values = true
    )]
    kube_controller_manager: Vec<String>,
    /// One more argument for each kube-scheduler
    #[arg(
        id = "kube_scheduler_argument",
        long = "kube-scheduler-argument",
        value_name = "ARGUMENT",
        allow_hyphen_values = true
    )]
    kube_scheduler: Vec<String>,
    /// One more argument for each cloud controller manager
    #[arg(
        id = "cloud_controller_manager_argument",
        long = "cloud-controller-manager-argument",
        value_name = "ARGUMENT",
        allow_hyphen_values = true
    )]
    cloud_controller_manager: Vec<String>,
    /// Lifetime of the certificates of a profile, such as etcd-server=20m, for tests (repeat)
    #[arg(long = "lifetime", value_name = "PROFILE=DURATION")]
    lifetimes: Vec<String>,
    /// How long an old service-account key is trusted after a rotation, at least as long as tokens live [default: 25h]
    #[arg(long, value_name = "DURATION")]
    service_account_key_overlap: Option<String>,
    /// How long new CAs are known before they sign, and old ones are trusted afterwards, for clients outside [default: 7d]
    #[arg(long, value_name = "DURATION")]
    certificate_authority_overlap: Option<String>,
}

#[derive(Debug, Args)]
pub(crate) struct StatusArguments {
    /// How to print it
    #[arg(short, long, value_enum, default_value_t)]
    pub(crate) output: Output,
    /// Print it again until interrupted: every second, of a management cluster every two
    #[arg(short, long)]
    pub(crate) watch: bool,
    #[command(flatten)]
    pub(crate) which: Which,
    #[command(flatten)]
    hosted: HostedArguments,
}

/// Which control plane of a management cluster is meant.
#[derive(Debug, Args)]
#[command(next_help_heading = "In a management cluster")]
struct HostedArguments {
    /// Name of the control plane: of its Helm release, or `nameOverride` if that is set
    #[arg(long, value_name = "NAME")]
    release: Option<ObjectName>,
    /// Its namespace [default: that of the context]
    #[arg(short, long, value_name = "NAMESPACE", requires = "release")]
    namespace: Option<ObjectName>,
    /// Kubeconfig of the management cluster [default: $KUBECONFIG, else ~/.kube/config]
    #[arg(long, value_name = "FILE", requires = "release")]
    kubeconfig: Option<PathBuf>,
    /// Context of the kubeconfig [default: its current one]
    #[arg(long, value_name = "CONTEXT", requires = "release")]
    context: Option<String>,
    /// How long the API server, and then each Pod, may take to answer
    #[arg(long, value_name = "SECONDS", default_value_t = 5, requires = "release",
          value_parser = clap::value_parser!(u64).range(1..=600))]
    timeout: u64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, ValueEnum)]
pub(crate) enum Output {
    /// One line for each instance
    #[default]
    Table,
    /// A list of objects with everything that is known
    Json,
}

#[derive(Debug, Args)]
pub(crate) struct KubeconfigArguments {
    /// Print where it lies instead
    #[arg(long)]
    pub(crate) path: bool,
    #[command(flatten)]
    pub(crate) which: Which,
}

#[derive(Debug, Args)]
pub(crate) struct LogsArguments {
    /// A component such as etcd, an instance such as etcd-0, or pilothouse
    #[arg(value_name = "COMPONENT|INSTANCE")]
    of: String,
    /// Go on as lines come
    #[arg(short, long)]
    follow: bool,
    /// Begin with this many lines of each log [default: all]
    #[arg(long, value_name = "COUNT")]
    tail: Option<usize>,
    #[command(flatten)]
    pub(crate) which: Which,
}

#[derive(Debug, Args)]
pub(crate) struct NodeCredentialsArguments {
    /// Name of the node, a DNS name in lower case
    #[arg(value_name = "NODE")]
    node: String,
    /// Address of the node, for its serving certificate (repeat)
    #[arg(long = "address", value_name = "IP", value_delimiter = ',', required = true)]
    addresses: Vec<IpAddr>,
    /// Directory for the files, made or replaced
    #[arg(long, value_name = "DIR")]
    output: PathBuf,
    /// The API server as the node reaches it [default: the advertised address, else 127.0.0.1]
    #[arg(long, value_name = "URL")]
    server: Option<String>,
    #[command(flatten)]
    pub(crate) which: Which,
}

#[derive(Debug, Args)]
pub(crate) struct RotateArguments {
    /// What to replace
    #[arg(value_enum)]
    pub(crate) what: What,
    #[command(flatten)]
    pub(crate) which: Which,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum What {
    /// Signs the tokens of service accounts
    ServiceAccountKey,
    /// Seals Secrets in etcd
    EncryptionKey,
    /// All CAs: of the cluster, of etcd and its peers, of the front proxy
    CertificateAuthorities,
}

#[derive(Debug, Args)]
pub(crate) struct DownArguments {
    /// Remove the state directory too: all data of the cluster, its certificates and keys
    #[arg(long)]
    pub(crate) purge: bool,
    #[command(flatten)]
    pub(crate) which: Which,
}

impl CommandLine {
    /// What was typed; ends the process if that cannot be meant.
    pub(crate) fn read() -> Self {
        let mut command = Self::command();
        let matches = command.get_matches_mut();
        if let Some(flag) = also_on_this_machine(&matches) {
            let message = format!(
                "--release names a control plane in a management cluster, {flag} one on this machine: give one of them"
            );
            let status = command.find_subcommand_mut("status");
            status.unwrap_or(&mut Self::command()).error(ErrorKind::ArgumentConflict, message).exit();
        }
        Self::from_arg_matches(&matches).unwrap_or_else(|error| error.exit())
    }
}

/// The flag by which a control plane on this machine is named beside --release. Variables are no contradiction: they are
/// set for other commands too.
fn also_on_this_machine(matches: &ArgMatches) -> Option<&'static str> {
    let (_, status) = matches.subcommand().filter(|(name, _)| *name == "status")?;
    let typed = |id: &str| status.value_source(id) == Some(ValueSource::CommandLine);
    let flags = [("name", "--name"), ("state_dir", "--state-dir")];
    flags.into_iter().find(|(id, _)| typed("release") && typed(id)).map(|(_, flag)| flag)
}

impl StatusArguments {
    /// The control plane in a management cluster, if one of those is meant.
    pub(crate) fn access(&self) -> Option<Access> {
        let hosted = &self.hosted;
        Some(Access {
            release: hosted.release.clone()?,
            namespace: hosted.namespace.clone(),
            kubeconfig: hosted.kubeconfig.clone(),
            context: hosted.context.clone(),
            limit: Duration::from_secs(hosted.timeout),
        })
    }
}

impl Which {
    /// The state directory that is meant.
    pub(crate) fn paths(&self) -> Result<StatePaths> {
        if let Some(directory) = &self.state_dir {
            let absolute = std::path::absolute(directory);
            let absolute =
                absolute.with_context(|| format!("--state-dir {}: no such path", directory.display()))?;
            return Ok(StatePaths::new(absolute));
        }
        let set = |variable| std::env::var_os(variable).filter(|value| !value.is_empty()).map(PathBuf::from);
        let state_home = set("XDG_STATE_HOME")
            .or_else(|| set("HOME").map(|home| home.join(".local/state")))
            .context("neither XDG_STATE_HOME nor HOME is set; give --state-dir")?;
        Ok(StatePaths::of_name(&state_home, &self.name))
    }

    /// The flags by which the same control plane is meant again.
    pub(crate) fn flags(&self) -> String {
        let name =
            if self.name.as_str() == DEFAULT_NAME { String::new() } else { format!(" --name {}", self.name) };
        let directory =
            self.state_dir.as_ref().map(|directory| format!(" --state-dir {}", directory.display()));
        name + directory.as_deref().unwrap_or_default()
    }
}

impl UpArguments {
    pub(crate) fn timeout(&self) -> Duration {
        Duration::from_secs(self.timeout)
    }

    pub(crate) fn request(self) -> Result<UpRequest> {
        let supervisors = match self.binaries.supervisors {
            Some(directory) => directory,
            None => std::env::current_exe()
                .context("cannot tell where pilothouse itself lies; give --supervisors")?
                .parent()
                .context("cannot tell where pilothouse itself lies; give --supervisors")?
                .to_owned(),
        };
        Ok(UpRequest {
            paths: self.which.paths()?,
            flags: self.which.flags(),
            name: self.which.name,
            requested: Requested {
                etcd_members: self.sizes.etcd,
                api_servers: self.sizes.api_servers,
                controller_managers: self.sizes.controller_managers,
                schedulers: self.sizes.schedulers,
                port: self.addresses.port,
                advertise_address: self.addresses.advertise_address,
                service_subnets: self.addresses.service_subnets,
                pod_subnets: self.addresses.pod_subnets,
                certificate_names: self.addresses.certificate_names,
                components: self.binaries.components,
                cloud_controller_manager: self.binaries.cloud_controller_manager,
            },
            extras: Extras {
                log_format: match self.logs.log_format {
                    LogFormat::Text => "text".to_owned(),
                    LogFormat::Json => "json".to_owned(),
                },
                log_level: self.logs.log_level,
                lifetimes: self.extra.lifetimes.clone(),
                service_account_key_overlap: self
                    .extra
                    .service_account_key_overlap
                    .clone()
                    .unwrap_or_default(),
                certificate_authority_overlap: self
                    .extra
                    .certificate_authority_overlap
                    .clone()
                    .unwrap_or_default(),
                arguments: self.extra.by_component(),
            },
            supervisors,
        })
    }
}

impl ExtraArguments {
    fn by_component(self) -> Vec<(Component, String)> {
        [
            (Component::Etcd, self.etcd),
            (Component::KubeApiserver, self.kube_apiserver),
            (Component::KubeControllerManager, self.kube_controller_manager),
            (Component::KubeScheduler, self.kube_scheduler),
            (Component::CloudControllerManager, self.cloud_controller_manager),
        ]
        .into_iter()
        .flat_map(|(component, arguments)| arguments.into_iter().map(move |argument| (component, argument)))
        .collect()
    }
}

impl NodeCredentialsArguments {
    pub(crate) fn request(&self) -> NodeRequest {
        NodeRequest {
            node: self.node.clone(),
            addresses: self.addresses.clone(),
            server: self.server.clone(),
            output: self.output.clone(),
        }
    }
}

impl LogsArguments {
    pub(crate) fn request(&self) -> LogRequest {
        LogRequest { of: self.of.clone(), follow: self.follow, tail: self.tail }
    }
}
