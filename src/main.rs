//! prism: public crypto market feeds into explained, reproducible trading signals.

mod analyze;
mod args;
mod bench;
mod bounds;
mod chaos;
mod config;
mod demo;
mod doctor;
mod emulate;
mod follow;
mod import;
mod interrupt;
mod layers;
mod liquidations;
mod live;
mod output;
mod place;
mod record;
mod replay;
mod roles;
mod signal;
mod snapshot;
mod sql;
mod synthetic;
mod venues;

use std::io::{IsTerminal, Write};
use std::process::ExitCode;

use clap::{Parser, Subcommand};

/// Rows are made by one thread and dropped by another, which the system's allocator does slowly.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Public crypto market feeds into explained, reproducible trading signals.
#[derive(Parser)]
#[command(name = "prism", version, arg_required_else_help = true)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Run everything in one process on a synthetic market: no service, no key, no network
    Demo(demo::Args),
    /// Ingest, compute and serve in one process
    Run(roles::Run),
    /// Write market events to a log
    Ingest(roles::Ingest),
    /// Speak a venue's protocols on this machine, with faults by seed
    Emulate(emulate::Args),
    /// Check the connectors against the emulated venue while everything goes wrong
    Chaos(chaos::Args),
    /// Follow a log with the dataflow, keep its rows in a store, and serve them
    Compute(roles::Compute),
    /// Serve the API from a store that another process fills
    Serve(roles::Serve),
    /// Record what a live venue sends, byte for byte
    Record(record::Args),
    /// Ask a venue for all components of a symbol at once
    Snapshot(snapshot::Args),
    /// Check the configuration and the configured feeds
    Doctor(doctor::Args),
    /// Put recordings and histories into a log
    Import(import::Args),
    /// Run a log through the dataflow into a store
    Replay(replay::Args),
    /// Query a store with SQL
    Sql(sql::Args),
    /// Measure the pipeline over running servers, stage by stage
    Bench(bench::Args),
    /// Print the component breakdown of a symbol's newest score
    Analyze(analyze::Args),
    /// Print the signal that could be made of symbols' newest scores, with stop, targets and reasons
    Signal(signal::Args),
    /// Print forced orders of the newest bars, and alert where a bar has too many
    Liquidations(liquidations::Args),
}

/// The caller asked for something that cannot be: exit code 2.
#[derive(Debug)]
pub(crate) struct Misuse(pub(crate) String);

impl std::fmt::Display for Misuse {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for Misuse {}

/// An error that exits with code 2.
pub(crate) fn misuse(message: impl Into<String>) -> anyhow::Error {
    anyhow::Error::new(Misuse(message.into()))
}

impl Command {
    /// What the first Ctrl-C or SIGTERM does; others it simply ends.
    fn when_interrupted(&self) -> Option<&'static str> {
        match self {
            Command::Demo(_) | Command::Run(_) | Command::Compute(_) => Some("stopping: rows on their way are stored"),
            Command::Ingest(_) => Some("stopping: events on their way are written"),
            Command::Record(_) => Some("stopping: what was received is written"),
            Command::Replay(_) => Some("stopping: rows computed so far are stored"),
            Command::Serve(_) | Command::Emulate(_) => Some("stopping"),
            _ => None,
        }
    }
}

fn main() -> ExitCode {
    let command = Cli::parse().command;
    // In chaos everything goes wrong all the time.
    let level = if matches!(command, Command::Chaos(_)) { "error" } else { "warn,prism=info" };
    let filter = tracing_subscriber::EnvFilter::try_from_default_env().unwrap_or_else(|_| level.into());
    let is_terminal = std::io::stderr().is_terminal();
    // What cannot be written down, on a full disk, is no reason to end.
    let told = tracing_subscriber::fmt().with_env_filter(filter).with_ansi(is_terminal).log_internal_errors(false);
    told.with_writer(std::io::stderr).init();
    end_on_panic();
    match run(command) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) if error.is::<output::Closed>() => ExitCode::SUCCESS,
        Err(error) => {
            // Whoever read it may be gone.
            let _ = writeln!(std::io::stderr(), "error: {}", once(&error));
            ExitCode::from(if error.is::<Misuse>() { 2 } else { 1 })
        }
    }
}

fn run(command: Command) -> anyhow::Result<()> {
    let interrupted = command.when_interrupted().map(interrupt::answer).transpose()?;
    match command {
        Command::Demo(args) => demo::run(&args),
        Command::Run(args) => roles::run(&args),
        Command::Ingest(args) => roles::ingest(&args),
        Command::Emulate(args) => emulate::run(&args),
        Command::Chaos(args) => chaos::run(&args),
        Command::Compute(args) => roles::compute(&args),
        Command::Serve(args) => roles::serve(&args),
        Command::Record(args) => record::run(&args),
        Command::Snapshot(args) => snapshot::run(&args),
        Command::Doctor(args) => doctor::run(&args),
        Command::Import(args) => import::run(&args),
        Command::Replay(args) => replay::run(&args, interrupted.unwrap_or_default()),
        Command::Sql(args) => sql::run(&args),
        Command::Bench(args) => bench::run(&args),
        Command::Analyze(args) => analyze::run(&args),
        Command::Signal(args) => signal::run(&args),
        Command::Liquidations(args) => liquidations::run(&args),
    }
}

/// A panic in any thread or task ends the process at once: what goes on without a part of itself tells half a truth. Only
/// what users ask in SQL may panic alone: it is their statement's error.
fn end_on_panic() {
    let told = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |panic| {
        // Who reads our output may go away, as `head` does.
        let said = panic.payload().downcast_ref::<String>();
        if said.is_some_and(|said| said.starts_with("failed printing to stdout") && said.contains("Broken pipe")) {
            std::process::exit(0);
        }
        told(panic);
        let thread = std::thread::current();
        let name = thread.name().unwrap_or("unnamed");
        if !name.starts_with("prism-sql") {
            let _ = writeln!(std::io::stderr(), "error: the thread {name} panicked, prism ends");
            std::process::exit(1);
        }
    }));
}

/// An error with its causes, each said once: some say their cause themselves.
fn once(error: &anyhow::Error) -> String {
    let mut text = String::new();
    for cause in error.chain().map(|cause| cause.to_string()) {
        if !text.contains(cause.trim()) {
            text = if text.is_empty() { cause } else { format!("{text}: {cause}") };
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use anyhow::Context;

    use super::*;

    #[test]
    fn a_cause_is_said_once() {
        let cause = std::io::Error::other("the disk is full");
        let of = prism_log::LogError::Io { path: "log".into(), source: cause };
        assert_eq!(once(&anyhow::Error::new(of).context("write the log")), "write the log: log: the disk is full");
        let error = Err::<(), _>(anyhow::anyhow!("a")).context("b").unwrap_err();
        assert_eq!(once(&error), "b: a");
    }
}
