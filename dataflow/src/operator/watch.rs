//! What operators tell beside their rows: updates that have no place among those they keep, which stay as they are, and how
//! much that is.

use std::{cell::RefCell, rc::Rc};

use prism_schemas::Ts;

use super::sizes::{Gauge, Sizes};
use crate::{
    event::RowError,
    types::{Diff, Time},
};

/// Takes an error and the knowledge time of the update that caused it.
type Listener = Box<dyn FnMut(RowError, Time)>;

/// Where the operators of a worker tell updates that they cannot place: a row that is there already, one to take back that
/// is not, or one older than all that is kept. Should never happen; if it does, rows downstream may be stale from there on.
#[derive(Clone, Default)]
pub struct Watch {
    listener: Rc<RefCell<Option<Listener>>>,
    sizes: Sizes,
}

impl Watch {
    /// Of one worker.
    pub fn new(sizes: Sizes) -> Watch {
        Watch { listener: Rc::default(), sizes }
    }

    /// Where an operator says how many bytes it keeps.
    pub fn gauge(&self, operator: &str) -> Gauge {
        self.sizes.gauge(operator)
    }

    /// From now on errors go to `listener`; before, nobody hears them.
    pub fn listen(&self, listener: impl FnMut(RowError, Time) + 'static) {
        *self.listener.borrow_mut() = Some(Box::new(listener));
    }

    /// An operator cannot place an update of an instrument's row.
    #[cold]
    pub fn tell(&self, operator: &str, instrument: u32, start: Ts, diff: Diff, time: Time) {
        let detail = match diff {
            ..=-1 => format!("{operator}: a row to take back is not there"),
            _ => format!("{operator}: a row is there already, or is older than all that are kept"),
        };
        let error = RowError {
            instrument,
            ts_event: start,
            ts_recv: time as Ts,
            rule: "misplaced_row".into(),
            detail,
            id: format!("{operator} {start} {diff:+}"),
            trade: None,
            raw: String::new(),
        };
        if let Some(listener) = &mut *self.listener.borrow_mut() {
            listener(error, time);
        }
    }
}
