//! What the tests share: a seeded market, replays in and out of process, places of data and programs, HTTP.

use std::{
    collections::BTreeMap,
    io::{Read, Write},
    net::{TcpListener, TcpStream},
    path::{Path, PathBuf},
    process::{Command, Output, Stdio},
    sync::{
        Arc, Mutex,
        atomic::{AtomicU16, Ordering::Relaxed},
    },
    time::Duration,
};

use prism_dataflow::{
    admit::{Admission, Record},
    assemble::{Plan, assemble},
    drive::{Driver, Pace},
    registry::Registry,
    settings::Settings,
    tables::{Sink, tables},
};
use prism_log::{Log, LogWriter, SegmentLog};
use prism_schemas::{
    Cell, Decimal, Event, InstrumentId, Market, Table, Timeframe, Topic, Version, Versions,
    event::{Batch, Feed, FeedStatus, Instrument, Kline, Side, Trade, event::Body, trade::Id},
    table::TABLES,
    time::{HOUR, MILLISECOND, MINUTE, SECOND},
};
use prism_store::digest::{Digest, Mode};

/// 2024-03-05T06:00:00Z, where made-up markets begin.
pub(crate) const START: i64 = 1_709_618_400 * SECOND;

/// Splitmix64: the same numbers on every machine.
pub(crate) struct Random(pub(crate) u64);

impl Random {
    pub(crate) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// Below `n`.
    pub(crate) fn below(&mut self, n: i64) -> i64 {
        (self.next() % n as u64) as i64
    }

    /// In `0..1`.
    pub(crate) fn unit(&mut self) -> f64 {
        (self.next() >> 11) as f64 / (1u64 << 53) as f64
    }
}

/// An event on its way into a log.
#[derive(Clone, Debug)]
pub(crate) struct Arrival {
    pub(crate) id: InstrumentId,
    pub(crate) event: Event,
    /// How much later than usual it comes.
    pub(crate) delay: i64,
    /// It repeats an earlier trade's identity.
    pub(crate) copy: bool,
}

impl Arrival {
    pub(crate) fn new(id: &InstrumentId, ts_event: i64, ts_recv: i64, body: Body) -> Arrival {
        let event = Event { ts_event, ts_recv, seq: None, index: 0, body: Some(body) };
        Arrival { id: id.clone(), event, delay: 0, copy: false }
    }

    pub(crate) fn trade(&self) -> Option<&Trade> {
        match &self.event.body {
            Some(Body::Trade(trade)) => Some(trade),
            _ => None,
        }
    }

    pub(crate) fn trade_mut(&mut self) -> &mut Trade {
        match &mut self.event.body {
            Some(Body::Trade(trade)) => trade,
            other => panic!("{other:?} is no trade"),
        }
    }
}

pub(crate) fn linear(symbol: &str) -> InstrumentId {
    InstrumentId::new("test", Market::Linear, symbol)
}

/// A trade of whole cents and thousandths, with its sequence number as identity.
pub(crate) fn trade(cents: i64, milli: i64, side: Side, seq: u64) -> Body {
    Body::Trade(Trade {
        id: Some(Id::Number(seq)),
        price: Some(Decimal::new(cents, 2)),
        size: Some(Decimal::new(milli, 3)),
        side: side.into(),
        stream: "trade".into(),
        ..Trade::default()
    })
}

pub(crate) fn status(id: &InstrumentId, ts: i64, status: Feed) -> Arrival {
    let body = Body::FeedStatus(FeedStatus { status: status.into(), cause: "test".into(), ..FeedStatus::default() });
    Arrival::new(id, ts, ts + 50 * MILLISECOND, body)
}

/// What a made-up market trades.
pub(crate) struct Synthetic {
    pub(crate) seed: u64,
    pub(crate) hours: i64,
    pub(crate) trades: i64,
    /// Trades late by 300 ms, 5 min and 3 h, a third each.
    pub(crate) late: usize,
    /// Trades that come twice.
    pub(crate) copies: usize,
}

