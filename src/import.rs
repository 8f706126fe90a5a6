//! `prism import`: recordings and histories into a log.

use std::path::PathBuf;

use anyhow::Result;
use clap::ValueEnum;
use prism_log::LogWriter;
use prism_schemas::Market;
use prism_sources::import::{ImportError, Options, Report, import};

use crate::{
    config::Config,
    misuse,
    output::{Format, progress, table},
    place::{Access, open_log},
};

/// Put recordings and histories into a log. Formats are recognised from content; nothing is skipped silently.
#[derive(clap::Args)]
pub(crate) struct Args {
    /// Files, or directories whose files are taken recursively
    #[arg(required = true)]
    paths: Vec<PathBuf>,
    /// Log: kafka://HOST:PORT or a directory, created if absent
    #[arg(long, env = "PRISM_LOG")]
    log: String,
    /// Configuration file over the defaults
    #[arg(long)]
    config: Option<PathBuf>,
    /// Market of files that name only a symbol
    #[arg(long, value_enum)]
    market: Option<MarketArg>,
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

pub(crate) fn run(args: &Args) -> Result<()> {
    if let Some(missing) = args.paths.iter().find(|path| !path.exists()) {
        return Err(misuse(format!("{} does not exist", missing.display())));
    }
    let market = args.market.map(|market| match market {
        MarketArg::Spot => Market::Spot,
        MarketArg::Linear => Market::Linear,
        MarketArg::Inverse => Market::Inverse,
    });
    let config = Config::load(args.config.as_deref())?;
    let mut writer = LogWriter::new(open_log(&args.log, &config, Access::Write)?);
    let bar = progress(None, "files");
    bar.enable_steady_tick(std::time::Duration::from_millis(200));
    let report = match import(&args.paths, Options { market }, &mut writer) {
        Err(error @ ImportError::Unrecognised { .. }) => return Err(misuse(error.to_string())),
        other => other?,
    };
    bar.finish_and_clear();
    if report.files.is_empty() && report.skipped.is_empty() {
        return Err(misuse("nothing to import: the directories named are empty"));
    }
    print(&report, args.format)
}

fn print(report: &Report, format: Format) -> Result<()> {
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
            println!("{out}");
            for file in &report.files {
                println!(
                    "{}: {}, {} events, {} lines without events",
                    file.path.display(),
                    file.format,
                    file.events(),
                    file.control
                );
                for (rule, (n, example)) in &file.quarantined {
                    println!("  quarantined {n} by {rule}: {example}");
                }
            }
            for (path, reason) in &report.skipped {
                println!("skipped {}: {reason}", path.display());
            }
        }
        Format::Csv => {
            println!("file,exchange,market,symbol,event,count");
            rows.iter().for_each(|row| println!("{}", row.join(",")));
        }
        Format::Json => {
            let files: Vec<_> = report
                .files
                .iter()
                .map(|file| {
                    let counts: Vec<_> = file.counts.iter().map(|((instrument, kind), n)| serde_json::json!({
                    "exchange": instrument.exchange, "market": instrument.market.name(), "symbol": instrument.symbol,
                    "event": kind, "count": n,
                })).collect();
                    let quarantined: Vec<_> = file
                        .quarantined
                        .iter()
                        .map(|(rule, (n, example))| {
                            serde_json::json!({
                                "rule": rule, "count": n, "example": example,
                            })
                        })
                        .collect();
                    serde_json::json!({
                        "file": file.path, "format": file.format, "counts": counts, "quarantined": quarantined,
                        "control": file.control,
                    })
                })
                .collect();
            let skipped: Vec<_> = report
                .skipped
                .iter()
                .map(|(path, reason)| serde_json::json!({ "file": path, "reason": reason }))
                .collect();
            println!("{}", serde_json::json!({ "files": files, "skipped": skipped }));
        }
    }
    Ok(())
}
