//! Where Kafka is, how its clients are set up, and the topics they need.

use std::path::PathBuf;
use std::time::Duration;

use prism_log::LogError;
use prism_schemas::Topic;
use rdkafka::admin::{AdminClient, AdminOptions, NewTopic, TopicReplication};
use rdkafka::config::{ClientConfig, FromClientConfig};
use rdkafka::error::RDKafkaErrorCode;
use rdkafka::util::Timeout;

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
    /// How long a broker may take to answer when the log is opened, and to take what waits when it is closed.
    pub answer: Duration,
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
            answer: Duration::from_secs(4),
            fetch_bytes: 8 << 20,
            properties: Vec::new(),
        }
    }

    pub(crate) fn topic(&self, topic: Topic) -> String {
        topic.name().replacen("prism", &self.namespace, 1)
    }

    pub(crate) fn client(&self) -> ClientConfig {
        let mut config = ClientConfig::new();
        config.set("bootstrap.servers", &self.brokers).set("client.id", "prism");
        config.set("reconnect.backoff.max.ms", "1000").set("log.connection.close", "false");
        config
    }

    pub(crate) fn finish<C: FromClientConfig>(&self, mut config: ClientConfig) -> Result<C, LogError> {
        for (name, value) in &self.properties {
            config.set(name, value);
        }
        config.create().map_err(|error| self.refused("kafka.properties", &error))
    }

    pub(crate) fn address(&self) -> PathBuf {
        PathBuf::from(format!("kafka://{}/{}", self.brokers, self.namespace))
    }

    pub(crate) fn refused(&self, what: &str, error: &dyn std::fmt::Display) -> LogError {
        LogError::Broker { address: self.address().display().to_string(), detail: format!("{what}: {error}") }
    }
}

/// Creates topics.
pub(crate) fn create(options: &KafkaOptions, topics: &[Topic]) -> Result<(), LogError> {
    let admin: AdminClient<_> = options.finish(options.client())?;
    let retention = options.retention_ms.to_string();
    let (n, replicas) = (options.partitions as i32, options.replication as i32);
    let names: Vec<String> = topics.iter().map(|topic| options.topic(*topic)).collect();
    let topics = names.iter().map(|name| {
        NewTopic::new(name, n, TopicReplication::Fixed(replicas))
            .set("retention.ms", &retention)
            .set("compression.type", "producer")
    });
    let topics: Vec<NewTopic<'_>> = topics.collect();
    let wait = Some(Timeout::After(options.answer.saturating_mul(3)));
    let asked = admin.create_topics(&topics, &AdminOptions::new().request_timeout(wait).operation_timeout(wait));
    let answers = futures::executor::block_on(asked).map_err(|error| options.refused("create topics", &error))?;
    for answer in answers {
        match answer {
            Ok(_) | Err((_, RDKafkaErrorCode::TopicAlreadyExists)) => {}
            Err((name, code)) => return Err(options.refused(&format!("create the topic {name}"), &code)),
        }
    }
    Ok(())
}
