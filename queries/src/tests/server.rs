//! A QuestDB of the tests: rows in memory, and the part of its SQL that is pushed down, with its own meaning of it.
//!
//! Doubles are equal within 1e-10, a comparison with what is absent is false, a boolean is never absent, an empty name
//! is stored as none, times have microseconds, an export without a limit loses texts. Each was seen on a real server.

use std::collections::BTreeMap;
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex};

use arrow::array::RecordBatch;
use datafusion::sql::sqlparser::ast::{BinaryOperator, Expr, UnaryOperator, Value};
use datafusion::sql::sqlparser::dialect::GenericDialect;
use datafusion::sql::sqlparser::parser::Parser;
use parquet::arrow::ArrowWriter;
use prism_schemas::table::{BARS, Kind};
use prism_schemas::time::{DAY, format_ts, parse_ts};
use prism_schemas::{Cell, QuestDbAddress, Ts, Version};

/// The server, and what it was asked. It holds bars.
pub(super) struct Server {
    pub(super) address: QuestDbAddress,
    asked: Arc<Mutex<Vec<String>>>,
}

impl Server {
    pub(super) fn start(versions: &[Version]) -> Server {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = format!("questdb://{}", listener.local_addr().unwrap());
        let mut rows = BTreeMap::new();
        for version in versions {
            rows.insert((ts(version), version.key()), stored(version));
        }
        let rows: Vec<Version> = rows.into_values().collect();
        let asked = Arc::new(Mutex::new(Vec::new()));
        let noted = asked.clone();
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                serve(stream, &rows, &noted);
            }
        });
        Server { address: QuestDbAddress::parse(&address).unwrap(), asked }
    }

    /// The statements for rows since this was asked last.
    pub(super) fn asked(&self) -> Vec<String> {
        std::mem::take(&mut self.asked.lock().unwrap())
    }
}

/// A row as QuestDB keeps it.
fn stored(version: &Version) -> Version {
    let mut version = version.clone();
    for (column, cell) in version.table.columns.iter().zip(&mut version.cells) {
        match cell {
            Cell::Ts(ts) => *ts = ts.div_euclid(1_000) * 1_000,
            Cell::Text(text) if text.is_empty() => *cell = Cell::Null,
            Cell::Null if column.kind == Kind::Bool => *cell = Cell::Bool(false),
            _ => {}
        }
    }
    version
}

fn ts(version: &Version) -> Ts {
    let Some(Cell::Ts(ts)) = version.get("ts") else { panic!("a row without ts") };
    *ts
}

