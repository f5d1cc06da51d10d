//! Roles and bindings that components need and Kubernetes does not ship. Pure.
//! Refuses rights for people beyond the one group of administrators.

use certificates::identities;
use serde_json::{Value, json};

use crate::{Desired, Resource};

const GROUP: &str = "rbac.authorization.k8s.io";

pub(crate) fn desired() -> Vec<Desired> {
    vec![
        binding_of_group(
            "pilothouse:kubelet-clients",
            identities::KUBELET_CLIENTS_GROUP,
            "system:kubelet-api-admin",
        ),
        binding_of_group("pilothouse:cluster-admins", identities::ADMINISTRATORS_GROUP, "cluster-admin"),
        // API servers ask themselves which encryption keys they have loaded; only their metrics tell.
        binding_of_group(
            "pilothouse:api-servers-metrics",
            identities::KUBELET_CLIENTS_GROUP,
            "system:monitoring",
        ),
        cloud_controller_manager_role(),
        cloud_controller_manager_binding(),
        cloud_controller_manager_reads_authentication(),
    ]
}

fn object(resource: Resource, namespace: Option<&'static str>, name: &str, rest: Value) -> Desired {
    let mut metadata = json!({ "name": name, "labels": { "app.kubernetes.io/managed-by": "pilothouse" } });
    if let Some(namespace) = namespace {
        metadata["namespace"] = namespace.into();
    }
    let mut body =
        json!({ "apiVersion": resource.api_version(), "kind": resource.kind(), "metadata": metadata });
    if let (Some(body), Value::Object(rest)) = (body.as_object_mut(), rest) {
        body.extend(rest);
    }
    Desired { resource, namespace, name: name.to_owned(), body, exists: true }
}

fn binding_of_group(name: &str, group: &str, role: &str) -> Desired {
    object(
        Resource::ClusterRoleBinding,
        None,
        name,
        json!({
            "roleRef": { "apiGroup": GROUP, "kind": "ClusterRole", "name": role },
            "subjects": [{ "apiGroup": GROUP, "kind": "Group", "name": group }],
        }),
    )
}

fn cloud_controller_manager() -> Value {
    json!([{ "apiGroup": GROUP, "kind": "User", "name": identities::CLOUD_CONTROLLER_MANAGER_USER }])
}

/// What k8s.io/cloud-provider's own controllers (node, node lifecycle, service, route), its leader election and its
/// delegated authentication ask for. Clouds that read more (Secrets, ConfigMaps) bring a role of their own.
fn cloud_controller_manager_role() -> Desired {
    let rule = |group: &str, resources: &[&str], verbs: &[&str]| json!({ "apiGroups": [group], "resources": resources, "verbs": verbs });
    let own_lease = json!({
        "apiGroups": ["coordination.k8s.io"],
        "resources": ["leases"],
        "resourceNames": ["cloud-controller-manager"],
        "verbs": ["get", "update"],
    });
    object(
        Resource::ClusterRole,
        None,
        identities::CLOUD_CONTROLLER_MANAGER_USER,
        json!({ "rules": [
            rule("", &["events"], &["create", "patch", "update"]),
            rule("events.k8s.io", &["events"], &["create", "patch", "update"]),
            rule("", &["nodes"], &["get", "list", "watch", "create", "update", "patch", "delete"]),
            rule("", &["nodes/status"], &["patch", "update"]),
            rule("", &["services"], &["get", "list", "watch", "patch", "update"]),
            rule("", &["services/status"], &["patch", "update"]),
            rule("", &["persistentvolumes"], &["get", "list", "watch", "update", "patch"]),
            // --use-service-account-credentials: an account and a token for each controller.
            rule("", &["serviceaccounts"], &["get", "create"]),
            rule("", &["serviceaccounts/token"], &["create"]),
            rule("coordination.k8s.io", &["leases"], &["create"]),
            own_lease,
            rule("authentication.k8s.io", &["tokenreviews"], &["create"]),
            rule("authorization.k8s.io", &["subjectaccessreviews"], &["create"]),
        ] }),
    )
}

fn cloud_controller_manager_binding() -> Desired {
    object(
        Resource::ClusterRoleBinding,
        None,
        identities::CLOUD_CONTROLLER_MANAGER_USER,
        json!({
            "roleRef": { "apiGroup": GROUP, "kind": "ClusterRole", "name": identities::CLOUD_CONTROLLER_MANAGER_USER },
            "subjects": cloud_controller_manager(),
        }),
    )
}

/// Kubernetes ships the role and binds it for its own components only.
fn cloud_controller_manager_reads_authentication() -> Desired {
    object(
        Resource::RoleBinding,
        Some("kube-system"),
        "pilothouse:cloud-controller-manager-authentication-reader",
        json!({
            "roleRef": { "apiGroup": GROUP, "kind": "Role", "name": "extension-apiserver-authentication-reader" },
            "subjects": cloud_controller_manager(),
        }),
    )
}
