//! Named threads that end together: the first that ends early, fails or panics ends them all.

use std::{
    any::Any,
    panic::{AssertUnwindSafe, catch_unwind},
    thread::{self, JoinHandle},
};

use anyhow::{Context, Result, anyhow};
use tokio_util::sync::CancellationToken;

/// Threads of one process, and how they are told to end.
#[derive(Default)]
pub struct Tasks {
    stop: CancellationToken,
    threads: Vec<JoinHandle<Result<()>>>,
}

impl Tasks {
    /// None yet.
    pub fn new() -> Tasks {
        Tasks::default()
    }

    /// Cancelled when it is time to end.
    pub fn stop(&self) -> CancellationToken {
        self.stop.clone()
    }

    /// Starts a thread. When it ends, for whatever reason, the others are told to end too.
    pub fn spawn(&mut self, name: &'static str, work: impl FnOnce() -> Result<()> + Send + 'static) -> Result<()> {
        let guard = self.stop.clone().drop_guard();
        let guarded = move || {
            let _guard = guard;
            named(name, work)
        };
        let thread = thread::Builder::new().name(name.into()).spawn(guarded);
        self.threads.push(thread.with_context(|| format!("start the thread {name}"))?);
        Ok(())
    }

    /// Tells all threads to end and waits for them; gives the first failure.
    pub fn end(self) -> Result<()> {
        self.stop.cancel();
        let mut outcome = Ok(());
        for thread in self.threads {
            let ended = thread.join().unwrap_or_else(|panic| Err(anyhow!("a thread panicked: {}", message(&*panic))));
            outcome = outcome.and(ended);
        }
        outcome
    }
}

/// Runs work whose panic is an error that names it.
pub(crate) fn named<T>(name: &str, work: impl FnOnce() -> Result<T>) -> Result<T> {
    let outcome = catch_unwind(AssertUnwindSafe(work));
    outcome.unwrap_or_else(|panic| Err(anyhow!("the thread {name} panicked: {}", message(&*panic))))
}

/// What a panic said.
fn message(panic: &(dyn Any + Send)) -> &str {
    let text = panic.downcast_ref::<String>().map(String::as_str);
    text.or_else(|| panic.downcast_ref::<&str>().copied()).unwrap_or("without a message")
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A thread that ends when it is told to.
    fn waiting(tasks: &mut Tasks) {
        let stop = tasks.stop();
        let wait = move || {
            while !stop.is_cancelled() {
                thread::yield_now();
            }
            Ok(())
        };
        tasks.spawn("waiting", wait).unwrap();
    }

    #[test]
    fn one_that_fails_ends_all() {
        let mut tasks = Tasks::new();
        waiting(&mut tasks);
        tasks.spawn("failing", || Err(anyhow!("the disk is full"))).unwrap();
        let stop = tasks.stop();
        while !stop.is_cancelled() {
            thread::yield_now();
        }
        assert_eq!(tasks.end().unwrap_err().to_string(), "the disk is full");
    }

    #[test]
    fn one_that_panics_ends_all_and_is_named() {
        let mut tasks = Tasks::new();
        waiting(&mut tasks);
        tasks.spawn("publish", || panic!("index out of bounds")).unwrap();
        let stop = tasks.stop();
        while !stop.is_cancelled() {
            thread::yield_now();
        }
        assert_eq!(tasks.end().unwrap_err().to_string(), "the thread publish panicked: index out of bounds");
    }
}
