//! Bare frames of Binance and Bybit, one a line: without a receive time, so the venue's time of sending stands for it.
//!
//! When a row was known cannot be better than when the venue sent it; the report says so. Frames that tell no time of their own
//! are quarantined.

use prism_exchange::{DecodeError, Exchange};
use prism_schemas::time::MILLISECOND;
use prism_schemas::{InstrumentId, Ts};

use super::super::instant::Instants;
use super::super::lines::Lines;
use super::super::sight::Sight;
use super::super::{Events, Recognised, Source};
use super::Format;
use super::frames::{Seen, Shape, settle};

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
    Some(read(sight, seen))
}

fn read(sight: &Sight, seen: Seen) -> Result<Recognised, String> {
    let given = sight.options.market;
    seen.decoder(given, None)?;
    let (input, instants) = (sight.input.clone(), sight.instants);
    let open = move || {
        let decoder = seen.decoder(given, None).map_err(std::io::Error::other)?;
        let nobody = InstrumentId::new(decoder.id(), decoder.market(), "");
        let lines = Lines::open(&input)?;
        Ok(Box::new(Bare { lines, decoder, nobody, instants, ts_recv: 0, control: 0 }) as Box<dyn Source>)
    };
    let note = Some("no receive times: the venue's times of sending stand for them".into());
    Ok(Recognised { format: FORMAT.name, input: sight.input.clone(), note, open: Box::new(open) })
}

struct Bare {
    lines: Lines,
    decoder: Box<dyn Exchange>,
    nobody: InstrumentId,
    instants: Instants,
    ts_recv: Ts,
    control: u64,
}

/// When the venue sent a frame, and whether it is one that has a time.
fn sent(frame: &str) -> Result<Option<i64>, DecodeError> {
    let malformed = |error: sonic_rs::Error| DecodeError::Malformed(error.to_string().chars().take(80).collect());
    let shape: Shape = sonic_rs::from_str(frame).map_err(malformed)?;
    if shape.topic.is_some() {
        return Ok(shape.ts);
    }
    Ok(shape.inner().map_or(shape.sent, |inner| inner.sent))
}

impl Source for Bare {
    fn next(&mut self, out: &mut Events) -> std::io::Result<bool> {
        if !self.lines.step()? {
            return Ok(false);
        }
        let before = out.len();
        let line = self.lines.bytes();
        let result =
            std::str::from_utf8(line).map_err(|error| DecodeError::Malformed(error.to_string())).and_then(|frame| {
                let ts = sent(frame)?
                    .and_then(|millis| millis.checked_mul(MILLISECOND))
                    .filter(|ts| self.instants.can_be(*ts));
                match ts {
                    Some(ts) => {
                        self.ts_recv = ts;
                        self.decoder.decode(frame, ts, out)
                    }
                    // Acknowledgements have none, and no events either.
                    None => match self.decoder.decode(frame, self.ts_recv, out) {
                        Ok(()) if out.len() == before => Ok(()),
                        Ok(()) => {
                            out.truncate(before);
                            Err(DecodeError::Malformed(
                                "it has no time of its own, and its line no receive time".into(),
                            ))
                        }
                        Err(error) => Err(error),
                    },
                }
            });
        settle(result, &self.nobody, (line, self.lines.number, self.ts_recv), before, out, &mut self.control);
        Ok(true)
    }

    fn control(&self) -> u64 {
        self.control
    }
}