/// Symbol, share of the trades in percent, first price in cents, beta to the first.
const SYMBOLS: [(&str, i64, f64, f64); 7] = [
    ("BTCUSDT", 26, 6_000_000.0, 1.0),
    ("ETHUSDT", 20, 350_000.0, 1.2),
    ("SOLUSDT", 17, 14_000.0, 1.8),
    ("XRPUSDT", 15, 60_000.0, 0.7),
    ("DOGEUSDT", 12, 15_000.0, 2.0),
    ("ADAUSDT", 1, 70_000.0, 0.5),
    ("BTCUSD", 9, 6_001_000.0, 1.0),
];

impl Synthetic {
    /// Its events in the order they arrive: declarations, warm-up klines of ETHUSDT, feeds' states, trades.
    pub(crate) fn arrivals(&self) -> Vec<Arrival> {
        let mut random = Random(self.seed);
        let span = self.hours * HOUR;
        let mut all = Vec::new();
        let mut trades = Vec::new();
        // A common path of one step a second, with regimes that trend.
        let mut drift = 0.0;
        let path: Vec<f64> = (0..=span / SECOND)
            .scan(0.0, |level, at| {
                if at % 1_500 == 0 {
                    drift = (random.unit() - 0.5) * 3e-5;
                }
                *level += drift + (random.unit() - 0.5) * 2e-4;
                Some(*level)
            })
            .collect();
        // Trades come in bursts of about ten, so that a stride of one epoch has fewer steps to make.
        let bursts: Vec<i64> =
            (0..self.trades / 10).map(|_| random.below(span / MILLISECOND - 60) * MILLISECOND).collect();
        for (symbol, share, first, beta) in SYMBOLS {
            let inverse = symbol == "BTCUSD";
            let market = if inverse { Market::Inverse } else { Market::Linear };
            let id = InstrumentId::new("test", market, symbol);
            let contract_size = inverse.then_some(Decimal::new(100, 0));
            let declared = Instrument { price_decimals: 2, contract_size, ..Instrument::default() };
            all.push(Arrival::new(&id, START, START, Body::Instrument(declared.into())));
            all.push(Arrival::new(&id, START, START, status(&id, START, Feed::Connected).event.body.unwrap()));
            // SOLUSDT has a gap, XRPUSDT a disconnect; nothing trades meanwhile.
            let silent = match symbol {
                "SOLUSDT" => Some((span * 3 / 7, span * 3 / 7 + 12 * MINUTE, Feed::Gap, Feed::ResyncFinished)),
                "XRPUSDT" => Some((span * 5 / 7, span * 5 / 7 + 20 * MINUTE, Feed::Disconnected, Feed::Connected)),
                _ => None,
            };
            if let Some((from, to, off, on)) = silent {
                all.extend([status(&id, START + from, off), status(&id, START + to, on)]);
            }
            let mut times: Vec<i64> = (0..self.trades * share / 100)
                .map(|_| bursts[random.below(bursts.len() as i64) as usize] + random.below(60) * MILLISECOND)
                .collect();
            times.sort_unstable();
            let mut own = 0.0;
            let mut last = 0;
            for (seq, mut at) in (1..).zip(times) {
                // A tenth shares the millisecond of the one before.
                if random.below(10) == 0 && 0 < last {
                    at = last;
                }
                last = at;
                if silent.is_some_and(|(from, to, ..)| from <= at && at < to) {
                    continue;
                }
                own += (random.unit() - 0.5) * 2e-4;
                let up = path[(at / SECOND) as usize + 1] - path[(at / SECOND).max(60) as usize - 60];
                let buy = random.unit() < 0.5 + (up * 400.0).clamp(-0.4, 0.4);
                let cents = first * (1.0 + beta * path[(at / SECOND) as usize] + own);
                let size = 1 + random.below(4_000) * if inverse { 1_000 } else { 1 };
                let side = if buy { Side::Buy } else { Side::Sell };
                let body = trade(cents as i64, size, side, seq);
                let latency = (5 + random.below(115)) * MILLISECOND;
                let mut arrival = Arrival::new(&id, START + at, START + at + latency, body);
                arrival.event.seq = Some(seq);
                match symbol {
                    "DOGEUSDT" => {
                        arrival.trade_mut().id = Some(Id::Text(format!("{seq:08x}-5d3a-4c2e-9c2e-7a1b2c3d4e5f")))
                    }
                    "ADAUSDT" => arrival.trade_mut().id = None,
                    _ => {}
                }
                trades.push(arrival);
            }
        }
        all.extend(klines(&mut random));
        self.delay(&mut random, &mut trades);
        let copied = self.copy(&mut random, &trades);
        trades.extend(copied);
        all.append(&mut trades);
        in_order(&mut all);
        all
    }

