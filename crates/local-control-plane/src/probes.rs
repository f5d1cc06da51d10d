//! Asks one supervisor's health endpoints again and again, as kubelet would, and writes the answers to its view.
//! Refuses to end anything: it returns when liveness has failed for too long.

use std::time::Duration;

use health_endpoints::HealthClient;
use naming_contract::Component;
use tokio::time::Instant;

use crate::plan::Instance;
use crate::restart_policy::{FAILING_FOR, LivenessPolicy};
use crate::views::Views;

/// An answer takes milliseconds; more than this is none. The supervisors promise 1 s.
pub(crate) const ANSWER_LIMIT: Duration = Duration::from_secs(1);
/// Pause between looks at an instance that is not ready: somebody may be watching the start.
const EAGER: Duration = Duration::from_millis(200);
/// Pause between looks at a ready API server: the front goes by it.
const FRONTED: Duration = Duration::from_millis(500);
/// Pause between looks at everything else.
const CALM: Duration = Duration::from_secs(1);

/// Probes until liveness has failed for too long; the text says with what.
pub(crate) async fn probe_until_wedged(instance: &Instance, client: &HealthClient, views: &Views) -> String {
    let base = instance.health_url();
    let mut liveness = LivenessPolicy::default();
    let began = Instant::now();
    loop {
        let alive = client.is_alive(&base).await;
        let ready = alive && client.is_ready(&base).await;
        // What a ready instance tells beyond that is asked by `status`; here it would cost both sides for nothing.
        let known = views
            .view(&instance.name)
            .is_some_and(|view| view.document.is_some_and(|document| document.ready));
        let document = if alive && !(ready && known) { client.status(&base).await.ok() } else { None };
        views.change(&instance.name, |view| {
            view.ready = ready;
            if !(ready && known) {
                view.document = document;
            }
        });
        if liveness.is_wedged_after(alive, began.elapsed()) {
            return format!("{base}/livez has not said yes for {FAILING_FOR:?}");
        }
        tokio::time::sleep(pause(instance.component, ready)).await;
    }
}

fn pause(component: Component, ready: bool) -> Duration {
    match (ready, component) {
        (false, _) => EAGER,
        (true, Component::KubeApiserver) => FRONTED,
        (true, _) => CALM,
    }
}
