//! The certificate-authority is away for longer than half of a leaf's life: nothing stops, restarts or is lost; when it is
//! back, all leaves are renewed. Refuses to be about expiry: it is back before the first leaf is over.

use std::time::Duration;

use certificates::LeafFacts;
use end_to_end::eventually;
use health_endpoints::{CertificateStatus, State, StatusDocument};
use hosted_control_plane::{Hosted, PodView, Release, Tenant};
use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::core::v1::Service;
use kube::api::{Patch, PatchParams};
use management_cluster::ManagementCluster;
use naming_contract::Component;
use serde_json::json;
use time::OffsetDateTime;
use tokio::time::Instant;

/// How long leaves live here, but for those that client-go re-reads only every 5 minutes. Half of it is the absence; the other
/// half is what an install of several control planes at once may take on two processors.
const LIFETIME: Duration = Duration::from_secs(300);
const SHORT_LIVED: [&str; 9] = [
    "etcd-server",
    "etcd-peer",
    "etcd-member-client",
    "apiserver-serving",
    "apiserver-etcd-client",
    "apiserver-front-proxy-client",
    "controller-manager-serving",
    "scheduler-serving",
    "cluster-bootstrap-client",
];
/// How much longer than half of a life it is away.
const LONGER: Duration = Duration::from_secs(5);
/// What must be left of every life when it is back: the time in which it starts and all are renewed.
const LEFT: Duration = Duration::from_secs(45);
const LIMIT: Duration = Duration::from_secs(60);

/// Arguments of helm by which leaves live for as long as this test wants.
pub(crate) fn values() -> Vec<String> {
    let set = |profile| format!("--set=certificateAuthority.lifetimes.{profile}={}s", LIFETIME.as_secs());
    SHORT_LIVED.into_iter().map(set).collect()
}

/// An absence that has begun.
pub(crate) struct Absence<'a> {
    cluster: &'a ManagementCluster,
    tenant: &'a Tenant,
    release: &'a Release<'a>,
    hosted: &'a Hosted<'a>,
    since: Instant,
    before: Vec<Seen>,
}

/// A Pod with all that it tells about itself.
struct Seen {
    pod: PodView,
    document: StatusDocument,
}

impl Seen {
    fn leaves(&self) -> impl Iterator<Item = &CertificateStatus> {
        self.document.certificates.iter().filter(|leaf| SHORT_LIVED.contains(&leaf.profile.as_str()))
    }
}

/// Scales the certificate-authority to nothing, once every leaf is young enough to outlive what follows.
pub(crate) async fn begin<'a>(
    cluster: &'a ManagementCluster,
    tenant: &'a Tenant,
    release: &'a Release<'a>,
    hosted: &'a Hosted<'a>,
) -> Absence<'a> {
    let needed = LIFETIME / 2 + LONGER + LEFT;
    eventually("all leaves are young", LIFETIME * 2, async || {
        let now = OffsetDateTime::now_utc();
        let seen = look(cluster, release).await?;
        match seen.iter().flat_map(Seen::leaves).find(|leaf| leaf.not_after - now < needed) {
            None => Ok(()),
            Some(old) => Err(format!("{} is over at {}", old.profile, old.not_after)),
        }
    })
    .await;
    scale(tenant, release, 0).await;
    let name = Component::CertificateAuthority.name();
    eventually("the certificate-authority is away", LIMIT, async || {
        let pods = release.pods().await;
        if pods.iter().any(|pod| pod.component == name) { Err(pods) } else { Ok(()) }
    })
    .await;
    let since = Instant::now();
    let before = look(cluster, release).await.unwrap();
    let profiles = before.iter().flat_map(Seen::leaves).count();
    assert_eq!(profiles, SHORT_LIVED.len(), "every short-lived leaf is seen");
    Absence { cluster, tenant, release, hosted, since, before }
}

