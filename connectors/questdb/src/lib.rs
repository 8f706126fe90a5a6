//! QuestDB over HTTP: statements, rows, Parquet exports and the writers' progress, each within a deadline.
//!
//! ```no_run
//! # use std::time::Duration;
//! # use prism_questdb::Client;
//! # use prism_schemas::QuestDbAddress;
//! # async fn f() -> Result<(), Box<dyn std::error::Error>> {
//! let client = Client::new(QuestDbAddress::parse("questdb://127.0.0.1:9000").ok_or("no address")?);
//! let deadline = tokio::time::Instant::now() + Duration::from_secs(5);
//! let rows = client.exec("SELECT count() FROM bars", deadline).await?;
//! # Ok(())
//! # }
//! ```
//!
//! Each request has a connection of its own, driven by the runtime that asks: a runtime that is busy delays nobody
//! else, and dropping a future or an [`Export`] ends the request. Nothing is sent over TLS, so no certificates are
//! needed. Nothing is tried twice: that is the caller's decision, by the kind of the [`Error`]. Only QuestDB's own word
//! is a refusal; what a proxy or another server says means that QuestDB is away. Who cannot wait asynchronously asks
//! through [`blocking::Client`].

pub mod blocking;
mod error;
mod request;
mod stretches;
#[cfg(test)]
mod tests;
mod write;

use std::time::Duration;

use bytes::{Bytes, BytesMut};
use hyper::body::Incoming;
use prism_schemas::QuestDbAddress;
use serde::Deserialize;
use serde_json::Value;
use tokio::time::{Instant, sleep, timeout_at};

pub use crate::error::Error;
pub use crate::stretches::within;
pub use crate::write::Written;

/// Most bytes of a JSON answer, and of what a server says about an error.
pub const JSON_BYTES_MAX: usize = 64 << 20;

/// A limit that no answer reaches. QuestDB 9.3 exports whole pages of a table, where no other condition than time
/// selects rows, with every VARCHAR as null; with a limit it goes through the rows, and they are right.
const ROWS_MAX: u64 = 1_000_000_000_000;
/// Before a server that exports to as many as it can is asked again.
const PAUSE: Duration = Duration::from_millis(100);

/// Asks one server. Cheap to clone; holds no connection.
#[derive(Clone, Debug)]
pub struct Client {
    address: QuestDbAddress,
}

/// How far the writer of a table is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WalTable {
    /// The table.
    pub name: String,
    /// It takes rows but does not apply them: a person must look.
    pub suspended: bool,
    /// Transactions acknowledged.
    pub sequencer: i64,
    /// Transactions that can be read.
    pub writer: i64,
    /// Why it is suspended; empty if it is not.
    pub error: String,
}

impl WalTable {
    /// Transactions acknowledged but not visible yet.
    pub fn lag(&self) -> i64 {
        self.sequencer - self.writer
    }
}

/// A Parquet file on its way.
#[derive(Debug)]
pub struct Export {
    address: QuestDbAddress,
    body: Incoming,
    room: usize,
    limit: usize,
    deadline: Instant,
}

#[derive(Deserialize)]
struct Answer {
    #[serde(default)]
    dataset: Vec<Vec<Value>>,
    error: Option<String>,
    /// QuestDB repeats the statement with what it says about it; no other server does.
    query: Option<String>,
}

impl Client {
    /// Does not connect yet.
    pub fn new(address: QuestDbAddress) -> Client {
        Client { address }
    }

    /// The server.
    pub fn address(&self) -> &QuestDbAddress {
        &self.address
    }

    /// Runs a statement and gives its rows as JSON values; none for a statement that has no rows.
    pub async fn exec(&self, sql: &str, deadline: Instant) -> Result<Vec<Vec<Value>>, Error> {
        let within = timeout_at(deadline, async {
            let (status, body) = request::get(&self.address, "exec", &[("query", sql)], deadline).await?;
            let text = request::whole(&self.address, body, JSON_BYTES_MAX).await?;
            self.answer(status, &text, sql)
        });
        within.await.unwrap_or_else(|_| Err(Error::late(&self.address)))
    }

