//! How long typical queries take, through prism and sent straight to QuestDB.

use anyhow::Result;
use prism_queries::{Engine, LiveRows, Options, Parameters, Place};
use prism_questdb::blocking::Client;
use prism_schemas::QuestDbAddress;

use super::{STATEMENT, timed};
use crate::output::table;

/// How often each is asked; the median counts.
const TIMES: usize = 15;

/// A question, for prism and for QuestDB; `RUN` is the run's name.
const QUERIES: [(&str, &str, &str); 10] = [
    (
        "newest bar per symbol",
        "SELECT symbol, ts, close FROM (SELECT symbol, ts, close, row_number() OVER (PARTITION BY symbol ORDER BY ts DESC) AS n
         FROM runs.bars WHERE run_id = 'RUN' AND timeframe = '1m') WHERE n = 1",
        "SELECT symbol, ts, close FROM run_bars WHERE run_id = 'RUN' AND timeframe = '1m' LATEST ON ts PARTITION BY symbol",
    ),
    (
        "range of an hour",
        "SELECT ts, open, high, low, close FROM runs.bars WHERE run_id = 'RUN' AND symbol = 'BTCUSDT' AND timeframe = '1m'
         AND ts >= '2001-01-01T02:00:00' AND ts < '2001-01-01T03:00:00' ORDER BY ts",
        "SELECT ts, open, high, low, close FROM run_bars WHERE run_id = 'RUN' AND symbol = 'BTCUSDT' AND timeframe = '1m'
         AND ts >= '2001-01-01T02:00:00' AND ts < '2001-01-01T03:00:00' ORDER BY ts",
    ),
    (
        "oldest 100",
        "SELECT ts, close FROM runs.bars WHERE run_id = 'RUN' AND symbol = 'ETHUSDT' AND timeframe = '1m' ORDER BY ts LIMIT 100",
        "SELECT ts, close FROM run_bars WHERE run_id = 'RUN' AND symbol = 'ETHUSDT' AND timeframe = '1m' ORDER BY ts LIMIT 100",
    ),
    (
        "newest 50",
        "SELECT ts, close FROM runs.bars WHERE run_id = 'RUN' AND symbol = 'BTCUSDT' AND timeframe = '1m' ORDER BY ts DESC LIMIT 50",
        "SELECT ts, close FROM run_bars WHERE run_id = 'RUN' AND symbol = 'BTCUSDT' AND timeframe = '1m' ORDER BY ts DESC LIMIT 50",
    ),
    (
        "top 10 scores",
        "SELECT symbol, ts, score FROM runs.confluence WHERE run_id = 'RUN' ORDER BY score DESC LIMIT 10",
        "SELECT symbol, ts, score FROM run_confluence WHERE run_id = 'RUN' ORDER BY score DESC LIMIT 10",
    ),
    (
        "high and low by hour",
        "SELECT date_trunc('hour', ts) AS hour, max(high), min(low) FROM runs.bars WHERE run_id = 'RUN' AND timeframe = '1m'
         GROUP BY 1 ORDER BY 1",
        "SELECT timestamp_floor('h', ts) AS hour, max(high), min(low) FROM run_bars WHERE run_id = 'RUN' AND timeframe = '1m'
         GROUP BY hour ORDER BY hour",
    ),
    (
        "two symbols by hour",
        "SELECT date_trunc('hour', ts) AS hour, symbol, sum(volume) FROM runs.bars WHERE run_id = 'RUN' AND timeframe = '1m'
         AND symbol IN ('BTCUSDT', 'ETHUSDT') GROUP BY 1, 2 ORDER BY 1, 2",
        "SELECT timestamp_floor('h', ts) AS hour, symbol, sum(volume) FROM run_bars WHERE run_id = 'RUN' AND timeframe = '1m'
         AND symbol IN ('BTCUSDT', 'ETHUSDT') GROUP BY hour, symbol ORDER BY hour, symbol",
    ),
    (
        "mean of each component",
        "SELECT component, count(*), avg(score) FROM runs.component_scores WHERE run_id = 'RUN' GROUP BY component",
        "SELECT component, count(*), avg(score) FROM run_component_scores WHERE run_id = 'RUN' GROUP BY component",
    ),
    (
        "bars with indicators",
        "SELECT b.ts, b.symbol, b.close, i.rsi_14 FROM runs.bars b JOIN runs.indicators i ON b.ts = i.ts AND b.symbol = i.symbol
         AND b.timeframe = i.timeframe AND b.run_id = i.run_id WHERE b.run_id = 'RUN' AND b.timeframe = '15m'
         ORDER BY b.ts, b.symbol LIMIT 100",
        "SELECT b.ts, b.symbol, b.close, i.rsi_14 FROM run_bars b JOIN run_indicators i ON b.ts = i.ts AND b.symbol = i.symbol
         AND b.timeframe = i.timeframe AND b.run_id = i.run_id WHERE b.run_id = 'RUN' AND b.timeframe = '15m'
         ORDER BY b.ts, b.symbol LIMIT 100",
    ),
    (
        "signals by direction",
        "SELECT symbol, direction, count(*) FROM runs.signals WHERE run_id = 'RUN' GROUP BY symbol, direction",
        "SELECT symbol, direction, count(*) FROM run_signals WHERE run_id = 'RUN' GROUP BY symbol, direction",
    ),
];

/// A table of the median times over the rows of `run`.
pub(super) fn latencies(address: &QuestDbAddress, run: &str) -> Result<comfy_table::Table> {
    let options = Options { store: Some(Place::QuestDb(address.clone())), ..Options::default() };
    let engine = Engine::new(options, LiveRows::new(0).into())?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let client = Client::new(address.clone());
    let mut out = table(&["query", "rows", "prism, ms", "QuestDB, ms"]);
    for (name, prism, questdb) in QUERIES {
        let (prism, questdb) = (prism.replace("RUN", run), questdb.replace("RUN", run));
        let (mut through, mut straight, mut n_rows) = (Vec::new(), Vec::new(), 0);
        for _ in 0..TIMES {
            let (answer, seconds) = timed(|| Ok(runtime.block_on(engine.query(&prism, &Parameters::default()))?))?;
            n_rows = answer.batches.iter().map(|batch| batch.num_rows()).sum();
            through.push(seconds);
            let (rows, seconds) = timed(|| Ok(client.exec(&questdb, STATEMENT)?))?;
            anyhow::ensure!(rows.len() == n_rows, "{name}: {n_rows} rows through prism, {} straight", rows.len());
            straight.push(seconds);
        }
        let median = |mut times: Vec<f64>| {
            times.sort_by(f64::total_cmp);
            format!("{:.1}", times[TIMES / 2] * 1e3)
        };
        out.add_row([name.to_string(), n_rows.to_string(), median(through), median(straight)]);
    }
    Ok(out)
}
