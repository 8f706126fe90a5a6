//! Rows on their way to the store: a queue bounded by rows, so that a slow store holds the graph back, not memory.

use std::{
    collections::VecDeque,
    sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use prism_schemas::Versions;

use crate::merge::Mark;

/// What the store has to hold.
#[derive(Debug)]
pub(crate) enum Kept {
    /// Rows, those of a key in the order they became known.
    Rows(Arc<Vec<Versions>>),
    /// All rows known before this were handed over.
    Mark(Mark),
}

impl Kept {
    fn rows(&self) -> usize {
        match self {
            Kept::Rows(rows) => rows.iter().map(Versions::len).sum(),
            Kept::Mark(_) => 0,
        }
    }
}

#[derive(Default)]
struct State {
    waiting: VecDeque<Kept>,
    rows: usize,
    /// Nobody will put, or nobody will take.
    is_over: bool,
}

struct Shared {
    max: usize,
    state: Mutex<State>,
    moved: Condvar,
}

impl Shared {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn end(&self) {
        self.state().is_over = true;
        self.moved.notify_all();
    }
}

/// Where rows are put.
pub(crate) struct Sender(Arc<Shared>);

/// Where rows are taken.
pub(crate) struct Receiver(Arc<Shared>);

/// What waiting for rows gave.
pub(crate) enum Taken {
    Some(Kept),
    /// Nothing came in time.
    Nothing,
    /// Nothing will come.
    Over,
}

/// A queue of about `max` rows.
pub(crate) fn queue(max: usize) -> (Sender, Receiver) {
    let shared = Arc::new(Shared { max, state: Mutex::default(), moved: Condvar::new() });
    (Sender(shared.clone()), Receiver(shared))
}

impl Sender {
    /// Waits for room. What comes after the receiver has ended is dropped: it ends early only with an error of its own.
    pub(crate) fn put(&self, kept: Kept) {
        let mut state = self.0.state();
        while self.0.max <= state.rows && !state.is_over {
            state = self.0.moved.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
        state.rows += kept.rows();
        state.waiting.push_back(kept);
        self.0.moved.notify_all();
    }

    /// Rows that wait.
    pub(crate) fn rows(&self) -> usize {
        self.0.state().rows
    }
}

impl Drop for Sender {
    fn drop(&mut self) {
        self.0.end();
    }
}

impl Receiver {
    /// What comes next, if it does within `patience`.
    pub(crate) fn take(&self, patience: Duration) -> Taken {
        let is_idle = |state: &mut State| state.waiting.is_empty() && !state.is_over;
        let state = self.0.moved.wait_timeout_while(self.0.state(), patience, is_idle);
        let mut state = state.unwrap_or_else(PoisonError::into_inner).0;
        let Some(kept) = state.waiting.pop_front() else {
            return if state.is_over { Taken::Over } else { Taken::Nothing };
        };
        state.rows -= kept.rows();
        self.0.moved.notify_all();
        Taken::Some(kept)
    }
}

impl Drop for Receiver {
    fn drop(&mut self) {
        self.0.end();
    }
}

#[cfg(test)]
mod tests {
    use std::thread;

    use prism_schemas::{Cell, Version, table};

    use super::*;

    fn rows(n: usize) -> Kept {
        let row = || Version { table: &table::RUNS, cells: vec![Cell::Null; table::RUNS.columns.len()] };
        Kept::Rows(Arc::new(Versions::of(&(0..n).map(|_| row()).collect::<Vec<_>>()).unwrap()))
    }

    #[test]
    fn a_full_queue_waits_until_rows_are_taken() {
        let (sender, receiver) = queue(10);
        sender.put(rows(6));
        sender.put(rows(6));
        let putting = thread::spawn(move || {
            sender.put(rows(1));
            sender.rows()
        });
        thread::sleep(Duration::from_millis(20));
        assert!(!putting.is_finished(), "twelve rows wait, ten may");
        assert!(matches!(receiver.take(Duration::ZERO), Taken::Some(_)));
        assert_eq!(putting.join().unwrap(), 7);
    }

    #[test]
    fn what_was_put_is_taken_before_the_end() {
        let (sender, receiver) = queue(10);
        sender.put(rows(1));
        assert!(matches!(receiver.take(Duration::ZERO), Taken::Some(_)));
        assert!(matches!(receiver.take(Duration::ZERO), Taken::Nothing));
        sender.put(rows(1));
        drop(sender);
        assert!(matches!(receiver.take(Duration::ZERO), Taken::Some(_)));
        assert!(matches!(receiver.take(Duration::ZERO), Taken::Over));
    }

    #[test]
    fn a_store_that_ended_holds_nobody() {
        let (sender, receiver) = queue(1);
        sender.put(rows(5));
        drop(receiver);
        sender.put(rows(5));
    }
}
