//! What happens to a connection, and what is to be done about it.

use std::time::Instant;

use prism_schemas::{InstrumentId, Ts};

use crate::known::Described;
use crate::{Events, Followed};

/// Which of two sockets: one is followed, the other takes its place before the venue ends it.
pub(super) type Slot = usize;

/// The moment of an input: `at` for waits, `ts` for what is told.
#[derive(Clone, Copy, Debug)]
pub(super) struct Now {
    pub(super) at: Instant,
    pub(super) ts: Ts,
}

/// What a connection is told from outside.
#[derive(Debug)]
pub(crate) enum Change {
    /// Follow these too.
    Follow(Followed),
    /// What more is known of instruments.
    Learn(Vec<Described>),
    /// Follow these no more.
    Leave(InstrumentId),
    /// A book that a session asked for, or why there is none.
    Snapshot(u64, InstrumentId, Events),
}

/// What happens to a connection.
#[derive(Debug)]
pub(super) enum Input<'a> {
    /// A socket stands.
    Opened(Slot),
    /// It brought a text.
    Frame(Slot, &'a str),
    /// It brought something else, such as a pong.
    Alive(Slot),
    /// It ended, or never stood.
    Closed(Slot, String),
    /// From outside.
    Change(Change),
    /// A book that was wanted could not be asked for.
    NotAsked(InstrumentId),
    /// Events waited so long to be taken that nobody listened to the sockets.
    Held,
    /// Time passed.
    Tick,
}

/// What is to be done about it, in this order.
#[derive(Debug, PartialEq)]
pub(super) enum Output {
    /// Events for whoever follows.
    Events(Events),
    /// Open a socket.
    Open(Slot),
    /// Send a text.
    Send(Slot, String),
    /// Send a ping of the WebSocket protocol.
    Ping(Slot),
    /// Close a socket.
    Close(Slot),
    /// Ask for a book by request, for a session.
    AskBook(u64, Followed),
}
