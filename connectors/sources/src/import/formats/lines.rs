//! Bare frames of Binance and Bybit, one a line: without a receive time, so the venue's time of sending stands for it.
//!
//! When a row was known cannot be better than when the venue sent it; the report says so. Frames that tell no time of their own
//! are quarantined.

use prism_exchange::DecodeError;
use prism_schemas::Ts;
use prism_schemas::time::MILLISECOND;

use super::super::Recognised;
use super::super::instant::Instants;
use super::super::sight::Sight;
use super::Format;
use super::frames::{Seen, Shape, recognised};

pub(super) const FORMAT: Format = Format {
    name: "frames",
    looks: "JSON lines of bare frames: Binance's with \"E\" ({\"e\":\"aggTrade\",...} or combined streams), Bybit's with \"ts\"; the venue's time of sending stands for the receive time",
    recognise,
};

/// Lines that are looked at.
const LOOKED_AT: usize = 2_000;

fn recognise(sight: &Sight) -> Option<Result<Recognised, String>> {
    if !sight.text.starts_with('{') {
        return None;
    }
    let mut seen = Seen::default();
    for line in sight.text.lines().take(LOOKED_AT) {
        seen.look(line);
        if seen.is_known() {
            break;
        }
    }
    seen.venue?;
    let recognised =
        recognised(sight, FORMAT.name, (seen, None), |frame, instants| Ok((sent(frame, instants)?, frame)));
    let note = Some("no receive times: the venue's times of sending stand for them".into());
    Some(recognised.map(|recognised| Recognised { note, ..recognised }))
}

/// When the venue sent a frame, if it says so.
fn sent(frame: &str, instants: Instants) -> Result<Option<Ts>, DecodeError> {
    let malformed = |error: sonic_rs::Error| DecodeError::Malformed(error.to_string().chars().take(80).collect());
    let shape: Shape = sonic_rs::from_str(frame).map_err(malformed)?;
    let millis = match shape.topic {
        Some(_) => shape.ts,
        None => shape.inner().map_or(shape.sent, |inner| inner.sent),
    };
    Ok(millis.and_then(|millis| millis.checked_mul(MILLISECOND)).filter(|ts| instants.can_be(*ts)))
}
