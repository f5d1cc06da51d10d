//! A component with what the runtime adds to its child: Go's memory limit from the container's, and what is known of the
//! keys and CAs that it was started with.
//! Refuses to override what an operator set.

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
        if std::env::var_os(GOMEMLIMIT).is_none()
            && let Some(limit) = go_memory_limit()
        {
            command.environment.entry(GOMEMLIMIT.to_owned()).or_insert_with(|| limit.to_string());
        }
        // No child runs now, and the next one is spawned at once.
        self.in_use.child_starts();
        Ok(command)
    }

    async fn health(&self) -> Health {
        self.component.health().await
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
