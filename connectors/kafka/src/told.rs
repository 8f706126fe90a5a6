//! What the client library says beside its answers: why no broker answers, and what could not be delivered.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use rdkafka::client::{ClientContext, DefaultClientContext};
use rdkafka::config::RDKafkaLogLevel;
use rdkafka::consumer::ConsumerContext;
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::message::DeliveryResult;
use rdkafka::producer::{NoCustomPartitioner, ProducerContext};

/// Remembers what was said. Clones remember the same.
#[derive(Clone, Default)]
pub(crate) struct Told(Arc<Mutex<State>>);

#[derive(Default)]
struct State {
    /// The newest trouble with a broker, until a message is delivered.
    trouble: String,
    /// The first message that could not be delivered.
    failed: Option<KafkaError>,
}

impl Told {
    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The newest trouble with a broker; empty if there is none.
    pub(crate) fn trouble(&self) -> String {
        self.state().trouble.clone()
    }

    /// The first message that could not be delivered.
    pub(crate) fn failed(&self) -> Option<KafkaError> {
        self.state().failed.clone()
    }
}

impl ClientContext for Told {
    fn log(&self, level: RDKafkaLogLevel, facility: &str, message: &str) {
        if level as i32 <= RDKafkaLogLevel::Error as i32 {
            // Behind the name of the library's thread.
            self.state().trouble = message.split_once("]: ").map_or(message, |(_, reason)| reason).into();
        }
        DefaultClientContext.log(level, facility, message);
    }

    fn error(&self, error: KafkaError, reason: &str) {
        // That all are down says less than why one is.
        if error.rdkafka_error_code() != Some(RDKafkaErrorCode::AllBrokersDown) {
            self.state().trouble = reason.into();
        }
        DefaultClientContext.error(error, reason);
    }
}

impl ConsumerContext for Told {}

impl ProducerContext<NoCustomPartitioner> for Told {
    type DeliveryOpaque = ();

    fn delivery(&self, result: &DeliveryResult<'_>, _: ()) {
        let mut state = self.state();
        match result {
            Ok(_) => state.trouble.clear(),
            Err((error, _)) => drop(state.failed.get_or_insert(error.clone())),
        }
    }
}
