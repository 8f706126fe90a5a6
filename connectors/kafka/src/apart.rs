//! Clients of the library end on threads of their own.
//!
//! Its threads wait by the wall clock, for as long as that is after a step back, and a client that ends waits for them.
//! What matters (messages written, offsets committed) is seen to before; a process need not wait for the rest.

use std::sync::Arc;
use std::sync::mpsc::{Sender, channel};

/// Goes after the last other owner of a client, and then lets the client end.
pub(crate) struct Held {
    _end: Sender<()>,
}

/// A client and what is to be dropped after it: a field below it, or the end of a tuple.
pub(crate) fn apart<T: Send + Sync + 'static>(client: T) -> std::io::Result<(Arc<T>, Held)> {
    let (client, (end, ended)) = (Arc::new(client), channel());
    let last = client.clone();
    std::thread::Builder::new().name("kafka-end".into()).spawn(move || {
        // Nobody sends: this is the end of all senders.
        let _ = ended.recv();
        drop(last);
    })?;
    Ok((client, Held { _end: end }))
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Slow(Sender<std::thread::ThreadId>);

    impl Drop for Slow {
        fn drop(&mut self) {
            self.0.send(std::thread::current().id()).unwrap();
        }
    }

    #[test]
    fn nobody_waits_for_a_clients_end() {
        let (said, ended) = channel();
        let (client, held) = apart(Slow(said)).unwrap();
        let other = client.clone();
        drop((client, other, held));
        assert_ne!(ended.recv().unwrap(), std::thread::current().id());
    }
}
