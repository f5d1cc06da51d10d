//! From configuration and paths to the typed flags of kube-apiserver. Pure.
//! Refuses argv: that is component-flags'.

use certificates::{Authority, Profile, SharedKeySet};
use component_flags::{ApiserverFlags, EtcdClientFiles, RequestHeader, ServiceAccountFiles, TlsServerFiles};
use component_runtime::Paths;

use crate::ApiserverConfiguration;
use crate::rendered::{AUTHENTICATION, ENCRYPTION};

pub(crate) fn flags(
    configuration: &ApiserverConfiguration,
    etcd_endpoints: &[String],
    paths: &Paths,
) -> ApiserverFlags {
    let serving = paths.leaf(Profile::ApiserverServing, Authority::Cluster);
    let etcd = paths.leaf(Profile::ApiserverEtcdClient, Authority::Etcd);
    let kubelet = paths.leaf(Profile::ApiserverKubeletClient, Authority::Cluster);
    let front_proxy = paths.leaf(Profile::ApiserverFrontProxyClient, Authority::FrontProxy);
    ApiserverFlags {
        etcd_endpoints: etcd_endpoints.to_vec(),
        etcd_client: EtcdClientFiles {
            authority: etcd.authority,
            certificate: etcd.certificate,
            key: etcd.key,
        },
        bind_address: configuration.bind_address,
        secure_port: configuration.secure_port,
        advertise_address: configuration.advertise_address,
        service_subnets: configuration.service_subnets.clone(),
        service_account_issuers: configuration.service_account_issuers.clone(),
        service_account: ServiceAccountFiles {
            verification_keys: paths.shared_key(SharedKeySet::ServiceAccount, SharedKeySet::VERIFY),
            signing_key: paths.shared_key(SharedKeySet::ServiceAccount, SharedKeySet::SIGNING),
        },
        serving: TlsServerFiles {
            trusted_authority: serving.authority,
            certificate: serving.certificate,
            key: serving.key,
        },
        request_header: RequestHeader { authority: front_proxy.authority },
        front_proxy_certificate: front_proxy.certificate,
        front_proxy_key: front_proxy.key,
        kubelet_client_certificate: kubelet.certificate,
        kubelet_client_key: kubelet.key,
        kubelet_authority: kubelet.authority,
        authentication_configuration: paths.configuration(AUTHENTICATION),
        encryption_configuration: paths.configuration(ENCRYPTION),
        shutdown_delay: configuration.shutdown_delay,
        watch_grace: configuration.watch_grace,
        send_retry_after: configuration.send_retry_after,
        goaway_chance: configuration.goaway_chance,
    }
}
