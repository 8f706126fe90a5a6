//! The log on Kafka: idempotent acknowledged writes, and a consumer with assigned partitions, each with a queue of its own.

mod apart;
mod options;
mod reader;
#[cfg(test)]
mod tests;
mod told;

use std::{
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
    thread::Thread,
    time::{Duration, Instant},
};

use prism_log::{Log, LogError, Records, Wakers};
use prism_schemas::event::{Batch, Message};
use prism_schemas::{Topic, Ts};
use rdkafka::admin::{AdminClient, AdminOptions};
use rdkafka::consumer::{BaseConsumer, CommitMode, Consumer};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::message::{Header, OwnedHeaders};
use rdkafka::producer::{BaseRecord, Producer, ThreadedProducer};
use rdkafka::util::Timeout;
use rdkafka::{Offset, TopicPartitionList};

pub use options::KafkaOptions;

use apart::{Held, apart};
use options::create;
use reader::{Reader, passes};
use told::Told;

/// How long a writer waits for room in the queue before it looks whether a delivery failed.
const ROOM: Duration = Duration::from_millis(2);
/// Between two looks for topics just created.
const LEARN: Duration = Duration::from_millis(100);
/// Looks for topics just created: ten seconds.
const LEARN_MAX: u32 = 100;
/// Attempts to have all queues before the first message.
const ATTEMPTS: u32 = 10;
/// How long a broker may take to answer where a partition ends: whoever asks has better things to do.
const GLANCE: Duration = Duration::from_millis(500);
/// After a broker did not answer such a question, none is asked for so long.
const AWAY: Duration = Duration::from_secs(5);

/// Topics of Kafka as a log.
pub struct KafkaLog {
    options: KafkaOptions,
    partitions: Vec<(Topic, u32)>,
    /// What is said of writing.
    told: Told,
    /// Made at the first append.
    producer: Mutex<Option<(Arc<ThreadedProducer<Told>>, Held)>>,
    /// Asks about offsets and commits them.
    consumer: Arc<BaseConsumer<Told>>,
    _held: Held,
    /// A writer waits for room in the queue.
    is_full: AtomicBool,
    /// When a broker last did not answer where a partition ends.
    silent: Mutex<Option<Instant>>,
    wakers: Arc<Wakers>,
}

/// A client that asks, once a broker has answered, and how many partitions each topic has.
type Opened = ((Arc<BaseConsumer<Told>>, Held), Vec<(Topic, u32)>);

fn ask(options: &KafkaOptions) -> Result<Opened, LogError> {
    let told = Told::default();
    let mut config = options.client();
    config.set("group.id", format!("{}-compute", options.namespace)).set("enable.auto.commit", "false");
    for (name, value) in &options.properties {
        config.set(name, value);
    }
    let made = config.create_with_context(told.clone());
    let consumer: BaseConsumer<Told> = made.map_err(|error| options.refused("kafka.properties", &error))?;
    let mut partitions = Vec::new();
    for topic in Topic::ALL {
        let metadata = consumer.fetch_metadata(Some(&options.topic(topic)), options.answer).map_err(|error| {
            // The library says why on a queue of its own.
            while told.trouble().is_empty() && consumer.poll(GLANCE).is_some() {}
            let trouble = told.trouble();
            let cause = if trouble.is_empty() { error.to_string() } else { trouble };
            options.refused("no broker answers (log, --log)", &cause)
        })?;
        partitions.push((topic, metadata.topics().first().map_or(0, |found| found.partitions().len() as u32)));
    }
    Ok((apart(consumer).map_err(|error| options.refused("a thread", &error))?, partitions))
}

/// Whether brokers answer this for a moment only: of a topic just created, or when they have just started.
fn is_brief(error: &KafkaError) -> bool {
    use RDKafkaErrorCode as Code;
    let code = error.rdkafka_error_code();
    code.is_some_and(|code| matches!(code, Code::NotLeaderForPartition | Code::LeaderNotAvailable))
}

impl KafkaLog {
    /// Opens the log and creates the topics that are absent. Needs no right to create any if there are all.
    pub fn open(options: KafkaOptions) -> Result<KafkaLog, LogError> {
        let (consumer, partitions) = ask(&options)?;
        let absent: Vec<Topic> = partitions.iter().filter(|(_, n)| *n == 0).map(|(topic, _)| *topic).collect();
        if absent.is_empty() {
            return Ok(KafkaLog::over(options, consumer, partitions));
        }
        create(&options, &absent)?;
        // The brokers learn of new topics a moment after they are created.
        for _ in 0..LEARN_MAX {
            match KafkaLog::open_read(options.clone()) {
                Err(LogError::NotALog { .. }) => std::thread::sleep(LEARN),
                Ok(log) => {
                    for (topic, n) in &log.partitions {
                        (0..*n).try_for_each(|partition| log.start(*topic, partition).map(drop))?;
                    }
                    return Ok(log);
                }
                Err(error) => return Err(error),
            }
        }
        KafkaLog::open_read(options)
    }

