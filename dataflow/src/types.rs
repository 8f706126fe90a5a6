//! The few engine types the stages name: time, difference and collections.

use differential_dataflow::VecCollection;

/// Knowledge time in UNIX nanoseconds, a multiple of the epoch: the timely timestamp.
pub type Time = u64;

/// +1 learnt, -1 unlearnt.
pub type Diff = isize;

/// A collection of rows that changes over knowledge time.
pub type Rows<'s, D> = VecCollection<'s, Time, D, Diff>;
