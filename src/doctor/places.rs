//! Whether log and store can be read and written: a directory, Kafka, QuestDB. Nothing is created or changed.

use std::{
    fs::File,
    io::ErrorKind,
    net::{TcpStream, ToSocketAddrs},
    path::{Path, PathBuf},
    sync::mpsc::channel,
    thread,
    time::Duration,
};

use prism_log::LogError;
use prism_queries::Place;
use prism_questdb::{Error, blocking::Client};
use prism_schemas::QuestDbAddress;
use prism_venue::Check;

use super::Named;
use crate::{
    config::Config,
    place::{Access, open_log},
};

/// Who does not answer within this is not reached.
const PATIENCE: Duration = Duration::from_secs(4);
/// Who takes no connection within this is not asked.
const CONNECT: Duration = Duration::from_secs(2);

/// The nearest directory above a path that exists, or itself.
pub(super) fn existing(path: &Path) -> PathBuf {
    let mut at = if path.as_os_str().is_empty() { PathBuf::from(".") } else { path.to_path_buf() };
    while !at.exists() {
        at = match at.parent() {
            Some(parent) if !parent.as_os_str().is_empty() => parent.into(),
            _ => PathBuf::from("."),
        };
    }
    at
}

/// The log.
pub(super) fn log(text: &str, config: &Config) -> Vec<Named> {
    let check = match text.strip_prefix("kafka://") {
        Some(rest) => kafka(text, rest, config),
        None => log_directory(text, config),
    };
    vec![("log".into(), check)]
}

fn log_directory(text: &str, config: &Config) -> Check {
    let dir = Path::new(text);
    if let Err(check) = writable(dir, "--log, PRISM_LOG") {
        return check;
    }
    if !dir.join("log.json").exists() {
        return Check::fine(text, "there is no log yet: it is made at the first start");
    }
    // Only looked at: whoever writes holds it.
    let lock = File::open(dir.join("log.lock")).map(|file| file.try_lock_shared().is_err());
    let who = if matches!(lock, Ok(true)) { ", another prism writes it now" } else { "" };
    match open_log(text, config, Access::Read) {
        Ok(log) => Check::fine(text, format!("{} partitions{who}", log.partitions(prism_schemas::Topic::Trades))),
        Err(error) => Check::broken(text, format!("{error:#}"), "name another directory, or move this one away"),
    }
}

/// Whether files can be made where a directory is, or would be.
fn writable(dir: &Path, option: &str) -> Result<(), Check> {
    let at = existing(dir);
    let advice = |what: &str| format!("{what}, or name another directory ({option})");
    if !at.is_dir() {
        return Err(Check::broken(dir.display().to_string(), "it is no directory", advice("move the file away")));
    }
    // It has no name, and is gone at once.
    tempfile::tempfile_in(&at).map(|_| ()).map_err(|error| {
        let help = match error.kind() {
            ErrorKind::PermissionDenied => "give this user the right to write there",
            ErrorKind::StorageFull => "free space",
            _ => "see that the disk can be written",
        };
        Check::broken(dir.display().to_string(), format!("{} cannot be written: {error}", at.display()), advice(help))
    })
}

fn kafka(text: &str, rest: &str, config: &Config) -> Check {
    let brokers: Vec<&str> = rest.split('/').next().unwrap_or_default().split(',').collect();
    let refused: Vec<String> = brokers.iter().filter_map(|broker| connect(broker, 9092).err()).collect();
    let advice = "start Kafka, or correct --log (PRISM_LOG) and kafka.properties";
    if refused.len() == brokers.len() {
        return Check::broken(text, refused.join("; "), advice);
    }
    let (name, config) = (text.to_string(), config.clone());
    let opened =
        within(move || open_log(&name, &config, Access::Read).map(|log| log.partitions(prism_schemas::Topic::Trades)));
    match opened {
        Some(Ok(n)) => Check::fine(text, format!("reached, {n} partitions")),
        Some(Err(error)) if matches!(error.downcast_ref(), Some(LogError::NotALog { .. })) => {
            Check::fine(text, format!("reached, {error}"))
        }
        Some(Err(error)) => Check::broken(text, format!("{error:#}"), advice),
        None => Check::broken(text, format!("no broker of {rest} answers within {PATIENCE:?}"), advice),
    }
}

/// The store.
pub(super) fn store(place: &Place) -> Vec<Named> {
    let checks = match place {
        Place::Directory(dir) => vec![store_directory(dir)],
        Place::QuestDb(address) => questdb(address),
    };
    checks.into_iter().map(|check| ("store".to_string(), check)).collect()
}

fn store_directory(dir: &Path) -> Check {
    if let Err(check) = writable(dir, "--store, PRISM_STORE") {
        return check;
    }
    let what = dir.display().to_string();
    match std::fs::read_dir(dir) {
        Ok(entries) => {
            let n = entries.filter_map(Result::ok).filter(|entry| entry.path().is_dir()).count();
            Check::fine(what, format!("{n} tables"))
        }
        Err(error) if error.kind() == ErrorKind::NotFound => {
            Check::fine(what, "there is no store yet: it is made at the first start")
        }
        Err(error) => Check::broken(what, error.to_string(), "give this user the right to read it"),
    }
}