impl Absence<'_> {
    /// Waits until it has lasted, looks at what it did, ends it and waits until it is made up for.
    pub(crate) async fn end(self) {
        let until = self.since + LIFETIME / 2 + LONGER;
        let (mut asked, began) = (0_u32, Instant::now());
        while Instant::now() < until {
            let answer = self.hosted.kubectl(1, &["get", "namespace", "default"]).await;
            answer.expect("the API and etcd serve meanwhile");
            asked += 1;
            // Nothing is waited for: this is how often it is asked.
            tokio::time::sleep(Duration::from_secs(1)).await;
        }
        println!("the API answered {asked} times out of {asked} in {:.1?} of it", began.elapsed());
        let name = format!("meanwhile-{asked}");
        self.hosted.kubectl(2, &["create", "namespace", &name]).await.expect("etcd takes writes meanwhile");
        // All but the one that is away.
        self.release.until_ready(crate::SMALL - 1, LIMIT).await;
        let during = look(self.cluster, self.release).await.unwrap();
        self.nothing_restarted(&during);
        let now = OffsetDateTime::now_utc();
        for (before, leaf) in self.pairs(&during) {
            let name = &leaf.profile;
            assert_eq!(before.not_after, leaf.not_after, "{name} was not renewed by anybody");
            assert!(leaf.renew_at < now && now < leaf.not_after, "{name}: {leaf:?}");
            assert!(leaf.last_failure.is_some(), "{name}: why it was not renewed is told");
        }
        self.served_are_those_told(&during).await;
        let lasted = self.since.elapsed();
        assert!(lasted > LIFETIME / 2, "{lasted:?}");

        scale(self.tenant, self.release, 1).await;
        let back = Instant::now();
        let after = eventually("all leaves are renewed", LIMIT, async || {
            let seen = look(self.cluster, self.release).await?;
            let old = |(before, leaf): &(&CertificateStatus, &CertificateStatus)| {
                leaf.not_after <= before.not_after || leaf.last_failure.is_some()
            };
            match self.pairs(&seen).into_iter().find(old) {
                None => Ok(seen),
                Some((_, leaf)) => Err(format!("{leaf:?}")),
            }
        })
        .await;
        println!(
            "certificate-authority away for {lasted:.1?} of leaves' {LIFETIME:?}; all {} of them were renewed {:.1?} after \
             it was wanted again",
            SHORT_LIVED.len(),
            back.elapsed()
        );
        self.nothing_restarted(&after);
        self.served_are_those_told(&after).await;
        self.release.until_ready(crate::SMALL, LIMIT).await;
    }

    fn pairs<'s>(&'s self, now: &'s [Seen]) -> Vec<(&'s CertificateStatus, &'s CertificateStatus)> {
        let of_before = |leaf: &CertificateStatus| {
            let mut all = self.before.iter().flat_map(Seen::leaves);
            all.find(|known| known.profile == leaf.profile).unwrap()
        };
        now.iter().flat_map(Seen::leaves).map(|leaf| (of_before(leaf), leaf)).collect()
    }

    /// No container, and no process in one either.
    fn nothing_restarted(&self, now: &[Seen]) {
        assert_eq!(self.before.len(), now.len());
        for (before, now) in self.before.iter().zip(now) {
            assert_eq!(before.pod.uid, now.pod.uid, "{}", now.pod.name);
            assert_eq!(now.pod.restarts, 0, "{:?}", now.pod);
            let (was, is) = (&before.document, &now.document);
            assert_eq!(was.supervisor_pid, is.supervisor_pid, "{is:?}");
            assert_eq!((is.state, is.restarts, is.pid), (State::Running, 0, was.pid), "{is:?}");
        }
    }

    /// What clients are shown is the leaf that /statusz tells.
    async fn served_are_those_told(&self, now: &[Seen]) {
        for (component, port, profile) in
            [(Component::Etcd, 2379, "etcd-server"), (Component::KubeApiserver, 6443, "apiserver-serving")]
        {
            let told = now.iter().flat_map(Seen::leaves).find(|leaf| leaf.profile == profile).unwrap();
            let service = self.release.objects().component(component);
            let service = self.tenant.objects::<Service>().get(&service).await.unwrap();
            let address = format!("{}:{port}", service.spec.unwrap().cluster_ip.unwrap());
            // Both reload by themselves, within seconds.
            eventually(&format!("{profile} is the one that is served"), LIMIT, async || {
                let line = ["s_client", "-connect", address.as_str()];
                let ran = self.cluster.node_exec(1, "openssl", line).await;
                let said = ran.map_err(|error| error.to_string())?.output;
                let served =
                    LeafFacts::parse(said.as_bytes(), None, None).map_err(|error| error.to_string())?;
                if served.not_after == told.not_after { Ok(()) } else { Err(served.not_after.to_string()) }
            })
            .await;
        }
    }
}

/// All Pods but the certificate-authority's.
async fn look(cluster: &ManagementCluster, release: &Release<'_>) -> Result<Vec<Seen>, String> {
    let mut seen = Vec::new();
    for pod in release.pods().await {
        if pod.component == Component::CertificateAuthority.name() {
            continue;
        }
        let url = format!("http://{}:8686/statusz", pod.address.clone().ok_or("a Pod has no address")?);
        let line = ["--silent", "--show-error", "--fail", "--max-time", "10", "--noproxy", "*", &url];
        let ran = cluster.node_exec(1, "curl", line).await.map_err(|error| error.to_string())?;
        let document =
            serde_json::from_str(&ran.output).map_err(|error| format!("{error}: {}", ran.output))?;
        seen.push(Seen { pod, document });
    }
    Ok(seen)
}

async fn scale(tenant: &Tenant, release: &Release<'_>, replicas: u32) {
    let name = release.objects().component(Component::CertificateAuthority);
    let patch = Patch::Merge(json!({"spec": {"replicas": replicas}}));
    tenant.objects::<Deployment>().patch(&name, &PatchParams::default(), &patch).await.unwrap();
}