fn serve(mut stream: TcpStream, rows: &[Version], asked: &Mutex<Vec<String>>) {
    let mut request = Vec::new();
    let mut byte = [0];
    while !request.ends_with(b"\r\n\r\n") {
        if stream.read(&mut byte).unwrap_or(0) == 0 {
            return;
        }
        request.push(byte[0]);
    }
    let request = String::from_utf8(request).unwrap();
    let target = request.split(' ').nth(1).unwrap();
    let query = target.split(['?', '&']).find_map(|part| part.strip_prefix("query=")).unwrap();
    let sql = decode(query);
    let missing = || ("400 Bad request", br#"{"query":"x","error":"table does not exist [table=x]"}"#.to_vec());
    let (status, body) = if let Some(table) = sql.split("table_partitions('").nth(1) {
        if table.starts_with("bars'") { ("200 OK", partitions(rows)) } else { missing() }
    } else if let Some(table) = sql.strip_prefix("SELECT max(ts) FROM ") {
        let newest = rows.last().map(|row| format!("\"{}\"", format_ts(ts(row)))).unwrap_or("null".into());
        let body = format!("{{\"dataset\":[[{newest}]]}}").into_bytes();
        if table == "bars" { ("200 OK", body) } else { missing() }
    } else {
        let limited = sql.strip_prefix("SELECT * FROM (").and_then(|sql| sql.split_once(") LIMIT 1000000000000"));
        let (sql, is_limited) = limited.map_or((sql.as_str(), false), |(sql, _)| (sql, true));
        asked.lock().unwrap().push(sql.to_string());
        if sql.contains(" FROM bars ") { ("200 OK", export(sql, is_limited, rows)) } else { missing() }
    };
    let head = format!("HTTP/1.1 {status}\r\nContent-Length: {}\r\nConnection: close\r\n\r\n", body.len());
    // Whoever asked may have gone.
    let _ = stream.write_all(head.as_bytes()).and_then(|()| stream.write_all(&body));
}

fn decode(text: &str) -> String {
    let (mut out, mut bytes) = (Vec::new(), text.bytes());
    while let Some(byte) = bytes.next() {
        match byte {
            b'%' => {
                let hex = [bytes.next().unwrap(), bytes.next().unwrap()];
                out.push(u8::from_str_radix(std::str::from_utf8(&hex).unwrap(), 16).unwrap());
            }
            _ => out.push(byte),
        }
    }
    String::from_utf8(out).unwrap()
}

fn partitions(rows: &[Version]) -> Vec<u8> {
    let mut days: BTreeMap<i64, (Ts, Ts, usize)> = BTreeMap::new();
    for row in rows {
        let at = ts(row);
        let day = days.entry(at.div_euclid(DAY)).or_insert((at, at, 0));
        *day = (day.0.min(at), day.1.max(at), day.2 + 1);
    }
    let days: Vec<serde_json::Value> =
        days.values().map(|(min, max, n)| serde_json::json!([format_ts(*min), format_ts(*max), n])).collect();
    serde_json::json!({ "dataset": days }).to_string().into_bytes()
}

/// `SELECT columns FROM bars [WHERE condition] ORDER BY ts [DESC] [LIMIT n]` as Parquet.
fn export(sql: &str, is_limited: bool, rows: &[Version]) -> Vec<u8> {
    let (columns, rest) = sql.strip_prefix("SELECT ").unwrap().split_once(" FROM bars ").unwrap();
    let (filter, order) = rest.rsplit_once("ORDER BY ts").unwrap();
    let filter = filter
        .strip_prefix("WHERE ")
        .map(|filter| Parser::new(&GenericDialect {}).try_with_sql(filter).unwrap().parse_expr().unwrap());
    let mut rows: Vec<&Version> =
        rows.iter().filter(|row| filter.as_ref().is_none_or(|filter| holds(filter, row))).collect();
    let (descending, limit) = match order.trim().split_once("LIMIT ") {
        Some((direction, limit)) => (direction.contains("DESC"), limit.parse().unwrap()),
        None => (order.contains("DESC"), usize::MAX),
    };
    if descending {
        rows.reverse();
    }
    rows.truncate(limit);
    let mut rows: Vec<Version> = rows.into_iter().cloned().collect();
    if !is_limited {
        for row in &mut rows {
            for (column, cell) in BARS.columns.iter().zip(&mut row.cells) {
                if column.kind == Kind::Text {
                    *cell = Cell::Null;
                }
            }
        }
    }
    let batch = BARS.batch(&rows.iter().map(|row| row.cells.as_slice())).unwrap();
    let positions: Vec<usize> = columns.split(", ").map(|column| BARS.position(column).unwrap()).collect();
    parquet(&batch.project(&positions).unwrap())
}

fn parquet(batch: &RecordBatch) -> Vec<u8> {
    let mut writer = ArrowWriter::try_new(Vec::new(), batch.schema(), None).unwrap();
    writer.write(batch).unwrap();
    writer.into_inner().unwrap()
}

/// Whether a condition holds; what QuestDB compares with nothing is false, never unknown.
fn holds(filter: &Expr, row: &Version) -> bool {
    match filter {
        Expr::Nested(inner) => holds(inner, row),
        Expr::BinaryOp { left, op: BinaryOperator::And, right } => holds(left, row) && holds(right, row),
        Expr::BinaryOp { left, op: BinaryOperator::Or, right } => holds(left, row) || holds(right, row),
        Expr::BinaryOp { left, op, right } => compare(cell(left, row), op, &text(right)),
        Expr::InList { expr, list, negated: false } => {
            list.iter().any(|value| compare(cell(expr, row), &BinaryOperator::Eq, &text(value)))
        }
        other => panic!("not pushed: {other}"),
    }
}

fn cell<'a>(column: &Expr, row: &'a Version) -> &'a Cell {
    let Expr::Identifier(name) = column else { panic!("not a column: {column}") };
    row.get(&name.value).unwrap()
}

fn text(literal: &Expr) -> String {
    match literal {
        Expr::Value(value) => match &value.value {
            Value::SingleQuotedString(text) | Value::Number(text, _) => text.clone(),
            Value::Boolean(value) => value.to_string(),
            other => panic!("not a literal: {other}"),
        },
        Expr::UnaryOp { op: UnaryOperator::Minus, expr } => format!("-{}", text(expr)),
        other => panic!("not a literal: {other}"),
    }
}

fn compare(cell: &Cell, op: &BinaryOperator, literal: &str) -> bool {
    // Equal, and less.
    let (equal, less) = match cell {
        Cell::Null => return false,
        Cell::Float(value) => {
            let other: f64 = literal.parse().unwrap();
            let equal = (value - other).abs() <= 1e-10;
            (equal, !equal && *value < other)
        }
        Cell::Int(value) => {
            let other: i64 = literal.parse().unwrap();
            (*value == other, *value < other)
        }
        Cell::Ts(value) => (*value == parse_ts(literal).unwrap(), *value < parse_ts(literal).unwrap()),
        Cell::Text(value) => {
            assert_eq!(*op, BinaryOperator::Eq, "texts have another order there");
            (**value == *literal, false)
        }
        Cell::Bool(value) => (value.to_string() == literal, false),
    };
    match op {
        BinaryOperator::Eq => equal,
        BinaryOperator::Lt => less,
        BinaryOperator::LtEq => less || equal,
        BinaryOperator::Gt => !less && !equal,
        BinaryOperator::GtEq => !less,
        other => panic!("not pushed: {other}"),
    }
}
