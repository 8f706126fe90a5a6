//! `prism liquidations`: who was forced out lately, and where it was too much.

use std::{io::IsTerminal, time::Duration};

use anyhow::Result;
use comfy_table::{Cell, Color};
use prism_schemas::{
    Ts, canonical_symbol,
    time::{format_ts, parse_duration, parse_ts},
    without_login,
};
use serde_json::{Map, Value, json};

use crate::{
    args, misuse,
    output::{Format, print, say, table},
    sql,
};

/// Print forced orders of the newest bars, and alert where a bar has too many.
#[derive(clap::Args)]
pub(crate) struct Args {
    /// Symbol, such as BTCUSDT, BTC/USDT or btc-usdt; all if not given
    #[arg(long)]
    symbol: Option<String>,
    /// How far back from the newest bar
    #[arg(long, default_value = "1h", value_parser = length)]
    duration: Ts,
    /// Worth forced out within a bar of the base timeframe (quote) that is an alert
    #[arg(long, default_value_t = 1_000_000.0)]
    alert_threshold: f64,
    /// Store: questdb://[USER:PASSWORD@]HOST:PORT or a directory
    #[arg(long, env = "PRISM_STORE", hide_env_values = true, default_value = "data/demo/store")]
    store: String,
    /// Run whose rows are read; the live one if not given, or the only one
    #[arg(long, value_parser = args::run_name)]
    run: Option<String>,
    /// How to print it
    #[arg(long, value_enum, default_value_t = Format::Table)]
    format: Format,
}

fn length(text: &str) -> Result<Ts, String> {
    parse_duration(text).filter(|nanos| 0 < *nanos).ok_or_else(|| "is not a duration such as 30m or 1h".into())
}

type Row = Map<String, Value>;

/// The base timeframe, and the end of its newest bar.
const NEWEST: &str = "SELECT timeframe, max(ts_close) AS newest FROM bars WHERE ($symbol IS NULL OR symbol = $symbol)
    AND timeframe = (SELECT timeframe FROM component_scores GROUP BY timeframe ORDER BY min(ts_close - ts) LIMIT 1)
    GROUP BY timeframe";

/// Bars with forced orders, newest first.
const BARS: &str = "SELECT ts_close, exchange, market, symbol, n_longs, n_shorts, long_turnover, short_turnover, largest,
        completeness, cascade, reversal_potential
    FROM liquidation_analysis WHERE timeframe = $timeframe AND ts_close > $from AND ($symbol IS NULL OR symbol = $symbol)
    AND n_longs + n_shorts > 0 AND NOT retracted
    ORDER BY ts_close DESC, exchange, market, symbol";

pub(crate) fn run(args: &Args) -> Result<()> {
    let engine = sql::engine(&args.store, args.run.as_deref(), Duration::from_secs(60))?;
    let ask = |text: &str, parameters: &[(&str, Value)]| -> Result<Vec<Row>> {
        let parameters = parameters.iter().map(|(name, value)| ((*name).to_string(), value.clone())).collect();
        Ok(sql::query(&engine, text, &parameters)?.objects()?)
    };
    let symbol = args.symbol.as_deref().map(canonical_symbol);
    let wanted = ("symbol", symbol.clone().map_or(Value::Null, Value::String));
    let Some(newest) = ask(NEWEST, std::slice::from_ref(&wanted))?.pop() else {
        let what = symbol.map_or("no bar".into(), |symbol| format!("no bar of {symbol}"));
        return Err(misuse(format!("{what} in {}", without_login(&args.store))));
    };
    let newest_ts = newest["newest"].as_str().and_then(parse_ts).unwrap_or(0);
    let from = format_ts(newest_ts.saturating_sub(args.duration));
    let timeframe = newest["timeframe"].clone();
    let mut bars = ask(BARS, &[wanted, ("timeframe", timeframe), ("from", Value::from(&*from))])?;
    for bar in &mut bars {
        let worth = number(bar, "long_turnover") + number(bar, "short_turnover");
        bar.insert("alert".into(), (args.alert_threshold <= worth).into());
    }
    match args.format {
        Format::Table => print(&shown(&bars, &newest, &from)),
        Format::Csv => {
            let line = |row: &Row| COLUMNS.map(|name| row[name].to_string().trim_matches('"').to_string()).join(",");
            let lines: String = bars.iter().map(|row| line(row) + "\n").collect();
            print(&format!("{}\n{lines}", COLUMNS.join(",")))
        }
        Format::Json => {
            say!("{}", json!({ "from": from, "to": newest["newest"], "total": total(&bars), "bars": bars }))
        }
    }
}

