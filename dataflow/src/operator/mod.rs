//! The generic operators: the only place where lateness, order and retraction are handled.

mod in_order;
mod recent;
mod scan;
mod sizes;
mod state;
mod watch;

pub use in_order::{Emit, in_order, in_order_of, in_order_to_end};
pub use recent::{Kept, Recent, find, first_from};
pub use scan::{Item, Machine, Scan, scan_by_key};
pub use sizes::{Gauge, OPERATORS, Sizes, room, shared};
pub use state::{BadState, load, save};
pub use watch::Watch;
