//! Which of an instrument's streams of trades feeds its bars: each event time belongs to one, so nothing counts twice.

use prism_schemas::Ts;

use crate::event::{Shape, Trade};

/// The streams that own an instrument's event times, one after the other.
///
/// The first stream known owns all times; one that is wanted more takes over those after the last that was used. Grows by
/// one for each that takes over, at most once for each stream that `bars.streams` names.
#[derive(Debug, Default)]
pub(super) struct Streams {
    /// The newest owner and the event time after which it owns.
    owner: Option<(u32, Ts)>,
    /// The owners before it, the oldest first.
    earlier: Vec<(u32, Ts)>,
}

impl Streams {
    /// The first event time of the newest owner.
    pub(super) fn owned_from(&self) -> Ts {
        self.owner.map_or(Ts::MIN, |(_, after)| after.saturating_add(1))
    }

    /// Whether a trade's stream owns its event time.
    pub(super) fn owns(&self, trade: &Trade) -> bool {
        let mut owners = self.owner.iter().chain(self.earlier.iter().rev());
        owners.find(|(_, after)| *after < trade.ts_event).is_some_and(|(stream, _)| *stream == trade.shape.stream())
    }

    /// Whether `bars.streams` wants a trade's stream more than the newest owner, or there is none.
    pub(super) fn is_wanted_more(&self, trade: &Trade) -> bool {
        self.owner.is_none_or(|(stream, _)| trade.shape.stream() < Shape::UNLISTED.min(stream))
    }

    /// A stream owns what comes after the newest event time that was used.
    pub(super) fn take_over(&mut self, stream: u32, after: Ts) {
        self.earlier.extend(self.owner.replace((stream, after)));
    }
}
