//! Configuration: embedded defaults, overridden by a file and by the environment.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
};

use anyhow::{Context, Result};
use prism_dataflow::settings::Settings;
use prism_schemas::time::duration;
use serde::Deserialize;
use toml::{Table, Value};

use crate::{bounds, layers::merge, misuse};

const DEFAULTS: &str = include_str!("../default.toml");

/// Everything that can be set.
#[derive(Clone, Debug)]
pub(crate) struct Config {
    /// What shapes results.
    pub(crate) settings: Settings,
    /// Live venues.
    pub(crate) feeds: Feeds,
    /// The HTTP server.
    pub(crate) api: Api,
    /// Memory and the embedded store.
    pub(crate) store: Store,
    /// A log in a directory.
    pub(crate) log: Log,
    /// A log on Kafka.
    pub(crate) kafka: Kafka,
    /// A store on QuestDB.
    pub(crate) questdb: QuestDb,
}

/// `[feeds]`.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Feeds {
    /// Names such as `bybit-linear`.
    pub(crate) venues: Vec<String>,
    /// Addresses to use instead of the venue's own, by name.
    pub(crate) addresses: BTreeMap<String, Address>,
    /// PEM file of certificates that are trusted too; empty for none.
    pub(crate) ca: PathBuf,
    pub(crate) include: Vec<String>,
    pub(crate) exclude: Vec<String>,
    pub(crate) quote: String,
    pub(crate) top: usize,
    pub(crate) turnover_min: f64,
    pub(crate) depth: u32,
    pub(crate) tickers: bool,
    pub(crate) liquidations: bool,
    pub(crate) klines: bool,
    pub(crate) bars: u32,
    /// Times are in nanoseconds.
    #[serde(with = "duration")]
    pub(crate) reconcile: i64,
    #[serde(with = "duration")]
    pub(crate) skew: i64,
    #[serde(with = "duration")]
    pub(crate) refresh: i64,
    #[serde(with = "duration")]
    pub(crate) poll: i64,
    pub(crate) fear_greed: String,
    #[serde(with = "duration")]
    pub(crate) ping: i64,
    #[serde(with = "duration")]
    pub(crate) stale: i64,
    #[serde(with = "duration")]
    pub(crate) idle: i64,
    #[serde(with = "duration")]
    pub(crate) patience: i64,
    #[serde(with = "duration")]
    pub(crate) rotate: i64,
}

/// Where a venue is reached.
#[derive(Clone, Debug, Deserialize)]
#[serde(
    untagged,
    expecting = "an address is a URL, a region, or both of { rest = \"https://..\", stream = \"wss://..\" }"
)]
pub(crate) enum Address {
    /// An http(s) address of both requests and streams, or the name of a region.
    One(String),
    /// Hosts of their own.
    Two { rest: String, stream: String },
}

/// `[api]`.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Api {
    /// A query runs at most this long, in nanoseconds.
    #[serde(with = "duration")]
    pub(crate) sql_timeout: i64,
    /// A query answers at most this many rows.
    pub(crate) sql_rows: usize,
    /// All queries together use at most this much memory.
    pub(crate) sql_memory: String,
    /// Queries that run at the same time.
    pub(crate) sql_concurrency: usize,
    /// Not ready while results are this far behind the clock, in nanoseconds; 0 for never.
    #[serde(with = "duration")]
    pub(crate) stale: i64,
    /// Open connections that are no streams.
    pub(crate) connections: usize,
    /// Of one address.
    pub(crate) connections_of_address: usize,
    /// Open WebSocket streams.
    pub(crate) streams: usize,
    /// Of one address.
    pub(crate) streams_of_address: usize,
}

/// `[store]`.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Store {
    /// Live rows reach Parquet at least this often, in nanoseconds.
    #[serde(with = "duration")]
    pub(crate) flush: i64,
    /// Closed rows of this age stay in memory, in nanoseconds of knowledge time.
    #[serde(with = "duration")]
    pub(crate) live: i64,
}

/// `[log]`.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Log {
    /// When what is written survives a crash of the machine.
    pub(crate) sync: LogSync,
    /// Between two syncs of groups, in nanoseconds.
    #[serde(with = "duration")]
    pub(crate) sync_every: i64,
    /// Segments that were not written to for this long are removed, in nanoseconds; 0 keeps all.
    #[serde(with = "duration")]
    pub(crate) retention: i64,
    /// The oldest segments are removed while all are larger; 0 keeps all.
    pub(crate) retention_size: String,
}

