//! Rows to QuestDB, acknowledged and in order, through its absences.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use arrow::array::{Array, AsArray, RecordBatch};
use arrow::datatypes::{Float64Type, Int64Type, TimestampMicrosecondType};
use prism_schemas::table::{Kind, TABLES};
use prism_schemas::{QuestDbAddress, Table, Version};
use questdb::ErrorCode;
use questdb::ingress::{Buffer, ColumnName, Protocol, Sender, SenderBuilder, TableName, TimestampMicros};

use super::spool::Spool;
use super::{Client, QuestDbError, Target};

/// The longest wait before the next attempt while the server is away.
const BACK_OFF_MAX: Duration = Duration::from_secs(5);
/// The shortest.
const BACK_OFF_MIN: Duration = Duration::from_millis(100);

/// How rows are sent.
#[derive(Clone, Debug)]
pub struct SinkOptions {
    /// Bytes sent in one request.
    pub flush_bytes: usize,
    /// Directory for rows that wait while the server is away.
    pub spool: PathBuf,
    /// Bytes on disk after which the graph waits.
    pub spool_bytes: u64,
    /// Time to live of tables, by name, in QuestDB's words: `30 DAYS`.
    pub ttl: BTreeMap<String, String>,
}

/// All rows of one run on their way to QuestDB over one connection: a key's versions arrive in their order.
pub struct Sink {
    client: Client,
    options: SinkOptions,
    run_id: String,
    sender: Option<Sender>,
    buffer: Option<Buffer>,
    /// What the buffer holds, in case it cannot be sent.
    pending: Vec<(&'static Table, RecordBatch)>,
    spool: Spool,
    away: Option<Away>,
    /// Rows acknowledged so far.
    pub rows: u64,
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
    /// Makes and checks the tables; the server must answer.
    pub fn open(address: QuestDbAddress, run_id: &str, options: SinkOptions) -> Result<Sink, QuestDbError> {
        let client = Client::new(address);
        for table in TABLES {
            Target::new(table, run_id).ensure(&client, &options.ttl)?;
        }
        let spool = Spool::open(&options.spool, options.spool_bytes)?;
        let mut sink = Sink {
            client,
            options,
            run_id: run_id.into(),
            sender: None,
            buffer: None,
            pending: Vec::new(),
            spool,
            away: None,
            rows: 0,
        };
        sink.connect()?;
        Ok(sink)
    }

    /// Asks the server this sink writes to.
    pub fn client(&self) -> &Client {
        &self.client
    }

    /// Where a table's rows of this run are.
    pub fn target(&self, table: &'static Table) -> Target {
        Target::new(table, &self.run_id)
    }

    /// Why rows wait on disk, if they do.
    pub fn away(&self) -> Option<&str> {
        self.away.as_ref().map(|away| &*away.why)
    }

    /// Bytes that wait on disk.
    pub fn spooled(&self) -> u64 {
        self.spool.bytes()
    }

    /// Takes rows, which must come in the order they became known. Waits only while the spool is full.
    pub fn write(&mut self, rows: &[Version]) -> Result<(), QuestDbError> {
        // Rows of one table stay in order; a key never spans tables.
        let mut by_table: BTreeMap<&str, (&'static Table, Vec<&Version>)> = BTreeMap::new();
        for row in rows {
            by_table.entry(row.table.name).or_insert((row.table, Vec::new())).1.push(row);
        }
        for (table, rows) in by_table.into_values() {
            let batch = table.batch(&rows.iter().map(|row| row.cells.as_slice()))?;
            self.write_batch(table, batch)?;
        }
        Ok(())
    }

    /// As `write`, one table's rows as columns.
    pub fn write_batch(&mut self, table: &'static Table, batch: RecordBatch) -> Result<(), QuestDbError> {
        while self.away.is_some() && self.spool.is_full() {
            std::thread::sleep(BACK_OFF_MIN);
            self.flush()?;
        }
        if self.away.is_some() {
            return self.spool.push(table, &batch);
        }
        self.encode(table, &batch)?;
        self.pending.push((table, batch));
        if self.options.flush_bytes <= self.buffer.as_ref().map_or(0, Buffer::len) {
            self.send()?;
        }
        Ok(())
    }

    /// Sends what waits. True if every row taken so far is acknowledged; false while the server is away.
    pub fn flush(&mut self) -> Result<bool, QuestDbError> {
        if self.away.as_ref().is_some_and(|away| now() < away.next) {
            return Ok(false);
        }
        if self.away.is_some() && !self.drain()? {
            return Ok(false);
        }
        self.send()?;
        Ok(self.away.is_none())
    }

    /// Sends what is on disk, oldest first. False if the server is still away.
    fn drain(&mut self) -> Result<bool, QuestDbError> {
        match self.connect() {
            Ok(()) => {}
            Err(QuestDbError::Away { .. }) => {
                self.leave("it does not answer");
                return Ok(false);
            }
            Err(error) => return Err(error),
        }
        while let Some((table, batches)) = self.spool.front()? {
            for batch in &batches {
                self.encode(table, batch)?;
            }
            if !self.post()? {
                return Ok(false);
            }
            self.spool.pop()?;
        }
        if self.away.take().is_some() {
            tracing::info!(rows = self.rows, "QuestDB is back, all spooled rows are sent");
        }
        Ok(true)
    }

    /// Sends the buffer; what it holds goes to disk if the server is away.
    fn send(&mut self) -> Result<(), QuestDbError> {
        if !self.pending.is_empty() && !self.post()? {
            for (table, batch) in std::mem::take(&mut self.pending) {
                self.spool.push(table, &batch)?;
            }
        }
        self.pending.clear();
        Ok(())
    }

    /// Sends the buffer and waits for the acknowledgement. False if the server is away; the buffer is then empty.
    fn post(&mut self) -> Result<bool, QuestDbError> {
        let (Some(sender), Some(buffer)) = (&mut self.sender, &mut self.buffer) else { return Ok(false) };
        let n_rows = buffer.row_count() as u64;
        let sent = sender.flush(buffer);
        buffer.clear();
        let address = self.client.address().to_string();
        match sent {
            Ok(()) => {
                self.rows += n_rows;
                Ok(true)
            }
            Err(error) if error.code() == ErrorCode::AuthError => Err(QuestDbError::Login { address }),
            Err(error) if error.code() == ErrorCode::ServerFlushError && !is_passing(error.msg()) => {
                Err(QuestDbError::Refused { address, detail: error.msg().into() })
            }
            Err(error) => {
                self.leave(error.msg());
                Ok(false)
            }
        }
    }

    fn leave(&mut self, why: &str) {
        let back_off = match &self.away {
            Some(away) => (away.back_off * 2).min(BACK_OFF_MAX),
            None => {
                tracing::warn!(why, "QuestDB is away: rows wait on disk");
                BACK_OFF_MIN
            }
        };
        self.away = Some(Away { why: why.into(), back_off, next: now() + back_off });
    }

    fn connect(&mut self) -> Result<(), QuestDbError> {
        let address = self.client.address();
        let failed = |error: questdb::Error| QuestDbError::Away {
            address: address.to_string(),
            detail: error.msg().to_string(),
        };
        let (host, port) = address.host.rsplit_once(':').unwrap_or((&address.host, "9000"));
        let mut builder = SenderBuilder::new(Protocol::Http, host, port);
        if let Some((user, password)) = &address.login {
            builder = builder.username(user).and_then(|builder| builder.password(password)).map_err(failed)?;
        }
        // Retries are this sink's business: it keeps the order and the rows.
        let builder = builder.retry_timeout(Duration::ZERO).map_err(failed)?;
        let sender = builder.build().map_err(failed)?;
        self.buffer = Some(sender.new_buffer());
        self.sender = Some(sender);
        Ok(())
    }

    /// Appends rows to the buffer.
    fn encode(&mut self, table: &'static Table, batch: &RecordBatch) -> Result<(), QuestDbError> {
        let target = Target::new(table, &self.run_id);
        let Some(buffer) = &mut self.buffer else { return Ok(()) };
        let unfit =
            |error: questdb::Error| arrow::error::ArrowError::SchemaError(format!("{}: {}", table.name, error.msg()));
        encode(buffer, &target, batch).map_err(unfit)?;
        Ok(())
    }
}

/// Whether the server may accept the same request later: its own trouble, such as a full disk, not ours.
fn is_passing(message: &str) -> bool {
    message.contains("\"code\":\"internal error\"")
}

fn encode(buffer: &mut Buffer, target: &Target, batch: &RecordBatch) -> questdb::Result<()> {
    let table = target.table;
    let name = TableName::new(target.stored.name)?;
    let run_id = ColumnName::new("run_id")?;
    let columns = table.columns.iter().zip(batch.columns());
    let columns: Vec<(ColumnName<'_>, Kind, &dyn Array)> = columns
        .filter(|(column, _)| column.name != table.designated)
        .map(|(column, array)| Ok((ColumnName::new(column.name)?, column.kind, array.as_ref())))
        .collect::<questdb::Result<_>>()?;
    let designated =
        table.position(table.designated).map(|at| batch.column(at).as_primitive::<TimestampMicrosecondType>());
    let Some(designated) = designated else { return Ok(()) };
    // Symbols come before all other columns.
    let (symbols, others): (Vec<_>, Vec<_>) = columns.into_iter().partition(|(_, kind, _)| *kind == Kind::Symbol);
    let symbols: Vec<_> = symbols.iter().map(|(name, _, array)| (*name, array.as_string::<i32>())).collect();
    for row in 0..batch.num_rows() {
        buffer.table(name)?;
        if let Some(run) = &target.run {
            buffer.symbol(run_id, run)?;
        }
        for (name, array) in &symbols {
            if array.is_valid(row) && !array.value(row).is_empty() {
                buffer.symbol(*name, array.value(row))?;
            }
        }
        for (name, kind, array) in others.iter().filter(|(_, _, array)| array.is_valid(row)) {
            match kind {
                Kind::F64 => buffer.column_f64(*name, array.as_primitive::<Float64Type>().value(row))?,
                Kind::I64 => buffer.column_i64(*name, array.as_primitive::<Int64Type>().value(row))?,
                Kind::Bool => buffer.column_bool(*name, array.as_boolean().value(row))?,
                Kind::Text | Kind::Symbol => buffer.column_str(*name, array.as_string::<i32>().value(row))?,
                Kind::Ts => {
                    let micros = array.as_primitive::<TimestampMicrosecondType>().value(row);
                    buffer.column_ts(*name, TimestampMicros::new(micros))?
                }
            };
        }
        buffer.at(TimestampMicros::new(designated.value(row)))?;
    }
    Ok(())
}
