//! Rows to QuestDB, acknowledged and in order, through its absences.
//!
//! One request is under way at a time and carries rows in the order they came, so a key's versions are committed in
//! their order. A request that ends without an answer (a timeout, a cut connection, a proxy that gave up) may still be
//! committed by the server, later than rows sent after it, and QuestDB keeps what is committed last: an older version
//! would win. So after such a request nothing is sent until the server answers again and the sequencers of prism's
//! tables have stood still for a while, which tells that it works on nothing of ours any more; then the same rows are
//! sent again, before anything newer. Repeating them is harmless: keys are upserted.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use arrow::array::RecordBatch;
use bytes::Bytes;
use prism_questdb::blocking::Client;
use prism_questdb::{Error, WalTable, Written};
use prism_schemas::table::TABLES;
use prism_schemas::{QuestDbAddress, Table, Ts, Versions};
use questdb::ingress::{Buffer, ProtocolVersion};

use super::connection::{Connection, protocol};
use super::encode::encode;
use super::spool::Spool;
use super::{LOOK, QuestDbError, Target};

/// Looks after which tables that grow are another process's.
const LOOKS: usize = 5;
/// Rows encoded at once.
const ENCODED_ROWS: usize = 1_024;

/// How rows are sent.
#[derive(Clone, Debug)]
pub struct SinkOptions {
    /// Bytes sent in one request.
    pub flush_bytes: usize,
    /// Directory for rows that wait while the server is away: of this server and run alone.
    pub spool: PathBuf,
    /// Bytes on disk after which the graph waits.
    pub spool_bytes: u64,
    /// Time to live of tables, by name, in QuestDB's words: `30 DAYS`.
    pub ttl: BTreeMap<String, String>,
}

/// How long is waited.
#[derive(Clone, Copy, Debug)]
pub(super) struct Pace {
    /// Before the next attempt while the server is away, at first and at most.
    pub(super) back_off: (Duration, Duration),
    /// For an answer, by whoever writes or flushes; then rows go to disk.
    pub(super) answer: Duration,
    /// Sequencers stand still for so long after an answer that never came.
    pub(super) settled: Duration,
    /// Sequencers stand still for so long where nobody else writes; a writer flushes several times meanwhile.
    pub(super) alone: Duration,
}

impl Default for Pace {
    fn default() -> Pace {
        Pace {
            back_off: (Duration::from_millis(100), Duration::from_secs(5)),
            answer: Duration::from_secs(2),
            settled: Duration::from_secs(3),
            alone: Duration::from_secs(1),
        }
    }
}

/// All rows of one run on their way to QuestDB.
pub struct Sink {
    client: Client,
    options: SinkOptions,
    pub(super) run_id: String,
    connection: Connection,
    /// The request being filled.
    filling: Buffer,
    under_way: Option<Request>,
    spool: Spool,
    away: Option<Away>,
    /// Since a request ended without an answer: the sequencers when they last moved.
    unsettled: Option<(Instant, BTreeMap<String, i64>)>,
    pub(super) pace: Pace,
    /// Rows acknowledged so far.
    pub rows: u64,
    /// Rows acknowledged that had waited on disk, since it was last empty.
    drained: u64,
    pub(super) marks: Marks,
}

/// How far rows can be read.
#[derive(Default)]
pub(super) struct Marks {
    /// The newest mark.
    pub(super) marked: Option<Ts>,
    /// A mark, and the transactions that must be applied before its rows can be read.
    pub(super) waiting: Option<(Ts, BTreeMap<String, i64>)>,
    /// The newest mark whose rows can be read.
    pub(super) readable: Option<Ts>,
}

struct Request {
    body: Bytes,
    rows: u64,
    /// Requests at the front of the spool that it holds; 0 if it is in memory alone.
    n_spooled: usize,
}

/// Since the server stopped to answer.
struct Away {
    why: String,
    back_off: Duration,
    next: Instant,
}

#[expect(clippy::disallowed_methods, reason = "when to try again changes no row")]
fn now() -> Instant {
    Instant::now()
}

