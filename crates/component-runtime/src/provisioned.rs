//! A component with what the runtime adds to its child: Go's memory limit from the container's, and what is known of the
//! keys and CAs that it was started with.
//! Refuses to override what an operator set.

use std::collections::BTreeMap;
use std::rc::Rc;

use conditions::Progress;
use naming_contract::environment::GOMEMLIMIT;
use supervision::{ChildCommand, ChildEnding, Health, PrepareError, Supervised};

use crate::in_use::InUse;
use crate::memory_limit::go_memory_limit;

#[derive(Debug)]
pub(crate) struct Provisioned<S> {
    pub(crate) component: S,
    pub(crate) in_use: Rc<InUse>,
}

impl<S: Supervised> Supervised for Provisioned<S> {
    async fn prepare(&self, progress: &dyn Progress) -> Result<ChildCommand, PrepareError> {
        let mut command = self.component.prepare(progress).await?;
        let inherits_one = std::env::var_os(GOMEMLIMIT).is_some();
        limit_memory(&mut command.environment, inherits_one, go_memory_limit());
        // No child runs now, and the next one is spawned at once.
        self.in_use.child_starts();
        Ok(command)
    }

    async fn health(&self) -> Health {
        self.component.health().await
    }

    async fn can_be_spared(&self) -> Result<(), String> {
        self.component.can_be_spared().await
    }

    async fn hold_back(&self, progress: &dyn Progress) {
        self.component.hold_back(progress).await;
    }

    async fn drain_is_senseless(&self) -> String {
        self.component.drain_is_senseless().await
    }

    async fn ended(&self, ending: ChildEnding, stopping: bool) {
        self.component.ended(ending, stopping).await;
    }
}

/// The child inherits our environment; `environment` comes on top of it.
fn limit_memory(environment: &mut BTreeMap<String, String>, inherits_one: bool, limit: Option<u64>) {
    if !inherits_one && let Some(limit) = limit {
        environment.entry(GOMEMLIMIT.to_owned()).or_insert_with(|| limit.to_string());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_memory_limit_is_told_unless_somebody_set_one() {
        let told = |by_component: Option<&str>, inherits_one, limit| {
            let mut environment: BTreeMap<_, _> =
                by_component.map(|value| (GOMEMLIMIT.to_owned(), value.to_owned())).into_iter().collect();
            limit_memory(&mut environment, inherits_one, limit);
            environment.remove(GOMEMLIMIT)
        };
        assert_eq!(told(None, false, Some(900)).as_deref(), Some("900"));
        assert_eq!(told(None, false, None), None);
        assert_eq!(told(None, true, Some(900)), None);
        assert_eq!(told(Some("1GiB"), false, Some(900)).as_deref(), Some("1GiB"));
    }
}