fn questdb(address: &QuestDbAddress) -> Vec<Check> {
    let what = address.to_string();
    let advice = "start QuestDB, or correct --store (PRISM_STORE)";
    if let Err(detail) = connect(&address.host, 9000) {
        return vec![Check::broken(what, detail, advice)];
    }
    let tables = match Client::new(address.clone()).wal_tables(PATIENCE) {
        Ok(tables) => tables,
        Err(error @ Error::Login { .. }) => {
            return vec![Check::broken(what, error.to_string(), "correct user and password")];
        }
        Err(error) => return vec![Check::broken(what, error.to_string(), advice)],
    };
    let mut checks = vec![Check::fine(what, format!("reached, {} tables", tables.len()))];
    for table in tables.iter().filter(|table| table.suspended) {
        let advice = format!("repair the cause, then: ALTER TABLE {} RESUME WAL", table.name);
        let found = format!("suspended, {} transactions wait: {}", table.lag(), table.error);
        let is_ours = prism_schemas::table::TABLES.iter().any(|ours| ours.name == table.name);
        let what = format!("table {}", table.name);
        checks.push(if is_ours { Check::broken(what, found, advice) } else { Check::doubtful(what, found, advice) });
    }
    checks
}

/// Whether a host takes connections; if not: host and cause.
fn connect(host: &str, port: u16) -> Result<(), String> {
    let host = if host.contains(':') { host.to_string() } else { format!("{host}:{port}") };
    let named = host.clone();
    let addresses = within(move || named.to_socket_addrs().map(Iterator::collect::<Vec<_>>));
    let no = |cause: String| format!("no connection to {host}: {cause}");
    let addresses = match addresses {
        Some(Ok(addresses)) => addresses,
        Some(Err(error)) => return Err(no(error.to_string())),
        None => return Err(no("its name is not resolved".into())),
    };
    let mut cause = "it has no address".to_string();
    for address in addresses.iter().take(2) {
        match TcpStream::connect_timeout(address, CONNECT / 2) {
            Ok(_) => return Ok(()),
            Err(error) => cause = error.to_string(),
        }
    }
    Err(no(cause))
}

/// What a blocking call gives, if it does so in time; if not, its thread is left behind.
fn within<T: Send + 'static>(call: impl FnOnce() -> T + Send + 'static) -> Option<T> {
    let (send, answer) = channel();
    thread::spawn(move || send.send(call()));
    answer.recv_timeout(PATIENCE).ok()
}

#[cfg(test)]
mod tests {
    use std::io::{Read, Write};

    use prism_venue::Health;

    use super::*;

    #[test]
    fn directories_are_looked_at_and_left_as_they_are() {
        let dir = tempfile::tempdir().unwrap();
        let config = Config::load(None).unwrap();
        let absent = dir.path().join("a/b/log");
        let [(_, check)] = &log(&absent.display().to_string(), &config)[..] else { panic!() };
        assert!(check.health == Health::Fine && check.found.contains("no log yet"), "{check:?}");
        let file = dir.path().join("file");
        std::fs::write(&file, "").unwrap();
        let [(_, check)] = &log(&file.display().to_string(), &config)[..] else { panic!() };
        assert!(check.health == Health::Broken && check.found.contains("no directory"), "{check:?}");
        std::fs::write(dir.path().join("log.json"), "{}").unwrap();
        let [(_, check)] = &log(&dir.path().display().to_string(), &config)[..] else { panic!() };
        assert!(check.health == Health::Broken && check.found.contains("log.json"), "{check:?}");
        let [(_, check)] = &store(&Place::Directory(dir.path().join("none")))[..] else { panic!() };
        assert!(check.health == Health::Fine && check.found.contains("no store yet"), "{check:?}");
        let mut left: Vec<_> = std::fs::read_dir(dir.path()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
        left.sort();
        assert_eq!(left, ["file", "log.json"]);
    }

    #[test]
    fn servers_that_are_away_are_told_with_host_and_cause() {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        drop(listener);
        let config = Config::load(None).unwrap();
        let expected = format!("no connection to {address}: Connection refused (os error 111)");
        let [(_, check)] = &log(&format!("kafka://{address}"), &config)[..] else { panic!() };
        assert_eq!((check.health, &check.found), (Health::Broken, &expected));
        let place = Place::QuestDb(QuestDbAddress::parse(&format!("questdb://{address}")).unwrap());
        let [(_, check)] = &store(&place)[..] else { panic!() };
        assert_eq!((check.health, &check.found), (Health::Broken, &expected));
    }

    #[test]
    fn suspended_tables_are_named_with_what_to_do() {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let body = r#"{"dataset":[["bars",true,9,4,"disk full"],["theirs",true,2,1,"x"],["signals",false,1,1,""]]}"#;
        thread::spawn(move || {
            for socket in listener.incoming() {
                let mut socket = socket.unwrap();
                if socket.read(&mut [0; 4_096]).unwrap_or(0) == 0 {
                    continue;
                }
                let head = format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\nconnection: close\r\n\r\n", body.len());
                socket.write_all((head + body).as_bytes()).unwrap();
            }
        });
        let checks = questdb(&QuestDbAddress::parse(&format!("questdb://{address}")).unwrap());
        let of: Vec<_> = checks.iter().map(|check| (&*check.what, check.health)).collect();
        let reached = format!("questdb://{address}");
        let expected = [(&*reached, Health::Fine), ("table bars", Health::Broken), ("table theirs", Health::Doubtful)];
        assert_eq!(of, expected, "{checks:?}");
        assert!(checks[1].found.contains("5 transactions wait: disk full"), "{checks:?}");
        assert!(checks[1].advice.contains("ALTER TABLE bars RESUME WAL"), "{checks:?}");
    }
}
