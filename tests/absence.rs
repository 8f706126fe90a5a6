//! QuestDB away, or disks full: compute goes on in bounded memory, and every row is there once in the end.

use std::{process::Command, time::Duration};

use prism_log::Log;
use prism_schemas::{Topic, time::MINUTE};
use rdkafka::{
    ClientConfig, Offset, TopicPartitionList,
    consumer::{BaseConsumer, Consumer},
};

use crate::{
    services::{Running, Services, market, script, until},
    support::{Arrival, command_on_a_small_disk, http},
};

/// A number that compute exposes.
fn metric(compute: &Running, name: &str) -> f64 {
    let (_, metrics) = http(compute.port, "GET", "/metrics", "").unwrap();
    let value = metrics.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' ')).expect(name);
    value.parse().unwrap()
}

/// The offset that compute committed, by partition of trades.
fn committed(services: &Services, namespace: &str) -> Vec<Option<u64>> {
    let mut config = ClientConfig::new();
    config.set("bootstrap.servers", &services.kafka).set("group.id", format!("{namespace}-compute"));
    let consumer: BaseConsumer = config.create().unwrap();
    let mut asked = TopicPartitionList::new();
    for partition in 0..services.kafka_log(namespace).partitions(Topic::Trades) {
        asked.add_partition(&format!("{namespace}.trades"), partition as i32);
    }
    let answer = consumer.committed_offsets(asked, Duration::from_secs(10)).unwrap();
    let offset = |offset| if let Offset::Offset(offset) = offset { Some(offset as u64) } else { None };
    answer.elements().iter().map(|element| offset(element.offset())).collect()
}

/// Whether only heartbeats follow what is committed: those of the last instant bound what is known.
fn all_is_committed(services: &Services, namespace: &str) -> bool {
    let log = services.kafka_log(namespace);
    committed(services, namespace).into_iter().enumerate().all(|(partition, offset)| {
        let Some(offset) = offset else { return false };
        let mut reader = log.read(Topic::Trades, partition as u32, offset).unwrap();
        while let Some(record) = reader.next().unwrap() {
            if !record.batch.symbol.is_empty() {
                return false;
            }
        }
        true
    })
}

/// Files in the spool.
fn left(services: &Services) -> usize {
    let dirs = std::fs::read_dir(services.spool()).unwrap();
    dirs.flat_map(|dir| std::fs::read_dir(dir.unwrap().path()).unwrap()).count()
}

