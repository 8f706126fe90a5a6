//! Recordings and trade files that happen again: whatever `prism import` reads.

use std::path::PathBuf;
use std::sync::mpsc::{Receiver, sync_channel};

use prism_schemas::event::event::Body;
use prism_schemas::{Event, InstrumentId, Market, Ts};

use prism_log::LogError;
use prism_sources::import::{ImportError, Options, read};

/// Events read ahead.
const AHEAD: usize = 65_536;

/// A recording on its way through time.
pub struct Recording {
    events: Receiver<(InstrumentId, Event)>,
    next: Option<(InstrumentId, Event)>,
    /// From recorded times to those of now, once it is known.
    shift: Option<i64>,
    /// Only events of one venue's market happen: a symbol can be on several.
    of: (String, Market),
}

impl Recording {
    /// Opens files that `prism import` reads; the venue is that of the first event, and the market too if none is named.
    pub fn open(paths: Vec<PathBuf>, market: Option<Market>) -> Result<Box<Recording>, ImportError> {
        let (send, events) = sync_channel(AHEAD);
        let reading = std::thread::spawn(move || {
            let gone = || LogError::Usage("the emulator has ended".into());
            read(&paths, Options::default(), &mut |id, event| send.send((id.clone(), event)).map_err(|_| gone()))
        });
        match events.recv() {
            Ok((id, event)) => {
                let of = (id.exchange.clone(), market.unwrap_or(id.market));
                Ok(Box::new(Recording { events, next: Some((id, event)), shift: None, of }))
            }
            // It ended without an event.
            Err(_) => match reading.join() {
                Ok(Err(error)) => Err(error),
                _ => Err(ImportError::Unrecognised { path: PathBuf::new(), reason: "there are no events".into() }),
            },
        }
    }

    /// Appends what happens until `now`; the first change of the market happens at the first call, with all that is before.
    pub(super) fn until(&mut self, now: Ts, out: &mut Vec<(InstrumentId, Event)>) {
        while let Some((id, mut event)) = self.next.take() {
            if (&id.exchange, id.market) != (&self.of.0, self.of.1) {
                self.next = self.events.recv().ok();
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
            self.next = self.events.recv().ok();
        }
    }
}
