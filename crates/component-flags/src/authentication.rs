//! The `AuthenticationConfiguration` that every API server reads: anonymous for few paths, and the user's JWT issuers.
//! Refuses the flag --anonymous-auth: off would break joining and load balancers, on would open everything.

use serde_json::{Value, json};

/// The only paths that an anonymous request may ask for. `cluster-info` is what `kubeadm join` reads first.
pub const ANONYMOUS_PATHS: [&str; 4] =
    ["/livez", "/readyz", "/healthz", "/api/v1/namespaces/kube-public/configmaps/cluster-info"];

/// Renders the file. `jwt` are entries of the configuration's `jwt` list as the user wrote them. The group's version v1
/// is served by all supported Kubernetes versions.
#[must_use]
pub fn authentication_configuration(jwt: &[Value]) -> Value {
    let conditions: Vec<Value> = ANONYMOUS_PATHS.iter().map(|path| json!({ "path": path })).collect();
    let mut configuration = json!({
        "apiVersion": "apiserver.config.k8s.io/v1",
        "kind": "AuthenticationConfiguration",
        "anonymous": { "enabled": true, "conditions": conditions },
    });
    if !jwt.is_empty() {
        configuration["jwt"] = Value::Array(jwt.to_vec());
    }
    configuration
}