/// `log.sync`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum LogSync {
    Group,
    Always,
    Never,
}

/// `[kafka]`.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Kafka {
    /// Partitions of topics that are created.
    pub(crate) partitions: u32,
    /// Replicas of topics that are created.
    pub(crate) replication: u32,
    /// How long topics that are created keep messages, in nanoseconds; 0 without end.
    #[serde(with = "duration")]
    pub(crate) retention: i64,
    /// Unsent messages after which a writer waits.
    pub(crate) queue: String,
    /// Fetched ahead for each partition that is read.
    pub(crate) fetch: String,
    /// Settings of the client library.
    pub(crate) properties: Properties,
}

/// Settings of a client library, among them passwords: those are not shown.
#[derive(Clone, Default, Deserialize)]
#[serde(transparent)]
pub(crate) struct Properties(pub(crate) BTreeMap<String, String>);

impl std::fmt::Debug for Properties {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let is_secret = |name: &str| {
            let name = name.to_lowercase();
            ["password", "secret", "token", "key", "jaas", "credential"].iter().any(|word| name.contains(word))
        };
        let shown = |(name, value): (&String, &String)| {
            (name.clone(), if is_secret(name) { "(not shown)".to_string() } else { value.clone() })
        };
        f.debug_map().entries(self.0.iter().map(shown)).finish()
    }
}

/// `[questdb]`.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct QuestDb {
    /// Bytes sent in one request.
    pub(crate) flush: String,
    /// Directory of rows that wait while the server is away.
    pub(crate) spool: PathBuf,
    /// Bytes there after which the graph waits.
    pub(crate) spool_max: String,
    /// Time to live by table.
    pub(crate) ttl: BTreeMap<String, String>,
}

impl Config {
    /// Defaults, then `file`, then `PRISM__SECTION__KEY` of the environment.
    pub(crate) fn load(file: Option<&Path>) -> Result<Config> {
        let text = match file {
            Some(path) => {
                Some(std::fs::read_to_string(path).with_context(|| format!("read configuration {}", path.display()))?)
            }
            None => None,
        };
        let environment = std::env::vars().filter(|(name, _)| name.starts_with("PRISM__"));
        let config = Config::layered(text.as_deref(), environment);
        config.map_err(|message| match file {
            Some(path) => misuse(format!("configuration {}: {message}", path.display())),
            None => misuse(format!("configuration: {message}")),
        })
    }

    fn layered(file: Option<&str>, environment: impl Iterator<Item = (String, String)>) -> Result<Config, String> {
        let mut table: Table = DEFAULTS.parse().map_err(|error: toml::de::Error| error.to_string())?;
        if let Some(text) = file {
            let over: Table = text.parse().map_err(|error: toml::de::Error| error.to_string())?;
            merge(&mut table, over, "")?;
        }
        for (name, text) in environment {
            let path: Vec<String> = name.split("__").skip(1).map(str::to_lowercase).collect();
            let [section, key] = &path[..] else {
                return Err(format!("{name} should be PRISM__SECTION__KEY"));
            };
            // A bare word is a string; everything else is written as in the file.
            let value = format!("v = {text}").parse::<Table>().ok().and_then(|mut table| table.remove("v"));
            let inner = Table::from_iter([(key.clone(), value.unwrap_or(Value::String(text)))]);
            merge(&mut table, Table::from_iter([(section.clone(), Value::Table(inner))]), "")?;
        }
        let mut take = |name: &str| table.remove(name).ok_or(format!("section {name} is missing"));
        let [feeds, api, store, log, kafka, questdb] =
            [take("feeds")?, take("api")?, take("store")?, take("log")?, take("kafka")?, take("questdb")?];
        let read_error = |error: toml::de::Error| error.to_string().trim().to_string();
        let config = Config {
            settings: Value::Table(table).try_into().map_err(read_error)?,
            feeds: feeds.try_into().map_err(read_error)?,
            api: api.try_into().map_err(read_error)?,
            store: store.try_into().map_err(read_error)?,
            log: log.try_into().map_err(read_error)?,
            kafka: kafka.try_into().map_err(read_error)?,
            questdb: questdb.try_into().map_err(read_error)?,
        };
        config.settings.check()?;
        bounds::check(&config)?;
        Ok(config)
    }
}

