//! Where log and store are: a directory, `kafka://HOST:PORT[/NAMESPACE]`, `questdb://[USER:PASSWORD@]HOST:PORT`.

use std::{path::PathBuf, sync::Arc, time::Duration};

use anyhow::Result;
use prism_kafka::{KafkaLog, KafkaOptions};
use prism_log::{Log, SegmentLog};
use prism_queries::Place;
use prism_schemas::{QuestDbAddress, RowStore, without_login};
use prism_store::Store;
use prism_store::questdb::{Sink, SinkOptions};

use crate::{
    config::{Config, parse_bytes},
    misuse,
};

/// Rows reach a server at least this often.
const SERVER_FLUSH: Duration = Duration::from_millis(200);

/// What a command does with a log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Access {
    /// Reads what is there.
    Read,
    /// Writes, and creates what is absent.
    Write,
}

/// Opens the log that `text` names.
pub(crate) fn open_log(text: &str, config: &Config, access: Access) -> Result<Arc<dyn Log>> {
    let Some(options) = kafka_options(text, config)? else {
        if let Some((scheme, _)) = text.split_once("://") {
            return Err(misuse(format!("--log: \"{scheme}://\" is unknown, use kafka://HOST:PORT or a directory")));
        }
        let dir = PathBuf::from(text);
        return Ok(match access {
            Access::Read => Arc::new(SegmentLog::open_read(&dir)?),
            Access::Write => Arc::new(SegmentLog::open(&dir)?),
        });
    };
    Ok(match access {
        Access::Read => Arc::new(KafkaLog::open_read(options)?),
        Access::Write => Arc::new(KafkaLog::open(options)?),
    })
}

/// What `kafka://` and the configuration say; `None` of any other text.
pub(crate) fn kafka_options(text: &str, config: &Config) -> Result<Option<KafkaOptions>> {
    let Some(address) = text.strip_prefix("kafka://") else { return Ok(None) };
    let (brokers, namespace) = address.split_once('/').unwrap_or((address, ""));
    let is_name = |name: &str| name.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-'));
    if brokers.is_empty() || !is_name(namespace) {
        return Err(misuse(format!("--log: \"{text}\" should be kafka://HOST:PORT[,HOST:PORT][/NAMESPACE]")));
    }
    let kafka = &config.kafka;
    let mut options = KafkaOptions::new(brokers);
    if !namespace.is_empty() {
        options.namespace = namespace.into();
    }
    options.partitions = kafka.partitions;
    options.replication = kafka.replication;
    options.retention_ms = if kafka.retention == 0 { -1 } else { kafka.retention / 1_000_000 };
    options.queue_bytes = bytes("kafka.queue", &kafka.queue)?;
    options.fetch_bytes = bytes("kafka.fetch", &kafka.fetch)?;
    options.properties = kafka.properties.clone().into_iter().collect();
    Ok(Some(options))
}

/// What `--store` names.
pub(crate) fn parse_store(text: &str) -> Result<Place> {
    match text.split_once("://") {
        None => Ok(Place::Directory(text.into())),
        Some(_) => QuestDbAddress::parse(text).map(Place::QuestDb).ok_or_else(|| {
            let said = without_login(text);
            misuse(format!("--store: \"{said}\" should be questdb://[USER:PASSWORD@]HOST[:PORT] or a directory"))
        }),
    }
}

/// Opens a store for the rows of a run.
pub(crate) fn open_store(place: &Place, run_id: &str, config: &Config) -> Result<Box<dyn RowStore>> {
    Ok(match place {
        Place::Directory(dir) => Box::new(Store::open(dir, run_id)?),
        Place::QuestDb(address) => {
            let questdb = &config.questdb;
            let options = SinkOptions {
                flush_bytes: bytes("questdb.flush", &questdb.flush)?,
                spool: questdb.spool.join(format!("{}-{run_id}", address.host.replace(':', "-"))),
                spool_bytes: bytes("questdb.spool_max", &questdb.spool_max)? as u64,
                ttl: questdb.ttl.clone(),
            };
            Box::new(Sink::open(address.clone(), run_id, options)?)
        }
    })
}

/// How often rows are flushed to a store: a server is told at once.
pub(crate) fn flush_every(place: &Place, config: &Config) -> Duration {
    match place {
        Place::Directory(_) => Duration::from_nanos(config.store.flush.unsigned_abs()),
        Place::QuestDb(_) => SERVER_FLUSH,
    }
}

fn bytes(name: &str, text: &str) -> Result<usize> {
    parse_bytes(text).ok_or_else(|| misuse(format!("{name}: \"{text}\" is no size such as 64MiB")))
}
