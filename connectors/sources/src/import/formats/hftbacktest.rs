//! Recordings of hftbacktest: `<receive time> <frame>`, of Binance and Bybit.
//!
//! Form: github.com/nkaz001/hftbacktest, `collector/`; its Bybit collector follows linear contracts.

use prism_exchange::DecodeError;
use prism_schemas::{Market, Ts};

use super::super::Recognised;
use super::super::instant::Instants;
use super::super::lines::Lines;
use super::super::sight::Sight;
use super::Format;
use super::frames::{Seen, recognised};

pub(super) const FORMAT: Format = Format {
    name: "hftbacktest",
    looks: "lines of <receive time> <frame>: frames of Binance's combined streams, or of Bybit (linear without --market)",
    recognise,
};

/// Lines that are looked at for a frame that shows the market.
const LOOKED_AT: u64 = 100_000;

fn recognise(sight: &Sight) -> Option<Result<Recognised, String>> {
    let (ts, frame) = sight.first().split_once(' ')?;
    (ts.parse::<i64>().is_ok() && frame.starts_with('{')).then(|| read(sight))
}

fn read(sight: &Sight) -> Result<Recognised, String> {
    let mut seen = Seen::default();
    let mut lines = Lines::open(sight.input).map_err(|error| error.to_string())?;
    // Every recording shows a depth update or a futures bookTicker early.
    while !seen.is_known() && lines.number < LOOKED_AT && lines.step().map_err(|error| error.to_string())? {
        if let Some((_, frame)) = std::str::from_utf8(lines.bytes()).ok().and_then(|line| line.split_once(' ')) {
            seen.look(frame);
        }
    }
    let default = (seen.venue == Some("bybit")).then_some(Market::Linear);
    recognised(sight, FORMAT.name, (seen, default), stamped)
        .map_err(|problem| format!("lines of <ns> <json>, but {problem}"))
}

fn stamped(line: &str, instants: Instants) -> Result<(Option<Ts>, &str), DecodeError> {
    let (ts, frame) = line.split_once(' ').ok_or_else(|| DecodeError::Malformed("not <ns> <json>".into()))?;
    let ts = instants.read(ts).map_err(|wrong| DecodeError::Malformed(format!("receive time {wrong}")))?;
    Ok((Some(ts), frame))
}
