//! The flags of cluster-bootstrap and what they become.
//! Refuses defaults that would publish a wrong address: without one the endpoints are left alone.

use certificates::{Authority, LeafName, Profile};
use clap::Args;
use component_runtime::{Context, Needs, RuntimeError, Service};
use health_endpoints::ReloadBehaviour::OwnClient;
use hosted_objects::{
    ApiServerAddress, EndpointService, EndpointSource, Reconciler, Rewriting, keep_in_place,
};
use naming_contract::{Component, ports};
use tokio_util::sync::CancellationToken;

/// Where the API server is, and where clients outside reach it.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Hosted cluster")]
pub(crate) struct ClusterBootstrapArguments {
    /// The API server: one URL behind which all of them are
    #[arg(long, env = "PILOTHOUSE_API_SERVER", value_name = "URL")]
    api_server: String,
    /// Address at which Pods reach the API servers: the endpoints of the Service `kubernetes` (repeat)
    #[arg(
        long = "endpoint-address",
        env = "PILOTHOUSE_ENDPOINT_ADDRESS",
        value_name = "IP",
        value_delimiter = ','
    )]
    endpoint_addresses: Vec<ApiServerAddress>,
    /// The same by name: the addresses that it has now, asked for in every round (repeat)
    #[arg(
        long = "endpoint-name",
        env = "PILOTHOUSE_ENDPOINT_NAME",
        value_name = "NAME",
        value_delimiter = ',',
        value_parser = dns_name,
        conflicts_with = "endpoint_addresses"
    )]
    endpoint_names: Vec<String>,
    /// The same, read from a Service of the management cluster: its load balancer's address, else its own
    #[arg(
        long,
        env = "PILOTHOUSE_ENDPOINT_SERVICE",
        value_name = "NAME",
        conflicts_with_all = ["endpoint_addresses", "endpoint_names"]
    )]
    endpoint_service: Option<String>,
    /// Port at that address
    #[arg(long, env = "PILOTHOUSE_ENDPOINT_PORT", default_value_t = ports::KUBE_APISERVER, value_name = "PORT")]
    endpoint_port: u16,
}

impl Service for ClusterBootstrapArguments {
    const COMPONENT: Component = Component::ClusterBootstrap;
    const ABOUT: &'static str =
        "Keeps in place what a hosted cluster needs inside and Kubernetes does not make itself";

    fn needs(&self) -> Needs {
        Needs {
            leaves: &[(Profile::ClusterBootstrapClient, OwnClient)],
            shared_keys: &[],
            bundles: &[(Authority::Cluster, OwnClient)],
        }
    }

    async fn serve(self, context: Context, stop: CancellationToken) -> Result<(), RuntimeError> {
        let source = match &self.endpoint_service {
            Some(name) => {
                let service = EndpointService::new(context.management.api()?, name);
                EndpointSource::Service(Box::new(service))
            }
            None if self.endpoint_names.is_empty() => EndpointSource::Given(self.endpoint_addresses),
            None => EndpointSource::Named(self.endpoint_names),
        };
        if matches!(&source, EndpointSource::Given(addresses) if addresses.is_empty()) {
            tracing::info!(
                "none of --endpoint-address, --endpoint-name and --endpoint-service: the endpoints of the Service `kubernetes` are left alone"
            );
        }
        let identity = context.paths.leaf(Profile::ClusterBootstrapClient, Authority::Cluster);
        let reconciler = Reconciler::new(self.api_server.clone(), identity.clone());
        let rewriting = Rewriting::new(self.api_server, identity, context.published, context.board.clone());
        let keep = Box::pin(async {
            tokio::join!(
                keep_in_place(&reconciler, &source, self.endpoint_port, &context.board),
                rewriting.keep_rewritten(),
            )
        });
        let _stopped = stop.run_until_cancelled(keep).await;
        Ok(())
    }
}

fn dns_name(given: &str) -> Result<String, String> {
    match given.parse() {
        Ok(LeafName::Dns(name)) => Ok(name),
        Ok(LeafName::Ip(_)) => Err("give addresses by --endpoint-address".to_owned()),
        Err(error) => Err(error.to_string()),
    }
}
