//! The log on Kafka: idempotent acknowledged writes, and a consumer with assigned partitions, each with a queue of its own.

use std::{
    path::PathBuf,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use prism_schemas::event::{Batch, Event, Message, Quarantined, event::Body};
use prism_schemas::{Topic, Ts};
use rdkafka::admin::{AdminClient, AdminOptions, NewTopic, TopicReplication};
use rdkafka::client::ClientContext;
use rdkafka::config::{ClientConfig, FromClientConfig};
use rdkafka::consumer::base_consumer::PartitionQueue;
use rdkafka::consumer::{BaseConsumer, CommitMode, Consumer, DefaultConsumerContext};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::message::{DeliveryResult, Header, Message as _, OwnedHeaders, Timestamp};
use rdkafka::producer::{BaseRecord, NoCustomPartitioner, Producer, ProducerContext, ThreadedProducer};
use rdkafka::util::Timeout;
use rdkafka::{Offset, TopicPartitionList};

use prism_log::{Log, LogError, Record, Records, Torn};

/// How long the broker may take to answer a question about topics.
const ANSWER: Timeout = Timeout::After(Duration::from_secs(10));
/// How long a writer waits for room in the queue before it looks whether a delivery failed.
const ROOM: Duration = Duration::from_millis(2);
/// How long a reader waits for a message or the end of the partition at once.
const WAIT: Duration = Duration::from_millis(100);
/// Looks for topics just created: ten seconds.
const LEARN_MAX: u32 = 100;
/// Attempts to have all queues before the first message.
const ATTEMPTS: u32 = 10;
/// Waits without any answer after which a reader gives up: five minutes.
const WAITS_MAX: u32 = 3_000;
/// Waits without any answer between two warnings.
const WAITS_WARN: u32 = 100;

/// Where Kafka is and how it is used.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KafkaOptions {
    /// `host:port`, several separated by commas.
    pub brokers: String,
    /// First part of the topics' names, `prism` in production.
    pub namespace: String,
    /// Partitions of topics that are created.
    pub partitions: u32,
    /// Replicas of topics that are created.
    pub replication: u32,
    /// How long topics that are created keep messages, in milliseconds; -1 without end.
    pub retention_ms: i64,
    /// Bytes of unsent messages after which a writer waits.
    pub queue_bytes: usize,
    /// Bytes fetched ahead for each partition that is read.
    pub fetch_bytes: usize,
    /// Settings of the client library, such as `security.protocol`; they win over all others.
    pub properties: Vec<(String, String)>,
}

impl KafkaOptions {
    /// Defaults for these brokers.
    pub fn new(brokers: &str) -> KafkaOptions {
        KafkaOptions {
            brokers: brokers.into(),
            namespace: "prism".into(),
            partitions: 4,
            replication: 1,
            retention_ms: -1,
            queue_bytes: 64 << 20,
            fetch_bytes: 8 << 20,
            properties: Vec::new(),
        }
    }

    fn topic(&self, topic: Topic) -> String {
        topic.name().replacen("prism", &self.namespace, 1)
    }

    fn client(&self) -> ClientConfig {
        let mut config = ClientConfig::new();
        config.set("bootstrap.servers", &self.brokers).set("client.id", "prism");
        config.set("reconnect.backoff.max.ms", "1000").set("log.connection.close", "false");
        config
    }

    fn finish<C: FromClientConfig>(&self, mut config: ClientConfig) -> Result<C, LogError> {
        for (name, value) in &self.properties {
            config.set(name, value);
        }
        config.create().map_err(|error| self.refused("kafka.properties", &error))
    }

    fn address(&self) -> PathBuf {
        PathBuf::from(format!("kafka://{}/{}", self.brokers, self.namespace))
    }

    fn refused(&self, what: &str, error: &dyn std::fmt::Display) -> LogError {
        LogError::Broker { address: self.address().display().to_string(), detail: format!("{what}: {error}") }
    }
}

/// Remembers the first message that could not be delivered.
#[derive(Clone, Default)]
struct Deliveries {
    failed: Arc<Mutex<Option<KafkaError>>>,
}

impl ClientContext for Deliveries {}

impl ProducerContext<NoCustomPartitioner> for Deliveries {
    type DeliveryOpaque = ();

    fn delivery(&self, result: &DeliveryResult<'_>, _: ()) {
        if let Err((error, _)) = result {
            self.failed.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert(error.clone());
        }
    }
}

/// Topics of Kafka as a log.
pub struct KafkaLog {
    options: KafkaOptions,
    partitions: Vec<(Topic, u32)>,
    deliveries: Deliveries,
    /// Made at the first append.
    producer: Mutex<Option<Arc<ThreadedProducer<Deliveries>>>>,
    /// Asks about offsets and commits them.
    consumer: BaseConsumer,
}

