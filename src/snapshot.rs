//! `prism snapshot`: everything that a venue tells of a symbol, at one moment.

use std::{path::PathBuf, sync::Arc};

use anyhow::{Result, bail};
use prism_api::SnapshotOf;
use prism_dataflow::assemble::Plan;
use prism_venue::{Snapshot, Snapshots};

use crate::{
    config::{Config, Feeds},
    misuse,
    output::{Format, table},
    venues::{Source, clock, sources},
};

/// Ask a venue for all components of a symbol at once, and say how each of them went.
#[derive(clap::Args)]
pub(crate) struct Args {
    /// Symbol, such as BTCUSDT, BTC/USDT or btc-usdt
    symbol: String,
    /// Venue, such as binance-linear; the first of feeds.venues if not given
    #[arg(long)]
    venue: Option<String>,
    /// Configuration file over the defaults
    #[arg(long)]
    config: Option<PathBuf>,
    /// How to print it; json has the components themselves
    #[arg(long, value_enum, default_value_t = Format::Table)]
    format: Format,
}

/// Takers of snapshots of the configured venues, with bars of the role timeframes.
pub(crate) fn takers(feeds: &Feeds, plan: &Plan) -> Result<Vec<Arc<Snapshots>>> {
    let taker = |Source { maker, options, .. }| Ok(Arc::new(Snapshots::new(maker, &options, clock())?));
    sources(feeds, &plan.settings.timeframes.roles)?.venues.into_iter().map(taker).collect()
}

/// The route's: the first venue that fits, in the order configured.
pub(crate) fn route(takers: Vec<Arc<Snapshots>>) -> prism_api::Snapshots {
    prism_api::Snapshots(Arc::new(move |of: SnapshotOf| {
        let fits = |taker: &&Arc<Snapshots>| {
            let (exchange, market) = taker.venue();
            of.exchange.as_deref().is_none_or(|wanted| wanted == exchange)
                && of.market.as_deref().is_none_or(|wanted| wanted == market)
        };
        let taker = takers.iter().find(fits).cloned();
        Box::pin(async move { serde_json::to_value(taker?.take(&of.symbol).await).ok() })
    }))
}

pub(crate) fn run(args: &Args) -> Result<()> {
    let mut config = Config::load(args.config.as_deref())?;
    let plan = Plan::new(config.settings.clone()).map_err(|error| misuse(format!("configuration: {error}")))?;
    if let Some(venue) = &args.venue {
        config.feeds.venues = vec![venue.clone()];
    }
    let takers = takers(&config.feeds, &plan)?;
    let Some(taker) = takers.first() else { return Err(misuse("feeds.venues is empty: name a --venue")) };
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build()?;
    let snapshot = runtime.block_on(taker.take(&args.symbol));
    let failure = snapshot.failure();
    // A table of nothing says less than the reason.
    if failure.is_none() || !matches!(args.format, Format::Table) {
        print(&snapshot, args.format)?;
    }
    if let Some(reason) = failure {
        bail!(reason);
    }
    match &snapshot.missing[..] {
        [] => Ok(()),
        missing => {
            bail!("{} of {} components are missing: {}", missing.len(), snapshot.components.len(), missing.join(", "))
        }
    }
}

fn print(snapshot: &Snapshot, format: Format) -> Result<()> {
    let rows = snapshot.components.iter().map(|one| {
        let state = match (one.ok, one.fallback) {
            (true, _) => "here".to_string(),
            (false, Some(from)) => format!("from {from}"),
            (false, None) => "missing".into(),
        };
        let trouble = one.error.as_ref().map_or(String::new(), |error| error.detail.clone());
        [
            one.name.clone(),
            state,
            format!("{:.1}", one.queue_ms),
            format!("{:.1}", one.request_ms),
            one.retries.to_string(),
            one.age_ms.map_or(String::new(), |age| format!("{age:.1}")),
            [trouble, one.recovery.clone().unwrap_or_default()].join(" "),
        ]
    });
    let names = ["component", "state", "queue_ms", "request_ms", "retries", "age_ms", "trouble"];
    match format {
        Format::Json => println!("{}", serde_json::to_string_pretty(snapshot)?),
        Format::Csv => {
            println!("{}", names.join(","));
            rows.for_each(|row| println!("{}", row.map(|cell| cell.replace(',', ";")).join(",")));
        }
        Format::Table => {
            let mut out = table(&names);
            out.add_rows(rows);
            println!("{out}");
            let Snapshot { exchange, market, symbol, ts, duration_ms, window_ms, quota, .. } = snapshot;
            let atomic = if snapshot.atomic { "one moment" } else { "not one moment" };
            println!(
                "{exchange} {market} {symbol} at {ts}: {duration_ms:.1} ms, answers within {window_ms:.1} ms ({atomic})"
            );
            let rate = 100.0 * quota.success_rate;
            println!(
                "budget: {} of {} left within {} s; {rate:.1} % of requests answered",
                quota.left, quota.weight, quota.window_s
            );
        }
    }
    Ok(())
}
