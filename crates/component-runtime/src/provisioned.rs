//! A component with what the runtime adds to its child: Go's memory limit from the container's.
//! Refuses to override what an operator set.

use conditions::Progress;
use naming_contract::environment::GOMEMLIMIT;
use supervision::{ChildCommand, ChildEnding, Health, PrepareError, Supervised};

use crate::memory_limit::go_memory_limit;

#[derive(Debug)]
pub(crate) struct Provisioned<S>(pub(crate) S);

impl<S: Supervised> Supervised for Provisioned<S> {
    async fn prepare(&self, progress: &dyn Progress) -> Result<ChildCommand, PrepareError> {
        let mut command = self.0.prepare(progress).await?;
        if std::env::var_os(GOMEMLIMIT).is_none()
            && let Some(limit) = go_memory_limit()
        {
            command.environment.entry(GOMEMLIMIT.to_owned()).or_insert_with(|| limit.to_string());
        }
        Ok(command)
    }

    async fn health(&self) -> Health {
        self.0.health().await
    }

    async fn hold_back(&self, progress: &dyn Progress) {
        self.0.hold_back(progress).await;
    }

    async fn drain_is_senseless(&self) -> String {
        self.0.drain_is_senseless().await
    }

    async fn ended(&self, ending: ChildEnding, stopping: bool) {
        self.0.ended(ending, stopping).await;
    }
}
