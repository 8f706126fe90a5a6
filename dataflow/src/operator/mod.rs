//! The generic operators: the only place where lateness, order and retraction are handled.

mod in_order;
mod misplaced;
mod recent;
mod scan;
mod state;

pub use in_order::{Emit, in_order, in_order_of, in_order_to_end};
pub use misplaced::Misplaced;
pub use recent::{find, first_from};
pub use scan::{Item, Machine, scan_by_key};
pub use state::{BadState, load, save};
