//! User and group names that our client certificates carry and that roles in the hosted cluster are bound to.
//! Refuses roles themselves: those are hosted-objects'.

/// Group of people who administer a hosted cluster; cluster-bootstrap binds it to cluster-admin, so it can be unbound.
pub const ADMINISTRATORS_GROUP: &str = "pilothouse:cluster-admins";
/// User of the admin kubeconfig.
pub const ADMINISTRATOR_USER: &str = "pilothouse-administrator";
/// Group of whoever may use every kubelet's API; cluster-bootstrap binds it to system:kubelet-api-admin.
pub const KUBELET_CLIENTS_GROUP: &str = "pilothouse:kubelet-clients";
/// User as which API servers speak to kubelets.
pub const KUBELET_CLIENT_USER: &str = "pilothouse:kube-apiserver-kubelet-client";
/// User of kube-controller-manager, bound by Kubernetes' own default roles.
pub const CONTROLLER_MANAGER_USER: &str = "system:kube-controller-manager";
/// User of kube-scheduler, bound by Kubernetes' own default roles.
pub const SCHEDULER_USER: &str = "system:kube-scheduler";
/// User of the cloud controller manager; Kubernetes ships no role for it, cluster-bootstrap makes one.
pub const CLOUD_CONTROLLER_MANAGER_USER: &str = "system:cloud-controller-manager";
/// User of cluster-bootstrap.
pub const CLUSTER_BOOTSTRAP_USER: &str = "pilothouse:cluster-bootstrap";
/// The group that Kubernetes always lets do everything. Only cluster-bootstrap carries it: it must bind cluster-admin
/// before any binding of ours exists, and Kubernetes lets nobody grant what he does not hold himself. Its leaf lives
/// 72 hours in the memory of one Pod; people get [`ADMINISTRATORS_GROUP`], which can be revoked.
pub const MASTERS_GROUP: &str = "system:masters";
/// User as which API servers speak to aggregated API servers.
pub const FRONT_PROXY_USER: &str = "front-proxy-client";
/// User as which API servers speak to etcd.
pub const ETCD_CLIENT_USER: &str = "kube-apiserver-etcd-client";
/// User as which etcd supervisors speak to etcd.
pub const ETCD_MEMBER_USER: &str = "pilothouse:etcd-supervisor";
/// Before the name of a node, its kubelet's user; the Node authorizer looks for it.
pub const NODE_USER_PREFIX: &str = "system:node:";
/// Group of kubelets; the Node authorizer looks for it.
pub const NODES_GROUP: &str = "system:nodes";
/// User of every kube-proxy, bound by Kubernetes' own default roles.
pub const KUBE_PROXY_USER: &str = "system:kube-proxy";
