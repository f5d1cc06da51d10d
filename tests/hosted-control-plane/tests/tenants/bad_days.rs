//! What people see when what the chart needs is not there: a storage class, an image.
//! Everything else waits for it and nothing restarts.

use std::time::Duration;

use end_to_end::eventually;
use hosted_control_plane::{Helm, PodView, Release, Tenant};
use k8s_openapi::api::core::v1::{Event, Pod};
use kube::api::ListParams;
use naming_contract::Component;

const LIMIT: Duration = Duration::from_secs(90);

pub(crate) async fn people_see_what_is_missing(tenant: &Tenant, helm: &Helm) {
    let small = Release::values_file("values-small.yaml");
    let release = Release::new(
        tenant,
        helm,
        "poor",
        &[
            &small,
            "--set=etcd.storage.emptyDir=false",
            "--set=etcd.storage.className=missing",
            "--set=scheduler.image.repository=127.0.0.1:1/kube-scheduler",
            "--set=controllerManager.supervisorImage.repository=127.0.0.1:1/supervisor",
        ],
    );
    release.install().await;
    the_claim_says_which_class(tenant).await;
    eventually("images that are absent are seen", LIMIT, async || {
        let pods = release.pods().await;
        let waits = |component: Component| {
            let pod = pods.iter().find(|pod| pod.component == component.name());
            pod.is_some_and(|pod| pod.waiting.iter().any(|reason| reason.contains("ImagePull")))
        };
        let both = waits(Component::KubeScheduler) && waits(Component::KubeControllerManager);
        if both { Ok(()) } else { Err(pods) }
    })
    .await;
    let others = [Component::KubeApiserver, Component::ClusterBootstrap, Component::CertificateAuthority];
    let pods = eventually("all others run", LIMIT, async || {
        let pods = release.pods().await;
        let runs = |pod: &PodView| pod.waiting.is_empty() && pod.address.is_some();
        let others = pods.iter().filter(|pod| others.iter().any(|other| other.name() == pod.component));
        if others.clone().count() == 3 && others.clone().all(runs) { Ok(pods) } else { Err(pods) }
    })
    .await;
    for pod in &pods {
        assert_eq!(pod.restarts, 0, "what waits does not restart: {pod:?}");
    }
    release.uninstall().await;
}

async fn the_claim_says_which_class(tenant: &Tenant) {
    let reason = eventually("etcd's Pod waits for its volume and says so", LIMIT, async || {
        let pod = tenant.objects::<Pod>().get("poor-etcd-0").await.map_err(|error| error.to_string())?;
        let status = pod.status.unwrap_or_default();
        let scheduled =
            status.conditions.iter().flatten().find(|condition| condition.type_ == "PodScheduled");
        let message = scheduled.and_then(|condition| condition.message.clone()).unwrap_or_default();
        if status.phase.as_deref() == Some("Pending") && message.contains("PersistentVolumeClaim") {
            Ok(message)
        } else {
            Err(message)
        }
    })
    .await;
    println!("without the storage class, the Pod says: {reason}");
    let told = eventually("the claim says which class is missing", LIMIT, async || {
        let of_claim = ListParams::default().fields("involvedObject.name=data-poor-etcd-0");
        let listed = tenant.objects::<Event>().list(&of_claim).await.map_err(|error| error.to_string())?;
        let messages: Vec<String> = listed.items.into_iter().filter_map(|event| event.message).collect();
        messages
            .iter()
            .find(|message| message.contains("\"missing\" not found"))
            .cloned()
            .ok_or(format!("{messages:?}"))
    })
    .await;
    println!("and its claim: {told}");
}