#[test]
fn rows_wait_on_disk_while_questdb_is_away_and_newest_versions_win() {
    let Some(services) = Services::start("services: away") else { return };
    // Half of it, then the server goes, then the rest with its late trades, then the server comes back.
    let arrivals = market(13, 60_000);
    let half = arrivals.len() / 2;
    services.fill("away", &arrivals[..half]);
    let mut compute = services.compute("away");
    until(60, || services.said(), || services.frontier().is_some());
    services.script("kill", &["questdb"]);
    let before = committed(&services, "away");
    let end = services.fill("away", &arrivals[half..]);
    std::thread::sleep(Duration::from_secs(4));
    let (status, ready) = http(compute.port, "GET", "/ready", "").unwrap();
    assert_eq!(status, 503, "{ready}");
    assert!(ready.contains("does not answer"), "{ready}");
    assert!(0.0 < metric(&compute, "prism_spool_bytes"));
    assert_eq!(committed(&services, "away"), before, "offsets of what is not kept are committed");
    // In its development mode a table can be suspended, see below.
    let mut start = services.shell(&script());
    assert!(start.args(["start", "questdb"]).env("QDB_DEV_MODE_ENABLED", "true").status().unwrap().success());
    services.wait(&mut compute, end);
    assert_eq!(services.digest("live"), services.replay("away", &services.embedded("away"), "replay").fine());
    assert_eq!(left(&services), 0, "the spool is drained");
    until(20, || format!("{:?}", committed(&services, "away")), || all_is_committed(&services, "away"));
    let ready = |expected: u16| {
        let mut answer = (0, String::new());
        until(
            20,
            || format!("never {expected}"),
            || {
                answer = http(compute.port, "GET", "/ready", "").unwrap();
                answer.0 == expected
            },
        );
        answer.1
    };
    ready(200);
    services.ask("ALTER TABLE bars SUSPEND WAL").unwrap();
    assert!(ready(503).contains("does not apply rows to bars"));
    services.ask("ALTER TABLE bars RESUME WAL").unwrap();
    ready(200);
    // A table of another application that is suspended holds up nothing: rows are taken, shown and told readable.
    services.ask("CREATE TABLE theirs (ts TIMESTAMP, x INT) TIMESTAMP(ts) PARTITION BY DAY WAL").unwrap();
    services.ask("ALTER TABLE theirs SUSPEND WAL").unwrap();
    services.ask("INSERT INTO theirs VALUES (0, 1)").unwrap();
    let theirs = "SELECT suspended, writerTxn < sequencerTxn FROM wal_tables() WHERE name = 'theirs'";
    assert_eq!(services.ask(theirs).unwrap(), [[true, true]]);
    let n_bars = || services.ask("SELECT count() FROM bars").unwrap()[0][0].as_i64();
    let (before, last) = (n_bars(), &arrivals.iter().max_by_key(|arrival| arrival.event.ts_recv).unwrap());
    let (ts, recv) = (last.event.ts_event + 10 * MINUTE, last.event.ts_recv + 10 * MINUTE);
    let end = services.fill("away", &[Arrival::new(&last.id, ts, recv, last.event.body.clone().unwrap())]);
    services.wait(&mut compute, end);
    until(20, || format!("{:?}", committed(&services, "away")), || all_is_committed(&services, "away"));
    assert!(before < n_bars());
    let (status, told) = http(compute.port, "GET", "/ready", "").unwrap();
    assert_eq!(status, 200, "{told}");
    assert_eq!(services.ask(theirs).unwrap(), [[true, true]], "still");
}

/// Memory that a process holds now, in MiB.
fn resident(compute: &Running) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{}/status", compute.child.id())).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
    line.trim().trim_end_matches(" kB").parse::<u64>().unwrap() / 1_024
}

#[test]
fn compute_goes_on_for_a_minute_without_questdb_and_then_drains() {
    let Some(services) = Services::start("services: a minute away") else { return };
    let arrivals = market(18, 240_000);
    let mut parts = arrivals.chunks(arrivals.len() / 13 + 1);
    services.fill("minute", parts.next().unwrap());
    let mut compute = services.compute("minute");
    until(60, || services.said(), || services.frontier().is_some());
    let before = resident(&compute);
    services.script("kill", &["questdb"]);
    let (mut end, mut spooled) = (0, 0.0);
    for part in parts {
        end = services.fill("minute", part);
        std::thread::sleep(Duration::from_secs(5));
        let reached = metric(&compute, "prism_frontier_seconds");
        assert!(end as f64 / 1e9 - 1.0 < reached, "compute stands still at {reached}, the log is at {end}");
        let now = metric(&compute, "prism_spool_bytes");
        assert!(spooled < now, "nothing was added to the spool");
        spooled = now;
    }
    let during = resident(&compute);
    println!("resident: {before} MiB before, {during} MiB after a minute; {spooled} bytes on disk");
    assert!(during < before + 400, "{before} MiB before, {during} MiB after a minute");
    services.script("start", &["questdb"]);
    services.wait(&mut compute, end);
    assert_eq!(left(&services), 0, "the spool is drained");
    assert_eq!(services.digest("live"), services.replay("minute", &services.embedded("minute"), "replay").fine());
}

