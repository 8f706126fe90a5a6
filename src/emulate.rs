//! `prism emulate`: a venue on this machine.

use std::{
    path::{Path, PathBuf},
    time::Duration,
};

use anyhow::{Context, Result, anyhow};
use prism_emulator::{Authority, Emulator, FACES, Faults, Origin, Recording, Script};
use prism_schemas::{Market, canonical_symbol};
use prism_sources::synthetic::{SYMBOLS, quiet, symbols};
use tokio_util::sync::CancellationToken;

use crate::{
    args::{self, Deadline},
    live::wait,
    misuse,
    output::say,
    venues::clock,
};

/// Speak venues' protocols on this machine, from the synthetic market or recordings, with faults by seed.
#[derive(clap::Args)]
pub(crate) struct Args {
    /// Port on 127.0.0.1
    #[arg(long, default_value_t = 9100)]
    port: u16,
    /// Seed of the market and of the faults
    #[arg(long, default_value_t = 7)]
    seed: u64,
    /// Symbols of the market
    #[arg(long, default_value_t = SYMBOLS.len() as u16, value_parser = clap::value_parser!(u16).range(1..=1_000))]
    symbols: u16,
    /// Recordings and trade files, as `prism import` takes them, that happen again instead of the market
    #[arg(long, num_args = 1..)]
    from: Vec<PathBuf>,
    /// Market of the recordings that happens again, where they have several
    #[arg(long, requires = "from", value_parser = |text: &str| Market::parse(text).ok_or("must be spot, linear or inverse"))]
    market: Option<Market>,
    /// Share of messages that are lost
    #[arg(long, default_value_t = 0.0, value_parser = share)]
    drop: f64,
    /// Share of messages that are lost with the next three
    #[arg(long, default_value_t = 0.0, value_parser = share)]
    gap: f64,
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
    /// Share of book updates at which the venue begins to number from 1 again
    #[arg(long, default_value_t = 0.0, value_parser = share)]
    reset: f64,
    /// Everything is sent this much later, answers too, such as 500ms
    #[arg(long, value_parser = length, default_value = "0s")]
    slow: i64,
    /// Connections are cut at this age; Binance does so after 24h
    #[arg(long, value_parser = length, default_value = "24h")]
    age: i64,
    /// The venue's clock is this much ahead, such as 3s
    #[arg(long, value_parser = length, default_value = "0s", conflicts_with = "script")]
    skew: i64,
    /// Symbols of which nothing is sent after a few seconds, without a word
    #[arg(long, num_args = 1.., conflicts_with = "script")]
    stall: Vec<String>,
    /// Symbols of the market that trade and change only every two minutes
    #[arg(long, num_args = 1.., conflicts_with = "from")]
    quiet: Vec<String>,
    /// What goes wrong at which time, as TOML: [[fault]] at = "10s", for = "5s", stall = ["BTCUSDT"]; more in the README
    #[arg(long)]
    script: Option<PathBuf>,
    /// Share of requests that are answered 429, with the time to wait
    #[arg(long, default_value_t = 0.0, value_parser = share)]
    refuse: f64,
    /// Share of requests that are answered 418 (Binance) or 403 (Bybit): banned for five seconds
    #[arg(long, default_value_t = 0.0, value_parser = share)]
    ban: f64,
    /// Share of requests that are answered 502
    #[arg(long, default_value_t = 0.0, value_parser = share)]
    fail: f64,
    /// Share of requests that are answered 403 or 451, as from a country that is not served; 1: streams are refused too
    #[arg(long, default_value_t = 0.0, value_parser = share)]
    block: f64,
    /// 1: answers name trades otherwise than the stream does (Bybit)
    #[arg(long, default_value_t = 0.0, value_parser = share)]
    rename: f64,
    /// Speak TLS; the certificate of the authority that signs it is written to this file, for feeds.ca
    #[arg(long, value_name = "CA.pem")]
    tls: Option<PathBuf>,
    /// Stop after this long, such as 30s or 5m; Ctrl-C stops it any time
    #[arg(long = "for", value_parser = args::deadline)]
    length: Option<Deadline>,
}

