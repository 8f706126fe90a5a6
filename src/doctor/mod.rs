//! `prism doctor`: whether what is configured can work from here, and what to do where it cannot.

mod machine;
mod places;

use std::{path::PathBuf, thread};

use anyhow::{Result, bail};
use prism_dataflow::assemble::Plan;
use prism_venue::{Check, Health, examine};

use crate::{
    config::Config,
    misuse,
    output::{Format, table},
    place::parse_store,
    venues::{Source, clock, sources},
};

/// Check the configuration, log, store, port, disk, and each configured feed; nothing is changed.
#[derive(clap::Args)]
pub(crate) struct Args {
    /// Log: kafka://HOST:PORT or a directory
    #[arg(long, env = "PRISM_LOG", default_value = "data/log")]
    log: String,
    /// Store: questdb://[USER:PASSWORD@]HOST:PORT or a directory
    #[arg(long, env = "PRISM_STORE", hide_env_values = true, default_value = "data/store")]
    store: String,
    /// Address where the API would listen
    #[arg(long, default_value = "127.0.0.1")]
    host: String,
    /// Port where the API would listen
    #[arg(long, default_value_t = 8000)]
    port: u16,
    /// Configuration file over the defaults
    #[arg(long)]
    config: Option<PathBuf>,
    /// How to print it
    #[arg(long, value_enum, default_value_t = Format::Table)]
    format: Format,
}

/// A step, and what it is of.
type Named = (String, Check);

pub(crate) fn run(args: &Args) -> Result<()> {
    let config = Config::load(args.config.as_deref())?;
    let plan = Plan::new(config.settings.clone()).map_err(|error| misuse(format!("configuration: {error}")))?;
    let found =
        format!("{} timeframes, {} venues", plan.settings.timeframes.maintained.len(), config.feeds.venues.len());
    let mut checks = vec![("prism".to_string(), Check::fine("configuration", found))];
    let venues = sources(&config.feeds, &plan.settings.timeframes.maintained)?.venues;
    let store = parse_store(&args.store)?;
    // All at once: each may wait for a network.
    thread::scope(|scope| -> Result<()> {
        let of_log = scope.spawn(|| places::log(&args.log, &config));
        let of_store = scope.spawn(|| places::store(&store));
        let of_venues = scope.spawn(|| all_venues(venues));
        checks.push(("prism".into(), machine::port(&args.host, args.port)));
        checks.extend(machine::disks(&args.log, &store, &config.questdb.spool));
        for of in [of_log, of_store] {
            checks.extend(of.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic)));
        }
        checks.extend(of_venues.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))?);
        Ok(())
    })?;
    print(&checks, args.format);
    let n = checks.iter().filter(|(_, check)| check.health == Health::Broken).count();
    if n == 0 { Ok(()) } else { bail!("{n} of {} checks failed", checks.len()) }
}

fn all_venues(venues: Vec<Source>) -> Result<Vec<Named>> {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
    let (mut checks, mut names) = (Vec::new(), Vec::new());
    for Source { name, maker, options } in venues {
        names.push((name, runtime.spawn(async move { examine(&maker, &options, &clock()).await })));
    }
    for (name, examining) in names {
        let of = runtime.block_on(examining)?;
        checks.extend(of.into_iter().map(|check| (name.clone(), check)));
    }
    Ok(checks)
}

fn print(checks: &[Named], format: Format) {
    let word = |health: Health| match health {
        Health::Fine => "fine",
        Health::Doubtful => "doubtful",
        Health::Broken => "broken",
    };
    match format {
        Format::Json => {
            let of = |(name, check): &Named| {
                let mut value = serde_json::to_value(check).unwrap_or_default();
                value["of"] = name.as_str().into();
                value
            };
            println!("{}", serde_json::Value::from_iter(checks.iter().map(of)));
        }
        Format::Csv => {
            println!("of,check,health,found,advice");
            let quote = |text: &str| format!("\"{}\"", text.replace('"', "\"\""));
            for (name, check) in checks {
                let cells = [name, &check.what, word(check.health), &check.found, &check.advice].map(quote);
                println!("{}", cells.join(","));
            }
        }
        Format::Table => {
            let mut out = table(&["of", "check", "", "found", "what to do"]);
            for (name, check) in checks {
                out.add_row([name, &check.what, word(check.health), &check.found, &check.advice]);
            }
            println!("{out}");
        }
    }
}
