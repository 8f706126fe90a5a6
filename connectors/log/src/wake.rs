//! Threads that wait for records and are woken when some become visible.

use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::thread::Thread;

/// Threads to unpark.
#[derive(Default)]
pub struct Wakers {
    threads: Mutex<Vec<Weak<Thread>>>,
}

impl Wakers {
    /// Unparks `reader` at each `wake` for as long as the caller keeps the handle.
    pub fn add(&self, reader: &Arc<Thread>) {
        let mut threads = self.threads.lock().unwrap_or_else(PoisonError::into_inner);
        threads.retain(|thread| 0 < thread.strong_count());
        threads.push(Arc::downgrade(reader));
    }

    /// Unparks all of them.
    pub fn wake(&self) {
        for thread in &*self.threads.lock().unwrap_or_else(PoisonError::into_inner) {
            if let Some(thread) = thread.upgrade() {
                thread.unpark();
            }
        }
    }
}
