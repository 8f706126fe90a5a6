//! What a log holds of histories already, so that whoever starts again appends only what is missing.

use std::borrow::Cow;
use std::collections::HashMap;

use prism_schemas::event::event::Body;
use prism_schemas::time::MINUTE;
use prism_schemas::{Event, InstrumentId, Market, Told, Topic, Ts};

use super::{Log, LogError};

/// The event times of each history in the topic of reference events: closed bars by timeframe, and what venues tell with
/// its past when asked.
#[derive(Clone, Debug, Default)]
pub struct Known(HashMap<(InstrumentId, String), Told>);

impl Known {
    /// Reads a log from its start. Memory is one entry for each instrument and series, more where there are holes.
    pub fn read(log: &dyn Log) -> Result<Known, LogError> {
        let mut known = Known::default();
        for partition in 0..log.partitions(Topic::Reference) {
            let end = log.end(Topic::Reference, partition)?;
            let start = log.start(Topic::Reference, partition)?;
            let mut records = log.read(Topic::Reference, partition, start)?;
            // What is appended meanwhile is not waited for.
            while let Some(record) = records.next()? {
                if let Some(market) = Market::parse(&record.batch.market) {
                    let id = InstrumentId::new(&record.batch.exchange, market, &record.batch.symbol);
                    for event in &record.batch.events {
                        known.take(&id, event);
                    }
                }
                if end <= record.offset + 1 {
                    break;
                }
            }
        }
        Ok(known)
    }

    /// When the newest closed bar of a timeframe began.
    pub fn newest_bar(&self, id: &InstrumentId, timeframe: &str) -> Option<Ts> {
        self.0.get(&(id.clone(), timeframe.into()))?.newest()
    }

    /// Takes note of an event; false if it is of a history and was told before.
    pub fn take(&mut self, id: &InstrumentId, event: &Event) -> bool {
        let Some((series, ts)) = series(event) else { return true };
        self.0.entry((id.clone(), series.into_owned())).or_default().take(ts)
    }
}

/// The history an event belongs to, and when it is of.
fn series(event: &Event) -> Option<(Cow<'_, str>, Ts)> {
    Some(match event.body.as_ref()? {
        Body::Kline(kline) if kline.closed => (Cow::from(&kline.timeframe), kline.start),
        // Some venues date settlements some milliseconds late.
        Body::FundingRate(_) => ("funding".into(), (event.ts_event + MINUTE / 2).div_euclid(MINUTE)),
        Body::OpenInterest(_) => ("open_interest".into(), event.ts_event),
        Body::LongShortRatio(ratio) => (format!("{} {}", ratio.kind, ratio.period).into(), event.ts_event),
        Body::FearGreed(_) => ("fear_greed".into(), event.ts_event),
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use prism_schemas::event::{FundingRate, Kline};

    use super::*;
    use crate::{LogWriter, SegmentLog};

    fn event(ts_event: Ts, ts_recv: Ts, body: Body) -> Event {
        Event { ts_event, ts_recv, seq: None, index: 0, body: Some(body) }
    }

    fn bar(start: Ts, closed: bool) -> Event {
        event(start, 1_000, Body::Kline(Box::new(Kline { timeframe: "1m".into(), start, closed, ..Kline::default() })))
    }

    #[test]
    fn what_is_in_the_log_is_known_to_whoever_starts_again() {
        let dir = tempfile::tempdir().unwrap();
        let log: Arc<dyn Log> = Arc::new(SegmentLog::open(dir.path()).unwrap());
        let [a, b] = ["BTCUSDT", "ETHUSDT"].map(|symbol| InstrumentId::new("bybit", Market::Linear, symbol));
        let mut writer = LogWriter::new(log.clone());
        for start in [60, 120, 180] {
            writer.push(&a, bar(start, true)).unwrap();
        }
        writer.push(&a, bar(240, false)).unwrap();
        writer.push(&b, event(50 * MINUTE, 1_000, Body::FundingRate(FundingRate::default()))).unwrap();
        writer.sync().unwrap();
        let mut known = Known::read(&*log).unwrap();
        assert_eq!(
            (known.newest_bar(&a, "1m"), known.newest_bar(&a, "5m"), known.newest_bar(&b, "1m")),
            (Some(180), None, None)
        );
        assert!(
            !known.take(&a, &bar(180, true)) && known.take(&a, &bar(240, true)) && !known.take(&a, &bar(240, true))
        );
        assert!(known.take(&a, &bar(240, false)), "what is still forming is told again and again");
        let funding = |minute| event(minute * MINUTE + 5, 2_000, Body::FundingRate(FundingRate::default()));
        assert!(!known.take(&b, &funding(50)) && known.take(&b, &funding(51)) && known.take(&a, &funding(1)));
        // An older page comes later.
        assert!(known.take(&b, &funding(20)) && !known.take(&b, &funding(20)));
    }
}
