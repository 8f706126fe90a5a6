//! The log on disks that are full, tear records, fail to sync and lose what was not synced: it opens again, always, with
//! a prefix of what was appended that holds everything acknowledged as synced.

use std::collections::{BTreeMap, HashMap};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use prism_schemas::event::event::Body;
use prism_schemas::event::{Batch, Quarantined};
use prism_schemas::{Event, Topic};

use crate::disk::{Disk, DiskFile, System};
use crate::inner::lock;
use crate::{Log, LogError, Options, SegmentLog, SyncPolicy};

const TOPIC: Topic = Topic::Trades;

/// A disk over a directory, and what it would keep if the machine lost its power now.
#[derive(Clone, Default)]
struct Faulty(Arc<Mutex<State>>);

#[derive(Default)]
struct State {
    /// By file, bytes that are synced, and whether its entry is.
    files: HashMap<PathBuf, (u64, bool)>,
    /// Bytes that can still be written.
    room: Option<u64>,
    /// At most so many bytes are written at once.
    at_once: usize,
    cannot_cut: bool,
    cannot_sync: bool,
    /// The process has been killed: nothing it still does happens.
    is_dead: bool,
    n_syncs: u64,
    /// Told at each sync of a segment, which then waits for its permission.
    gate: Option<(Sender<()>, Receiver<()>)>,
}

impl Faulty {
    fn state(&self) -> MutexGuard<'_, State> {
        lock(&self.0)
    }

    fn alive(&self) -> io::Result<MutexGuard<'_, State>> {
        let state = self.state();
        if state.is_dead { Err(io::Error::other("the process is dead")) } else { Ok(state) }
    }

    fn heal(&self) {
        let mut state = self.state();
        (state.room, state.at_once, state.cannot_cut, state.cannot_sync) = (None, 0, false, false);
    }

    /// Kills the process that has the log open; with a crash of the machine, all that is not synced may go as well.
    fn kill(&self, log: SegmentLog, machine: bool, chance: &mut Chance) {
        self.state().is_dead = true;
        drop(log);
        let mut state = self.state();
        state.is_dead = false;
        let files: Vec<_> = state.files.iter().map(|(path, kept)| (path.clone(), *kept)).collect();
        for (path, (synced, entry)) in files.into_iter().filter(|_| machine) {
            let Ok(mut bytes) = std::fs::read(&path) else { continue };
            if !entry && chance.of(2) == 0 {
                std::fs::remove_file(&path).unwrap();
                state.files.remove(&path);
                continue;
            }
            let synced = (synced as usize).min(bytes.len());
            bytes.truncate(synced + chance.of(bytes.len() - synced + 1));
            // What reached the disk out of order left holes.
            for block in bytes[synced..].chunks_mut(64) {
                if chance.of(4) == 0 {
                    block.fill(0);
                }
            }
            std::fs::write(&path, &bytes).unwrap();
            state.files.insert(path, (bytes.len() as u64, true));
        }
    }
}

impl Disk for Faulty {
    fn open(&self, path: &Path) -> io::Result<Arc<dyn DiskFile>> {
        let mut state = self.alive()?;
        let known = path.exists();
        let length = if known { path.metadata()?.len() } else { 0 };
        state.files.entry(path.into()).or_insert((length, known));
        Ok(Arc::new(FaultyFile { disk: self.clone(), path: path.into(), file: System.open(path)? }))
    }

    fn sync_file(&self, path: &Path) -> io::Result<()> {
        let mut state = self.alive()?;
        state.n_syncs += 1;
        let length = path.metadata()?.len();
        state.files.entry(path.into()).or_insert((0, true)).0 = length;
        Ok(())
    }

    fn sync_dir(&self, dir: &Path) -> io::Result<()> {
        let mut state = self.alive()?;
        state.files.iter_mut().filter(|(path, _)| path.parent() == Some(dir)).for_each(|(_, kept)| kept.1 = true);
        Ok(())
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        self.alive()?.files.remove(path);
        System.remove(path)
    }
}

struct FaultyFile {
    disk: Faulty,
    path: PathBuf,
    file: Arc<dyn DiskFile>,
}