impl KafkaLog {
    /// Opens the log and creates the topics that are absent.
    pub fn open(options: KafkaOptions) -> Result<KafkaLog, LogError> {
        let admin: AdminClient<_> = options.finish(options.client())?;
        let retention = options.retention_ms.to_string();
        let (n, replicas) = (options.partitions as i32, options.replication as i32);
        let names = Topic::ALL.map(|topic| options.topic(topic));
        let topics = names.each_ref().map(|name| {
            NewTopic::new(name, n, TopicReplication::Fixed(replicas))
                .set("retention.ms", &retention)
                .set("compression.type", "producer")
        });
        let asked = admin.create_topics(&topics, &AdminOptions::new().operation_timeout(Some(ANSWER)));
        let answers = futures::executor::block_on(asked).map_err(|error| options.refused("create topics", &error))?;
        for answer in answers {
            match answer {
                Ok(_) | Err((_, RDKafkaErrorCode::TopicAlreadyExists)) => {}
                Err((name, code)) => return Err(options.refused(&format!("create the topic {name}"), &code)),
            }
        }
        // The brokers learn of new topics a moment after they are created.
        for _ in 0..LEARN_MAX {
            match KafkaLog::open_read(options.clone()) {
                Err(LogError::NotALog { .. }) => std::thread::sleep(WAIT),
                opened => return opened,
            }
        }
        KafkaLog::open_read(options)
    }

    /// Opens a log whose topics exist.
    pub fn open_read(options: KafkaOptions) -> Result<KafkaLog, LogError> {
        let mut config = options.client();
        config.set("group.id", format!("{}-compute", options.namespace)).set("enable.auto.commit", "false");
        let consumer: BaseConsumer = options.finish(config)?;
        let mut partitions = Vec::new();
        for topic in Topic::ALL {
            let name = options.topic(topic);
            let metadata = consumer.fetch_metadata(Some(&name), ANSWER);
            let metadata = metadata.map_err(|error| options.refused("no broker answers (log, --log)", &error))?;
            let n = metadata.topics().first().map_or(0, |found| found.partitions().len() as u32);
            if n == 0 {
                let detail = format!("the topic {name} does not exist; `prism ingest` and `prism import` create it");
                return Err(LogError::NotALog { path: options.address(), detail });
            }
            partitions.push((topic, n));
        }
        Ok(KafkaLog { options, partitions, deliveries: Deliveries::default(), producer: Mutex::new(None), consumer })
    }

    /// Deletes all topics of the log.
    pub fn remove(self) -> Result<(), LogError> {
        let admin: AdminClient<_> = self.options.finish(self.options.client())?;
        let names = Topic::ALL.map(|topic| self.options.topic(topic));
        let names = names.each_ref().map(String::as_str);
        let asked = admin.delete_topics(&names, &AdminOptions::new());
        let answers = futures::executor::block_on(asked);
        answers.map(|_| ()).map_err(|error| self.options.refused("delete topics", &error))
    }

    fn producer(&self) -> Result<Arc<ThreadedProducer<Deliveries>>, LogError> {
        let mut slot = self.producer.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(producer) = &*slot {
            return Ok(producer.clone());
        }
        let mut config = self.options.client();
        config.set("enable.idempotence", "true").set("acks", "all").set("compression.type", "zstd");
        config.set("linger.ms", "5").set("batch.size", "1000000");
        config.set("queue.buffering.max.kbytes", (self.options.queue_bytes / 1024).max(1).to_string());
        config.set("queue.buffering.max.messages", "1000000");
        for (name, value) in &self.options.properties {
            config.set(name, value);
        }
        let made = config.create_with_context(self.deliveries.clone());
        let made: ThreadedProducer<_> =
            made.map_err(|error: KafkaError| self.options.refused("kafka.properties", &error))?;
        let producer = Arc::new(made);
        *slot = Some(producer.clone());
        Ok(producer)
    }

    /// A delivery that failed is an error of everything that follows.
    fn delivered(&self) -> Result<(), LogError> {
        match &*self.deliveries.failed.lock().unwrap_or_else(PoisonError::into_inner) {
            Some(error) => Err(self.options.refused("a message was not accepted", error)),
            None => Ok(()),
        }
    }

    fn watermarks(&self, topic: Topic, partition: u32) -> Result<(u64, u64), LogError> {
        let name = self.options.topic(topic);
        let asked = self.consumer.fetch_watermarks(&name, partition as i32, ANSWER);
        let (low, high) = asked.map_err(|error| self.options.refused(&format!("offsets of {name}"), &error))?;
        Ok((low.max(0) as u64, high.max(0) as u64))
    }
}

impl Log for KafkaLog {
    fn partitions(&self, topic: Topic) -> u32 {
        self.partitions.iter().find(|(have, _)| *have == topic).map_or(0, |(_, n)| *n)
    }

