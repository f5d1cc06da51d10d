//! The members of etcd as somebody beside the control plane reaches them: their flags, their URLs, credentials.

use std::collections::BTreeMap;
use std::path::Path;

use end_to_end::{Instance, component};
use mutual_tls::{TlsFiles, etcd_client};
use process_control::Spawn;

/// Where clients reach the members, by name.
///
/// # Panics
/// When one does not run.
#[must_use]
pub fn client_urls(instances: &[Instance]) -> BTreeMap<String, String> {
    flags(instances, "--advertise-client-urls=")
}

/// Where the members listen for each other, by name.
///
/// # Panics
/// When one does not run.
#[must_use]
pub fn peer_ports(instances: &[Instance]) -> BTreeMap<String, u16> {
    let port = |url: String| url.rsplit(':').next().and_then(|port| port.parse().ok()).expect("a port");
    flags(instances, "--listen-peer-urls=").into_iter().map(|(name, url)| (name, port(url))).collect()
}

/// A flag of each member, by name, as they run with it.
fn flags(instances: &[Instance], flag: &str) -> BTreeMap<String, String> {
    let members = instances.iter().filter(|instance| instance.component == "etcd");
    let value = |instance: &Instance| {
        let line = std::fs::read_to_string(format!("/proc/{}/cmdline", instance.pid?)).ok()?;
        line.split('\0').find_map(|given| given.strip_prefix(flag)).map(str::to_owned)
    };
    let value = |member| value(member).unwrap_or_else(|| panic!("no etcd runs with {flag}: {member:?}"));
    members.map(|member| (member.name.clone(), value(member))).collect()
}

/// What a member's supervisor shows to etcd; good for a moment, since leaves are renewed.
pub(crate) fn credentials(state: &Path, member: &str) -> TlsFiles {
    let runtime = state.join("instances").join(member).join("runtime");
    let leaf = runtime.join("certificates/etcd-member-client");
    TlsFiles {
        authority: runtime.join("trust/etcd.crt"),
        certificate: leaf.join("tls.crt"),
        key: leaf.join("tls.key"),
    }
}

/// Whether a member hears of a leader, be it itself.
///
/// # Errors
/// Why it cannot be asked.
pub async fn hears_of_a_leader(state: &Path, member: &str, url: &str) -> Result<bool, String> {
    let client = etcd_client(&[url.to_owned()], &credentials(state, member)).await;
    let mut client = client.map_err(|error| error.to_string())?;
    client.status().await.map(|status| status.leader() != 0).map_err(|error| error.to_string())
}

/// etcdctl with the credentials of that member, for these endpoints.
pub(crate) fn etcdctl(state: &Path, member: &str, endpoints: &str) -> Spawn {
    let TlsFiles { authority, certificate, key } = credentials(state, member);
    Spawn::new(component("etcdctl"))
        .arguments([format!("--endpoints={endpoints}")])
        .arguments([format!("--cacert={}", authority.display())])
        .arguments([format!("--cert={}", certificate.display()), format!("--key={}", key.display())])
        .from_thread_that_outlives_it()
}