    fn delay(&self, random: &mut Random, trades: &mut [Arrival]) {
        let span = self.hours * HOUR;
        // Of the ones late by 300 ms, those at the end of their minute miss its close.
        let tail: Vec<usize> = (0..trades.len())
            .filter(|at| MINUTE - 150 * MILLISECOND < trades[*at].event.ts_event % MINUTE)
            .take(self.late / 6)
            .collect();
        let mut n_late = [0, 0, 0];
        let mut make_late = |trade: &mut Arrival, class: usize| {
            let delay = [300 * MILLISECOND, 5 * MINUTE, 3 * HOUR][class];
            trade.delay = delay;
            trade.event.ts_recv += delay;
            n_late[class] += 1;
        };
        tail.iter().for_each(|at| make_late(&mut trades[*at], 0));
        let mut n = tail.len();
        while n < self.late {
            let class = n % 3;
            let before = [span, span - 6 * MINUTE, span - 3 * HOUR - MINUTE][class];
            let trade = &mut trades[random.below(trades.len() as i64) as usize];
            if trade.delay == 0 && trade.event.ts_event - START < before {
                make_late(trade, class);
                n += 1;
            }
        }
    }

    fn copy(&self, random: &mut Random, trades: &[Arrival]) -> Vec<Arrival> {
        let mut copies = BTreeMap::new();
        while copies.len() < self.copies {
            let at = random.below(trades.len() as i64) as usize;
            if trades[at].delay == 0 && trades[at].trade().unwrap().id.is_some() {
                let mut copy = trades[at].clone();
                copy.event.ts_recv += (1 + random.below(120_000)) * MILLISECOND;
                copy.copy = true;
                copies.insert(at, copy);
            }
        }
        copies.into_values().collect()
    }
}

/// Closed venue bars of ETHUSDT up to the start.
fn klines(random: &mut Random) -> Vec<Arrival> {
    let mut bars = Vec::new();
    for (timeframe, n) in [(Timeframe::M1, 120), (Timeframe::M5, 60), (Timeframe::M15, 60), (Timeframe::H1, 60)] {
        let mut close = 350_000 + random.below(1_000);
        for back in (1..=n).rev() {
            let (open, length) = (close, timeframe.length());
            close += random.below(801) - 400;
            let price = |cents| Some(Decimal::new(cents, 2));
            let kline = Kline {
                timeframe: timeframe.name().into(),
                start: START - back * length,
                open: price(open),
                high: price(open.max(close) + random.below(200)),
                low: price(open.min(close) - random.below(200)),
                close: price(close),
                volume: Some(Decimal::new(1_000 + random.below(100_000), 3)),
                closed: true,
                ..Kline::default()
            };
            let body = Body::Kline(kline.into());
            bars.push(Arrival::new(&linear("ETHUSDT"), START - (back - 1) * length, START, body));
        }
    }
    bars
}

/// Sorts by receive time; equal ones stay as they are.
pub(crate) fn in_order(arrivals: &mut [Arrival]) {
    arrivals.sort_by_key(|arrival| arrival.event.ts_recv);
}

/// Writes a log of these arrivals, in their order; heartbeats go to all partitions of trades and states.
pub(crate) fn write_log(dir: &Path, arrivals: &[Arrival]) {
    let log = Arc::new(SegmentLog::open(dir).unwrap());
    let mut writer = LogWriter::new(log.clone());
    for arrival in arrivals {
        if let Some(Body::Heartbeat(_)) = arrival.event.body {
            writer.flush().unwrap();
            let batch = Batch { events: vec![arrival.event.clone()], ..Batch::default() };
            for topic in [Topic::Trades, Topic::Status] {
                (0..log.partitions(topic)).for_each(|partition| log.append(topic, partition, &batch).unwrap());
            }
            continue;
        }
        writer.push(&arrival.id, arrival.event.clone()).unwrap();
    }
    writer.sync().unwrap();
}

