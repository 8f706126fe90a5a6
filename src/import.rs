//! `prism import`: recordings and histories into a log.

use std::path::{Path, PathBuf};

use std::sync::atomic::Ordering::Relaxed;

use anyhow::{Result, anyhow};
use clap::ValueEnum;
use prism_log::LogWriter;
use prism_schemas::{Market, Timeframe};
use prism_sources::import::{FORMATS, FileReport, ImportError, Limits, Options, Report, Written, examine};

use crate::{
    args,
    config::Config,
    interrupt, misuse,
    output::{Format, print, progress, table},
    place::{Access, open_log},
};

/// Put recordings and histories into a log. Formats are recognised from content; nothing is skipped silently.
#[derive(clap::Args)]
pub(crate) struct Args {
    /// Files and archives, or directories whose files are taken recursively
    #[arg(required_unless_present = "formats")]
    paths: Vec<PathBuf>,
    /// Log: kafka://HOST:PORT or a directory, created if absent
    #[arg(long, env = "PRISM_LOG", hide_env_values = true, required_unless_present_any = ["formats", "dry_run"])]
    log: Option<String>,
    /// Say which formats are read and how they look, and end
    #[arg(long)]
    formats: bool,
    /// Read files and say what would be imported; nothing is written
    #[arg(long)]
    dry_run: bool,
    /// Take files, too, whose content is in the log already
    #[arg(long)]
    again: bool,
    /// Configuration file over the defaults
    #[arg(long)]
    config: Option<PathBuf>,
    /// Market of files that name only a symbol
    #[arg(long, value_enum)]
    market: Option<MarketArg>,
    /// Exchange of files that do not say it
    #[arg(long)]
    exchange: Option<String>,
    /// Symbol of files that do not say it
    #[arg(long)]
    symbol: Option<String>,
    /// Column of times, by name or number, of trades in any CSV or Parquet
    #[arg(long, value_name = "COLUMN")]
    time: Option<String>,
    /// Column of prices
    #[arg(long, value_name = "COLUMN")]
    price: Option<String>,
    /// Column of sizes
    #[arg(long, value_name = "COLUMN")]
    size: Option<String>,
    /// Column of the taker's side: buy or sell, b or s, true (a buy) or false, 1 or -1; "sign" where sizes below 0 are sales
    #[arg(long, value_name = "COLUMN")]
    side: Option<String>,
    /// Column of the venue's ids
    #[arg(long, value_name = "COLUMN")]
    id: Option<String>,
    /// Take links as what they point to
    #[arg(long)]
    follow_links: bool,
    /// Bytes of a line at most
    #[arg(long, default_value = "16MiB", value_parser = args::size)]
    max_line: u64,
    /// Bytes a compressed file expands to at most
    #[arg(long, default_value = "16GiB", value_parser = args::size)]
    max_expanded: u64,
    /// Times its size a compressed file expands to at most; up to 64 MiB are free
    #[arg(long, default_value_t = 200, value_parser = clap::value_parser!(u64).range(1..))]
    max_ratio: u64,
    /// How to print the counts
    #[arg(long, value_enum, default_value_t = Format::Table)]
    format: Format,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum MarketArg {
    Spot,
    Linear,
    Inverse,
}

/// Says what was understood of a file before it is read.
fn tell(path: &Path, note: &str) {
    tracing::info!("{}: {note}", path.display());
}

/// What the user says of the files.
fn options(args: &Args) -> Options {
    let market = args.market.map(|market| match market {
        MarketArg::Spot => Market::Spot,
        MarketArg::Linear => Market::Linear,
        MarketArg::Inverse => Market::Inverse,
    });
    Options {
        exchange: args.exchange.as_ref().map(|exchange| exchange.to_lowercase()),
        market,
        symbol: args.symbol.clone(),
        time: args.time.clone(),
        price: args.price.clone(),
        size: args.size.clone(),
        side: args.side.clone(),
        id: args.id.clone(),
        again: args.again,
        tell: Some(tell),
        follow_links: args.follow_links,
        limits: Limits { line: args.max_line as usize, expanded: args.max_expanded, ratio: args.max_ratio },
        now: Some(crate::venues::wall()),
    }
}

pub(crate) fn run(args: &Args) -> Result<()> {
    if args.formats {
        let formats: String = FORMATS.iter().map(|format| format!("{:20} {}\n", format.name, format.looks)).collect();
        return print(&(formats + "\nAll of them packed with gzip, zstd, xz or zip, too.\n"));
    }
    if let Some(missing) = args.paths.iter().find(|path| path.symlink_metadata().is_err()) {
        return Err(misuse(format!("{} does not exist", missing.display())));
    }
    let config = Config::load(args.config.as_deref())?;
    let (place, access) = (args.log.as_deref(), if args.dry_run { Access::Read } else { Access::Write });
    let open = || place.map(|log| open_log(log, &config, access)).transpose();
    let maintained = config.settings.timeframes.maintained.clone();
    // One that is there is opened first: a mistake shows before the files are read. A new one is made once they are.
    let is_there = place.is_some_and(|log| log.contains("://") || Path::new(log).exists());
    let log = if is_there { open()? } else { None };
    let bar = progress(None, "files");
    bar.enable_steady_tick(std::time::Duration::from_millis(200));
    let examined = examine(&args.paths, options(args))?;
    if examined.is_empty() {
        return Err(misuse("nothing to import: the directories named are empty"));
    }
    if examined.files() == 0 {
        print_report(examined.report(), args.format, &maintained)?;
        all_taken(&examined.report().refused)?;
        return Err(misuse("nothing to import: all files are skipped"));
    }
    let log = if log.is_some() || args.dry_run { log } else { open()? };
    let cancelled = interrupt::answer("stopping: what was read is in the log, the report says what")?;
    let written = match log {
        Some(log) if !args.dry_run => examined.write_to(&mut LogWriter::new(log), &|| cancelled.load(Relaxed)),
        log => examined.count(log.as_deref(), &|| cancelled.load(Relaxed)),
    };
    bar.finish_and_clear();
    match &written {
        Ok(report) => print_report(report, args.format, &maintained)?,
        Err(ImportError::Stopped { report, .. }) => print_report(report, args.format, &maintained)?,
        Err(_) => {}
    }
    // Some are refused only once the log is known.
    all_taken(&written?.refused)
}

/// An error that names the files that were refused, if there are any.
fn all_taken(refused: &[(PathBuf, String)]) -> Result<()> {
    if refused.is_empty() {
        return Ok(());
    }
    let said: Vec<String> = refused.iter().map(|(path, reason)| format!("{}: {reason}", path.display())).collect();
    Err(anyhow!("refused: {}", said.join("; ")))
}

/// How much of a file is in the log.
fn word(file: &FileReport) -> &'static str {
    match file.written {
        Written::Whole => "whole",
        Written::Part => "in part",
        Written::Nothing => "not in the log",
        Written::Before => "in the log already",
    }
}

