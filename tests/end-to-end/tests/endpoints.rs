//! The advertised address: what Pods find as `kubernetes`, and where the API servers answer to their names.
#![allow(
    clippy::expect_used,
    clippy::panic,
    clippy::print_stdout,
    clippy::unwrap_used,
    clippy::missing_panics_doc,
    reason = "test code: a broken expectation is a failed test, and measurements are printed"
)]

use std::time::Duration;

use end_to_end::{ControlPlane, client, eventually, inside_namespaces, shell};
use k8s_openapi::api::core::v1::{Endpoints, Service};
use k8s_openapi::api::discovery::v1::EndpointSlice;
use kube::api::{Api, DeleteParams, ListParams};
use kube::config::{KubeConfigOptions, Kubeconfig};
use kube::{Client, Config};

const ADDRESS: &str = "10.99.0.1";
const NAME: &str = "api.pilothouse.example";
/// cluster-bootstrap looks every 5 s.
const REPAIR_LIMIT: Duration = Duration::from_secs(15);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_advertised_address_is_served_named_and_kept_in_the_endpoints() {
    let own_name = "the_advertised_address_is_served_named_and_kept_in_the_endpoints";
    if !inside_namespaces(own_name, &["--net"], Duration::from_secs(300)).await {
        return;
    }
    shell(&format!("ip link set lo up; ip address add {ADDRESS}/32 dev lo")).await;
    let plane = ControlPlane::ready(&[
        "--etcd=1",
        "--api-servers=1",
        "--controller-managers=1",
        "--schedulers=1",
        "--advertise-address",
        ADDRESS,
        "--certificate-name",
        NAME,
        "--service-subnet=10.77.0.0/24",
    ])
    .await;

    // At the advertised address, by a certificate that names it, the given name and the address of the Service.
    let server = format!("https://{ADDRESS}:{}", plane.port());
    let outside = client_at(&plane, &server, None).await;
    outside.apiserver_version().await.expect("the API server answers at the advertised address");
    for name in [NAME, "kubernetes.default.svc", "10.77.0.1"] {
        let client = client_at(&plane, &server, Some(name)).await;
        client.apiserver_version().await.unwrap_or_else(|error| panic!("no certificate for {name}: {error}"));
    }
    let stranger = client_at(&plane, &server, Some("other.pilothouse.example")).await;
    let error =
        stranger.apiserver_version().await.expect_err("the certificate has only the names it was given");
    assert!(!matches!(error, kube::Error::Api(_)), "{error}");

    let client = client(&plane.kubeconfig()).await;
    let service = Api::<Service>::default_namespaced(client.clone()).get("kubernetes").await.unwrap();
    assert_eq!(service.spec.and_then(|spec| spec.cluster_ip).as_deref(), Some("10.77.0.1"));
    let endpoints: Api<Endpoints> = Api::default_namespaced(client.clone());
    let slices: Api<EndpointSlice> = Api::default_namespaced(client.clone());
    assert_endpoints(&endpoints, &slices, &plane, Duration::from_secs(5)).await;

    endpoints.delete("kubernetes", &DeleteParams::default()).await.unwrap();
    slices.delete("kubernetes", &DeleteParams::default()).await.unwrap();
    assert_endpoints(&endpoints, &slices, &plane, REPAIR_LIMIT).await;
    // Nothing else makes slices for it: traffic would go to addresses that nobody serves.
    let of_service = ListParams::default().labels("kubernetes.io/service-name=kubernetes");
    let all = slices.list(&of_service).await.unwrap().items;
    assert_eq!(all.len(), 1, "{all:#?}");
}

async fn assert_endpoints(
    endpoints: &Api<Endpoints>,
    slices: &Api<EndpointSlice>,
    plane: &ControlPlane,
    limit: Duration,
) {
    let wanted = vec![(ADDRESS.to_owned(), i32::from(plane.port()))];
    eventually("the endpoints of `kubernetes`", limit, async || {
        let found = endpoints.get_opt("kubernetes").await.map_err(|error| error.to_string())?;
        let in_endpoints: Vec<_> = found
            .and_then(|found| found.subsets)
            .into_iter()
            .flatten()
            .flat_map(|subset| {
                let ports: Vec<i32> = subset.ports.into_iter().flatten().map(|port| port.port).collect();
                let addresses = subset.addresses.into_iter().flatten();
                addresses.flat_map(move |address| {
                    ports.clone().into_iter().map(move |port| (address.ip.clone(), port))
                })
            })
            .collect();
        let found = slices.get_opt("kubernetes").await.map_err(|error| error.to_string())?;
        let in_slice: Vec<_> = found
            .into_iter()
            .flat_map(|slice| {
                let ports: Vec<i32> =
                    slice.ports.into_iter().flatten().filter_map(|port| port.port).collect();
                let addresses = slice.endpoints.into_iter().flat_map(|endpoint| endpoint.addresses);
                addresses
                    .flat_map(|address| ports.iter().map(move |port| (address.clone(), *port)))
                    .collect::<Vec<_>>()
            })
            .collect();
        if in_endpoints == wanted && in_slice == wanted {
            Ok(())
        } else {
            Err(format!("Endpoints {in_endpoints:?}, EndpointSlice {in_slice:?}"))
        }
    })
    .await;
}

/// A client of `server` that expects its certificate to name `name`, or else the server's address.
async fn client_at(plane: &ControlPlane, server: &str, name: Option<&str>) -> Client {
    mutual_tls::install_provider();
    let kubeconfig = Kubeconfig::read_from(plane.kubeconfig()).unwrap();
    let options = KubeConfigOptions::default();
    let mut configuration = Config::from_custom_kubeconfig(kubeconfig, &options).await.unwrap();
    configuration.cluster_url = server.parse().unwrap();
    configuration.tls_server_name = name.map(str::to_owned);
    Client::try_from(configuration).unwrap()
}
