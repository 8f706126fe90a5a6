//! Words with which states of feeds are told, shared by those who tell and those who read them.

/// The symbol of what is said of a whole venue, such as its budget of requests.
pub const ALL: &str = "*";
/// The channel in which states of an order book are told.
pub const BOOK: &str = "book";
/// What the channel begins with in which a history of klines says from when to when it goes on; their timeframe follows.
pub const KLINES: &str = "klines_";
/// The cause of a disconnection when an instrument is no longer selected: nothing is owed any more.
pub const NOT_FOLLOWED: &str = "not followed any more";
/// The cause of a disconnection when the process ends in order.
pub const ENDED: &str = "prism ends";
/// The channel in which an import says that a file is begun (connected), and that it is in the log whole (disconnected): its content's
/// digest is the recording, its name the cause.
pub const IMPORT: &str = "import";
