//! Where log and store are: a directory, `kafka://HOST:PORT[/NAMESPACE]`, `questdb://[USER:PASSWORD@]HOST:PORT`.

use std::{
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use anyhow::Result;
use prism_kafka::{KafkaLog, KafkaOptions};
use prism_log::{Log, Options, SegmentLog, SyncPolicy};
use prism_queries::Place;
use prism_schemas::{
    QuestDbAddress, RowStore,
    layout::{LIVE, run_folder, run_of},
    table, without_login,
};
use prism_store::Store;
use prism_store::questdb::{Sink, SinkOptions};

use crate::{
    config::{Config, LogSync, parse_bytes},
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
            Access::Read => Arc::new(SegmentLog::open_read_with(&dir, log_options(config)?)?),
            Access::Write => Arc::new(SegmentLog::open_with(&dir, log_options(config)?)?),
        });
    };
    Ok(match access {
        Access::Read => Arc::new(KafkaLog::open_read(options)?),
        Access::Write => Arc::new(KafkaLog::open(options)?),
    })
}

/// What the configuration says of a log in a directory.
fn log_options(config: &Config) -> Result<Options> {
    let log = &config.log;
    let sync = match log.sync {
        LogSync::Group => SyncPolicy::Group(Duration::from_nanos(log.sync_every.unsigned_abs())),
        LogSync::Always => SyncPolicy::Always,
        LogSync::Never => SyncPolicy::Never,
    };
    let retention_bytes = bytes("log.retention_size", &log.retention_size)? as u64;
    Ok(Options { sync, retention: log.retention, retention_bytes, ..Options::default() })
}

/// What `kafka://` and the configuration say; `None` of any other text.
pub(crate) fn kafka_options(text: &str, config: &Config) -> Result<Option<KafkaOptions>> {
    let Some(address) = text.strip_prefix("kafka://") else { return Ok(None) };
    let (brokers, namespace) = address.split_once('/').unwrap_or((address, ""));
    let is_name = |name: &str| name.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-'));
    if brokers.is_empty() || !is_name(namespace) {
        let text = without_login(text);
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
    options.properties = kafka.properties.0.clone().into_iter().collect();
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

/// What a writer leaves in a store that has no rows yet.
const LOCK: &str = "store.lock";

/// What a directory holds of rows.
#[derive(Debug, PartialEq)]
pub(crate) enum Holds {
    /// Nothing yet.
    Nothing,
    /// Rows of the live run, if so, and of others by name.
    Runs(bool, Vec<String>),
}

/// Looks into a directory that is to be read as a store; an error if it is none.
pub(crate) fn look(dir: &Path) -> Result<Holds> {
    let no_store = |why: &str| misuse(format!("{} is no store: {why}; --store names one", dir.display()));
    let entries = match std::fs::read_dir(dir) {
        Ok(entries) => entries,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Err(no_store("it does not exist")),
        Err(error) => return Err(no_store(&error.to_string())),
    };
    let (mut is_empty, mut is_live, mut runs) = (true, false, Vec::new());
    for entry in entries {
        let name = entry?.file_name().to_string_lossy().into_owned();
        is_empty &= name == LOCK;
        is_live |= table::table(&name).is_some();
        runs.extend(run_of(&name).map(String::from));
    }
    runs.sort();
    match () {
        () if is_empty => Ok(Holds::Nothing),
        () if is_live || !runs.is_empty() => Ok(Holds::Runs(is_live, runs)),
        () if dir.join("log.json").exists() => Err(no_store("it is a log, from which `prism replay` makes one")),
        () => Err(no_store("it has no tables")),
    }
}

/// Where the rows of a run are read: a directory must hold some. Without a name it is the live run, or the only one.
/// The name that is left is that of a run whose rows are among those of others.
pub(crate) fn place_of_run(place: Place, run: Option<&str>) -> Result<(Place, Option<String>)> {
    let dir = match place {
        Place::Directory(dir) => dir,
        other => return Ok((other, run.filter(|run| *run != LIVE).map(String::from))),
    };
    let shown = dir.display();
    let Holds::Runs(is_live, runs) = look(&dir)? else {
        return Err(misuse(format!("{shown} is no store: it is empty; fill it with `prism run` or `prism replay`")));
    };
    let all =
        || is_live.then_some(LIVE).into_iter().chain(runs.iter().map(|run| &**run)).collect::<Vec<_>>().join(", ");
    match (run, &runs[..]) {
        (None | Some(LIVE), _) if is_live => Ok((Place::Directory(dir), None)),
        (Some(run), _) if runs.iter().any(|have| have == run) => {
            Ok((Place::Directory(run_folder(run).map_or(dir.clone(), |folder| dir.join(folder))), None))
        }
        (Some(run), _) => Err(misuse(format!("{shown} has no run {run}; it has {}", all()))),
        (None, [only]) => {
            tracing::info!(run = only, "the store holds no live rows: its only run is read");
            Ok((Place::Directory(run_folder(only).map_or(dir.clone(), |folder| dir.join(folder))), None))
        }
        (None, _) => Err(misuse(format!("{shown} holds no live rows: name a run with --run; it has {}", all()))),
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
            let sink = Sink::open(address.clone(), run_id, options)?;
            if run_id == LIVE {
                sink.alone()?;
            }
            Box::new(sink)
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn passwords_are_in_no_error() {
        let config = Config::load(None).unwrap();
        for text in [
            "questdb://admin:hunter2@",
            "questdb:/admin:hunter2@://x y",
            "pg://u:hunter2@db",
            "questdb://u:hunter2@a b",
        ] {
            let error = parse_store(text).unwrap_err().to_string();
            assert!(!error.contains("hunter2") && error.contains("--store"), "{error}");
        }
        let error = open_log("kafka://u:hunter2@/a b", &config, Access::Read).err().unwrap().to_string();
        assert!(!error.contains("hunter2"), "{error}");
    }

    #[test]
    fn a_store_is_told_from_what_is_none() {
        let dir = tempfile::tempdir().unwrap();
        let at = |name: &str| dir.path().join(name);
        let read = |name: &str, run: Option<&str>| {
            let place = place_of_run(Place::Directory(at(name)), run);
            place.map(|(place, _)| format!("{place:?}")).map_err(|error| error.to_string())
        };
        for folder in [
            "empty",
            "other/photos",
            "both/bars",
            "both/run_id=what-if/bars",
            "one/run_id=a",
            "two/run_id=a",
            "two/run_id=b",
        ] {
            std::fs::create_dir_all(at(folder)).unwrap();
        }
        std::fs::write(at("file"), "").unwrap();
        for (name, run, words) in [
            ("absent", None, "it does not exist"),
            ("file", None, "is no store"),
            ("empty", None, "it is empty"),
            ("other", None, "it has no tables"),
            ("two", None, "--run; it has a, b"),
            ("two", Some("c"), "no run c; it has a, b"),
            ("both", Some("c"), "it has live, what-if"),
            ("one", Some("live"), "no run live; it has a"),
        ] {
            let error = read(name, run).unwrap_err();
            assert!(error.contains(words), "{name}: {error}");
        }
        assert!(read("both", None).unwrap().ends_with("both\")"));
        assert_eq!(read("both", None), read("both", Some("live")));
        assert!(read("both", Some("what-if")).unwrap().contains("run_id=what-if"));
        assert!(read("one", None).unwrap().contains("run_id=a"));
    }
}
