//! A venue on this machine that connectors cannot tell from the real one: Bybit v5 streams and market requests, fed by the
//! synthetic market in real time, with seeded faults.

mod bybit;
mod faults;
mod limits;
mod venue;

pub use faults::Faults;
pub use limits::Asked;

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use prism_schemas::{InstrumentId, OrderBook, Ts};
use tokio::net::TcpListener;
use tokio::sync::broadcast;
use tokio_util::sync::CancellationToken;

use crate::synthetic::{EXCHANGE, MARKET};
use limits::Requests;
use venue::Venue;

/// The time now, in UNIX nanoseconds.
pub type Clock = Arc<dyn Fn() -> Ts + Send + Sync>;

/// Between two steps of the market.
const STEP: Duration = Duration::from_millis(20);
/// Messages a slow reader may be behind before it is disconnected.
const BEHIND_MAX: usize = 8_192;

/// A message of a topic, as the market sends it.
#[derive(Debug)]
struct Sent {
    topic: String,
    text: String,
    /// The book's update.
    update: Option<u64>,
}

/// What connections and requests share.
struct Shared {
    venue: Mutex<Venue>,
    sent: broadcast::Sender<Arc<Sent>>,
    faults: Faults,
    /// No more faults.
    calm: AtomicBool,
    requests: Mutex<Requests>,
    /// Symbols of which nothing is sent.
    stalled: Mutex<BTreeSet<String>>,
    clock: Clock,
    over: CancellationToken,
}

impl Shared {
    fn venue(&self) -> MutexGuard<'_, Venue> {
        self.venue.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A running emulator; it ends when this is dropped.
pub struct Emulator {
    shared: Arc<Shared>,
    /// Where it listens.
    pub address: SocketAddr,
}

impl Emulator {
    /// Serves the market of `seed` on `listener`, within the current tokio runtime.
    pub fn start(listener: TcpListener, seed: u64, faults: Faults, clock: Clock) -> std::io::Result<Emulator> {
        let address = listener.local_addr()?;
        let venue = Mutex::new(Venue::new(seed, clock()));
        let (sent, over) = (broadcast::channel(BEHIND_MAX).0, CancellationToken::new());
        let requests = Mutex::new(Requests::new(faults));
        let (calm, stalled) = (AtomicBool::new(false), Mutex::default());
        let shared = Arc::new(Shared { venue, sent, faults, calm, requests, stalled, clock, over });
        tokio::spawn({
            let shared = shared.clone();
            async move {
                while !shared.over.is_cancelled() {
                    let sent = shared.venue().step((shared.clock)());
                    let stalled = shared.stalled.lock().unwrap_or_else(PoisonError::into_inner).clone();
                    let is_sent =
                        |message: &Sent| message.topic.rsplit('.').next().is_none_or(|of| !stalled.contains(of));
                    for message in sent.into_iter().filter(is_sent) {
                        // Nobody may be listening.
                        let _ = shared.sent.send(Arc::new(message));
                    }
                    tokio::time::sleep(STEP).await;
                }
            }
        });
        let routes = bybit::routes(&shared).with_state(shared.clone());
        let over = shared.over.clone();
        tokio::spawn(async move {
            let served = axum::serve(listener, routes).with_graceful_shutdown(over.cancelled_owned()).await;
            if let Err(error) = served {
                tracing::error!(%error, "the emulator ended");
            }
        });
        Ok(Emulator { shared, address })
    }

    /// The true book of an instrument.
    pub fn book(&self, instrument: &InstrumentId) -> Option<OrderBook> {
        self.shared.venue().books.get(&instrument.symbol).cloned()
    }

    /// Its instruments.
    pub fn instruments(&self) -> Vec<InstrumentId> {
        self.shared.venue().books.keys().map(|symbol| InstrumentId::new(EXCHANGE, MARKET, symbol)).collect()
    }

    /// Times and ids of all trades of an instrument so far, in order.
    pub fn trades(&self, instrument: &InstrumentId) -> Vec<(Ts, String)> {
        self.shared.venue().ids.get(&instrument.symbol).cloned().unwrap_or_default()
    }

    /// Sends nothing of a symbol any more, and does not say so.
    pub fn stall(&self, symbol: &str) {
        self.shared.stalled.lock().unwrap_or_else(PoisonError::into_inner).insert(symbol.into());
    }

    /// What was asked so far.
    pub fn asked(&self) -> Asked {
        self.shared.requests.lock().unwrap_or_else(PoisonError::into_inner).asked
    }

    /// Ends all faults.
    pub fn calm(&self) {
        self.shared.calm.store(true, Relaxed);
    }

    /// Stops the market; what was sent is all there is.
    pub fn freeze(&self) {
        self.shared.venue().frozen = true;
    }
}

impl Drop for Emulator {
    fn drop(&mut self) {
        self.shared.over.cancel();
    }
}
