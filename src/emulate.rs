//! `prism emulate`: a venue on this machine.

use std::time::Duration;

use anyhow::{Context, Result};
use prism_connectors::emulator::{Emulator, Faults};

use crate::{
    live::{Stop, parse_length},
    venues::clock,
};

/// Speak a venue's protocols on this machine, from the synthetic market, with faults by seed.
#[derive(clap::Args)]
pub(crate) struct Args {
    /// Port on 127.0.0.1
    #[arg(long, default_value_t = 9100)]
    port: u16,
    /// Seed of the market and of the faults
    #[arg(long, default_value_t = 7)]
    seed: u64,
    /// Share of messages that are lost
    #[arg(long, default_value_t = 0.0, value_parser = share)]
    drop: f64,
    /// Share of messages that are sent twice
    #[arg(long, default_value_t = 0.0, value_parser = share)]
    duplicate: f64,
    /// Share of messages that are sent after the next one
    #[arg(long, default_value_t = 0.0, value_parser = share)]
    reorder: f64,
    /// Share of messages that are cut in half
    #[arg(long, default_value_t = 0.0, value_parser = share)]
    garbage: f64,
    /// Share of messages after which the connection is cut
    #[arg(long, default_value_t = 0.0, value_parser = share)]
    disconnect: f64,
    /// Share of requests that are answered 429, with the time to wait
    #[arg(long, default_value_t = 0.0, value_parser = share)]
    refuse: f64,
    /// Share of requests that are answered 502
    #[arg(long, default_value_t = 0.0, value_parser = share)]
    fail: f64,
    /// Stop after this long, such as 30s or 5m; Ctrl-C stops it any time
    #[arg(long = "for")]
    length: Option<String>,
}

fn share(text: &str) -> Result<f64, String> {
    match text.parse::<f64>() {
        Ok(share) if (0.0..=1.0).contains(&share) => Ok(share),
        _ => Err("must be between 0 and 1".into()),
    }
}

pub(crate) fn run(args: &Args) -> Result<()> {
    let length: Option<Duration> = parse_length(args.length.as_deref())?;
    let Args { seed, drop, duplicate, reorder, garbage, disconnect, refuse, fail, port, .. } = *args;
    let faults = Faults { seed, drop, duplicate, reorder, garbage, disconnect, refuse, fail };
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
    runtime.block_on(async {
        let listener = tokio::net::TcpListener::bind(("127.0.0.1", port)).await;
        let listener = listener.with_context(|| format!("listen on port {port} (another --port?)"))?;
        let emulator = Emulator::start(listener, seed, faults, clock())?;
        println!("prism emulate: Bybit v5 linear at http://{}, seed {seed}", emulator.address);
        println!(
            "  follow it: PRISM__FEEDS__ADDRESSES='{{ \"bybit-linear\" = \"http://{}\" }}' prism run",
            emulator.address
        );
        Stop::new().wait(length).await;
        Ok(())
    })
}
