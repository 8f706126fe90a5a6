//! Reads a partition of a topic and follows it while it grows.

use std::{sync::Arc, time::Duration};

use prism_log::{LogError, Record, Records, Torn};
use prism_schemas::Ts;
use prism_schemas::event::{Batch, Event, Message, Quarantined, event::Body};
use rdkafka::consumer::BaseConsumer;
use rdkafka::consumer::base_consumer::PartitionQueue;
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::message::{Message as _, Timestamp};

use crate::{KafkaOptions, apart::Held, told::Told};

/// How long a reader waits for a message or the end of the partition at once.
const WAIT: Duration = Duration::from_millis(2);
/// Waits without any answer after which a reader gives up: five minutes.
const WAITS_MAX: u32 = 150_000;
/// Waits without any answer between two warnings.
const WAITS_WARN: u32 = 5_000;

/// A partition being read, over a consumer that it may share with others.
pub(crate) struct Reader {
    pub(crate) options: KafkaOptions,
    /// Tells of trouble that concerns no partition.
    pub(crate) consumer: Arc<BaseConsumer<Told>>,
    pub(crate) queue: PartitionQueue<Told>,
    pub(crate) place: String,
    pub(crate) batch: Batch,
    pub(crate) next: u64,
    pub(crate) at_end: bool,
    pub(crate) _held: Arc<Held>,
}

impl Reader {
    fn failed(&self, error: &KafkaError) -> LogError {
        match error {
            KafkaError::MessageConsumption(RDKafkaErrorCode::AutoOffsetReset | RDKafkaErrorCode::OffsetOutOfRange) => {
                LogError::Truncated { place: self.place.clone(), offset: self.next }
            }
            error => self.options.refused(&self.place, error),
        }
    }
}

/// Whether the client library goes on by itself after this.
pub(crate) fn passes(error: &KafkaError) -> bool {
    use RDKafkaErrorCode as Code;
    let KafkaError::MessageConsumption(code) = error else { return false };
    matches!(
        code,
        Code::BrokerTransportFailure
            | Code::AllBrokersDown
            | Code::Resolve
            | Code::OperationTimedOut
            | Code::RequestTimedOut
            | Code::LeaderNotAvailable
            | Code::NotLeaderForPartition
            | Code::CoordinatorNotAvailable
            | Code::NetworkException
    )
}

impl Records for Reader {
    fn next(&mut self) -> Result<Option<Record<'_>>, LogError> {
        let mut n_waits = 0;
        loop {
            let polled = match self.queue.poll(Duration::ZERO) {
                None => match self.consumer.poll(Duration::ZERO) {
                    // Each partition has a queue: what comes beside them would be lost in silence.
                    Some(Ok(message)) => {
                        let (topic, at) = (message.topic(), message.offset());
                        let detail = format!("{topic}/{}: message {at} came beside its queue", message.partition());
                        return Err(self.options.refused(&self.place, &detail));
                    }
                    beside => beside,
                },
                polled => polled,
            };
            let message = match polled {
                Some(Ok(message)) => message,
                Some(Err(KafkaError::PartitionEOF(_))) => {
                    self.at_end = true;
                    return Ok(None);
                }
                Some(Err(error)) if passes(&error) => {
                    tracing::warn!(place = self.place, %error, "waiting for the broker");
                    if self.at_end {
                        return Ok(None);
                    }
                    continue;
                }
                Some(Err(error)) => return Err(self.failed(&error)),
                None if self.at_end => return Ok(None),
                None => {
                    // The library would wait by the wall clock: after a step back for as long as that is.
                    std::thread::sleep(WAIT);
                    n_waits += 1;
                    if n_waits % WAITS_WARN == 0 {
                        tracing::warn!(place = self.place, "still waiting for the broker");
                    }
                    if n_waits == WAITS_MAX {
                        return Err(self.options.refused(&self.place, &"no answer for five minutes"));
                    }
                    continue;
                }
            };
            self.at_end = false;
            let offset = message.offset().max(0) as u64;
            self.next = offset + 1;
            let payload = message.payload().unwrap_or_default();
            self.batch.exchange.clear();
            self.batch.market.clear();
            self.batch.symbol.clear();
            self.batch.events.clear();
            if let Err(error) = self.batch.merge(payload) {
                let ts_recv = match message.timestamp() {
                    Timestamp::CreateTime(ms) | Timestamp::LogAppendTime(ms) => ms.saturating_mul(1_000_000),
                    Timestamp::NotAvailable => 0,
                };
                self.batch = undecodable(payload, &error.to_string(), ts_recv);
            }
            return Ok(Some(Record { offset, batch: &self.batch }));
        }
    }

    fn torn(&self) -> Option<&Torn> {
        None
    }
}

/// A message that somebody else put on the topic, as the quarantined event it is.
fn undecodable(payload: &[u8], detail: &str, ts_recv: Ts) -> Batch {
    let body = Body::Quarantined(Quarantined {
        rule: "undecodable_message".into(),
        detail: detail.into(),
        raw: payload.to_vec(),
    });
    let event = Event { ts_event: ts_recv, ts_recv, seq: None, index: 0, body: Some(body) };
    Batch { events: vec![event], ..Batch::default() }
}
