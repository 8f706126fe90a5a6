//! The synthetic market as a source: venue frames through the decoder into a log, faster than time at first.

use std::{
    sync::Arc,
    thread,
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};

use anyhow::Result;
use prism_exchange::{Bybit, Exchange, quarantined};
use prism_log::{LiveWriter, Log, Pace, session};
use prism_pipeline::TOPICS;
use prism_schemas::{
    InstrumentId, Timeframe,
    time::{HOUR, MILLISECOND, MINUTE},
};
use prism_sources::synthetic::{EXCHANGE, MARKET, Market, SYMBOLS, Symbol, symbols};
use prism_venue::Clock;
use tokio_util::sync::CancellationToken;

/// The simulation starts this long before now, so that it meets the wall clock after a while.
const PAST: i64 = 6 * HOUR;
/// Simulated time that is run through at once at the start.
const HEAD_START: i64 = 45 * MINUTE;
/// Closed venue bars per timeframe before the start.
const WARM_UP_BARS: usize = 220;
/// Simulated nanoseconds written at once during the head start.
const CHUNK: i64 = MINUTE;
/// Simulated nanoseconds after which the log says again that the market lives.
const ALIVE: i64 = 500 * MILLISECOND;
/// Real time between two steps.
const STEP: Duration = Duration::from_millis(100);

/// Which market, and how fast.
#[derive(Clone, Copy, Debug, clap::Args)]
pub(crate) struct Source {
    /// Seed of the synthetic market
    #[arg(long, default_value_t = 7)]
    pub(crate) seed: u64,
    /// Simulated seconds per second until simulated time meets the wall clock
    #[arg(long, default_value_t = 60.0, value_parser = speed)]
    pub(crate) speed: f64,
    /// Symbols of the synthetic market
    #[arg(long, default_value_t = SYMBOLS.len() as u16, value_parser = clap::value_parser!(u16).range(1..=1_000))]
    symbols: u16,
}

impl Source {
    /// What is traded.
    pub(crate) fn symbols(self) -> &'static [Symbol] {
        symbols(self.symbols.into())
    }

    /// A real duration in simulated time, ns; what runs slower than real time keeps it.
    pub(crate) fn simulated(self, duration: i64) -> i64 {
        (duration as f64 * self.speed.max(1.0)) as i64
    }

    /// The simulated time, from now on, with no head start.
    pub(crate) fn clock(self) -> Result<Clock> {
        Ok(SimulatedTime { head_start: 0, ..SimulatedTime::starting_now(self.speed)? }.clock())
    }

    /// The simulated time of a market that `ingest` writes.
    pub(crate) fn time(self) -> Result<SimulatedTime> {
        SimulatedTime::starting_now(self.speed)
    }
}

/// Reads a factor of time.
pub(crate) fn speed(text: &str) -> Result<f64, String> {
    let speed: f64 = text.parse().map_err(|error| format!("{error}"))?;
    if 0.0 < speed && speed.is_finite() { Ok(speed) } else { Err("must be above 0".into()) }
}

/// Simulated time as a function of real time.
#[derive(Clone)]
pub(crate) struct SimulatedTime {
    start: i64,
    head_start: i64,
    began: Instant,
    speed: f64,
}

impl SimulatedTime {
    #[expect(clippy::disallowed_methods, reason = "the market runs by the wall clock; no result depends on it")]
    fn starting_now(speed: f64) -> Result<SimulatedTime> {
        let now = i64::try_from(SystemTime::now().duration_since(UNIX_EPOCH)?.as_nanos())?;
        let start = (now - PAST) / MINUTE * MINUTE;
        Ok(SimulatedTime { start, head_start: HEAD_START, began: Instant::now(), speed })
    }

    pub(crate) fn clock(self) -> Clock {
        Arc::new(move || self.now())
    }

    /// `speed` times real time after the head start, until it meets the wall clock.
    fn now(&self) -> i64 {
        let real = self.began.elapsed().as_nanos() as i64;
        let fast = self.start + self.head_start + (real as f64 * self.speed) as i64;
        fast.min(self.start + PAST + real)
    }
}

/// Writes the market to the log until told to stop, and says after each step how far time has come.
pub(crate) fn ingest(
    log: &Arc<dyn Log>,
    timeframes: &[Timeframe],
    source: Source,
    time: &SimulatedTime,
    stop: &CancellationToken,
) -> Result<()> {
    let mut market = Market::new(source.seed, source.symbols(), time.start);
    // Another life of the same process may begin at the same simulated time.
    let mut writer = LiveWriter::new(log.clone(), &TOPICS, Pace::default(), session(time.start));
    let mut decoder = Bybit::new(MARKET);
    writer.take(market.warm_up(timeframes, WARM_UP_BARS))?;
    writer.take(market.connected())?;
    let (mut frames, mut events) = (Vec::new(), Vec::new());
    let mut reached = time.start;
    while !stop.is_cancelled() {
        let now = time.now();
        let until = now.min(reached + CHUNK);
        while reached < until {
            let before = reached;
            reached = until.min(reached + ALIVE);
            market.step(reached, &mut frames);
            writer.take(market.told(before, reached))?;
            for frame in frames.drain(..) {
                if let Err(error) = decoder.decode(&frame.text, frame.ts_recv, &mut events) {
                    let nowhere = InstrumentId::new(EXCHANGE, MARKET, "");
                    let raw = frame.text.as_bytes();
                    events.push((nowhere, quarantined(error.rule(), error.to_string(), raw, frame.ts_recv)));
                }
                writer.take(events.drain(..))?;
            }
            writer.live(reached)?;
            if reached == until {
                writer.flush(until)?;
            }
        }
        if time.now() <= reached + CHUNK {
            thread::sleep(STEP);
        }
    }
    Ok(writer.end(reached)?)
}
