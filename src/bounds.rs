//! What settings that shape no result may be; a mistake names its key, its value and the bound.

use std::ops::RangeInclusive;

use prism_exchange::wires;
use prism_schemas::{
    table::{TABLES, table},
    time::{DAY, HOUR, MILLISECOND, SECOND, duration},
};
use prism_venue::authorities;
use serde_json::{Serializer, Value};

use crate::config::{Address, Config, parse_bytes};

const YEAR: i64 = 365 * DAY;
const KIB: usize = 1 << 10;
const MIB: usize = 1 << 20;
const GIB: usize = 1 << 30;

/// Checks all sections but those of the graph, which check themselves.
pub(crate) fn check(config: &Config) -> Result<(), String> {
    let Config { feeds, api, store, kafka, questdb, .. } = config;
    for (key, nanos, bounds) in [
        ("feeds.reconcile", feeds.reconcile, 100 * MILLISECOND..=DAY),
        ("feeds.refresh", feeds.refresh, SECOND..=30 * DAY),
        ("feeds.poll", feeds.poll, SECOND..=30 * DAY),
        ("feeds.skew", feeds.skew, MILLISECOND..=DAY),
        ("feeds.ping", feeds.ping, 100 * MILLISECOND..=HOUR),
        ("feeds.stale", feeds.stale, 100 * MILLISECOND..=DAY),
        ("feeds.idle", feeds.idle, 100 * MILLISECOND..=DAY),
        ("feeds.patience", feeds.patience, 100 * MILLISECOND..=HOUR),
        ("feeds.rotate", feeds.rotate, SECOND..=30 * DAY),
        ("api.sql_timeout", api.sql_timeout, MILLISECOND..=HOUR),
        ("api.stale", api.stale, 0..=DAY),
        ("store.flush", store.flush, 10 * MILLISECOND..=HOUR),
        ("store.live", store.live, 0..=30 * DAY),
        ("kafka.retention", kafka.retention, 0..=100 * YEAR),
    ] {
        let [from, to] = [*bounds.start(), *bounds.end()].map(length);
        within(key, &nanos, &bounds, || (length(nanos), from, to))?;
    }
    for (key, n, bounds) in [
        ("feeds.top", feeds.top, 0..=10_000),
        ("feeds.depth", feeds.depth as usize, 0..=1_000),
        ("feeds.bars", feeds.bars as usize, 0..=10_000),
        ("api.sql_rows", api.sql_rows, 1..=10_000_000),
        ("api.sql_concurrency", api.sql_concurrency, 1..=1_000),
        ("kafka.partitions", kafka.partitions as usize, 1..=1_000),
        ("kafka.replication", kafka.replication as usize, 1..=100),
    ] {
        let text = |n: usize| n.to_string();
        within(key, &n, &bounds, || (text(n), text(*bounds.start()), text(*bounds.end())))?;
    }
    for (key, text, bounds) in [
        ("api.sql_memory", &api.sql_memory, MIB..=1_024 * GIB),
        ("kafka.queue", &kafka.queue, MIB..=64 * GIB),
        ("kafka.fetch", &kafka.fetch, KIB..=GIB),
        ("questdb.flush", &questdb.flush, 64 * KIB..=GIB),
        ("questdb.spool_max", &questdb.spool_max, MIB..=1_024 * GIB),
    ] {
        let bytes = parse_bytes(text).ok_or_else(|| format!("{key} = \"{text}\" is no size such as 64MiB"))?;
        within(key, &bytes, &bounds, || (format!("\"{text}\""), size(*bounds.start()), size(*bounds.end())))?;
    }
    if !(feeds.turnover_min.is_finite() && 0.0 <= feeds.turnover_min) {
        return Err(format!("feeds.turnover_min = {} must be 0 or above", feeds.turnover_min));
    }
    names(config)
}