/// A cell of a CSV.
fn quoted(cell: &str) -> String {
    match cell.contains([',', '"', '\n', '\r']) {
        true => format!("\"{}\"", cell.replace('"', "\"\"")),
        false => cell.into(),
    }
}

fn print_report(report: &Report, format: Format, maintained: &[Timeframe]) -> Result<()> {
    print(&text(report, format, maintained))
}

fn text(report: &Report, format: Format, maintained: &[Timeframe]) -> String {
    let mut rows: Vec<[String; 6]> = Vec::new();
    for file in &report.files {
        let name = file.path.file_name().map_or_else(String::new, |name| name.to_string_lossy().into_owned());
        for ((instrument, kind), n) in &file.counts {
            let market = instrument.market.name().to_string();
            rows.push([
                name.clone(),
                instrument.exchange.clone(),
                market,
                instrument.symbol.clone(),
                (*kind).into(),
                n.to_string(),
            ]);
        }
    }
    match format {
        Format::Table => {
            let mut out = table(&["file", "exchange", "market", "symbol", "event", "count"]);
            out.add_rows(&rows);
            let mut text = format!("{out}\n");
            for file in &report.files {
                let (path, format, control) = (file.path.display(), file.format, file.control);
                let n = file.events();
                text += &format!("{path}: {}, {format}, {n} events, {control} lines without events\n", word(file));
                let is_kept = |name: &str| name.parse().is_ok_and(|timeframe| maintained.contains(&timeframe));
                for (timeframe, n) in file.klines.iter().filter(|(name, _)| !is_kept(name)) {
                    text += &format!("  {n} klines of {timeframe}, which is not maintained: they make no bar\n");
                }
                for note in &file.notes {
                    text += &format!("  {note}\n");
                }
                for (rule, (n, example)) in &file.quarantined {
                    text += &format!("  quarantined {n} by {rule}: {example}\n");
                }
            }
            for (what, files) in [("skipped", &report.skipped), ("refused", &report.refused)] {
                for (path, reason) in files {
                    text += &format!("{what} {}: {reason}\n", path.display());
                }
            }
            text
        }
        Format::Csv => {
            let rows: String =
                rows.iter().map(|row| row.each_ref().map(|cell| quoted(cell)).join(",") + "\n").collect();
            format!("file,exchange,market,symbol,event,count\n{rows}")
        }
        Format::Json => format!("{}\n", json(report)),
    }
}

fn json(report: &Report) -> serde_json::Value {
    let count = |((instrument, kind), n): (&(prism_schemas::InstrumentId, &'static str), &u64)| {
        serde_json::json!({
            "exchange": instrument.exchange, "market": instrument.market.name(), "symbol": instrument.symbol,
            "event": kind, "count": n,
        })
    };
    let quarantined = |(rule, (n, example)): (&String, &(u64, String))| serde_json::json!({ "rule": rule, "count": n, "example": example });
    let file = |file: &FileReport| {
        serde_json::json!({
            "file": file.path, "format": file.format, "written": word(file),
            "counts": file.counts.iter().map(count).collect::<Vec<_>>(),
            "quarantined": file.quarantined.iter().map(quarantined).collect::<Vec<_>>(),
            "klines": file.klines,
            "notes": file.notes,
            "control": file.control,
        })
    };
    let left = |files: &[(PathBuf, String)]| -> Vec<_> {
        files.iter().map(|(path, reason)| serde_json::json!({ "file": path, "reason": reason })).collect()
    };
    serde_json::json!({
        "files": report.files.iter().map(file).collect::<Vec<_>>(),
        "skipped": left(&report.skipped),
        "refused": left(&report.refused),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cells_with_commas_are_quoted() {
        assert_eq!(quoted("a,b \"c\""), "\"a,b \"\"c\"\"\"");
        assert_eq!(quoted("trade"), "trade");
    }
}
