//! `prism sql`: a statement over a store.

use std::{sync::Arc, time::Duration};

use anyhow::{Context, Result, anyhow};
use prism_queries::{Engine, Error, LiveRows, Options, Parameters, QueryResult};

use crate::{
    args, misuse,
    output::{Format, print},
    place::{parse_store, place_of_run},
};

/// Query a store with SQL, read-only. Tables are those of `SHOW TABLES`; times are UTC.
#[derive(clap::Args)]
pub(crate) struct Args {
    /// Store: questdb://[USER:PASSWORD@]HOST:PORT or a directory
    #[arg(long, env = "PRISM_STORE", hide_env_values = true)]
    store: String,
    /// Run whose rows the tables hold; the live one if not given, or the only one
    #[arg(long, value_parser = args::run_name)]
    run: Option<String>,
    /// The statement
    sql: String,
    /// How to print the answer
    #[arg(long, value_enum, default_value_t = Format::Table)]
    format: Format,
    /// Seconds after which the statement is cancelled
    #[arg(long, default_value_t = 600)]
    timeout: u64,
}

/// An engine over the rows of a run in a store that exists.
pub(crate) fn engine(store: &str, run: Option<&str>, timeout: Duration) -> Result<Engine> {
    let (place, run) = place_of_run(parse_store(store)?, run)?;
    let store = Some(place);
    let options = Options { store, run, timeout, rows_max: 100_000_000, memory_bytes: 2 << 30, ..Options::default() };
    Ok(Engine::new(options, Arc::new(LiveRows::new(0)))?)
}

/// Runs a statement to its end.
pub(crate) fn query(engine: &Engine, sql: &str, parameters: &Parameters) -> Result<QueryResult> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().context("start a runtime")?;
    runtime.block_on(engine.query(sql, parameters)).map_err(|error| match error {
        Error::BadSql { message, line: Some(line), column: Some(column) } if !message.contains("Line:") => {
            misuse(format!("line {line}, column {column}: {message}"))
        }
        error @ (Error::BadSql { .. } | Error::NotAllowed { .. } | Error::BadParameter { .. }) => {
            misuse(error.to_string())
        }
        // What the store said, without the names of those who passed it on.
        Error::Internal(message) => anyhow!("{}", message.trim_start_matches("External error: ")),
        error => error.into(),
    })
}

pub(crate) fn run(args: &Args) -> Result<()> {
    let engine = engine(&args.store, args.run.as_deref(), Duration::from_secs(args.timeout))?;
    let answer = query(&engine, &args.sql, &Parameters::new())?;
    let text = match args.format {
        Format::Table => answer.pretty()? + "\n",
        Format::Csv => answer.csv()?,
        Format::Json => serde_json::to_string(&answer.objects()?)? + "\n",
    };
    print(&text)
}