    /// Opens a log whose topics exist.
    pub fn open_read(options: KafkaOptions) -> Result<KafkaLog, LogError> {
        let (consumer, partitions) = ask(&options)?;
        if let Some((topic, _)) = partitions.iter().find(|(_, n)| *n == 0) {
            let name = options.topic(*topic);
            let detail = format!("the topic {name} does not exist; `prism ingest` and `prism import` create it");
            return Err(LogError::NotALog { path: options.address(), detail });
        }
        Ok(KafkaLog::over(options, consumer, partitions))
    }

    fn over(
        options: KafkaOptions,
        (consumer, held): (Arc<BaseConsumer<Told>>, Held),
        partitions: Vec<(Topic, u32)>,
    ) -> KafkaLog {
        KafkaLog {
            options,
            partitions,
            told: Told::default(),
            producer: Mutex::new(None),
            consumer,
            _held: held,
            is_full: AtomicBool::new(false),
            silent: Mutex::new(None),
            wakers: Arc::default(),
        }
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

    fn producer(&self) -> Result<Arc<ThreadedProducer<Told>>, LogError> {
        let mut slot = self.producer.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((producer, _)) = &*slot {
            return Ok(producer.clone());
        }
        let mut config = self.options.client();
        config.set("enable.idempotence", "true").set("acks", "all").set("compression.type", "zstd");
        config.set("linger.ms", "1").set("batch.size", "1000000");
        config.set("queue.buffering.max.kbytes", (self.options.queue_bytes / 1024).max(1).to_string());
        config.set("queue.buffering.max.messages", "1000000");
        for (name, value) in &self.options.properties {
            config.set(name, value);
        }
        let made = config.create_with_context(self.told.clone());
        let made: ThreadedProducer<_> =
            made.map_err(|error: KafkaError| self.options.refused("kafka.properties", &error))?;
        let (producer, held) = apart(made).map_err(|error| self.options.refused("a thread", &error))?;
        *slot = Some((producer.clone(), held));
        Ok(producer)
    }

    /// A delivery that failed is an error of everything that follows.
    fn delivered(&self) -> Result<(), LogError> {
        match self.told.failed() {
            Some(error) => Err(self.options.refused("a message was not accepted", &error)),
            None => Ok(()),
        }
    }

    fn written_by(&self) -> Option<Arc<ThreadedProducer<Told>>> {
        let slot = self.producer.lock().unwrap_or_else(PoisonError::into_inner);
        slot.as_ref().map(|(producer, _)| producer.clone())
    }

    /// First and next offset of a partition.
    fn watermarks(&self, topic: Topic, partition: u32, wait: Duration) -> Result<(u64, u64), LogError> {
        let name = self.options.topic(topic);
        let mut looks = wait.as_millis() / LEARN.as_millis();
        loop {
            match self.consumer.fetch_watermarks(&name, partition as i32, wait) {
                Ok((low, high)) => return Ok((low.max(0) as u64, high.max(0) as u64)),
                Err(error) if 0 < looks && is_brief(&error) => {
                    looks -= 1;
                    std::thread::sleep(LEARN);
                }
                Err(error) => return Err(self.options.refused(&format!("offsets of {name}"), &error)),
            }
        }
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
                Ok(()) => {
                    self.is_full.store(false, Relaxed);
                    return Ok(());
                }
                // It ends: what waits is taken, or refused after message.timeout.ms.
                Err((KafkaError::MessageProduction(RDKafkaErrorCode::QueueFull), back)) => {
                    if !self.is_full.swap(true, Relaxed) {
                        tracing::warn!(why = self.told.trouble(), "the queue is full: waiting for the broker");
                    }
                    std::thread::sleep(ROOM);
                    self.delivered()?;
                    record = back;
                }
                Err((error, _)) => return Err(self.options.refused(&format!("write to {name}"), &error)),
            }
        }
    }

    fn flush(&self) -> Result<(), LogError> {
        // The library sends at once what it has; nobody waits for it here.
        self.delivered()
    }

    fn sync(&self) -> Result<(), LogError> {
        // All in-sync replicas have acknowledged what is flushed.
        let Some(producer) = self.written_by() else { return Ok(()) };
        let mut waiting = i32::MAX;
        loop {
            let flushed = producer.flush(Timeout::After(self.options.answer.saturating_mul(5)));
            self.delivered()?;
            let left = producer.in_flight_count();
            match flushed {
                Ok(()) => return Ok(()),
                // Slow is not away.
                Err(_) if left < waiting => waiting = left,
                Err(error) => {
                    let why = format!("{left} messages are not acknowledged: {error} {}", self.told.trouble());
                    return Err(self.options.refused("flush", &why));
                }
            }
        }
    }

    fn start(&self, topic: Topic, partition: u32) -> Result<u64, LogError> {
        Ok(self.watermarks(topic, partition, self.options.answer)?.0)
    }

    fn end(&self, topic: Topic, partition: u32) -> Result<u64, LogError> {
        Ok(self.watermarks(topic, partition, self.options.answer)?.1)
    }

    fn glance(&self, topic: Topic, partition: u32) -> Result<u64, LogError> {
        let mut silent = self.silent.lock().unwrap_or_else(PoisonError::into_inner);
        if silent.is_some_and(|since| since.elapsed() < AWAY) {
            return Err(self.options.refused("offsets", &"no broker answered a moment ago"));
        }
        *silent = None;
        let found = self.watermarks(topic, partition, GLANCE);
        if found.is_err() {
            #[expect(clippy::disallowed_methods, reason = "how long a broker is left alone; no result depends on it")]
            let now = Instant::now();
            *silent = Some(now);
        }
        Ok(found?.1)
    }

    fn offset_at(&self, topic: Topic, partition: u32, ts_recv: Ts) -> Result<u64, LogError> {
        let (name, at) = (self.options.topic(topic), Offset::Offset(ts_recv.div_euclid(1_000_000).max(0)));
        let mut times = TopicPartitionList::new();
        let added = times.add_partition_offset(&name, partition as i32, at);
        let asked = added.and_then(|()| self.consumer.offsets_for_times(times, self.options.answer));
        let found = asked.map_err(|error| self.options.refused(&format!("offsets by time of {name}"), &error))?;
        match found.find_partition(&name, partition as i32).map(|found| found.offset()) {
            Some(Offset::Offset(offset)) => Ok(offset.max(0) as u64),
            _ => Ok(self.watermarks(topic, partition, self.options.answer)?.1),
        }
    }

    fn wake(&self, reader: &Arc<Thread>) {
        self.wakers.add(reader);
    }

    fn delayed(&self) -> Option<String> {
        let (producer, trouble) = (self.written_by()?, self.told.trouble());
        let waiting = producer.in_flight_count();
        (self.is_full.load(Relaxed) || 0 < waiting && !trouble.is_empty()).then(|| {
            let address = self.options.address();
            format!("{}: {waiting} messages wait for the broker {trouble}", address.display())
        })
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
        for (name, value) in &options.properties {
            config.set(name, value);
        }
        for _ in 0..ATTEMPTS {
            let made = config.create_with_context(Told::default());
            let made: BaseConsumer<Told> = made.map_err(|error| options.refused("kafka.properties", &error))?;
            let (consumer, held) = apart(made).map_err(|error| options.refused("a thread", &error))?;
            let held = Arc::new(held);
            consumer.assign(&wanted).map_err(|error| options.refused("assign partitions", &error))?;
            let mut readers: Vec<Box<dyn Records>> = Vec::new();
            for ((_, partition, next), name) in places.iter().zip(&names) {
                let place = format!("{name}/{partition}");
                let queue = consumer.split_partition_queue(name, *partition as i32);
                let mut queue = queue.ok_or_else(|| options.refused(&place, &"it has no queue"))?;
                let wakers = self.wakers.clone();
                queue.set_nonempty_callback(move || wakers.wake());
                let (options, consumer, batch) = (options.clone(), consumer.clone(), Batch::default());
                let (next, held) = (*next, held.clone());
                let reader = Reader { options, consumer, queue, place, batch, next, at_end: false, _held: held };
                readers.push(Box::new(reader));
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
        let Some(producer) = self.written_by() else { return };
        let flushed = producer.flush(Timeout::After(self.options.answer));
        let messages = producer.in_flight_count();
        if let Err(error) = flushed.map_err(|error| self.options.refused("flush", &error)).and(self.delivered()) {
            tracing::error!(%error, messages, "the log could not be written: so many messages are lost");
        }
    }
}
