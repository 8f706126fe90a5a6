//! The log on a broker that is slow, away, or never there.

use std::time::Duration;

use prism_log::{Log, LogError};
use prism_schemas::event::event::Body;
use prism_schemas::event::{Batch, Quarantined};
use prism_schemas::{Event, Topic};
use rdkafka::mocking::MockCluster;
use rdkafka::producer::DefaultProducerContext;
use rdkafka::types::{RDKafkaApiKey, RDKafkaRespErr};

use crate::{KafkaLog, KafkaOptions};

const TOPIC: Topic = Topic::Trades;

type Cluster = MockCluster<'static, DefaultProducerContext>;

/// A broker that has all topics, and cannot create any.
fn cluster() -> (Cluster, KafkaOptions) {
    let cluster = MockCluster::new(1).unwrap();
    for topic in Topic::ALL {
        cluster.create_topic(topic.name(), 2, 1).unwrap();
    }
    let mut options = KafkaOptions::new(&cluster.bootstrap_servers());
    options.answer = Duration::from_millis(500);
    options.properties =
        [("reconnect.backoff.ms", "5"), ("reconnect.backoff.max.ms", "20")].map(|(k, v)| (k.into(), v.into())).into();
    (cluster, options)
}

fn batch(number: u64, bytes: usize) -> Batch {
    let body = Body::Quarantined(Quarantined { raw: vec![number as u8; bytes], ..Quarantined::default() });
    let event = Event { ts_event: 1, ts_recv: 1, seq: Some(number), index: 0, body: Some(body) };
    Batch { exchange: "x".into(), market: "spot".into(), symbol: "A".into(), events: vec![event] }
}

/// Waits until something is so, for a minute at most.
fn until(what: &str, mut is_so: impl FnMut() -> bool) {
    for _ in 0..12_000 {
        if is_so() {
            return;
        }
        std::thread::park_timeout(Duration::from_millis(5));
    }
    panic!("never: {what}");
}

/// Reads so many messages in order.
fn read(log: &KafkaLog, n: u64) {
    let mut records = log.read(TOPIC, 1, 0).unwrap();
    let mut next = 0;
    until("all is read", || {
        while let Some(record) = records.next().unwrap() {
            assert_eq!((record.offset, record.batch.events[0].seq), (next, Some(next)));
            next += 1;
        }
        next == n
    });
}

#[test]
fn topics_that_exist_need_no_right_to_create_them() {
    let (_cluster, options) = cluster();
    let log = KafkaLog::open(options).unwrap();
    assert_eq!(log.partitions(TOPIC), 2);
    for number in 0..20 {
        log.append(TOPIC, 1, &batch(number, 100)).unwrap();
    }
    log.sync().unwrap();
    assert_eq!((log.start(TOPIC, 1).unwrap(), log.end(TOPIC, 1).unwrap()), (0, 20));
    assert_eq!((log.delayed(), log.synced(TOPIC, 1).unwrap()), (None, u64::MAX));
    read(&log, 20);
}

#[test]
fn a_broker_that_is_away_for_a_while_delays_a_writer_and_loses_nothing() {
    let (cluster, mut options) = cluster();
    options.queue_bytes = 64 << 10;
    let log = KafkaLog::open(options).unwrap();
    log.append(TOPIC, 1, &batch(0, 100)).unwrap();
    log.sync().unwrap();
    cluster.broker_down(1).unwrap();
    std::thread::scope(|scope| {
        let writing = scope.spawn(|| {
            for number in 1..40 {
                log.append(TOPIC, 1, &batch(number, 10_000)).unwrap();
                // Nobody waits for the broker as long as there is room.
                log.flush().unwrap();
            }
        });
        until("it is said why", || log.delayed().is_some_and(|why| why.contains("messages wait for the broker")));
        assert!(!writing.is_finished());
        // Whoever asks where partitions end is not held up more than once.
        assert!(log.glance(TOPIC, 1).is_err());
        let error = log.glance(TOPIC, 0).unwrap_err();
        assert!(error.to_string().contains("a moment ago"), "{error}");
        cluster.broker_up(1).unwrap();
        writing.join().unwrap();
    });
    log.sync().unwrap();
    assert_eq!(log.delayed(), None);
    read(&log, 40);
}

#[test]
fn a_broker_that_does_not_lead_yet_is_asked_again() {
    let (cluster, options) = cluster();
    let log = KafkaLog::open(options).unwrap();
    let not_yet = [RDKafkaRespErr::RD_KAFKA_RESP_ERR_NOT_LEADER_FOR_PARTITION; 2];
    cluster.request_errors(RDKafkaApiKey::ListOffsets, &not_yet);
    assert_eq!(log.end(TOPIC, 1).unwrap(), 0);
    cluster.request_errors(RDKafkaApiKey::ListOffsets, &[not_yet[0]; 40]);
    let error = log.end(TOPIC, 1).unwrap_err().to_string();
    assert!(error.contains("Not leader for partition"), "{error}");
}

#[test]
fn what_is_never_delivered_is_an_error_and_closing_does_not_wait_for_ever() {
    let (cluster, mut options) = cluster();
    options.properties.push(("message.timeout.ms".into(), "300".into()));
    let log = KafkaLog::open(options).unwrap();
    cluster.broker_down(1).unwrap();
    log.append(TOPIC, 1, &batch(0, 100)).unwrap();
    let mut error = None;
    until("the message is given up", || {
        error = log.flush().err();
        error.is_some()
    });
    assert!(error.unwrap().to_string().contains("a message was not accepted"));
    assert!(log.append(TOPIC, 1, &batch(1, 100)).is_err());
}

#[test]
fn a_broker_that_is_not_there_is_named_with_the_cause() {
    let mut options = KafkaOptions::new("127.0.0.1:1");
    assert!(options.answer < Duration::from_secs(5));
    options.answer = Duration::from_millis(300);
    for opened in [KafkaLog::open(options.clone()), KafkaLog::open_read(options)] {
        let Err(error @ LogError::Broker { .. }) = opened else { panic!("it opens") };
        let error = error.to_string();
        assert!(error.contains("kafka://127.0.0.1:1/prism") && error.contains("Connection refused"), "{error}");
    }
}