/// The default settings with these lines of TOML over them.
pub(crate) fn settings(over: &str) -> Settings {
    let mut table: toml::Table = include_str!("../default.toml").parse().unwrap();
    for section in ["feeds", "api", "store", "log", "kafka", "questdb"] {
        table.remove(section);
    }
    for (section, keys) in over.parse::<toml::Table>().unwrap() {
        let known = table[&section].as_table_mut().unwrap();
        known.extend(keys.as_table().unwrap().clone());
    }
    let settings: Settings = toml::Value::Table(table).try_into().unwrap();
    settings.check().unwrap();
    settings
}

/// How a log is replayed. Only `seal` may change results.
#[derive(Clone, Copy, Debug)]
pub(crate) struct How {
    pub(crate) workers: usize,
    pub(crate) stride: u64,
    pub(crate) batch: usize,
    pub(crate) seal: bool,
}

pub(crate) const SEALED: How = How { workers: 1, stride: 600, batch: 0, seal: true };

/// A log in memory, admitted once and replayed often.
pub(crate) struct Tape {
    settings: Settings,
    registry: Registry,
    partitions: Arc<Vec<Vec<Record>>>,
    /// Its newest knowledge time.
    pub(crate) newest: u64,
    last_event: i64,
}

impl Tape {
    pub(crate) fn of(arrivals: &[Arrival], settings: &Settings) -> Tape {
        let dir = tempfile::tempdir().unwrap();
        write_log(dir.path(), arrivals);
        Tape::read(dir.path(), settings)
    }

    /// Reads the log at `dir` as `prism replay` does.
    pub(crate) fn read(dir: &Path, settings: &Settings) -> Tape {
        let log = SegmentLog::open_read(dir).unwrap();
        let (registry, mut partitions) = (Registry::default(), Vec::new());
        let (mut newest, mut last_event) = (0, i64::MIN);
        for topic in [Topic::Reference, Topic::Status, Topic::Trades, Topic::Quarantine] {
            for partition in 0..log.partitions(topic) {
                let mut admission = Admission::new(registry.clone(), settings, topic, partition);
                let mut records = Vec::new();
                let mut reader = log.read(topic, partition, 0).unwrap();
                while let Some(record) = reader.next().unwrap() {
                    admission.admit(record.batch, &mut records);
                }
                assert_eq!(reader.torn(), None);
                newest = newest.max(admission.known().unwrap_or(0));
                last_event = last_event.max(admission.last_event);
                partitions.push(records);
            }
        }
        Tape { settings: settings.clone(), registry, partitions: Arc::new(partitions), newest, last_event }
    }

    /// Every version of every row, those of one key in order.
    pub(crate) fn replay(&self, how: How) -> Vec<Version> {
        let mut plan = Plan::new(self.settings.clone()).unwrap();
        plan.registry = self.registry.clone();
        let rows = Arc::new(Mutex::new(Vec::new()));
        let sink: Sink = {
            let rows = rows.clone();
            Arc::new(move |versions: Versions| rows.lock().unwrap().extend(versions.to_vec()))
        };
        let time = &self.settings.time;
        let pace = Pace { epoch: time.epoch as u64, stride: how.stride, batch: how.batch };
        let (last_event, mut end) = (self.last_event, self.newest);
        if how.seal {
            plan.sealed.set(last_event, end);
            let ends = self.settings.timeframes.maintained.iter().map(|tf| tf.end(tf.start(last_event)));
            end = ends.map(|end| time.close(end) as u64).fold(end, u64::max);
        }
        let partitions = self.partitions.clone();
        let guards = timely::execute(timely::Config::process(how.workers), move |worker| {
            let (inputs, probe) =
                worker.dataflow(|scope| assemble(scope, &plan, |outputs| tables(outputs, &plan, &sink)));
            let mut driver = Driver::new(inputs, probe, pace);
            let mine = partitions.iter().skip(worker.index()).step_by(worker.peers());
            let mut records: Vec<&Record> = mine.flatten().collect();
            records.sort_by_key(|record| record.known());
            records.into_iter().for_each(|record| driver.send(worker, record.clone()));
            driver.advance(end + pace.epoch);
            driver.drain(worker);
        });
        guards.unwrap().join().into_iter().for_each(|worker| worker.unwrap());
        Arc::into_inner(rows).map_or_else(Vec::new, |rows| rows.into_inner().unwrap())
    }
}