/// Checks names and addresses.
fn names(config: &Config) -> Result<(), String> {
    let Config { feeds, questdb, .. } = config;
    let venues: Vec<String> = wires().iter().map(|wire| format!("{}-{}", wire.id(), wire.market().name())).collect();
    for (venue, address) in &feeds.addresses {
        if !venues.contains(venue) {
            return Err(unknown("feeds.addresses", venue, venues.iter().map(|name| &**name)));
        }
        let key = format!("feeds.addresses.{venue}");
        let regions = prism_exchange::wire(venue).map_or(&[][..], |wire| wire.regions());
        match address {
            Address::One(name) if regions.iter().any(|(region, _)| region == name) => {}
            Address::One(address) => http(&key, address).map_err(|error| {
                let names: Vec<&str> = regions.iter().map(|(region, _)| *region).collect();
                if names.is_empty() { error } else { format!("{error}, or be {}", names.join(", ")) }
            })?,
            Address::Two { rest, stream } => {
                http(&format!("{key}.rest"), rest)?;
                let is_stream = ["ws://", "wss://"].iter().any(|scheme| stream.starts_with(scheme));
                if !is_stream {
                    return Err(format!("{key}.stream = \"{stream}\" must begin with ws:// or wss:// and a host"));
                }
            }
        }
    }
    if !feeds.ca.as_os_str().is_empty() {
        authorities(&feeds.ca).map_err(|error| error.to_string())?;
    }
    if !feeds.fear_greed.is_empty() {
        http("feeds.fear_greed", &feeds.fear_greed)?;
    }
    if questdb.spool.as_os_str().is_empty() {
        return Err("questdb.spool = \"\" must name a directory".into());
    }
    for (name, ttl) in &questdb.ttl {
        if table(name).is_none() {
            return Err(unknown("questdb.ttl", name, TABLES.iter().map(|table| table.name)));
        }
        let is_ttl =
            ttl.starts_with(|c: char| c.is_ascii_digit()) && ttl.chars().all(|c| c.is_ascii_alphanumeric() || c == ' ');
        if !is_ttl {
            return Err(format!("questdb.ttl.{name} = \"{ttl}\" must be a number and a unit, such as 30 DAYS"));
        }
    }
    Ok(())
}

fn within<T: PartialOrd>(
    key: &str,
    value: &T,
    bounds: &RangeInclusive<T>,
    texts: impl FnOnce() -> (String, String, String),
) -> Result<(), String> {
    if bounds.contains(value) {
        return Ok(());
    }
    let (value, from, to) = texts();
    Err(format!("{key} = {value} must be between {from} and {to}"))
}

fn http(key: &str, address: &str) -> Result<(), String> {
    match address.strip_prefix("http://").or_else(|| address.strip_prefix("https://")) {
        Some(host) if host.starts_with(|c: char| c.is_ascii_alphanumeric() || c == '[') => Ok(()),
        _ => Err(format!("{key} = \"{address}\" must begin with http:// or https:// and a host")),
    }
}

fn unknown<'a>(section: &str, name: &str, known: impl Iterator<Item = &'a str>) -> String {
    let nearest = known.max_by(|a, b| strsim::jaro(a, name).total_cmp(&strsim::jaro(b, name)));
    let hint = nearest.map(|near| format!(", did you mean \"{section}.{near}\"?")).unwrap_or_default();
    format!("unknown key \"{section}.{name}\"{hint}")
}

/// A length as it is written in a file.
fn length(nanos: i64) -> String {
    if nanos == 0 {
        return "\"0s\"".into();
    }
    let mut out = Vec::new();
    match duration::serialize(&nanos, &mut Serializer::new(&mut out)) {
        Ok(()) => String::from_utf8_lossy(&out).into_owned(),
        Err(_) => Value::from(nanos).to_string(),
    }
}

fn size(bytes: usize) -> String {
    let (n, unit) = [(GIB, "GiB"), (MIB, "MiB"), (KIB, "KiB")]
        .into_iter()
        .find(|(unit, _)| bytes.is_multiple_of(*unit))
        .map_or((bytes, ""), |(unit, name)| (bytes / unit, name));
    format!("\"{n}{unit}\"")
}
