//! Futures that may be absent, so that one `select!` can hold everything that may be going on.
//! Refuses results of a finished future twice: once resolved, it is gone.

use std::future::{Future, pending};
use std::pin::Pin;

/// Something that is going on, or not.
pub(crate) struct Ongoing<'a, T>(Option<Pin<Box<dyn Future<Output = T> + 'a>>>);

impl<T> Default for Ongoing<'_, T> {
    fn default() -> Self {
        Self(None)
    }
}

impl<'a, T> Ongoing<'a, T> {
    pub(crate) fn begin(&mut self, future: impl Future<Output = T> + 'a) {
        self.0 = Some(Box::pin(future));
    }

    pub(crate) fn drop_it(&mut self) {
        self.0 = None;
    }

    pub(crate) fn is_going_on(&self) -> bool {
        self.0.is_some()
    }

    /// Resolves with its result, never while nothing is going on. Cancel-safe.
    pub(crate) async fn result(&mut self) -> T {
        match &mut self.0 {
            Some(future) => {
                let result = future.await;
                self.0 = None;
                result
            }
            None => pending().await,
        }
    }
}
