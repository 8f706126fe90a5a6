//! `prism doctor`: whether what is configured can work from here, and what to do where it cannot.

use std::path::PathBuf;

use anyhow::{Result, bail};
use prism_dataflow::assemble::Plan;
use prism_venue::{Check, Health, examine};

use crate::{
    config::Config,
    misuse,
    output::{Format, table},
    venues::{Source, clock, sources},
};

/// Check the configuration and each configured feed: requests, clocks, selection, streams, budget.
#[derive(clap::Args)]
pub(crate) struct Args {
    /// Configuration file over the defaults
    #[arg(long)]
    config: Option<PathBuf>,
    /// How to print it
    #[arg(long, value_enum, default_value_t = Format::Table)]
    format: Format,
}

pub(crate) fn run(args: &Args) -> Result<()> {
    let config = Config::load(args.config.as_deref())?;
    let plan = Plan::new(config.settings.clone()).map_err(|error| misuse(format!("configuration: {error}")))?;
    let found =
        format!("{} timeframes, {} venues", plan.settings.timeframes.maintained.len(), config.feeds.venues.len());
    let mut checks = vec![("prism".to_string(), Check::fine("configuration", found))];
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build()?;
    for Source { name, maker, options } in sources(&config.feeds, &plan.settings.timeframes.maintained)?.venues {
        let of = runtime.block_on(examine(&maker, &options, &clock()));
        checks.extend(of.into_iter().map(|check| (name.clone(), check)));
    }
    let word = |health: Health| match health {
        Health::Fine => "fine",
        Health::Doubtful => "doubtful",
        Health::Broken => "broken",
    };
    match args.format {
        Format::Json => {
            let of = |(name, check): &(String, Check)| {
                let mut value = serde_json::to_value(check).unwrap_or_default();
                value["of"] = name.as_str().into();
                value
            };
            println!("{}", serde_json::Value::from_iter(checks.iter().map(of)));
        }
        Format::Csv => {
            println!("of,check,health,found,advice");
            let quote = |text: &str| format!("\"{}\"", text.replace('"', "\"\""));
            for (name, check) in &checks {
                let cells = [name, &check.what, word(check.health), &check.found, &check.advice].map(quote);
                println!("{}", cells.join(","));
            }
        }
        Format::Table => {
            let mut out = table(&["of", "check", "", "found", "what to do"]);
            for (name, check) in &checks {
                out.add_row([name, &check.what, word(check.health), &check.found, &check.advice]);
            }
            println!("{out}");
        }
    }
    let n = checks.iter().filter(|(_, check)| check.health == Health::Broken).count();
    if n == 0 { Ok(()) } else { bail!("{n} of {} checks failed", checks.len()) }
}
