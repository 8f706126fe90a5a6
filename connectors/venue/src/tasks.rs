//! The tasks of a venue by name: one that panics ends all of them, and is named.

use std::any::Any;
use std::panic::AssertUnwindSafe;
use std::sync::{Arc, OnceLock};

use futures::FutureExt;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

/// Tasks that end together.
pub(super) struct Tasks {
    set: JoinSet<()>,
    /// Cancelled when it is time to end.
    pub(super) over: CancellationToken,
    panicked: Arc<OnceLock<(String, String)>>,
}

impl Tasks {
    /// None yet; they end with `over`.
    pub(super) fn new(over: &CancellationToken) -> Tasks {
        Tasks { set: JoinSet::new(), over: over.child_token(), panicked: Arc::default() }
    }

    /// A task that ends by itself when it is time.
    pub(super) fn spawn(&mut self, name: impl Into<String>, task: impl Future<Output = ()> + Send + 'static) {
        let (name, over, panicked) = (name.into(), self.over.clone(), self.panicked.clone());
        let task = AssertUnwindSafe(task.boxed()).catch_unwind();
        self.set.spawn(async move {
            if let Err(panic) = task.await {
                // The first one says why; others may follow from it.
                let _ = panicked.set((name, said(&*panic)));
                over.cancel();
            }
        });
    }

    /// A task that is given up when it is time.
    pub(super) fn spawn_endless(&mut self, name: impl Into<String>, task: impl Future<Output = ()> + Send + 'static) {
        let over = self.over.clone();
        self.spawn(name, async move { over.run_until_cancelled(task.boxed()).await.unwrap_or(()) });
    }

    /// Waits for all of them; the name of one that panicked, and what it said.
    pub(super) async fn join(&mut self) -> Option<(String, String)> {
        while self.set.join_next().await.is_some() {}
        self.panicked.get().cloned()
    }
}

/// What a panic said.
fn said(panic: &(dyn Any + Send)) -> String {
    let text = panic.downcast_ref::<&str>().map(|text| (*text).to_string());
    text.or_else(|| panic.downcast_ref::<String>().cloned()).unwrap_or_else(|| "no message".into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_task_that_panics_ends_all_and_is_named() {
        let mut tasks = Tasks::new(&CancellationToken::new());
        tasks.spawn_endless("patient", std::future::pending());
        tasks.spawn("books of connection 3", async { panic!("{} is no number", 7) });
        assert_eq!(tasks.join().await, Some(("books of connection 3".into(), "7 is no number".into())));
        assert!(tasks.over.is_cancelled());
    }

    #[tokio::test]
    async fn tasks_that_end_in_order_are_nobodys_failure() {
        let over = CancellationToken::new();
        let mut tasks = Tasks::new(&over);
        tasks.spawn_endless("patient", std::future::pending());
        over.cancel();
        assert_eq!(tasks.join().await, None);
    }
}
