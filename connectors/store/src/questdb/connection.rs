//! Requests that carry rows, sent by a thread of its own: one is filled while another is under way.

use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::time::Duration;

use bytes::Bytes;
use prism_questdb::blocking::Client;
use prism_questdb::{Error, Written};
use questdb::ingress::ProtocolVersion;

/// A short answer comes within this.
const PATIENCE: Duration = Duration::from_secs(5);
/// A request may take this long, and longer by its size.
const REQUEST: Duration = Duration::from_secs(10);
/// Bytes that a server takes in a second at least.
const RATE: usize = 1 << 20;

/// A thread that sends.
pub(super) struct Connection {
    requests: SyncSender<Bytes>,
    answers: Receiver<Written>,
}

impl Connection {
    /// Does not connect yet.
    pub(super) fn new(client: &Client) -> Connection {
        let (requests, to_send) = sync_channel::<Bytes>(1);
        let (answer, answers) = sync_channel(1);
        let client = client.clone();
        std::thread::spawn(move || {
            for body in to_send {
                let timeout = REQUEST + Duration::from_secs((body.len() / RATE) as u64);
                if answer.send(client.write(body, timeout)).is_err() {
                    return;
                }
            }
        });
        Connection { requests, answers }
    }

    /// Sends a request; to be called only when the one before it is answered.
    pub(super) fn send(&self, body: Bytes) {
        // The thread ends only after this end of the channel, or with a panic, which `answer` notices.
        let _ = self.requests.send(body);
    }

    /// The answer to the request under way, if it comes in time.
    pub(super) fn answer(&self, wait: Duration) -> Option<Written> {
        match self.answers.recv_timeout(wait) {
            Ok(answer) => Some(answer),
            Err(RecvTimeoutError::Timeout) => None,
            Err(RecvTimeoutError::Disconnected) => Some(Written::Refused("the connection's thread panicked".into())),
        }
    }
}

/// The newest line protocol that both sides speak; the server must answer.
pub(super) fn protocol(client: &Client) -> Result<ProtocolVersion, Error> {
    let versions = client.line_protocols(PATIENCE)?;
    Ok(if versions.contains(&2) { ProtocolVersion::V2 } else { ProtocolVersion::V1 })
}
