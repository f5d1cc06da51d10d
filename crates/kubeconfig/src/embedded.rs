//! The kubeconfig of people: everything inside, so that it can be copied to where kubectl is.
//! Refuses to be renewed under a running client: whoever holds it fetches a new one.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use crate::yaml::scalar;

/// The certificates found inside a kubeconfig, PEM. Never its keys.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct EmbeddedCertificates {
    /// Bundles by which API servers are checked.
    pub authorities: Vec<Vec<u8>>,
    /// Client certificates.
    pub clients: Vec<Vec<u8>>,
}

/// A kubeconfig for `user` of the API server at `server` (https URL), with PEM data inside. It holds a key: keep it 0600.
#[must_use]
pub fn render_embedded(
    cluster_name: &str,
    server: &str,
    user: &str,
    authority_pem: &[u8],
    certificate_pem: &[u8],
    key_pem: &[u8],
) -> String {
    let context = scalar(&format!("{user}@{cluster_name}"));
    let (cluster, user, server) = (scalar(cluster_name), scalar(user), scalar(server));
    let (authority, certificate, key) =
        (STANDARD.encode(authority_pem), STANDARD.encode(certificate_pem), STANDARD.encode(key_pem));
    format!(
        "apiVersion: v1
kind: Config
clusters:
- name: {cluster}
  cluster:
    server: {server}
    {AUTHORITY_DATA} {authority}
users:
- name: {user}
  user:
    {CLIENT_DATA} {certificate}
    client-key-data: {key}
contexts:
- name: {context}
  context:
    cluster: {cluster}
    user: {user}
current-context: {context}
preferences: {{}}
"
    )
}

const AUTHORITY_DATA: &str = "certificate-authority-data:";
const CLIENT_DATA: &str = "client-certificate-data:";

/// The certificates inside a kubeconfig that [`render_embedded`], kubectl or kubeadm wrote: one entry a line.
#[must_use]
pub fn embedded_certificates(kubeconfig: &str) -> EmbeddedCertificates {
    let mut found = EmbeddedCertificates::default();
    let decode = |data: &str| STANDARD.decode(data.trim().trim_matches('"')).ok();
    for line in kubeconfig.lines() {
        let entry = line.trim_start_matches(['-', ' ']);
        if let Some(data) = entry.strip_prefix(AUTHORITY_DATA) {
            found.authorities.extend(decode(data));
        } else if let Some(data) = entry.strip_prefix(CLIENT_DATA) {
            found.clients.extend(decode(data));
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_admin_kubeconfig_reads_well() {
        let text = render_embedded(
            "pilothouse",
            "https://127.0.0.1:6443",
            "pilothouse-administrator",
            b"the authority",
            b"the certificate",
            b"the key",
        );
        insta::assert_snapshot!(text);
    }

    #[test]
    fn names_that_yaml_would_misread_are_quoted() {
        let text = render_embedded("true", "https://[::1]:6443", "12", b"", b"", b"");
        insta::assert_snapshot!(text);
    }

    #[test]
    fn certificates_are_found_again() {
        let text =
            render_embedded("one", "https://one", "me", b"the authority", b"the certificate", b"the key");
        let found = embedded_certificates(&text);
        assert_eq!(found.authorities, [b"the authority"]);
        assert_eq!(found.clients, [b"the certificate"]);
        assert_eq!(embedded_certificates("client-certificate-data: ???\n"), EmbeddedCertificates::default());
    }
}
