//! The client for threads that wait.
//!
//! Each call has a thread and a runtime of its own for as long as it takes: so it may be made from anywhere, from inside
//! another runtime too (which waits then), and nothing is left behind after its deadline.

use std::ops::RangeInclusive;
use std::panic::resume_unwind;
use std::thread;
use std::time::Duration;

use bytes::Bytes;
use prism_schemas::{QuestDbAddress, Ts};
use serde_json::Value;
use tokio::runtime::Builder;
use tokio::time::Instant;

use crate::{Error, WalTable, Written};

/// As [`crate::Client`]; each call blocks, for at most its timeout.
#[derive(Clone, Debug)]
pub struct Client {
    inner: crate::Client,
}

impl Client {
    /// Does not connect yet.
    pub fn new(address: QuestDbAddress) -> Client {
        Client { inner: crate::Client::new(address) }
    }

    /// The server.
    pub fn address(&self) -> &QuestDbAddress {
        self.inner.address()
    }

    /// Runs a statement and gives its rows as JSON values; none for a statement that has no rows.
    pub fn exec(&self, sql: &str, timeout: Duration) -> Result<Vec<Vec<Value>>, Error> {
        self.ask(timeout, |deadline| self.inner.exec(sql, deadline))
    }

    /// The rows of a SELECT as a Parquet file of at most `bytes_max` bytes.
    pub fn export(&self, sql: &str, bytes_max: usize, timeout: Duration) -> Result<Bytes, Error> {
        let export = async |deadline| self.inner.export(sql, bytes_max, deadline).await?.bytes().await;
        self.ask(timeout, export)
    }

    /// How far the writer of each table is, other applications' tables included.
    pub fn wal_tables(&self, timeout: Duration) -> Result<Vec<WalTable>, Error> {
        self.ask(timeout, |deadline| self.inner.wal_tables(deadline))
    }

    /// The stretches of time to ask for one by one: see [`crate::Client::stretches`].
    pub fn stretches(
        &self,
        table: &str,
        range: &RangeInclusive<Ts>,
        rows: u64,
        timeout: Duration,
    ) -> Result<Vec<RangeInclusive<Ts>>, Error> {
        self.ask(timeout, |deadline| self.inner.stretches(table, range, rows, deadline))
    }

    /// Sends rows in the line protocol, times in nanoseconds.
    pub fn write(&self, lines: Bytes, timeout: Duration) -> Written {
        let written = wait(timeout, |deadline| self.inner.write(lines, deadline));
        written.unwrap_or_else(|error| Written::NotNow(error.to_string()))
    }

    /// The versions of the line protocol that the server reads.
    pub fn line_protocols(&self, timeout: Duration) -> Result<Vec<u64>, Error> {
        self.ask(timeout, |deadline| self.inner.line_protocols(deadline))
    }

    fn ask<T: Send, F: Future<Output = Result<T, Error>>>(
        &self,
        timeout: Duration,
        ask: impl FnOnce(Instant) -> F + Send,
    ) -> Result<T, Error> {
        // It may be that the system has no thread or no file to give.
        wait(timeout, ask).unwrap_or_else(|error| Err(Error::away(self.address(), format!("not asked: {error}"))))
    }
}

/// What a future gives that ends at a deadline.
fn wait<T: Send, F: Future<Output = T>>(
    timeout: Duration,
    ask: impl FnOnce(Instant) -> F + Send,
) -> std::io::Result<T> {
    let work = || {
        let runtime = Builder::new_current_thread().enable_all().build()?;
        let answer = runtime.block_on(async { ask(Instant::now() + timeout).await });
        // A name that is still being resolved is not waited for.
        runtime.shutdown_background();
        Ok(answer)
    };
    thread::scope(|scope| {
        let asking = thread::Builder::new().name("questdb".into()).spawn_scoped(scope, work)?;
        asking.join().unwrap_or_else(|panic| resume_unwind(panic))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_runtime_cannot_end_is_not_waited_for() {
        let (gone, end) = std::sync::mpsc::channel::<()>();
        // As a name that nobody resolves.
        let hangs = async |deadline| {
            let hung = tokio::task::spawn_blocking(move || end.recv());
            tokio::time::timeout_at(deadline, hung).await.is_err()
        };
        assert!(wait(Duration::from_millis(20), hangs).unwrap());
        drop(gone);
    }
}
