//! What readers of venue frames share: what becomes of a frame that has no events, and which market frames are of.

use prism_exchange::{Binance, Bybit, DecodeError, Exchange, quarantined};
use prism_schemas::{Event, InstrumentId, Market, Ts};
use serde::Deserialize;

use super::super::instant::Instants;
use super::super::lines::Lines;
use super::super::sight::Sight;
use super::super::who::{Id, Names};
use super::super::{Events, Recognised, Source};

/// Quarantines what failed, and counts what has no events.
pub(super) fn settle(
    result: Result<(), DecodeError>,
    nobody: impl FnOnce() -> Id,
    (line, number, ts_recv): (&[u8], u64, Ts),
    before: usize,
    out: &mut Events,
    control: &mut u64,
) {
    match result {
        Ok(()) if out.len() == before => *control += 1,
        Ok(()) => {}
        Err(error) => {
            let detail = format!("line {number}: {error}");
            out.push((nobody(), quarantined(error.rule(), detail, line, ts_recv)));
        }
    }
}

/// What a line holds: when its frame was received, if it says so, and the frame.
pub(super) type Line = for<'a> fn(&'a str, Instants) -> Result<(Option<Ts>, &'a str), DecodeError>;

/// Lines of frames of one connection, whose market is told, shown, or else `default`.
pub(super) fn recognised(
    sight: &Sight,
    format: &'static str,
    (seen, default): (Seen, Option<Market>),
    line: Line,
) -> Result<Recognised, String> {
    let given = sight.options.market;
    seen.decoder(given, default)?;
    let (input, instants) = (sight.input.clone(), sight.instants);
    let open = move || {
        let decoder = seen.decoder(given, default).map_err(std::io::Error::other)?;
        let nobody = Id::new(InstrumentId::new(decoder.id(), decoder.market(), ""));
        let lines = Lines::open(&input)?;
        let (decoded, names) = (Vec::new(), Names::default());
        let framed = Framed { lines, line, decoder, decoded, names, nobody, instants, ts_recv: 0, control: 0 };
        Ok(Box::new(framed) as Box<dyn Source>)
    };
    Ok(Recognised { format, input: sight.input.clone(), note: None, open: Box::new(open) })
}

struct Framed {
    lines: Lines,
    line: Line,
    decoder: Box<dyn Exchange>,
    /// What a frame holds.
    decoded: Vec<(InstrumentId, Event)>,
    names: Names,
    /// Whom frames that cannot be decoded are filed under.
    nobody: Id,
    instants: Instants,
    ts_recv: Ts,
    control: u64,
}

impl Source for Framed {
    fn next(&mut self, out: &mut Events) -> std::io::Result<bool> {
        if !self.lines.step()? {
            return Ok(false);
        }
        let before = out.len();
        let bytes = self.lines.bytes();
        let text = std::str::from_utf8(bytes).map_err(|error| DecodeError::Malformed(error.to_string()));
        let read = text.and_then(|text| (self.line)(text, self.instants)).and_then(|(ts, frame)| {
            self.ts_recv = ts.unwrap_or(self.ts_recv);
            self.decoded.clear();
            self.decoder.decode(frame, self.ts_recv, &mut self.decoded)?;
            // Acknowledgements have no time, and no events either.
            if ts.is_none() && !self.decoded.is_empty() {
                return Err(DecodeError::Malformed("it has no time of its own, and its line no receive time".into()));
            }
            self.names.share(&mut self.decoded, out);
            Ok(())
        });
        settle(read, || self.nobody.clone(), (bytes, self.lines.number, self.ts_recv), before, out, &mut self.control);
        Ok(true)
    }

    fn control(&self) -> u64 {
        self.control
    }
}

/// What shows whose a frame is: Binance's, bare or of a combined stream, or Bybit's.
#[derive(Deserialize)]
pub(super) struct Shape<'a> {
    #[serde(borrow)]
    pub(super) data: Option<sonic_rs::LazyValue<'a>>,
    pub(super) topic: Option<&'a str>,
    pub(super) ts: Option<i64>,
    pub(super) e: Option<&'a str>,
    #[serde(rename = "E")]
    pub(super) sent: Option<i64>,
    pub(super) s: Option<&'a str>,
    pub(super) ps: Option<&'a str>,
    pub(super) pu: Option<i64>,
}

impl Shape<'_> {
    /// What it carries, if that is a frame of its own.
    pub(super) fn inner(&self) -> Option<Shape<'_>> {
        self.data.as_ref().and_then(|data| sonic_rs::from_str(data.as_raw_str()).ok())
    }
}

/// What the first frames show.
#[derive(Default)]
pub(super) struct Seen {
    /// `binance` or `bybit`.
    pub(super) venue: Option<&'static str>,
    pub(super) market: Option<Market>,
    pub(super) symbol: Option<String>,
}

impl Seen {
    /// Looks at a frame. The market of Binance shows in the shape of depth updates: COIN-M names the pair (`ps`), USD-M the
    /// previous update (`pu`). Of Bybit it shows nowhere.
    pub(super) fn look(&mut self, frame: &str) {
        let Ok(shape) = sonic_rs::from_str::<Shape>(frame) else { return };
        if shape.topic.is_some() {
            self.venue = Some("bybit");
            return;
        }
        let inner = shape.inner();
        let shape = inner.as_ref().unwrap_or(&shape);
        if shape.e.is_some() {
            self.venue = Some("binance");
        }
        self.symbol = self.symbol.take().or_else(|| shape.s.map(str::to_string));
        self.market = self.market.or(match *shape {
            Shape { e: Some("depthUpdate" | "bookTicker"), ps: Some(_), .. } => Some(Market::Inverse),
            Shape { e: Some("depthUpdate"), pu: Some(_), .. } => Some(Market::Linear),
            Shape { e: Some("depthUpdate"), .. } => Some(Market::Spot),
            _ => None,
        });
    }

    /// Whether more frames would tell nothing new.
    pub(super) fn is_known(&self) -> bool {
        self.venue == Some("bybit") || self.market.is_some()
    }

    /// The decoder of its frames; `default` where neither they nor the user say which market.
    pub(super) fn decoder(&self, given: Option<Market>, default: Option<Market>) -> Result<Box<dyn Exchange>, String> {
        let market = || given.or(self.market).or(default);
        match self.venue {
            Some("bybit") => {
                let market =
                    market().ok_or("frames of Bybit do not show their market: say --market spot, linear or inverse")?;
                Ok(Box::new(Bybit::new(market)))
            }
            Some(_) => {
                let unknown = "no Binance depth update that shows the market: say --market spot, linear or inverse";
                let binance = Binance::new(market().ok_or(unknown)?);
                Ok(match &self.symbol {
                    Some(symbol) => Box::new(binance.with_symbol(symbol)),
                    None => Box::new(binance),
                })
            }
            None => Err("no frame of Binance or Bybit among the first lines".into()),
        }
    }
}