impl DiskFile for FaultyFile {
    fn write_at(&self, bytes: &[u8], position: u64) -> io::Result<usize> {
        let mut state = self.disk.alive()?;
        let mut n = bytes.len();
        if 0 < state.at_once {
            n = n.min(state.at_once);
        }
        if let Some(room) = &mut state.room {
            n = n.min(*room as usize);
            *room -= n as u64;
        }
        if n == 0 {
            return Err(io::Error::from(io::ErrorKind::StorageFull));
        }
        self.file.write_at(&bytes[..n], position)
    }

    fn set_len(&self, length: u64) -> io::Result<()> {
        let mut state = self.disk.alive()?;
        if state.cannot_cut {
            return Err(io::Error::other("the file cannot be cut"));
        }
        if let Some((synced, _)) = state.files.get_mut(&self.path) {
            *synced = length.min(*synced);
        }
        self.file.set_len(length)
    }

    fn sync(&self) -> io::Result<()> {
        let gate = {
            let mut state = self.disk.alive()?;
            if state.cannot_sync {
                return Err(io::Error::other("the disk is gone"));
            }
            state.n_syncs += 1;
            let is_segment = self.path.extension().is_some_and(|name| name == "seg");
            if is_segment { state.gate.take() } else { None }
        };
        if let Some((told, permission)) = gate {
            // Whoever waited may have seen enough.
            let _ = told.send(()).map(|()| permission.recv());
            self.disk.state().gate = Some((told, permission));
        }
        let length = self.path.metadata()?.len();
        if let Some((synced, _)) = self.disk.alive()?.files.get_mut(&self.path) {
            *synced = length;
        }
        Ok(())
    }
}

/// Numbers that look random.
struct Chance(u64);

impl Chance {
    fn of(&mut self, n: usize) -> usize {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) as usize % n
    }
}

fn batch(number: u64) -> Batch {
    let raw = vec![number as u8; 20 + number as usize % 90];
    let body = Body::Quarantined(Quarantined { rule: "r".into(), detail: format!("{number}"), raw });
    let event = Event { ts_event: 1, ts_recv: number as i64, seq: Some(number), index: 0, body: Some(body) };
    Batch { exchange: "x".into(), market: "spot".into(), symbol: "A".into(), events: vec![event] }
}

fn options(sync: SyncPolicy) -> Options {
    Options { partitions: 1, segment_bytes: 700, sync, ..Options::default() }
}

/// What is in the log, which must be the first of what was appended.
fn read(log: &dyn Log, appended: &[u64], seed: u64) -> usize {
    let mut records = log.read(TOPIC, 0, 0).unwrap();
    let mut n = 0;
    while let Some(record) = records.next().unwrap_or_else(|error| panic!("seed {seed}: {error}")) {
        assert_eq!(*record.batch, batch(appended[n]), "seed {seed}, record {n}");
        n += 1;
    }
    n
}

/// Does what chance says until the process is killed; gives what was appended and how much of it was said to be synced.
fn live(log: &SegmentLog, disk: &Faulty, appended: &mut Vec<u64>, chance: &mut Chance) -> usize {
    let mut synced = 0;
    for _ in 0..10 + chance.of(60) {
        match chance.of(12) {
            0..=5 => {
                let number = chance.of(100_000) as u64;
                if log.append(TOPIC, 0, &batch(number)).is_ok() {
                    appended.push(number);
                }
            }
            6 | 7 => drop(log.flush()),
            8 => {
                if log.sync().is_ok() {
                    synced = appended.len();
                }
            }
            9 => disk.state().room = Some(chance.of(900) as u64),
            10 => {
                let mut state = disk.state();
                (state.at_once, state.cannot_cut) = (chance.of(40), chance.of(2) == 0);
                state.cannot_sync = chance.of(8) == 0;
            }
            _ => disk.heal(),
        }
        synced = synced.max(log.synced(TOPIC, 0).unwrap() as usize);
    }
    synced
}

