//! Recordings of hftbacktest: `<receive time> <frame>`, of Binance and Bybit.
//!
//! Form: github.com/nkaz001/hftbacktest, `collector/`; its Bybit collector follows linear contracts.

use prism_exchange::{DecodeError, Exchange};
use prism_schemas::{InstrumentId, Market, Ts};

use super::super::instant::Instants;
use super::super::lines::Lines;
use super::super::sight::Sight;
use super::super::{Events, Recognised, Source};
use super::Format;
use super::frames::{Seen, settle};

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
    let given = sight.options.market;
    seen.decoder(given, default).map_err(|problem| format!("lines of <ns> <json>, but {problem}"))?;
    let (input, instants) = (sight.input.clone(), sight.instants);
    let open = move || {
        let decoder = seen.decoder(given, default).map_err(std::io::Error::other)?;
        let nobody = InstrumentId::new(decoder.id(), decoder.market(), "");
        let lines = Lines::open(&input)?;
        Ok(Box::new(Stamped { lines, decoder, nobody, instants, ts_recv: 0, control: 0 }) as Box<dyn Source>)
    };
    Ok(Recognised { format: FORMAT.name, input: sight.input.clone(), note: None, open: Box::new(open) })
}

struct Stamped {
    lines: Lines,
    decoder: Box<dyn Exchange>,
    /// Whom frames that cannot be decoded are filed under.
    nobody: InstrumentId,
    instants: Instants,
    ts_recv: Ts,
    control: u64,
}

impl Source for Stamped {
    fn next(&mut self, out: &mut Events) -> std::io::Result<bool> {
        if !self.lines.step()? {
            return Ok(false);
        }
        let before = out.len();
        let line = self.lines.bytes();
        let result = match std::str::from_utf8(line).ok().and_then(|line| line.split_once(' ')) {
            Some((ts, frame)) => match self.instants.read(ts) {
                Ok(ts) => {
                    self.ts_recv = ts;
                    self.decoder.decode(frame, ts, out)
                }
                Err(wrong) => Err(DecodeError::Malformed(format!("receive time {wrong}"))),
            },
            None => Err(DecodeError::Malformed("not <ns> <json>".into())),
        };
        settle(result, &self.nobody, (line, self.lines.number, self.ts_recv), before, out, &mut self.control);
        Ok(true)
    }

    fn control(&self) -> u64 {
        self.control
    }
}
