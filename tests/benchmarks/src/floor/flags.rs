//! Command lines as kubeadm 1.37 renders them (cmd/kubeadm/app/phases/controlplane/manifests.go, …/etcd/local.go). Pure.
//! Departs only where Pods have addresses of their own and kubeadm's have their node's: names of Services, listeners that
//! the kubelet can ask; three members of etcd begin together instead of joining one by one, and do not compare each
//! other's addresses with certificates, which cannot know them.

use super::Names;

pub(super) const API_SERVER_PORT: u16 = 6443;
pub(super) const CONTROLLER_MANAGER_PORT: u16 = 10257;
pub(super) const SCHEDULER_PORT: u16 = 10259;
/// Plain HTTP: health and metrics.
pub(crate) const ETCD_HEALTH_PORT: u16 = 2381;
pub(super) const PKI_DIRECTORY: &str = "/etc/kubernetes/pki";
pub(super) const ETCD_PKI_DIRECTORY: &str = "/etc/kubernetes/pki/etcd";
pub(super) const ETCD_DATA_DIRECTORY: &str = "/var/lib/etcd";
pub(super) const CONTROLLER_MANAGER_KUBECONFIG: &str = "/etc/kubernetes/controller-manager.conf";
pub(super) const SCHEDULER_KUBECONFIG: &str = "/etc/kubernetes/scheduler.conf";

/// As the chart's default values.
const SERVICE_SUBNET: &str = "10.96.0.0/16";
const POD_SUBNET: &str = "10.244.0.0/16";

pub(super) fn etcd(names: &Names<'_>) -> Vec<String> {
    let members: Vec<String> =
        names.members().map(|(name, host)| format!("{name}=https://{host}:2380")).collect();
    let service = names.members().next().map(|(_, host)| host).unwrap_or_default();
    let service = service.split_once('.').map(|(_, service)| service).unwrap_or_default();
    let own = format!("$(POD_NAME).{service}");
    let pki = ETCD_PKI_DIRECTORY;
    command(
        "etcd",
        &[
            ("advertise-client-urls", &format!("https://{own}:2379")),
            ("cert-file", &format!("{pki}/server.crt")),
            ("client-cert-auth", "true"),
            ("data-dir", ETCD_DATA_DIRECTORY),
            ("feature-gates", "InitialCorruptCheck=true"),
            ("initial-advertise-peer-urls", &format!("https://{own}:2380")),
            ("initial-cluster", &members.join(",")),
            ("key-file", &format!("{pki}/server.key")),
            ("listen-client-urls", "https://127.0.0.1:2379,https://$(POD_IP):2379"),
            ("listen-metrics-urls", &format!("http://0.0.0.0:{ETCD_HEALTH_PORT}")),
            ("listen-peer-urls", "https://$(POD_IP):2380"),
            ("name", "$(POD_NAME)"),
            ("peer-cert-file", &format!("{pki}/peer.crt")),
            ("peer-client-cert-auth", "true"),
            ("peer-key-file", &format!("{pki}/peer.key")),
            ("peer-skip-client-san-verification", "true"),
            ("peer-trusted-ca-file", &format!("{pki}/ca.crt")),
            ("snapshot-count", "10000"),
            ("trusted-ca-file", &format!("{pki}/ca.crt")),
            ("watch-progress-notify-interval", "5s"),
        ],
    )
}

pub(super) fn kube_apiserver(names: &Names<'_>) -> Vec<String> {
    let etcd: Vec<String> = names.members().map(|(_, host)| format!("https://{host}:2379")).collect();
    let pki = |file: &str| format!("{PKI_DIRECTORY}/{file}");
    command(
        "kube-apiserver",
        &[
            ("advertise-address", "$(POD_IP)"),
            ("allow-privileged", "true"),
            ("authorization-mode", "Node,RBAC"),
            ("client-ca-file", &pki("ca.crt")),
            ("enable-admission-plugins", "NodeRestriction"),
            ("enable-bootstrap-token-auth", "true"),
            ("etcd-cafile", &pki("etcd/ca.crt")),
            ("etcd-certfile", &pki("apiserver-etcd-client.crt")),
            ("etcd-keyfile", &pki("apiserver-etcd-client.key")),
            ("etcd-servers", &etcd.join(",")),
            ("kubelet-client-certificate", &pki("apiserver-kubelet-client.crt")),
            ("kubelet-client-key", &pki("apiserver-kubelet-client.key")),
            ("kubelet-preferred-address-types", "InternalIP,ExternalIP,Hostname"),
            ("proxy-client-cert-file", &pki("front-proxy-client.crt")),
            ("proxy-client-key-file", &pki("front-proxy-client.key")),
            ("requestheader-allowed-names", "front-proxy-client"),
            ("requestheader-client-ca-file", &pki("front-proxy-ca.crt")),
            ("requestheader-extra-headers-prefix", "X-Remote-Extra-"),
            ("requestheader-group-headers", "X-Remote-Group"),
            ("requestheader-username-headers", "X-Remote-User"),
            ("secure-port", &API_SERVER_PORT.to_string()),
            ("service-account-issuer", "https://kubernetes.default.svc.cluster.local"),
            ("service-account-key-file", &pki("sa.pub")),
            ("service-account-signing-key-file", &pki("sa.key")),
            ("service-cluster-ip-range", SERVICE_SUBNET),
            ("tls-cert-file", &pki("apiserver.crt")),
            ("tls-private-key-file", &pki("apiserver.key")),
        ],
    )
}

pub(super) fn kube_controller_manager() -> Vec<String> {
    let pki = |file: &str| format!("{PKI_DIRECTORY}/{file}");
    command(
        "kube-controller-manager",
        &[
            ("allocate-node-cidrs", "true"),
            ("authentication-kubeconfig", CONTROLLER_MANAGER_KUBECONFIG),
            ("authorization-kubeconfig", CONTROLLER_MANAGER_KUBECONFIG),
            ("bind-address", "0.0.0.0"),
            ("client-ca-file", &pki("ca.crt")),
            ("cluster-cidr", POD_SUBNET),
            ("cluster-name", "kubernetes"),
            ("cluster-signing-cert-file", &pki("ca.crt")),
            ("cluster-signing-key-file", &pki("ca.key")),
            ("controllers", "*,bootstrapsigner,tokencleaner"),
            ("kubeconfig", CONTROLLER_MANAGER_KUBECONFIG),
            ("leader-elect", "true"),
            ("requestheader-client-ca-file", &pki("front-proxy-ca.crt")),
            ("root-ca-file", &pki("ca.crt")),
            ("service-account-private-key-file", &pki("sa.key")),
            ("service-cluster-ip-range", SERVICE_SUBNET),
            ("use-service-account-credentials", "true"),
        ],
    )
}

pub(super) fn kube_scheduler() -> Vec<String> {
    command(
        "kube-scheduler",
        &[
            ("authentication-kubeconfig", SCHEDULER_KUBECONFIG),
            ("authorization-kubeconfig", SCHEDULER_KUBECONFIG),
            ("bind-address", "0.0.0.0"),
            ("kubeconfig", SCHEDULER_KUBECONFIG),
            ("leader-elect", "true"),
        ],
    )
}

/// Upstream's images have no other search path than this.
fn command(program: &str, flags: &[(&str, &str)]) -> Vec<String> {
    let flags = flags.iter().map(|(flag, value)| format!("--{flag}={value}"));
    std::iter::once(format!("/usr/local/bin/{program}")).chain(flags).collect()
}