#[test]
fn whatever_the_disk_does_the_log_opens_with_all_that_was_synced() {
    for seed in 0..100 {
        let (dir, disk, chance) = (tempfile::tempdir().unwrap(), Faulty::default(), &mut Chance(seed));
        let mut appended = Vec::new();
        for _ in 0..4 {
            let opened = SegmentLog::open_on(Arc::new(disk.clone()), dir.path(), options(SyncPolicy::Never));
            let log = opened.unwrap_or_else(|error| panic!("seed {seed}: {error}"));
            let n = appended.len();
            assert_eq!(read(&log, &appended, seed), n, "seed {seed}");
            let synced = live(&log, &disk, &mut appended, chance);
            let machine = chance.of(3) != 0;
            disk.kill(log, machine, chance);
            disk.heal();
            let log = SegmentLog::open_on(Arc::new(disk.clone()), dir.path(), options(SyncPolicy::Never));
            let log = log.unwrap_or_else(|error| panic!("seed {seed}: {error}"));
            let n = read(&log, &appended, seed);
            assert!(
                synced.max(0) <= n,
                "seed {seed}: {n} of {} records are left, {synced} were synced",
                appended.len()
            );
            appended.truncate(n);
        }
    }
}

#[test]
fn a_full_disk_takes_nothing_back_and_the_same_process_goes_on_when_there_is_room() {
    let (dir, disk) = (tempfile::tempdir().unwrap(), Faulty::default());
    let log = SegmentLog::open_on(Arc::new(disk.clone()), dir.path(), options(SyncPolicy::Never)).unwrap();
    let appended: Vec<u64> = (0..5).collect();
    for number in &appended {
        log.append(TOPIC, 0, &batch(*number)).unwrap();
    }
    let whole = 20 + 8 + prism_schemas::event::Message::encoded_len(&batch(0)) as u64;
    disk.state().room = Some(whole + 30);
    for _ in 0..2 {
        let error = log.flush().unwrap_err();
        assert!(
            matches!(&error, LogError::Io { source, .. } if source.kind() == io::ErrorKind::StorageFull),
            "{error}"
        );
    }
    // The torn record is cut off: another process reads what is whole.
    let other = SegmentLog::open_read(dir.path()).unwrap();
    let mut records = other.read(TOPIC, 0, 0).unwrap();
    assert_eq!(records.next().unwrap().unwrap().batch, &batch(0));
    assert!(records.next().unwrap().is_none() && records.torn().is_none());
    // Even if it could not be cut off, it is written over.
    disk.heal();
    disk.state().room = Some(25);
    disk.state().cannot_cut = true;
    log.flush().unwrap_err();
    disk.heal();
    log.flush().unwrap();
    assert_eq!(read(&other, &appended, 0), 5);
    disk.state().room = Some(0);
    log.append(TOPIC, 0, &batch(5)).unwrap();
    drop(log);
    assert_eq!(read(&SegmentLog::open(dir.path()).unwrap(), &appended, 0), 5);
}

#[test]
fn a_writer_goes_on_while_the_disk_syncs() {
    let (dir, disk) = (tempfile::tempdir().unwrap(), Faulty::default());
    let log = SegmentLog::open_on(Arc::new(disk.clone()), dir.path(), options(SyncPolicy::Never)).unwrap();
    log.append(TOPIC, 0, &batch(0)).unwrap();
    let ((told, is_told), (permit, permission)) = (channel(), channel());
    disk.state().gate = Some((told, permission));
    std::thread::scope(|scope| {
        let syncing = scope.spawn(|| log.sync());
        is_told.recv().unwrap();
        log.append(TOPIC, 0, &batch(1)).unwrap();
        log.flush().unwrap();
        assert_eq!((read(&log, &[0, 1], 0), log.synced(TOPIC, 0).unwrap()), (2, 0));
        permit.send(()).unwrap();
        syncing.join().unwrap().unwrap();
    });
    assert_eq!(log.synced(TOPIC, 0).unwrap(), 1);
    drop(permit);
    disk.state().gate = None;
    log.sync().unwrap();
    assert_eq!(log.synced(TOPIC, 0).unwrap(), 2);
}