/// The rows that a store would hold, by table and key.
pub(crate) type Rows = BTreeMap<(&'static str, String), Version>;

pub(crate) fn standing(versions: Vec<Version>) -> Rows {
    versions.into_iter().map(|row| ((row.table.name, row.key()), row)).collect()
}

pub(crate) fn rows_of<'a>(rows: &'a Rows, table: &Table) -> impl Iterator<Item = &'a Version> {
    let name = table.name;
    rows.iter().filter(move |((table, _), _)| *table == name).map(|(_, row)| row)
}

/// The lines of `prism replay --digest`.
pub(crate) fn digest(rows: &Rows, mode: Mode) -> String {
    let mut digests: BTreeMap<&str, Digest> =
        TABLES.iter().filter(|table| table.derived).map(|table| (table.name, Digest::default())).collect();
    for row in rows.values().filter(|row| row.table.derived) {
        digests.get_mut(row.table.name).unwrap().add(row, mode);
    }
    digests.iter().map(|(name, digest)| format!("{name} {digest}\n")).collect()
}

pub(crate) fn ts(row: &Version, column: &str) -> i64 {
    match row.get(column) {
        Some(Cell::Ts(ts)) => *ts,
        other => panic!("{column} is {other:?}"),
    }
}

pub(crate) fn int(row: &Version, column: &str) -> i64 {
    match row.get(column) {
        Some(Cell::Int(value)) => *value,
        other => panic!("{column} is {other:?}"),
    }
}

pub(crate) fn float(row: &Version, column: &str) -> Option<f64> {
    match row.get(column) {
        Some(Cell::Float(value)) => Some(*value),
        Some(Cell::Null) => None,
        other => panic!("{column} is {other:?}"),
    }
}

pub(crate) fn text<'a>(row: &'a Version, column: &str) -> &'a str {
    match row.get(column) {
        Some(Cell::Text(text)) => text,
        other => panic!("{column} is {other:?}"),
    }
}

/// What a run of the program said.
#[derive(Debug)]
pub(crate) struct Said {
    pub(crate) code: i32,
    pub(crate) out: String,
    pub(crate) err: String,
}

impl Said {
    pub(crate) fn of(output: &Output) -> Said {
        let said = Said {
            code: output.status.code().unwrap_or(-1),
            out: String::from_utf8_lossy(&output.stdout).into_owned(),
            err: String::from_utf8_lossy(&output.stderr).into_owned(),
        };
        assert!(!said.err.contains("panicked"), "{said:?}");
        said
    }

    /// Its output, after it ended well.
    pub(crate) fn fine(self) -> String {
        assert_eq!(self.code, 0, "{self:?}");
        self.out
    }
}

/// The program, without this environment's settings.
pub(crate) fn command() -> Command {
    without_settings(Command::new(env!("CARGO_BIN_EXE_prism")))
}

/// The program, with a disk of its own at `dir` that takes no more than `size`.
pub(crate) fn command_on_a_small_disk(dir: &Path, size: &str) -> Command {
    let mut command = Command::new("unshare");
    let mount = "mount -t tmpfs -o size=\"$1\" tmpfs \"$2\" && shift 2 && exec \"$@\"";
    command.args(["-rm", "sh", "-c", mount, "sh", size]).arg(dir).arg(env!("CARGO_BIN_EXE_prism"));
    without_settings(command)
}

fn without_settings(mut command: Command) -> Command {
    std::env::vars().filter(|(name, _)| name.starts_with("PRISM__")).for_each(|(name, _)| {
        command.env_remove(name);
    });
    for name in ["RUST_LOG", "PRISM_LOG", "PRISM_STORE"] {
        command.env_remove(name);
    }
    command
}