    /// Asks for the rows of a SELECT as a Parquet file of at most `bytes_max` bytes. The deadline is that of the last
    /// byte.
    pub async fn export(&self, sql: &str, bytes_max: usize, deadline: Instant) -> Result<Export, Error> {
        let limited = format!("SELECT * FROM ({sql}) LIMIT {ROWS_MAX}");
        let path = [("query", limited.as_str()), ("fmt", "parquet"), ("compression_codec", "lz4_raw")];
        let within = timeout_at(deadline, async {
            loop {
                let (status, body) = request::get(&self.address, "exp", &path, deadline).await?;
                if status == 200 {
                    let address = self.address.clone();
                    return Ok(Export { address, body, room: bytes_max, limit: bytes_max, deadline });
                }
                let text = request::whole(&self.address, body, JSON_BYTES_MAX).await?;
                // It exports to as many at once as it has workers; others end, and it does not queue.
                let is_full = status == 429 && text.starts_with(b"exceeded connection limit");
                if !is_full || deadline < Instant::now() + PAUSE {
                    self.answer(status, &text, sql)?;
                    return Err(self.strange(status, &text));
                }
                sleep(PAUSE).await;
            }
        });
        within.await.unwrap_or_else(|_| Err(Error::late(&self.address)))
    }

    /// How far the writer of each table is, other applications' tables included.
    pub async fn wal_tables(&self, deadline: Instant) -> Result<Vec<WalTable>, Error> {
        let sql = "SELECT name, suspended, sequencerTxn, writerTxn, errorMessage FROM wal_tables()";
        let text = |value: &Value| value.as_str().unwrap_or_default().to_string();
        let rows = self.exec(sql, deadline).await?.into_iter().filter(|row| row.len() == 5);
        Ok(rows
            .map(|row| WalTable {
                name: text(&row[0]),
                suspended: row[1].as_bool().unwrap_or_default(),
                sequencer: row[2].as_i64().unwrap_or_default(),
                writer: row[3].as_i64().unwrap_or_default(),
                error: text(&row[4]),
            })
            .collect())
    }

    /// What a whole answer says.
    fn answer(&self, status: u16, text: &[u8], sql: &str) -> Result<Vec<Vec<Value>>, Error> {
        if matches!(status, 401 | 403) {
            return Err(Error::Login { address: self.address.to_string() });
        }
        match serde_json::from_slice::<Answer>(text) {
            // Its own trouble, such as a full disk or a statement cut short, may be over later.
            Ok(Answer { error: Some(error), query: Some(_), .. }) if matches!(status, 408 | 429 | 500..) => {
                Err(Error::away(&self.address, format!("status {status}: {error}")))
            }
            Ok(Answer { error: Some(error), query: Some(_), .. }) => {
                let sql: String = sql.chars().take(1_000).collect();
                Err(Error::Refused { address: self.address.to_string(), detail: format!("{error} in: {sql}") })
            }
            Ok(Answer { dataset, error: None, .. }) if status == 200 => Ok(dataset),
            _ => Err(self.strange(status, text)),
        }
    }

    /// An answer that is none of QuestDB's: a proxy or another server speaks, and it may be back later.
    fn strange(&self, status: u16, text: &[u8]) -> Error {
        let said: String = String::from_utf8_lossy(text).chars().take(200).collect();
        Error::away(&self.address, format!("status {status}, not from QuestDB: {}", said.trim()))
    }
}

impl Export {
    /// The next part of the file; `None` after the last.
    pub async fn chunk(&mut self) -> Result<Option<Bytes>, Error> {
        let next = timeout_at(self.deadline, request::chunk(&self.address, &mut self.body));
        let chunk = next.await.unwrap_or_else(|_| Err(Error::late(&self.address)))?;
        if let Some(bytes) = &chunk {
            let left = self.room.checked_sub(bytes.len());
            self.room = left.ok_or_else(|| Error::too_large(&self.address, self.limit))?;
        }
        Ok(chunk)
    }

    /// The whole file.
    pub async fn bytes(mut self) -> Result<Bytes, Error> {
        let mut whole = BytesMut::new();
        while let Some(chunk) = self.chunk().await? {
            whole.extend_from_slice(&chunk);
        }
        Ok(whole.freeze())
    }
}
