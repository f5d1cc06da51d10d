//! The clients by which tests look into the hosted cluster.

use std::path::Path;

use k8s_openapi::api::coordination::v1::Lease;
use k8s_openapi::api::core::v1::Namespace;
use kube::api::{Api, ObjectMeta, PostParams};
use kube::config::{KubeConfigOptions, Kubeconfig};
use kube::{Client, Config};

/// A client with the admin kubeconfig, as kubectl would use it.
pub async fn client(kubeconfig: &Path) -> Client {
    Client::try_from(configuration(kubeconfig).await).expect("a client")
}

async fn configuration(kubeconfig: &Path) -> Config {
    mutual_tls::install_provider();
    let kubeconfig = Kubeconfig::read_from(kubeconfig).expect("the kubeconfig reads");
    let mut configuration = Config::from_custom_kubeconfig(kubeconfig, &KubeConfigOptions::default())
        .await
        .expect("the kubeconfig is usable");
    // kube would repeat 429, 503 and 504 in silence: a failure that a client sees must be seen here.
    configuration.default_retry = false;
    configuration
}

/// Creates a namespace; one that exists is fine.
pub async fn create_namespace(client: &Client, name: &str) {
    let namespace = Namespace {
        metadata: ObjectMeta { name: Some(name.to_owned()), ..ObjectMeta::default() },
        ..Namespace::default()
    };
    match Api::<Namespace>::all(client.clone()).create(&PostParams::default(), &namespace).await {
        Ok(_) => {}
        Err(kube::Error::Api(status)) if status.code == 409 => {}
        Err(error) => panic!("cannot create namespace {name}: {error}"),
    }
}

/// Who holds a lease in kube-system; none if nobody does.
pub async fn lease_holder(client: &Client, name: &str) -> Result<Option<String>, kube::Error> {
    let lease = Api::<Lease>::namespaced(client.clone(), "kube-system").get_opt(name).await?;
    Ok(lease
        .and_then(|lease| lease.spec)
        .and_then(|spec| spec.holder_identity)
        .filter(|holder| !holder.is_empty()))
}
