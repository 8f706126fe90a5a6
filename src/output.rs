//! Tables, progress and formats of the terminal.

use std::io::{ErrorKind, IsTerminal, Write};

use anyhow::Result;
use clap::ValueEnum;
use indicatif::{ProgressBar, ProgressStyle};

/// Whoever read standard output has seen enough, as `head` has: a good end.
#[derive(Debug)]
pub(crate) struct Closed;

impl std::fmt::Display for Closed {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("standard output is closed")
    }
}

impl std::error::Error for Closed {}

/// Writes to standard output; `Closed` if nobody reads it any more.
pub(crate) fn print(text: &str) -> Result<()> {
    let mut out = std::io::stdout().lock();
    match out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
        Err(error) if error.kind() == ErrorKind::BrokenPipe => Err(Closed.into()),
        other => Ok(other?),
    }
}

/// As `println!`, with an error instead of a panic.
macro_rules! say {
    ($($text:tt)*) => {
        $crate::output::print(&(format!($($text)*) + "\n"))
    };
}
pub(crate) use say;

/// How a command prints data.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Format {
    /// For people.
    Table,
    /// Comma-separated values with a header.
    Csv,
    /// One JSON document.
    Json,
}

/// A table with a header for people.
pub(crate) fn table(header: &[&str]) -> comfy_table::Table {
    let mut table = comfy_table::Table::new();
    table.load_style(comfy_table::presets::UTF8_HORIZONTAL_ONLY);
    table.set_header(header.iter().copied());
    table
}

/// Progress on standard error, shown only on a terminal; counts `unit`.
pub(crate) fn progress(total: Option<u64>, unit: &str) -> ProgressBar {
    if !std::io::stderr().is_terminal() {
        return ProgressBar::hidden();
    }
    let (bar, template) = match total {
        Some(total) => (ProgressBar::new(total), format!("{{bar:30}} {{pos}}/{{len}} {unit} {{per_sec}} eta {{eta}}")),
        None => (ProgressBar::new_spinner(), format!("{{spinner}} {{pos}} {unit} {{per_sec}} {{elapsed}}")),
    };
    bar.with_style(ProgressStyle::with_template(&template).unwrap_or_else(|_| ProgressStyle::default_bar()))
}

/// A gauge of 0..100 around 50.
pub(crate) fn gauge(score: f64) -> String {
    const WIDTH: usize = 20;
    let filled = ((score / 100.0) * WIDTH as f64).round().clamp(0.0, WIDTH as f64) as usize;
    format!("{}{}", "█".repeat(filled), "░".repeat(WIDTH - filled))
}