/// Reads `256MiB`, `1GiB`, `500KiB` or plain bytes.
pub(crate) fn parse_bytes(text: &str) -> Option<usize> {
    let at = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let unit = match &text[at..] {
        "" => 1,
        "KiB" => 1 << 10,
        "MiB" => 1 << 20,
        "GiB" => 1 << 30,
        _ => return None,
    };
    text[..at].parse::<usize>().ok()?.checked_mul(unit)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn load(file: &str, environment: &[(&str, &str)]) -> Result<Config, String> {
        Config::layered(Some(file), environment.iter().map(|(k, v)| ((*k).to_string(), (*v).to_string())))
    }

    #[test]
    fn layers_override_each_other() {
        let file = "[signals]\nbullish = 80\n[time]\ngrace = \"1s\"";
        let config = load(file, &[("PRISM__TIME__GRACE", "2s"), ("PRISM__SIGNALS__BEARISH", "20")]).unwrap();
        assert_eq!(config.settings.signals.bullish, 80.0);
        assert_eq!(config.settings.signals.bearish, 20.0);
        assert_eq!(config.settings.time.grace, 2_000_000_000);
        assert_ne!(config.settings.hash(), load("", &[]).unwrap().settings.hash());
    }

    #[test]
    fn paths_and_limits_do_not_change_the_hash() {
        let file = "[api]\nsql_rows = 5\n[store]\nflush = \"1s\"\n[kafka.properties]\n\"security.protocol\" = \"ssl\"";
        let other = load(file, &[]).unwrap();
        assert_eq!(other.kafka.properties.0["security.protocol"], "ssl");
        assert_eq!(other.settings.hash(), load("", &[]).unwrap().settings.hash());
    }

    #[test]
    fn a_score_profile_is_a_section_of_ones_own() {
        let file = "[score]\nprofile = \"mine\"\n[score.profiles.mine]\nvolume = { weight = 1, components = { obv = 0.5 } }\n\
                    [score.profiles.balanced]\nvolume = { weight = 2.0 }";
        let profiles = load(file, &[]).unwrap().settings.score.profiles;
        assert_eq!(profiles["mine"]["volume"].components["obv"], 0.5);
        // Of one that is there only what is named changes.
        assert_eq!((profiles["balanced"].len(), profiles["balanced"]["volume"].weight), (6, 2.0));
        assert!(load("[score.profiles.mine]\nvolume = { wait = 1.0 }", &[]).unwrap_err().contains("wait"));
    }

    #[test]
    fn mistakes_are_named() {
        for (file, expected) in [
            ("[time]\ngrase = \"1s\"", "unknown key \"time.grase\", did you mean \"time.grace\"?"),
            ("[tme]\ngrace = \"1s\"", "unknown key \"tme\", did you mean \"time\"?"),
            ("[time]\ngrace = \"soon\"", "is not a duration"),
            ("[timeframes]\nroles = [\"1m\", \"7m\"]", "unknown timeframe \"7m\""),
            ("[timeframes]\nroles = [\"1s\", \"5m\", \"30m\", \"4h\"]", "1s is not in timeframes.maintained"),
            ("time = 3", "time is a section"),
            ("[time", "TOML"),
            ("[log]\nsync = \"sometimes\"", "unknown variant `sometimes`, expected one of `group`, `always`, `never`"),
            ("[kafka]\npartition = 3", "unknown key \"kafka.partition\", did you mean \"kafka.partitions\"?"),
        ] {
            let error = load(file, &[]).unwrap_err();
            assert!(error.contains(expected), "{file}: {error}");
        }
    }

    #[test]
    fn bounds_are_named() {
        for (file, expected) in [
            ("[store]\nflush = \"0s\"", "store.flush = \"0s\" must be between \"10ms\" and \"1h\""),
            ("[store]\nlive = \"31d\"", "store.live = \"31d\" must be between \"0s\" and \"30d\""),
            ("[feeds]\npoll = \"0s\"", "feeds.poll = \"0s\" must be between \"1s\" and \"30d\""),
            ("[feeds]\nrefresh = \"5ms\"", "feeds.refresh = \"5ms\""),
            ("[feeds]\nping = \"0ms\"", "feeds.ping"),
            ("[feeds]\nstale = \"0s\"", "feeds.stale"),
            ("[feeds]\npatience = \"-1s\"", "is not a duration"),
            ("[feeds]\nrotate = \"0s\"", "feeds.rotate"),
            ("[feeds]\ndepth = 5000", "feeds.depth = 5000 must be between 0 and 1000"),
            ("[feeds]\nturnover_min = -1.0", "feeds.turnover_min = -1 must be 0 or above"),
            ("[feeds]\nturnover_min = nan", "feeds.turnover_min = NaN must be 0 or above"),
            ("[feeds]\nfear_greed = \"localhost\"", "feeds.fear_greed = \"localhost\" must begin with http://"),
            ("[feeds]\nca = \"/nowhere/corp.pem\"", "feeds.ca = \"/nowhere/corp.pem\": No such file"),
            ("[feeds]\nca = \"/etc/hostname\"", "feeds.ca = \"/etc/hostname\": has no -----BEGIN CERTIFICATE-----"),
            ("[feeds.addresses]\n\"bybit-linaer\" = \"http://a\"", "did you mean \"feeds.addresses.bybit-linear\"?"),
            (
                "[feeds.addresses]\n\"bybit-linear\" = \"ws://a\"",
                "must begin with http:// or https:// and a host, or be bybit.eu",
            ),
            (
                "[feeds.addresses]\n\"bybit-linear\" = { rest = \"https://a\", stream = \"https://b\" }",
                "must begin with ws:// or wss://",
            ),
            ("[feeds.addresses]\n\"bybit-linear\" = { rest = \"https://a\" }", "or both of { rest = "),
            ("[api]\nsql_concurrency = 0", "api.sql_concurrency = 0 must be between 1 and 1000"),
            ("[api]\nsql_rows = 0", "api.sql_rows = 0 must be between 1"),
            ("[api]\nsql_timeout = \"0s\"", "api.sql_timeout"),
            ("[api]\nsql_memory = \"much\"", "api.sql_memory = \"much\" is no size such as 64MiB"),
            ("[api]\nsql_memory = \"1KiB\"", "api.sql_memory = \"1KiB\" must be between \"1MiB\""),
            ("[kafka]\npartitions = 0", "kafka.partitions = 0 must be between 1 and 1000"),
            ("[kafka]\nreplication = 0", "kafka.replication = 0"),
            ("[kafka]\nfetch = \"0\"", "kafka.fetch = \"0\" must be between \"1KiB\" and \"1GiB\""),
            ("[kafka]\nqueue = \"12 parsecs\"", "kafka.queue"),
            ("[questdb]\nflush = \"1\"", "questdb.flush"),
            ("[questdb]\nspool = \"\"", "questdb.spool"),
            ("[questdb]\nspool_max = \"0MiB\"", "questdb.spool_max"),
            ("[questdb.ttl]\nbarz = \"30 DAYS\"", "did you mean \"questdb.ttl.bars\"?"),
            ("[questdb.ttl]\nbars = \"for ever\"", "questdb.ttl.bars = \"for ever\" must be a number and a unit"),
        ] {
            let error = load(file, &[]).unwrap_err();
            assert!(error.contains(expected), "{file}: {error}");
        }
        let error = load("", &[("PRISM__STORE__FLUSH", "0s")]).unwrap_err();
        assert!(error.contains("store.flush"), "{error}");
        load("[feeds.addresses]\n\"binance-spot\" = \"binance.vision\"", &[]).unwrap();
        load("[questdb.ttl]\nbars = \"30 DAYS\"\n[store]\nlive = \"0s\"\n[feeds]\ntop = 0", &[]).unwrap();
    }

    #[test]
    fn secrets_are_not_shown() {
        let file = "[kafka.properties]\n\"sasl.password\" = \"hunter2\"\n\"sasl.username\" = \"ann\"\n\"ssl.key.pem\" = \"hunter2\"";
        let text = format!("{:?}", load(file, &[]).unwrap());
        assert!(!text.contains("hunter2") && text.contains("ann"), "{text}");
    }
}
