//! `prism signal`: the signal that could be made of a symbol's newest score, with stop, targets and reasons.

use std::{
    fmt::Write as _,
    path::{Path, PathBuf},
    thread,
    time::Duration,
};

use anyhow::{Context, Result};
use clap::ValueEnum;
use prism_api::{Advice, Sentence, advice, price};
use prism_queries::Engine;
use prism_schemas::{InstrumentId, Market, Ts, canonical_symbol, time::parse_duration};

use crate::{
    analyze::{dimensions_table, newest, text},
    args, misuse,
    output::print,
    sql,
};

/// Print the signal that could be made of symbols' newest scores, with stop, targets and reasons.
#[derive(clap::Args)]
pub(crate) struct Args {
    /// Symbols, such as BTCUSDT, BTC/USDT or btc-usdt
    #[arg(required = true)]
    symbols: Vec<String>,
    /// How to print it
    #[arg(long, value_enum, default_value_t = Form::Text)]
    format: Form,
    /// File that it is written to instead, each time anew
    #[arg(long)]
    output: Option<PathBuf>,
    /// Go on, and print a symbol again when its score is another one
    #[arg(long)]
    continuous: bool,
    /// Seconds between two looks, with --continuous
    #[arg(long, default_value_t = 30, value_parser = clap::value_parser!(u64).range(1..))]
    interval: u64,
    /// How long a position may last: the longest role timeframe of which twelve bars are within it gives stop and targets
    #[arg(long, default_value = "1h", value_parser = length)]
    horizon: Ts,
    /// Store: questdb://[USER:PASSWORD@]HOST:PORT or a directory
    #[arg(long, env = "PRISM_STORE", hide_env_values = true, default_value = "data/demo/store")]
    store: String,
    /// Run whose rows are read; the live one if not given, or the only one
    #[arg(long, value_parser = args::run_name)]
    run: Option<String>,
    /// Exchange, where several have the symbol
    #[arg(long)]
    exchange: Option<String>,
    /// Market, where several have the symbol
    #[arg(long)]
    market: Option<String>,
}

/// How signals are printed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Form {
    /// For people.
    Text,
    /// One JSON document.
    Json,
}

fn length(text: &str) -> Result<Ts, String> {
    parse_duration(text).filter(|nanos| 0 < *nanos).ok_or_else(|| "is not a duration such as 30m or 1h".into())
}

pub(crate) fn run(args: &Args) -> Result<()> {
    let mut told: Vec<String> = Vec::new();
    loop {
        let all = match look(args) {
            // The store may be away for a while.
            Err(error) if args.continuous && !told.is_empty() => {
                tracing::warn!("{error:#}");
                thread::sleep(Duration::from_secs(args.interval));
                continue;
            }
            all => all?,
        };
        let now: Vec<String> = all.iter().map(|one| format!("{} {}", one.at, one.known_at)).collect();
        if now != told {
            let is_new = |at: &usize| told.get(*at) != now.get(*at);
            let new: Vec<&Advice> = all.iter().enumerate().filter(|(at, _)| is_new(at)).map(|(_, one)| one).collect();
            match (&args.output, args.format) {
                // A file is whole.
                (Some(file), form) => write(file, &printed(&all.iter().collect::<Vec<_>>(), form)?)?,
                (None, form) => print(&printed(&new, form)?)?,
            }
            told = now;
        }
        if !args.continuous {
            return Ok(());
        }
        thread::sleep(Duration::from_secs(args.interval));
    }
}

fn look(args: &Args) -> Result<Vec<Advice>> {
    // A store that another process fills is opened anew: its files are others then.
    let engine = sql::engine(&args.store, args.run.as_deref(), Duration::from_secs(60))?;
    args.symbols.iter().map(|symbol| of_symbol(&engine, args, symbol)).collect()
}

fn of_symbol(engine: &Engine, args: &Args, symbol: &str) -> Result<Advice> {
    let symbol = canonical_symbol(symbol);
    let row = newest(engine, &args.store, &symbol, args.exchange.as_deref(), args.market.as_deref())?;
    let market = Market::parse(text(&row, "market")).context("read a market of the store")?;
    let id = InstrumentId::new(text(&row, "exchange"), market, &symbol);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().context("start a runtime")?;
    let told = runtime.block_on(advice(engine, &id, args.horizon))?;
    told.ok_or_else(|| misuse(format!("the settings of {symbol}'s score are not stored yet")))
}

/// Replaces the file at once, so that nobody reads half of it.
fn write(file: &Path, text: &str) -> Result<()> {
    let name = file.file_name().with_context(|| format!("--output {}: name a file", file.display()))?;
    let beside = file.with_file_name(format!(".{}.new", name.to_string_lossy()));
    let written = std::fs::write(&beside, text).and_then(|()| std::fs::rename(&beside, file));
    written.with_context(|| format!("write {}", file.display()))
}

fn printed(all: &[&Advice], form: Form) -> Result<String> {
    Ok(match form {
        Form::Json => serde_json::to_string(all)? + "\n",
        Form::Text => all.iter().map(|one| shown(one)).collect::<Vec<_>>().join("\n"),
    })
}

fn shown(of: &Advice) -> String {
    let Advice { exchange, market, symbol, at, signal, level, timeframe, .. } = of;
    let mut out = format!("{symbol} ({exchange} {market}) at {at}\n");
    // Text grows without failing.
    let _ = writeln!(
        out,
        "{signal}  long {:.1} %  short {:.1} %  {level}  reliability {:.2}",
        of.confidence_long, of.confidence_short, of.reliability
    );
    if let (Some(entry), Some(stop), [first, second]) = (of.entry_price, of.stop_loss, &of.targets[..]) {
        let side = if 50.0 <= of.score { "long" } else { "short" };
        let away = 100.0 * (entry - stop).abs() / entry;
        let _ = writeln!(
            out,
            "as a {side} by {timeframe}: entry {}  stop {} ({away:.2} %, {})  targets {} {}  risk:reward 1:{:.1}  size {:.2} %",
            price(entry),
            price(stop),
            of.stop_basis.as_deref().unwrap_or("").replace('_', " "),
            price(*first),
            price(*second),
            of.risk_reward.unwrap_or(0.0),
            of.position_size_percent.unwrap_or(0.0),
        );
    }
    let _ = writeln!(out, "\n{}", dimensions_table(&of.dimensions, &of.confluence));
    for (title, sentences) in
        [("RATIONALE", &of.insights), ("TO DO", &of.actionable_insights), ("WARNINGS", &of.warnings)]
    {
        if !sentences.is_empty() {
            let lines: Vec<String> = sentences.iter().map(|Sentence { text, .. }| format!("- {text}")).collect();
            let _ = writeln!(out, "\n{title}\n{}", lines.join("\n"));
        }
    }
    out
}