/// Whether this machine lets a process mount a disk of its own.
fn has_namespaces(test: &str) -> Option<&str> {
    let has = Command::new("unshare").args(["-rm", "true"]).status().is_ok_and(|status| status.success());
    if !has {
        eprintln!("SKIPPED {test}: user namespaces are needed for a small disk (unshare -rm)");
    }
    has.then_some(test)
}

#[test]
fn a_full_disk_under_the_spool_is_named_and_nothing_is_lost() {
    let Some(services) = has_namespaces("services: spool full").and_then(Services::start) else { return };
    let arrivals = market(19, 60_000);
    services.fill("spool", &arrivals[..20_000]);
    std::fs::create_dir_all(services.spool()).unwrap();
    let program = command_on_a_small_disk(&services.spool(), "2m");
    let mut compute = services.start_compute(program, "spool", 1);
    until(60, || services.said(), || services.frontier().is_some());
    services.script("kill", &["questdb"]);
    let end = services.fill("spool", &arrivals[20_000..]);
    let mut status = None;
    until(
        60,
        || format!("compute goes on with a full disk: {}", services.said()),
        || {
            status = compute.child.try_wait().unwrap();
            status.is_some()
        },
    );
    assert_eq!(status.unwrap().code(), Some(1), "{}", services.said());
    let said = services.said();
    assert!(said.contains("questdb.spool") && said.contains("No space left"), "{said}");
    // With room again, and the server back, it goes on.
    services.script("start", &["questdb"]);
    let mut compute = services.compute("spool");
    services.wait(&mut compute, end);
    assert_eq!(services.digest("live"), services.replay("spool", &services.embedded("spool"), "replay").fine());
}

#[test]
fn a_full_disk_under_questdb_is_told_and_rows_wait_until_there_is_room() {
    let Some(services) = has_namespaces("services: QuestDB full").and_then(Services::start) else { return };
    services.script("stop", &["questdb"]);
    let (data, room) = (services.dir.path().join("questdb"), services.dir.path().join("room"));
    std::fs::remove_dir_all(&data).unwrap();
    std::fs::create_dir(&data).unwrap();
    // A disk that grows when the file `room` appears.
    let start = "mount -t tmpfs -o size=320m tmpfs \"$1\" || exit 1
        (while [ ! -e \"$2\" ]; do sleep 0.1; done; mount -o remount,size=4g \"$1\"; mv \"$2\" \"$2.made\") 2>/dev/null &
        exec \"$3\" start questdb";
    let mut start_on_disk = services.shell("unshare");
    start_on_disk.args(["-rm", "bash", "-c", start, "bash"]).args([&data, &room]).arg(script());
    assert!(start_on_disk.status().unwrap().success());
    let end = services.fill("full", &market(20, 120_000));
    let mut compute = services.compute("full");
    let mut ready = String::new();
    until(
        60,
        || format!("it is not told: {}", services.said()),
        || {
            assert!(compute.child.try_wait().unwrap().is_none(), "compute ended: {}", services.said());
            ready = http(compute.port, "GET", "/ready", "").map(|(_, body)| body).unwrap_or_default();
            ready.contains("does not answer or take rows") || ready.contains("does not apply rows")
        },
    );
    println!("{ready}");
    std::fs::write(&room, "").unwrap();
    until(20, || "no room is made".into(), || !room.exists());
    // What QuestDB suspended, a person resumes.
    let suspended = "SELECT name FROM wal_tables() WHERE suspended";
    until(
        60,
        || format!("{:?}", services.ask(suspended)),
        || {
            let names = services.ask(suspended).unwrap();
            for name in &names {
                services.ask(&format!("ALTER TABLE {} RESUME WAL", name[0].as_str().unwrap())).unwrap();
            }
            services.frontier().is_some_and(|frontier| end - 100_000_000 <= frontier) && names.is_empty()
        },
    );
    services.wait(&mut compute, end);
    assert_eq!(services.digest("live"), services.replay("full", &services.embedded("full"), "replay").fine());
}