impl Sink {
    /// Makes and checks the tables; the server must answer. Refuses if another process on this machine writes the run.
    pub fn open(address: QuestDbAddress, run_id: &str, options: SinkOptions) -> Result<Sink, QuestDbError> {
        let spool = Spool::open(&options.spool, options.spool_bytes)?;
        let client = Client::new(address);
        let version = protocol(&client)?;
        for table in TABLES {
            Target::new(table, run_id).ensure(&client, &options.ttl)?;
        }
        Ok(Sink::of(client, version, run_id, options, spool))
    }

    fn of(client: Client, version: ProtocolVersion, run_id: &str, options: SinkOptions, spool: Spool) -> Sink {
        Sink {
            connection: Connection::new(&client),
            client,
            options,
            run_id: run_id.into(),
            filling: Buffer::new(version),
            under_way: None,
            spool,
            away: None,
            unsettled: None,
            pace: Pace::default(),
            rows: 0,
            drained: 0,
            marks: Marks::default(),
        }
    }

    /// Refuses if another process writes this run, on whichever machine: its tables go on growing.
    pub fn alone(&self) -> Result<(), QuestDbError> {
        let mut seen = self.sequencers()?;
        for _ in 0..LOOKS {
            std::thread::sleep(self.pace.alone);
            let found = self.sequencers()?;
            if found == seen {
                return Ok(());
            }
            // Perhaps the last request of a process that was killed.
            seen = found;
        }
        Err(QuestDbError::Written { address: self.client.address().to_string(), run_id: self.run_id.clone() })
    }

    /// Transactions acknowledged, by table.
    fn sequencers(&self) -> Result<BTreeMap<String, i64>, Error> {
        Ok(self.wal_tables()?.into_iter().map(|table| (table.name, table.sequencer)).collect())
    }

    /// Asks the server this sink writes to.
    pub fn client(&self) -> &Client {
        &self.client
    }

    /// Where a table's rows of this run are.
    pub fn target(&self, table: &'static Table) -> Target {
        Target::new(table, &self.run_id)
    }

    /// How far the writers of the tables are that this sink writes: those of others change nothing.
    pub fn wal_tables(&self) -> Result<Vec<WalTable>, Error> {
        let mut tables = self.client.wal_tables(LOOK)?;
        tables.retain(|found| TABLES.iter().any(|table| self.target(table).stored.name == found.name));
        Ok(tables)
    }

    /// Why rows wait on disk, if they do.
    pub fn away(&self) -> Option<&str> {
        self.away.as_ref().map(|away| &*away.why)
    }

    /// Bytes that wait on disk.
    pub fn spooled(&self) -> u64 {
        self.spool.bytes()
    }

    /// Rows that wait on disk.
    pub fn spooled_rows(&self) -> u64 {
        self.spool.rows()
    }

    /// Takes rows, which must come in the order they became known. Waits only while the spool is full.
    pub fn write(&mut self, rows: &[Versions]) -> Result<(), QuestDbError> {
        for versions in rows {
            for from in (0..versions.len()).step_by(ENCODED_ROWS) {
                let n_rows = ENCODED_ROWS.min(versions.len() - from);
                self.write_batch(versions.table(), &versions.rows().slice(from, n_rows))?;
            }
        }
        Ok(())
    }

    fn write_batch(&mut self, table: &'static Table, batch: &RecordBatch) -> Result<(), QuestDbError> {
        let target = self.target(table);
        encode(&mut self.filling, &target, batch)
            .map_err(|error| arrow::error::ArrowError::SchemaError(format!("{}: {}", table.name, error.msg())))?;
        if self.filling.len() < self.options.flush_bytes {
            return Ok(());
        }
        // The request before this one is waited for, but not for long.
        self.is_answered(self.pace.answer)?;
        if self.under_way.is_none() && self.spool.is_empty() && self.is_there()? {
            self.send_filling();
            return Ok(());
        }
        self.spool_all()?;
        while self.spool.is_full() {
            std::thread::sleep(self.pace.back_off.0);
            self.flush()?;
        }
        Ok(())
    }

