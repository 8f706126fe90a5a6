//! Rows to QuestDB, acknowledged and in order, through its absences.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::time::{Duration, Instant};

use arrow::array::{Array, AsArray, RecordBatch};
use arrow::datatypes::{Float64Type, Int64Type, TimestampMicrosecondType};
use prism_schemas::table::{Kind, TABLES};
use prism_schemas::{QuestDbAddress, Table, Version};
use questdb::ErrorCode;
use questdb::ingress::{Buffer, ColumnName, Protocol, SenderBuilder, TableName, TimestampMicros};

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
    connection: Connection,
    /// What the request being filled holds, in case it cannot be sent.
    pending: Batches,
    /// What the request under way holds.
    under_way: Option<Batches>,
    spool: Spool,
    away: Option<Away>,
    /// Rows acknowledged so far.
    pub rows: u64,
}

/// Rows by table, in the order they are sent.
type Batches = Vec<(&'static Table, RecordBatch)>;

/// A connection with a thread of its own: one request is filled while another is under way.
struct Connection {
    /// The request being filled.
    buffer: Buffer,
    /// The one to fill next, unless it is under way.
    spare: Option<Buffer>,
    requests: SyncSender<Buffer>,
    /// Requests that are done, with how many rows were acknowledged.
    answers: Receiver<(Buffer, questdb::Result<u64>)>,
}

impl Connection {
    fn open(address: &QuestDbAddress) -> questdb::Result<Connection> {
        let (host, port) = address.host.rsplit_once(':').unwrap_or((&address.host, "9000"));
        let mut builder = SenderBuilder::new(Protocol::Http, host, port);
        if let Some((user, password)) = &address.login {
            builder = builder.username(user)?.password(password)?;
        }
        // Retries are the sink's business: it keeps the order and the rows.
        let mut sender = builder.retry_timeout(Duration::ZERO)?.build()?;
        let (buffer, spare) = (sender.new_buffer(), Some(sender.new_buffer()));
        let (requests, to_send) = sync_channel::<Buffer>(1);
        let (answer, answers) = sync_channel(1);
        std::thread::spawn(move || {
            for mut buffer in to_send {
                let n_rows = buffer.row_count() as u64;
                let sent = sender.flush(&mut buffer).map(|()| n_rows);
                buffer.clear();
                if answer.send((buffer, sent)).is_err() {
                    return;
                }
            }
        });
        Ok(Connection { buffer, spare, requests, answers })
    }

    /// Sends the request being filled, after the one before it was waited for.
    fn send(&mut self) {
        if let Some(spare) = self.spare.take() {
            // The thread ends only after this end of the channel, or with a panic, which `wait` notices.
            let _ = self.requests.send(std::mem::replace(&mut self.buffer, spare));
        }
    }

    /// Waits for the request under way.
    fn wait(&mut self) -> questdb::Result<u64> {
        match self.answers.recv() {
            Ok((buffer, sent)) => {
                self.spare = Some(buffer);
                sent
            }
            Err(_) => Err(questdb::Error::new(ErrorCode::SocketError, "the connection's thread ended")),
        }
    }
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
        let connection = connect(client.address())?;
        let run_id = run_id.into();
        let (pending, under_way, away) = (Vec::new(), None, None);
        Ok(Sink { client, options, run_id, connection, pending, under_way, spool, away, rows: 0 })
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
        if self.options.flush_bytes <= self.connection.buffer.len() { self.send() } else { Ok(()) }
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
        self.settle()?;
        Ok(self.away.is_none())
    }

    /// Sends what is on disk, oldest first. False if the server is still away.
    fn drain(&mut self) -> Result<bool, QuestDbError> {
        self.connection = match connect(self.client.address()) {
            Ok(connection) => connection,
            Err(QuestDbError::Away { .. }) => {
                self.leave("it does not answer");
                return Ok(false);
            }
            Err(error) => return Err(error),
        };
        while let Some((table, batches)) = self.spool.front()? {
            for batch in &batches {
                self.encode(table, batch)?;
            }
            self.connection.send();
            if !self.is_acknowledged()? {
                return Ok(false);
            }
            self.spool.pop()?;
        }
        if self.away.take().is_some() {
            tracing::info!(rows = self.rows, "QuestDB is back, all spooled rows are sent");
        }
        Ok(true)
    }

    /// Sends the request being filled, once the one before it is acknowledged.
    fn send(&mut self) -> Result<(), QuestDbError> {
        self.settle()?;
        if !self.pending.is_empty() {
            self.connection.send();
            self.under_way = Some(std::mem::take(&mut self.pending));
        }
        Ok(())
    }

    /// Waits for the request under way. If the server is away, all rows that are not acknowledged go to disk.
    fn settle(&mut self) -> Result<(), QuestDbError> {
        let Some(sent) = self.under_way.take() else { return Ok(()) };
        if !self.is_acknowledged()? {
            self.connection.buffer.clear();
            for (table, batch) in sent.into_iter().chain(std::mem::take(&mut self.pending)) {
                self.spool.push(table, &batch)?;
            }
        }
        Ok(())
    }

    /// Waits for the request under way. False if the server is away.
    fn is_acknowledged(&mut self) -> Result<bool, QuestDbError> {
        let address = || self.client.address().to_string();
        match self.connection.wait() {
            Ok(n_rows) => {
                self.rows += n_rows;
                Ok(true)
            }
            Err(error) if error.code() == ErrorCode::AuthError => Err(QuestDbError::Login { address: address() }),
            Err(error) if error.code() == ErrorCode::ServerFlushError && !is_passing(error.msg()) => {
                Err(QuestDbError::Refused { address: address(), detail: error.msg().into() })
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

    /// Appends rows to the request being filled.
    fn encode(&mut self, table: &'static Table, batch: &RecordBatch) -> Result<(), QuestDbError> {
        let target = Target::new(table, &self.run_id);
        let unfit =
            |error: questdb::Error| arrow::error::ArrowError::SchemaError(format!("{}: {}", table.name, error.msg()));
        encode(&mut self.connection.buffer, &target, batch).map_err(unfit)?;
        Ok(())
    }
}

fn connect(address: &QuestDbAddress) -> Result<Connection, QuestDbError> {
    let away = |error: questdb::Error| QuestDbError::Away { address: address.to_string(), detail: error.msg().into() };
    Connection::open(address).map_err(away)
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

impl prism_schemas::RowStore for Sink {
    fn address(&self) -> String {
        self.client.address().to_string()
    }

    fn run_id(&self) -> &str {
        &self.run_id
    }

    fn write(&mut self, rows: Vec<Version>) -> prism_schemas::StoreResult<()> {
        Ok(Sink::write(self, &rows)?)
    }

    fn flush(&mut self) -> prism_schemas::StoreResult<bool> {
        Ok(Sink::flush(self)?)
    }

    fn mark(&mut self, _: prism_schemas::Ts) {}

    fn readable(&mut self) -> prism_schemas::StoreResult<Option<prism_schemas::Ts>> {
        Ok(None)
    }

    fn finish(&mut self) -> prism_schemas::StoreResult<bool> {
        Ok(Sink::flush(self)?)
    }

    fn scan(&self, table: &'static Table, see: &mut dyn FnMut(Version)) -> prism_schemas::StoreResult<()> {
        Ok(self.client.scan(&self.target(table), see)?)
    }

    fn withdraw(
        &mut self,
        _: &str,
        _: prism_schemas::Ts,
        _: &mut dyn FnMut(Vec<Version>),
    ) -> prism_schemas::StoreResult<Option<u64>> {
        Ok(None)
    }

    fn health(&mut self) -> prism_schemas::Health {
        prism_schemas::Health::default()
    }
}
