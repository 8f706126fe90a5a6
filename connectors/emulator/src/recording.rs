//! Recordings and trade files that happen again: whatever `prism import` reads.

use std::path::PathBuf;
use std::sync::mpsc::{Receiver, sync_channel};
use std::thread::JoinHandle;

use prism_schemas::event::event::Body;
use prism_schemas::{Event, InstrumentId, Market, Ts};

use prism_log::LogError;
use prism_sources::import::{ImportError, Options, read};

/// Events read ahead.
const AHEAD: usize = 65_536;

/// Takes events one by one.
type See<'a> = dyn FnMut(&InstrumentId, Event) -> Result<(), LogError> + 'a;

/// A recording on its way through time.
pub struct Recording {
    events: Receiver<(InstrumentId, Event)>,
    next: Option<(InstrumentId, Event)>,
    /// The thread that reads, until it has ended.
    reading: Option<JoinHandle<Result<(), ImportError>>>,
    /// Why it could not be read to its end.
    pub(super) trouble: Option<String>,
    /// From recorded times to those of now, once it is known.
    shift: Option<i64>,
    /// Only events of one venue's market happen: a symbol can be on several.
    of: (String, Market),
}

impl Recording {
    /// Opens files that `prism import` reads; the venue is that of the first event, and the market too if none is named.
    pub fn open(paths: Vec<PathBuf>, market: Option<Market>) -> Result<Box<Recording>, ImportError> {
        Recording::of(market, move |see| read(&paths, Options::default(), see).map(|_| ()))
    }

    /// Of whatever a function reads.
    fn of(
        market: Option<Market>,
        read: impl FnOnce(&mut See<'_>) -> Result<(), ImportError> + Send + 'static,
    ) -> Result<Box<Recording>, ImportError> {
        let (send, events) = sync_channel(AHEAD);
        let reading = std::thread::spawn(move || {
            let gone = || LogError::Usage("the emulator has ended".into());
            read(&mut |id, event| send.send((id.clone(), event)).map_err(|_| gone()))
        });
        match events.recv() {
            Ok((id, event)) => {
                let (of, next) = ((id.exchange.clone(), market.unwrap_or(id.market)), Some((id, event)));
                Ok(Box::new(Recording { events, next, reading: Some(reading), trouble: None, shift: None, of }))
            }
            // It ended without an event.
            Err(_) => match reading.join() {
                Ok(Err(error)) => Err(error),
                _ => Err(ImportError::Refused { path: PathBuf::new(), reason: "there are no events".into() }),
            },
        }
    }

    /// The next event; at the end, whether it was the recording's own.
    fn advance(&mut self) {
        self.next = self.events.recv().ok();
        if self.next.is_some() {
            return;
        }
        let trouble = match self.reading.take().map(JoinHandle::join) {
            None | Some(Ok(Ok(()))) => return,
            Some(Ok(Err(error))) => error.to_string(),
            Some(Err(_)) => "the thread that reads it panicked".into(),
        };
        tracing::error!(trouble, "the recording ends before its end");
        self.trouble = Some(trouble);
    }

    /// Appends what happens until `now`; the first change of the market happens at the first call, with all that is before.
    pub(super) fn until(&mut self, now: Ts, out: &mut Vec<(InstrumentId, Event)>) {
        while let Some((id, mut event)) = self.next.take() {
            if (&id.exchange, id.market) != (&self.of.0, self.of.1) {
                self.advance();
                continue;
            }
            let is_known = matches!(event.body, Some(Body::Instrument(_) | Body::Kline(_) | Body::FeedStatus(_)));
            let shift = match self.shift {
                None if is_known => now - event.ts_recv,
                _ => *self.shift.get_or_insert(now - event.ts_recv),
            };
            if now < event.ts_recv + shift {
                self.next = Some((id, event));
                return;
            }
            event.ts_event += shift;
            event.ts_recv += shift;
            out.push((id, event));
            self.advance();
        }
    }
}

#[cfg(test)]
mod tests {
    use prism_schemas::event::FearGreed;

    use super::*;

    #[test]
    fn a_recording_that_cannot_be_read_to_its_end_says_so() {
        let id = InstrumentId::new("bybit", Market::Linear, "BTCUSDT");
        let event = |ts: Ts| Event {
            ts_event: ts,
            ts_recv: ts,
            body: Some(Body::FearGreed(FearGreed::default())),
            ..Event::default()
        };
        for is_damaged in [true, false] {
            let id = id.clone();
            let mut recording = Recording::of(None, move |see| {
                (1..=3).try_for_each(|ts| see(&id, event(ts)))?;
                let damage = || std::io::Error::new(std::io::ErrorKind::InvalidData, "checksum");
                if is_damaged { Err(ImportError::Io { path: "a.zst".into(), source: damage() }) } else { Ok(()) }
            })
            .unwrap();
            let mut out = Vec::new();
            recording.until(1_000, &mut out);
            assert_eq!(recording.trouble, None, "the second and third are yet to happen");
            recording.until(1_002, &mut out);
            assert_eq!((out.len(), recording.trouble), (3, is_damaged.then(|| "a.zst: checksum".to_string())));
        }
    }
}
