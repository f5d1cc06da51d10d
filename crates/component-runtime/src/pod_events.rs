//! What a supervisor refuses, told as an Event of its Pod: once for each reason, tried again while the API is away.
//! Refuses to hold anybody up: telling goes on in the background. Outside of a Pod nobody is told.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use conditions::Backoff;
use management_api::{PodReference, warn_of_pod};
use naming_contract::Component;

use crate::context::Management;

/// The word of the Event.
const REASON: &str = "Refused";
/// Tries, over some ten minutes: a refusal that nobody could be told of by then is told on /statusz all the same.
const ATTEMPTS: u32 = 30;

/// Where refusals are told. Cloning is cheap; clones remember together what was told.
#[derive(Debug, Clone)]
pub struct PodEvents {
    told_to: Option<(Management, PodReference)>,
    component: Component,
    last: Arc<Mutex<String>>,
}

impl PodEvents {
    pub(crate) fn new(told_to: Option<(Management, PodReference)>, component: Component) -> Self {
        Self { told_to, component, last: Arc::default() }
    }

    /// Tells nobody, as outside of a Pod.
    #[must_use]
    pub fn untold(component: Component) -> Self {
        Self::new(None, component)
    }

    /// Whether there is a Pod to tell of.
    pub(crate) fn are_told(&self) -> bool {
        self.told_to.is_some()
    }

    /// Tells why something is refused, unless that was the last thing told. Must be called in a `LocalSet`.
    pub fn refused(&self, why: &str) {
        let Some((management, pod)) = &self.told_to else { return };
        // A panic in between leaves the old text there, which is good.
        let mut last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        if *last == why {
            return;
        }
        why.clone_into(&mut last);
        drop(tokio::task::spawn_local(tell(management.clone(), pod.clone(), self.component, why.to_owned())));
    }
}

async fn tell(management: Management, pod: PodReference, component: Component, why: String) {
    let mut backoff = Backoff::new(Duration::from_millis(500), Duration::from_secs(30));
    for _attempt in 0..ATTEMPTS {
        let told = match management.api() {
            Ok(api) => warn_of_pod(&api, &pod, component.supervisor(), REASON, &why).await,
            Err(error) => {
                tracing::warn!(error = telemetry::error_chain(&error), "no Event can be written");
                return;
            }
        };
        match told {
            Ok(_) => return,
            // An older chart's Role does not let it.
            Err(error) if error.is_forbidden() => {
                tracing::info!(error = error.told(), "no Event of the refusal may be written");
                return;
            }
            Err(error) => {
                tracing::debug!(error = error.told(), "the Event of the refusal is not written yet");
            }
        }
        tokio::time::sleep(backoff.next_delay()).await;
    }
}