fn share(text: &str) -> Result<f64, String> {
    match text.parse::<f64>() {
        Ok(share) if (0.0..=1.0).contains(&share) => Ok(share),
        _ => Err("must be between 0 and 1".into()),
    }
}

fn length(text: &str) -> Result<i64, String> {
    prism_schemas::time::parse_duration(text).ok_or_else(|| "is no duration such as 500ms".into())
}

/// Seconds between two moments of a quiet symbol.
const QUIET_FOR: i64 = 120;
/// Connectors are well under way when symbols fall silent.
const STALL: Duration = Duration::from_secs(5);

/// What happens on the venue, and in words.
fn happening(args: &Args) -> Result<(Origin, String)> {
    Ok(match args.from.is_empty() {
        true => {
            let names: Vec<String> = args.quiet.iter().map(|symbol| canonical_symbol(symbol)).collect();
            let market = symbols(args.symbols.into());
            let is_there = |name: &&String| market.iter().any(|symbol| symbol.name == *name);
            if let Some(unknown) = names.iter().find(|name| !is_there(name)) {
                return Err(misuse(format!("--quiet {unknown}: the market has no such symbol")));
            }
            let market = quiet(market, &names, QUIET_FOR);
            (Origin::Market(args.seed, market), format!("the synthetic market of seed {}", args.seed))
        }
        false => {
            let recording =
                Recording::open(args.from.clone(), args.market).map_err(|error| misuse(error.to_string()))?;
            (Origin::Recording(recording), format!("{} recorded files", args.from.len()))
        }
    })
}

pub(crate) fn run(args: &Args) -> Result<()> {
    let Args { seed, drop, gap, duplicate, reorder, garbage, disconnect, reset, slow, age, .. } = *args;
    let Args { refuse, ban, fail, block, rename, port, .. } = *args;
    let faults = Faults {
        seed,
        drop,
        gap,
        duplicate,
        reorder,
        garbage,
        disconnect,
        reset,
        slow,
        age,
        refuse,
        ban,
        fail,
        block,
        rename,
    };
    let script = args.script.as_deref().map(read).transpose()?;
    let (origin, what) = happening(args)?;
    let authority = args.tls.as_deref().map(authority).transpose()?;
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
    runtime.block_on(async {
        let listener = tokio::net::TcpListener::bind(("127.0.0.1", port)).await;
        let listener = listener.with_context(|| format!("listen on port {port} (another --port?)"))?;
        let emulator = Emulator::start_tls(listener, authority.as_ref(), origin, faults, clock())?;
        emulator.skew(args.skew);
        say!("prism emulate: {} with {what}, as {}", emulator.url(""), emulator.faces().join(", "))?;
        let trusting = args.tls.as_deref().map(|path| format!("PRISM__FEEDS__CA='{}' ", path.display()));
        say!(
            "  follow it: {2}PRISM__FEEDS__VENUES='[\"{0}\"]' PRISM__FEEDS__ADDRESSES='{{ \"{0}\" = \"{1}\" }}' prism run",
            FACES[0],
            emulator.url(FACES[0]),
            trusting.unwrap_or_default()
        )?;
        let going_wrong = async {
            match &script {
                Some(script) => script.run(&emulator).await,
                None => {
                    tokio::time::sleep(STALL).await;
                    args.stall.iter().for_each(|symbol| emulator.stall(&canonical_symbol(symbol)));
                }
            }
            std::future::pending().await
        };
        tokio::select! {
            () = wait(CancellationToken::new(), args.length.map(Deadline::left)) => Ok(()),
            () = going_wrong => Ok(()),
            trouble = emulator.broken() => Err(anyhow!("the recording cannot be read to its end: {trouble}")),
        }
    })
}

/// A new authority, its certificate in a file.
fn authority(path: &Path) -> Result<Authority> {
    let authority = Authority::new()?;
    std::fs::write(path, authority.pem()).with_context(|| format!("write {}", path.display()))?;
    Ok(authority)
}

fn read(path: &Path) -> Result<Script> {
    let text = std::fs::read_to_string(path).with_context(|| format!("read {}", path.display()))?;
    toml::from_str(&text).map_err(|error| misuse(format!("{}: {error}", path.display())))
}