    /// Sends what waits. True if every row taken so far is acknowledged; false while the server is away or slow: then
    /// they wait on disk.
    pub fn flush(&mut self) -> Result<bool, QuestDbError> {
        let until = now() + self.pace.answer;
        loop {
            let is_answered = self.is_answered(until.saturating_duration_since(now()))?;
            if !is_answered || !self.is_there()? {
                self.spool_all()?;
                return Ok(false);
            }
            match self.spool.front(self.options.flush_bytes)? {
                Some(front) => self.send(front.body.into(), front.rows, front.n),
                None if !self.filling.is_empty() => self.send_filling(),
                None => return Ok(true),
            }
        }
    }

    fn send_filling(&mut self) {
        let (body, rows) = (Bytes::copy_from_slice(self.filling.as_bytes()), self.filling.row_count() as u64);
        self.filling.clear();
        self.send(body, rows, 0);
    }

    fn send(&mut self, body: Bytes, rows: u64, n_spooled: usize) {
        self.connection.send(body.clone());
        self.under_way = Some(Request { body, rows, n_spooled });
    }

    /// Whether it is time to send: the server is not away, and nothing of ours can still be committed.
    fn is_there(&mut self) -> Result<bool, QuestDbError> {
        if self.away.as_ref().is_some_and(|away| now() < away.next) {
            return Ok(false);
        }
        let Some((since, seen)) = &self.unsettled else { return Ok(true) };
        match self.sequencers() {
            Ok(found) => {
                if *seen != found {
                    self.unsettled = Some((now(), found));
                } else if self.pace.settled <= since.elapsed() {
                    self.unsettled = None;
                }
                Ok(self.unsettled.is_none())
            }
            Err(error) if error.is_away() => {
                // What stood still while nobody answered tells nothing.
                self.unsettled = Some((now(), BTreeMap::new()));
                self.leave(&error.detail());
                Ok(false)
            }
            Err(error) => Err(error.into()),
        }
    }

    /// Rows in memory to the end of the spool, those under way first.
    fn spool_all(&mut self) -> Result<(), QuestDbError> {
        if let Some(request) = self.under_way.as_mut().filter(|request| request.n_spooled == 0) {
            self.spool.push(&request.body, request.rows)?;
            request.n_spooled = 1;
        }
        if !self.filling.is_empty() {
            self.spool.push(self.filling.as_bytes(), self.filling.row_count() as u64)?;
            self.filling.clear();
        }
        Ok(())
    }

    /// Whether nothing is under way, or no longer after waiting so long. What was not taken is in the spool then.
    fn is_answered(&mut self, wait: Duration) -> Result<bool, QuestDbError> {
        if self.under_way.is_none() {
            return Ok(true);
        }
        let Some(answer) = self.connection.answer(wait) else { return Ok(false) };
        if answer != Written::Taken {
            // Nothing is ahead of it: all that came after it waits behind it or in memory.
            self.spool_all()?;
        }
        let Some(request) = self.under_way.take() else { return Ok(true) };
        let address = || self.client.address().to_string();
        match answer {
            Written::Taken => self.taken(&request)?,
            Written::NotNow(why) => self.leave(&why),
            Written::Unknown(why) => {
                self.unsettled = Some((now(), BTreeMap::new()));
                self.leave(&why);
            }
            Written::Login => return Err(Error::Login { address: address() }.into()),
            Written::Refused(detail) => return Err(Error::Refused { address: address(), detail }.into()),
        }
        Ok(true)
    }

    fn taken(&mut self, request: &Request) -> Result<(), QuestDbError> {
        self.rows += request.rows;
        if 0 < request.n_spooled {
            self.spool.pop(request.n_spooled)?;
            self.drained += request.rows;
        }
        if self.away.take().is_some() {
            tracing::info!(waiting = self.spool.rows(), "QuestDB is back");
        }
        if self.spool.is_empty() && 0 < self.drained {
            tracing::info!(rows = self.drained, "all rows that waited on disk are sent");
            self.drained = 0;
        }
        Ok(())
    }

    fn leave(&mut self, why: &str) {
        let (shortest, longest) = self.pace.back_off;
        let back_off = match &self.away {
            Some(away) => (away.back_off * 2).min(longest),
            None => {
                tracing::warn!(why, "QuestDB is away: rows wait on disk");
                shortest
            }
        };
        self.away = Some(Away { why: why.into(), back_off, next: now() + back_off });
    }
}
