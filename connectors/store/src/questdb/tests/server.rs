//! A server that speaks as much of QuestDB's HTTP as the sink needs, and misbehaves when told to.

use std::collections::VecDeque;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Condvar, Mutex, MutexGuard};

use parquet::arrow::ArrowWriter;
use prism_schemas::table::{BARS, TABLES, questdb_type, run_tables};
use prism_schemas::time::{format_ts, parse_ts};
use prism_schemas::{Cell, QuestDbAddress, Ts, Version};
use serde_json::{Value, json};

/// What becomes of a request that carries rows.
#[derive(Clone, Debug)]
pub(super) enum Fate {
    /// It is answered with this, and nothing is committed.
    Status(u16, String),
    /// The connection is cut; its rows are committed at the so-manieth look at the sequencers after that.
    CutThenCommitted(usize),
    /// It is committed once the gate is open.
    Slow,
}

#[derive(Default)]
pub(super) struct State {
    /// What becomes of the next requests; those after them are committed.
    pub(super) fates: VecDeque<Fate>,
    /// Bodies in the order they were committed.
    pub(super) commits: Vec<String>,
    /// Bodies that are committed at a later look.
    late: Vec<(usize, String)>,
    pub(super) is_gate_open: bool,
    /// Statements.
    pub(super) asked: Vec<String>,
    pub(super) logins: Vec<String>,
    /// Requests that carried rows.
    pub(super) n_requests: usize,
    /// Name, suspended, sequencer, writer.
    pub(super) wal: Vec<(String, bool, i64, i64)>,
    /// Rows of `bars`, for scans.
    pub(super) bars: Vec<Version>,
    /// The newest knowledge time of every table, in microseconds.
    pub(super) newest: Option<i64>,
    /// A table whose scan ends before it began.
    pub(super) cut: Option<&'static str>,
    /// What stands between answers statements with this.
    pub(super) between: Option<(u16, &'static str)>,
}

/// The server.
#[derive(Clone)]
pub(super) struct Server {
    port: u16,
    shared: Arc<(Mutex<State>, Condvar)>,
}

impl Server {
    pub(super) fn start() -> Server {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let server = Server { port: listener.local_addr().unwrap().port(), shared: Arc::default() };
        server.state().wal = vec![("bars".into(), false, 0, 0)];
        let answering = server.clone();
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                let (server, stream) = (answering.clone(), stream.unwrap());
                std::thread::spawn(move || server.answer(stream));
            }
        });
        server
    }

    pub(super) fn address(&self) -> QuestDbAddress {
        QuestDbAddress::parse(&format!("questdb://admin:hunter2@127.0.0.1:{}", self.port)).unwrap()
    }

    pub(super) fn state(&self) -> MutexGuard<'_, State> {
        self.shared.0.lock().unwrap()
    }

    pub(super) fn open_gate(&self) {
        self.state().is_gate_open = true;
        self.shared.1.notify_all();
    }

    fn answer(&self, stream: TcpStream) {
        let mut reader = BufReader::new(stream);
        let mut first = String::new();
        if reader.read_line(&mut first).is_err() || first.is_empty() {
            return;
        }
        let mut length = 0;
        loop {
            let mut line = String::new();
            reader.read_line(&mut line).unwrap();
            let (name, value) = line.trim().split_once(": ").unwrap_or_default();
            match name.to_lowercase().as_str() {
                "content-length" => length = value.parse().unwrap(),
                "authorization" => self.state().logins.push(value.into()),
                _ => {}
            }
            if line.trim().is_empty() {
                break;
            }
        }
        let mut body = vec![0; length];
        reader.read_exact(&mut body).unwrap();
        let target = first.split(' ').nth(1).unwrap().to_string();
        let (path, query) = target.split_once('?').unwrap_or((&target, ""));
        let sql = query.split('&').find_map(|pair| pair.strip_prefix("query=")).map(decode).unwrap_or_default();
        let answer = match path {
            "/settings" => {
                Some((200, json!({"config": {"line.proto.support.versions": [1]}}).to_string().into_bytes()))
            }
            "/exec" | "/exp" if self.state().between.is_some() => {
                let between = self.state().between;
                between.map(|(status, text)| (status, text.into()))
            }
            "/exec" => Some((200, self.exec(&sql).to_string().into_bytes())),
            "/exp" => Some((200, self.export(&sql))),
            "/write" => self.write(String::from_utf8(body).unwrap()),
            _ => Some((404, Vec::new())),
        };
        let Some((status, body)) = answer else { return };
        let head = format!("HTTP/1.1 {status} X\r\nContent-Length: {}\r\nConnection: close\r\n\r\n", body.len());
        let mut stream = reader.into_inner();
        // Who gave up waiting is gone.
        let _ = stream.write_all(head.as_bytes()).and_then(|()| stream.write_all(&body));
    }

    fn write(&self, body: String) -> Option<(u16, Vec<u8>)> {
        let mut state = self.state();
        state.n_requests += 1;
        match state.fates.pop_front() {
            Some(Fate::Status(status, text)) => return Some((status, text.into_bytes())),
            Some(Fate::CutThenCommitted(looks)) => {
                state.late.push((looks, body));
                return None;
            }
            Some(Fate::Slow) => {
                while !state.is_gate_open {
                    state = self.shared.1.wait(state).unwrap();
                }
            }
            None => {}
        }
        state.commit(body);
        Some((204, Vec::new()))
    }

    fn export(&self, sql: &str) -> Vec<u8> {
        let mut state = self.state();
        state.asked.push(sql.into());
        if state.cut.is_some_and(|table| sql.contains(&format!(" FROM {table} "))) {
            return Vec::new();
        }
        let rows = state.bars_within(sql);
        let batch = BARS.batch(&rows.iter().map(|row| row.cells.as_slice())).unwrap();
        let mut writer = ArrowWriter::try_new(Vec::new(), batch.schema(), None).unwrap();
        writer.write(&batch).unwrap();
        writer.into_inner().unwrap()
    }

    fn exec(&self, sql: &str) -> Value {
        let mut state = self.state();
        state.asked.push(sql.into());
        if sql.contains("wal_tables()") {
            for (looks, _) in &mut state.late {
                *looks -= 1;
            }
            let (now, later) = std::mem::take(&mut state.late).into_iter().partition(|(looks, _)| *looks == 0);
            state.late = later;
            let now: Vec<(usize, String)> = now;
            now.into_iter().for_each(|(_, body)| state.commit(body));
            let rows: Vec<Value> = state.wal.iter().map(|(n, s, q, w)| json!([n, s, q, w, "why"])).collect();
            return json!({"dataset": rows});
        }
        if let Some(name) = sql.split("table_columns('").nth(1).and_then(|rest| rest.split('\'').next()) {
            let mut tables = TABLES.iter().copied().chain(run_tables().iter().map(|(_, stored)| stored));
            let table = tables.find(|table| table.name == name).unwrap();
            let row = |column: &prism_schemas::table::Column| {
                let is_key = table.key.contains(&column.name);
                json!([column.name, questdb_type(column.kind), is_key, column.name == table.designated])
            };
            return json!({"dataset": table.columns.iter().map(row).collect::<Vec<_>>()});
        }
        if sql.contains("max(known_at)") {
            return json!({"dataset": [[state.newest]]});
        }
        if sql.contains("table_partitions('bars')") || sql.starts_with("SELECT min(ts), max(ts) FROM bars") {
            let rows = state.bars_within(sql);
            let [first, last] = [rows.first(), rows.last()].map(|row| row.map(|row| format_ts(time(row))));
            return json!({"dataset": [[first, last, rows.len()]]});
        }
        json!({"dataset": []})
    }
}