/// Runs the program; it must never panic, and it must end.
pub(crate) fn prism<S: AsRef<std::ffi::OsStr>>(arguments: impl IntoIterator<Item = S>) -> Said {
    let child = command().args(arguments).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let id = child.id().to_string();
    let (done, ended) = std::sync::mpsc::channel::<()>();
    let guard = std::thread::spawn(move || {
        // What runs away takes all memory within minutes.
        let is_over = ended.recv_timeout(Duration::from_secs(300)).is_err();
        is_over && Command::new("kill").args(["-9", &id]).status().is_ok()
    });
    let output = child.wait_with_output().unwrap();
    let _ = done.send(());
    assert!(!guard.join().unwrap(), "still running after five minutes");
    Said::of(&output)
}

/// Splits a command line at spaces, `{}` standing for the next of `paths`.
pub(crate) fn run(line: &str, paths: &[&Path]) -> Said {
    let mut paths = paths.iter();
    prism(line.split(' ').map(|word| match word {
        "{}" => paths.next().unwrap().as_os_str().to_os_string(),
        word => word.into(),
    }))
}

pub(crate) fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// A place beside the repository, or a line that says it is not there.
pub(crate) fn shared(test: &str, name: &str) -> Option<PathBuf> {
    let path = root().join("../shared").join(name);
    let path = std::env::var_os("PRISM_DATA").filter(|_| name == "data").map_or(path, PathBuf::from);
    if path.is_dir() {
        return Some(path);
    }
    eprintln!("SKIPPED {test}: no ../shared/{name}");
    None
}

/// A Python that can import these modules, or a line that says there is none.
pub(crate) fn python(test: &str, modules: &str) -> Option<PathBuf> {
    let given = std::env::var_os("PRISM_PYTHON").map(PathBuf::from);
    for python in given.into_iter().chain([root().join(".venv/bin/python"), "python3".into()]) {
        let probe = Command::new(&python).args(["-c", &format!("import {modules}")]).output();
        if probe.is_ok_and(|probe| probe.status.success()) {
            return Some(python);
        }
    }
    eprintln!("SKIPPED {test}: no Python with {modules} (make .venv, or set PRISM_PYTHON)");
    None
}

/// A port for a server that is started later. It is below those that the system gives to whoever asks for any: another test
/// could have it before the server does.
pub(crate) fn free_port() -> u16 {
    static N: AtomicU16 = AtomicU16::new(0);
    let first = 20_000 + (std::process::id() % 1_000) as u16 * 10;
    let mut ports = std::iter::repeat_with(|| first + N.fetch_add(1, Relaxed));
    ports.find(|port| TcpListener::bind(("127.0.0.1", *port)).is_ok()).unwrap()
}

/// One HTTP/1.1 exchange: status and body.
pub(crate) fn http(port: u16, method: &str, path: &str, body: &str) -> std::io::Result<(u16, String)> {
    let mut stream = TcpStream::connect(("127.0.0.1", port))?;
    stream.set_read_timeout(Some(Duration::from_secs(20)))?;
    write!(
        stream,
        "{method} {path} HTTP/1.1\r\nhost: localhost\r\nx-prism: 1\r\nconnection: close\r\ncontent-type: application/json\r\n\
         content-length: {}\r\n\r\n{body}",
        body.len()
    )?;
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer)?;
    let answer = String::from_utf8_lossy(&answer).into_owned();
    let (head, body) = answer.split_once("\r\n\r\n").unwrap_or((&answer, ""));
    let status = head.split(' ').nth(1).and_then(|status| status.parse().ok()).unwrap_or(0);
    let is_chunked = head.to_ascii_lowercase().contains("transfer-encoding: chunked");
    Ok((status, if is_chunked { unchunk(body) } else { body.into() }))
}

fn unchunk(mut body: &str) -> String {
    let mut whole = String::new();
    while let Some((length, rest)) = body.split_once("\r\n") {
        let length = usize::from_str_radix(length.trim(), 16).unwrap_or(0);
        if length == 0 || rest.len() < length {
            break;
        }
        whole += &rest[..length];
        body = rest[length..].trim_start_matches("\r\n");
    }
    whole
}