/// As they are written.
const COLUMNS: [&str; 13] = [
    "ts_close",
    "exchange",
    "market",
    "symbol",
    "n_longs",
    "n_shorts",
    "long_turnover",
    "short_turnover",
    "largest",
    "completeness",
    "cascade",
    "reversal_potential",
    "alert",
];

fn number(row: &Row, name: &str) -> f64 {
    row[name].as_f64().unwrap_or(0.0)
}

/// Of all bars.
fn total(bars: &[Row]) -> Value {
    let sum = |name: &str| bars.iter().map(|bar| number(bar, name)).sum::<f64>();
    let [longs, shorts] = ["long_turnover", "short_turnover"].map(sum);
    let count = |name: &str| bars.iter().filter_map(|bar| bar[name].as_u64()).sum::<u64>();
    let is_all = bars.iter().all(|bar| bar["completeness"] == "all");
    json!({
        "n_longs": count("n_longs"), "n_shorts": count("n_shorts"), "long_turnover": longs, "short_turnover": shorts,
        "imbalance": if longs + shorts == 0.0 { Value::Null } else { ((longs - shorts) / (longs + shorts)).into() },
        "completeness": if is_all { "all" } else { "at_least" },
        "alerts": bars.iter().filter(|bar| bar["alert"] == true).count(),
    })
}

fn shown(bars: &[Row], newest: &Row, from: &str) -> String {
    let header =
        ["CLOSED", "SYMBOL", "LONGS", "SHORTS", "WORTH OF LONGS", "OF SHORTS", "LARGEST", "CASCADE", "REVERSAL", ""];
    let mut out = table(&header);
    let coloured = std::io::stdout().is_terminal();
    for bar in bars {
        let text = |name: &str| bar[name].as_str().unwrap_or("").to_string();
        let least = if bar["completeness"] == "all" { "" } else { ">= " };
        let worth = |name: &str| format!("{least}{:.0}", number(bar, name));
        let alert = Cell::new(if bar["alert"] == true { "ALERT" } else { "" });
        out.add_row(vec![
            Cell::new(text("ts_close")),
            Cell::new(format!("{} ({} {})", text("symbol"), text("exchange"), text("market"))),
            Cell::new(&bar["n_longs"]),
            Cell::new(&bar["n_shorts"]),
            Cell::new(worth("long_turnover")),
            Cell::new(worth("short_turnover")),
            Cell::new(worth("largest")),
            Cell::new(text("cascade")),
            Cell::new(format!("{:+.0}", number(bar, "reversal_potential"))),
            if coloured { alert.fg(Color::Red) } else { alert },
        ]);
    }
    let all = total(bars);
    let least = if all["completeness"] == "all" { "" } else { "at least " };
    format!(
        "{out}\n{from} to {}: {least}{:.0} of longs in {} orders, {:.0} of shorts in {}; {} alerts\n",
        newest["newest"].as_str().unwrap_or(""),
        all["long_turnover"].as_f64().unwrap_or(0.0),
        all["n_longs"],
        all["short_turnover"].as_f64().unwrap_or(0.0),
        all["n_shorts"],
        all["alerts"],
    )
}