impl State {
    fn commit(&mut self, body: String) {
        self.commits.push(body);
        if let Some((_, _, sequencer, _)) = self.wal.iter_mut().find(|(name, ..)| name == "bars") {
            *sequencer += 1;
        }
    }

    /// The bars that fulfil the conditions on `ts` in a statement.
    fn bars_within(&self, sql: &str) -> Vec<Version> {
        let bound = |op: &str| {
            let said = sql.split(&format!("ts {op} '")).nth(1)?;
            parse_ts(said.split('\'').next()?)
        };
        let (from, to) = (bound(">=").unwrap_or(Ts::MIN), bound("<=").unwrap_or(Ts::MAX));
        self.bars.iter().filter(|row| (from..=to).contains(&time(row))).cloned().collect()
    }

    /// Everything is applied.
    pub(super) fn apply(&mut self) {
        self.wal.iter_mut().filter(|table| !table.1).for_each(|table| table.3 = table.2);
    }
}

fn time(row: &Version) -> Ts {
    let Some(Cell::Ts(ts)) = row.get("ts") else { panic!("a row without ts") };
    *ts
}

/// Undoes percent encoding.
fn decode(text: &str) -> String {
    let (mut bytes, mut out) = (text.bytes(), Vec::new());
    while let Some(byte) = bytes.next() {
        out.push(match byte {
            b'%' => {
                let digits = [bytes.next().unwrap(), bytes.next().unwrap()];
                u8::from_str_radix(std::str::from_utf8(&digits).unwrap(), 16).unwrap()
            }
            b'+' => b' ',
            other => other,
        });
    }
    String::from_utf8(out).unwrap()
}