    fn append(&self, topic: Topic, partition: u32, batch: &Batch) -> Result<(), LogError> {
        let producer = self.producer()?;
        self.delivered()?;
        let name = self.options.topic(topic);
        let payload = batch.encode_to_vec();
        let key = format!("{}|{}|{}", batch.exchange, batch.market, batch.symbol);
        let ts_recv = batch.events.last().map_or(0, |event| event.ts_recv);
        let header = Header { key: "content", value: Some("prism.v1.Batch") };
        let mut record = BaseRecord::to(&name)
            .partition(partition as i32)
            .key(&key)
            .payload(&payload)
            .timestamp(ts_recv.div_euclid(1_000_000))
            .headers(OwnedHeaders::new().insert(header));
        loop {
            match producer.send(record) {
                Ok(()) => return Ok(()),
                Err((KafkaError::MessageProduction(RDKafkaErrorCode::QueueFull), back)) => {
                    std::thread::sleep(ROOM);
                    self.delivered()?;
                    record = back;
                }
                Err((error, _)) => return Err(self.options.refused(&format!("write to {name}"), &error)),
            }
        }
    }

    fn flush(&self) -> Result<(), LogError> {
        let producer = self.producer.lock().unwrap_or_else(PoisonError::into_inner).clone();
        if let Some(producer) = producer {
            producer.flush(Timeout::Never).map_err(|error| self.options.refused("flush", &error))?;
        }
        self.delivered()
    }

    fn sync(&self) -> Result<(), LogError> {
        // All in-sync replicas have acknowledged what is flushed.
        self.flush()
    }

    fn start(&self, topic: Topic, partition: u32) -> Result<u64, LogError> {
        Ok(self.watermarks(topic, partition)?.0)
    }

    fn end(&self, topic: Topic, partition: u32) -> Result<u64, LogError> {
        Ok(self.watermarks(topic, partition)?.1)
    }

    fn read(&self, topic: Topic, partition: u32, from_offset: u64) -> Result<Box<dyn Records>, LogError> {
        let mut readers = self.read_all(&[(topic, partition, from_offset)])?;
        readers.pop().ok_or_else(|| LogError::Usage("nothing to read".into()))
    }

    fn read_all(&self, places: &[(Topic, u32, u64)]) -> Result<Vec<Box<dyn Records>>, LogError> {
        let options = &self.options;
        let mut config = options.client();
        config.set("group.id", format!("{}-reader", options.namespace)).set("enable.auto.commit", "false");
        config.set("enable.auto.offset.store", "false").set("enable.partition.eof", "true");
        config.set("auto.offset.reset", "error").set("fetch.wait.max.ms", "50");
        config.set("queued.min.messages", "100000").set("fetch.queue.backoff.ms", "5");
        config.set("queued.max.messages.kbytes", (options.fetch_bytes / 1024).max(64).to_string());
        let (mut wanted, mut names) = (TopicPartitionList::new(), Vec::new());
        for (topic, partition, from_offset) in places {
            let (name, offset) = (options.topic(*topic), Offset::Offset(*from_offset as i64));
            let added = wanted.add_partition_offset(&name, *partition as i32, offset);
            added.map_err(|error| options.refused(&name, &error))?;
            names.push(name);
        }
        for _ in 0..ATTEMPTS {
            let consumer: Arc<BaseConsumer> = Arc::new(options.finish(config.clone())?);
            consumer.assign(&wanted).map_err(|error| options.refused("assign partitions", &error))?;
            let mut readers: Vec<Box<dyn Records>> = Vec::new();
            for ((_, partition, next), name) in places.iter().zip(&names) {
                let place = format!("{name}/{partition}");
                let queue = consumer.split_partition_queue(name, *partition as i32);
                let queue = queue.ok_or_else(|| options.refused(&place, &"it has no queue"))?;
                let (options, consumer, batch) = (options.clone(), consumer.clone(), Batch::default());
                readers.push(Box::new(Reader { options, consumer, queue, place, batch, next: *next, at_end: false }));
            }
            // What came before its queue was there would be missed: begin again.
            match consumer.poll(Duration::ZERO) {
                None => return Ok(readers),
                Some(Err(error)) if passes(&error) => return Ok(readers),
                Some(_) => tracing::debug!("messages came before their queues, reading begins again"),
            }
        }
        Err(options.refused("assign partitions", &"messages come before their queues, every time"))
    }

    fn commit(&self, topic: Topic, partition: u32, offset: u64) -> Result<(), LogError> {
        let mut offsets = TopicPartitionList::new();
        let name = self.options.topic(topic);
        let added = offsets.add_partition_offset(&name, partition as i32, Offset::Offset(offset as i64));
        let committed = added.and_then(|()| self.consumer.commit(&offsets, CommitMode::Async));
        committed.map_err(|error| self.options.refused(&format!("commit an offset of {name}"), &error))
    }
}

impl Drop for KafkaLog {
    fn drop(&mut self) {
        if let Err(error) = self.flush() {
            tracing::error!(%error, "the log could not be written");
        }
    }
}

/// A partition being read, over a consumer that it may share with others.
struct Reader {
    options: KafkaOptions,
    /// Tells of trouble that concerns no partition.
    consumer: Arc<BaseConsumer>,
    queue: PartitionQueue<DefaultConsumerContext>,
    place: String,
    batch: Batch,
    next: u64,
    at_end: bool,
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
fn passes(error: &KafkaError) -> bool {
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
            let wait = if self.at_end { Duration::ZERO } else { WAIT };
            let polled = self.queue.poll(wait).or_else(|| self.consumer.poll(Duration::ZERO).filter(Result::is_err));
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
