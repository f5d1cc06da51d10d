//! The kubeconfig of a component: names files, so that client-go takes up renewed certificates by itself.
//! Refuses embedded data: client-go never re-reads that.

use std::path::Path;

use serde_json::json;

/// The PEM files that a component's kubeconfig names.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CredentialPaths<'a> {
    /// Bundle by which the API server is checked.
    pub certificate_authority: &'a Path,
    /// The client's certificate.
    pub client_certificate: &'a Path,
    /// The client's key.
    pub client_key: &'a Path,
}

/// Where a component finds its API server.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Server<'a> {
    /// An https URL.
    pub url: &'a str,
    /// The name that its certificate is checked for, if that is not the URL's host.
    pub name: Option<&'a str>,
}

/// A kubeconfig for `user` of the API server at `server`. It is JSON, which is YAML too. Paths should be absolute:
/// client-go takes relative ones from the kubeconfig's own directory.
#[must_use]
pub fn render_with_files(
    cluster_name: &str,
    server: Server<'_>,
    user: &str,
    paths: &CredentialPaths<'_>,
) -> String {
    let context = format!("{user}@{cluster_name}");
    let mut cluster = json!({ "server": server.url, "certificate-authority": paths.certificate_authority.to_string_lossy() });
    if let Some(name) = server.name {
        cluster["tls-server-name"] = json!(name);
    }
    let document = json!({
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{
            "name": cluster_name,
            "cluster": cluster,
        }],
        "users": [{
            "name": user,
            "user": {
                "client-certificate": paths.client_certificate.to_string_lossy(),
                "client-key": paths.client_key.to_string_lossy(),
            },
        }],
        "contexts": [{ "name": context, "context": { "cluster": cluster_name, "user": user } }],
        "current-context": context,
    });
    format!("{document:#}\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_component_kubeconfig_names_files() {
        let paths = CredentialPaths {
            certificate_authority: Path::new("/run/pilothouse/trust/cluster.crt"),
            client_certificate: Path::new("/run/pilothouse/certificates/scheduler-client/tls.crt"),
            client_key: Path::new("/run/pilothouse/certificates/scheduler-client/tls.key"),
        };
        let server = Server { url: "https://127.0.0.1:6443", name: None };
        let text = render_with_files("one", server, "system:kube-scheduler", &paths);
        insta::assert_snapshot!(text);
        let named = Server { name: Some("demo-kube-apiserver.n.svc"), ..server };
        let text = render_with_files("one", named, "system:kube-scheduler", &paths);
        assert!(text.contains(r#""tls-server-name": "demo-kube-apiserver.n.svc""#), "{text}");
    }
}
