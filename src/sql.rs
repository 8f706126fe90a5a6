//! `prism sql`: a statement over a store.

use std::{io::Write, sync::Arc, time::Duration};

use anyhow::{Context, Result};
use prism_queries::{Engine, Error, LiveRows, Options, Parameters, Place, QueryResult};

use crate::{misuse, output::Format, place::parse_store};

/// Query a store with SQL, read-only. Tables are those of `SHOW TABLES`; times are UTC.
#[derive(clap::Args)]
pub(crate) struct Args {
    /// Store: questdb://[USER:PASSWORD@]HOST:PORT or a directory
    #[arg(long, env = "PRISM_STORE")]
    store: String,
    /// The statement
    sql: String,
    /// How to print the answer
    #[arg(long, value_enum, default_value_t = Format::Table)]
    format: Format,
    /// Seconds after which the statement is cancelled
    #[arg(long, default_value_t = 600)]
    timeout: u64,
}

/// An engine over a store that exists.
pub(crate) fn engine(store: &str, timeout: Duration) -> Result<Engine> {
    let place = parse_store(store)?;
    if let Place::Directory(dir) = &place
        && !dir.is_dir()
    {
        return Err(misuse(format!("{store} is no store: run `prism replay --store` first")));
    }
    let store = Some(place);
    let options = Options { store, timeout, rows_max: 100_000_000, memory_bytes: 2 << 30, ..Options::default() };
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
        error => error.into(),
    })
}

pub(crate) fn run(args: &Args) -> Result<()> {
    let engine = engine(&args.store, Duration::from_secs(args.timeout))?;
    let answer = query(&engine, &args.sql, &Parameters::new())?;
    let text = match args.format {
        Format::Table => answer.pretty()? + "\n",
        Format::Csv => answer.csv()?,
        Format::Json => serde_json::to_string(&answer.objects()?)? + "\n",
    };
    Ok(std::io::stdout().write_all(text.as_bytes())?)
}