#[test]
fn groups_are_synced_without_being_asked_and_each_flush_when_always() {
    let (dir, disk) = (tempfile::tempdir().unwrap(), Faulty::default());
    let group = options(SyncPolicy::Group(Duration::from_millis(1)));
    let log = SegmentLog::open_on(Arc::new(disk.clone()), dir.path(), group).unwrap();
    let ((told, is_told), (permit, permission)) = (channel(), channel());
    disk.state().gate = Some((told, permission));
    log.append(TOPIC, 0, &batch(0)).unwrap();
    log.flush().unwrap();
    is_told.recv().unwrap();
    let _ = permit.send(());
    disk.state().gate = None;
    drop((permit, is_told));
    log.sync().unwrap();
    assert_eq!(log.synced(TOPIC, 0).unwrap(), 1);
    drop(log);
    let log = SegmentLog::open_on(Arc::new(disk), dir.path(), options(SyncPolicy::Always)).unwrap();
    log.append(TOPIC, 0, &batch(1)).unwrap();
    log.flush().unwrap();
    assert_eq!(log.synced(TOPIC, 0).unwrap(), 2);
}

#[test]
fn after_a_sync_that_failed_nothing_is_accepted() {
    let (dir, disk) = (tempfile::tempdir().unwrap(), Faulty::default());
    let log = SegmentLog::open_on(Arc::new(disk.clone()), dir.path(), options(SyncPolicy::Never)).unwrap();
    log.append(TOPIC, 0, &batch(0)).unwrap();
    disk.state().cannot_sync = true;
    log.sync().unwrap_err();
    // A second sync would succeed, and promise what the disk may not have.
    disk.heal();
    for outcome in [log.append(TOPIC, 0, &batch(1)), log.flush(), log.sync()] {
        assert!(outcome.unwrap_err().to_string().contains("a sync failed"));
    }
    assert_eq!(log.synced(TOPIC, 0).unwrap(), 0);
}

#[test]
fn a_reader_in_another_process_has_what_it_read_synced_before_it_relies_on_it() {
    let (dir, disk) = (tempfile::tempdir().unwrap(), Faulty::default());
    let log = SegmentLog::open_with(dir.path(), options(SyncPolicy::Never)).unwrap();
    log.append(TOPIC, 0, &batch(0)).unwrap();
    log.flush().unwrap();
    let open = |sync| SegmentLog::open_read_on(Arc::new(disk.clone()), dir.path(), options(sync)).unwrap();
    let (reader, relaxed) = (open(SyncPolicy::default()), open(SyncPolicy::Never));
    let upto = |offset| BTreeMap::from([((TOPIC, 0), offset)]);
    assert_eq!(reader.synced(TOPIC, 0).unwrap(), 0);
    relaxed.sync_to(&upto(1)).unwrap();
    assert_eq!(disk.state().n_syncs, 0);
    reader.sync_to(&upto(1)).unwrap();
    assert_eq!(disk.state().n_syncs, 1);
    // What the writer has synced and noted needs no second sync.
    log.sync().unwrap();
    assert_eq!(reader.synced(TOPIC, 0).unwrap(), 1);
    reader.sync_to(&upto(1)).unwrap();
    assert_eq!(disk.state().n_syncs, 1);
}

#[test]
fn damage_before_what_was_synced_is_named_and_nothing_is_cut() {
    let dir = tempfile::tempdir().unwrap();
    let one_segment = Options { segment_bytes: 1 << 20, ..options(SyncPolicy::Never) };
    let log = SegmentLog::open_with(dir.path(), one_segment).unwrap();
    (0..40).for_each(|number| log.append(TOPIC, 0, &batch(number)).unwrap());
    log.close().unwrap();
    let newest = dir.path().join("prism.trades/0/00000000000000000000.seg");
    let mut bytes = std::fs::read(&newest).unwrap();
    bytes[40] ^= 1;
    std::fs::write(&newest, &bytes).unwrap();
    assert!(matches!(SegmentLog::open(dir.path()), Err(LogError::Corrupt { .. })));
    assert_eq!(std::fs::read(&newest).unwrap(), bytes);
}
