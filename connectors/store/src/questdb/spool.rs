//! Requests that wait on disk while QuestDB is away: a log of compressed requests, appended at its end and sent from
//! its front, bounded in bytes.
//!
//! It is memory that happens to be on disk: after a restart the rows in it are computed again, so an older spool is
//! removed. Its directory is locked while it is used; directories that nobody has locked belong to processes that died.

use std::collections::VecDeque;
use std::fs::{File, OpenOptions, TryLockError};
use std::io::Write;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use super::QuestDbError;

/// Bytes after which the next file is begun.
const FILE_BYTES: u64 = 16 << 20;
/// Length (4 bytes), number of rows (8) and checksum (4) before each request.
const HEADER: usize = 16;
/// Suffix of the files.
const SUFFIX: &str = "requests";

/// Requests on disk, oldest first.
pub(super) struct Spool {
    dir: PathBuf,
    _lock: File,
    files: VecDeque<Segment>,
    /// How far the first file is read.
    position: u64,
    bytes_max: u64,
    bytes: u64,
    rows: u64,
    n_files: u64,
}

struct Segment {
    path: PathBuf,
    file: File,
    bytes: u64,
}

/// Requests from the front, joined.
pub(super) struct Front {
    /// What to send.
    pub(super) body: Vec<u8>,
    /// Rows in it.
    pub(super) rows: u64,
    /// Requests joined.
    pub(super) n: usize,
}

impl Spool {
    /// Opens a directory of its own and empties it; removes those beside it whose processes died.
    pub(super) fn open(dir: &Path, bytes_max: u64) -> Result<Spool, QuestDbError> {
        let failed = |source| QuestDbError::Spool { path: dir.into(), source };
        std::fs::create_dir_all(dir).map_err(failed)?;
        let lock = File::open(dir).map_err(failed)?;
        match lock.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => return Err(QuestDbError::Locked { path: dir.into() }),
            Err(TryLockError::Error(source)) => return Err(failed(source)),
        }
        for entry in std::fs::read_dir(dir).map_err(failed)? {
            let path = entry.map_err(failed)?.path();
            if is_ours(&path) {
                std::fs::remove_file(&path).map_err(failed)?;
            }
        }
        if let Some(parent) = dir.parent() {
            remove_dead(parent, dir);
        }
        Ok(Spool {
            dir: dir.into(),
            _lock: lock,
            files: VecDeque::new(),
            position: 0,
            bytes_max,
            bytes: 0,
            rows: 0,
            n_files: 0,
        })
    }

    pub(super) fn is_empty(&self) -> bool {
        self.rows == 0
    }

    /// Whether the disk holds as much as it may, what was sent but not removed yet included.
    pub(super) fn is_full(&self) -> bool {
        self.bytes_max <= self.files.iter().map(|file| file.bytes).sum()
    }

    /// Bytes that wait.
    pub(super) fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Rows that wait.
    pub(super) fn rows(&self) -> u64 {
        self.rows
    }

    /// Appends a request.
    pub(super) fn push(&mut self, body: &[u8], rows: u64) -> Result<(), QuestDbError> {
        let dir = self.dir.clone();
        let failed = |source| QuestDbError::Spool { path: dir.clone(), source };
        let packed = zstd::bulk::compress(body, 1).map_err(failed)?;
        let mut record = Vec::with_capacity(HEADER + packed.len());
        record.extend_from_slice(&(packed.len() as u32).to_le_bytes());
        record.extend_from_slice(&rows.to_le_bytes());
        record.extend_from_slice(&crc32fast::hash(&packed).to_le_bytes());
        record.extend_from_slice(&packed);
        if self.files.back().is_none_or(|file| FILE_BYTES <= file.bytes) {
            self.n_files += 1;
            let path = self.dir.join(format!("{:08}.{SUFFIX}", self.n_files));
            let file = OpenOptions::new().create_new(true).read(true).append(true).open(&path).map_err(failed)?;
            self.files.push_back(Segment { path, file, bytes: 0 });
        }
        let Some(segment) = self.files.back_mut() else { return Ok(()) };
        if let Err(source) = segment.file.write_all(&record) {
            // What is half written must not be read; the error matters more than whether it can be cut off.
            let _ = segment.file.set_len(segment.bytes);
            return Err(QuestDbError::Spool { path: segment.path.clone(), source });
        }
        segment.bytes += record.len() as u64;
        self.bytes += record.len() as u64;
        self.rows += rows;
        Ok(())
    }

    /// Requests from the front, joined up to about so many bytes; they stay until `pop`.
    pub(super) fn front(&self, bytes_max: usize) -> Result<Option<Front>, QuestDbError> {
        let mut front = Front { body: Vec::new(), rows: 0, n: 0 };
        let mut position = self.position;
        for segment in &self.files {
            while position < segment.bytes && (front.n == 0 || front.body.len() < bytes_max) {
                let (length, rows, checksum) = segment.header(position)?;
                let mut packed = vec![0; length as usize];
                segment.read(&mut packed, position + HEADER as u64)?;
                if crc32fast::hash(&packed) != checksum {
                    return Err(segment.broken("its checksum differs"));
                }
                let body = zstd::decode_all(&packed[..]).map_err(|error| segment.broken(error))?;
                front.body.extend_from_slice(&body);
                front.rows += rows;
                front.n += 1;
                position += HEADER as u64 + length;
            }
            position = 0;
        }
        Ok((0 < front.n).then_some(front))
    }

    /// Forgets so many requests at the front.
    pub(super) fn pop(&mut self, n: usize) -> Result<(), QuestDbError> {
        for _ in 0..n {
            let Some(segment) = self.files.front() else { return Ok(()) };
            let (length, rows, _) = segment.header(self.position)?;
            let bytes = HEADER as u64 + length;
            self.position += bytes;
            self.bytes -= bytes;
            self.rows -= rows;
            if self.position == segment.bytes {
                self.position = 0;
                if let Some(Segment { path, .. }) = self.files.pop_front() {
                    std::fs::remove_file(&path).map_err(|source| QuestDbError::Spool { path, source })?;
                }
            }
        }
        Ok(())
    }
}

impl Segment {
    fn header(&self, position: u64) -> Result<(u64, u64, u32), QuestDbError> {
        let mut header = [0; HEADER];
        self.read(&mut header, position)?;
        let number = |from: usize, to: usize| {
            header[from..to].iter().rev().fold(0_u64, |number, byte| number << 8 | u64::from(*byte))
        };
        Ok((number(0, 4), number(4, 12), number(12, 16) as u32))
    }

    fn read(&self, into: &mut [u8], position: u64) -> Result<(), QuestDbError> {
        let read = self.file.read_exact_at(into, position);
        read.map_err(|source| QuestDbError::Spool { path: self.path.clone(), source })
    }

    fn broken(&self, what: impl std::fmt::Display) -> QuestDbError {
        QuestDbError::Spool { path: self.path.clone(), source: std::io::Error::other(what.to_string()) }
    }
}

impl Drop for Spool {
    fn drop(&mut self) {
        // Its rows are computed again: what cannot be removed now is removed at the next start.
        for segment in &self.files {
            let _ = std::fs::remove_file(&segment.path);
        }
        let _ = std::fs::remove_dir(&self.dir);
    }
}

/// Files that a spool makes, or made in older versions.
fn is_ours(path: &Path) -> bool {
    path.extension().is_some_and(|extension| extension == SUFFIX || extension == "rows")
}

/// Removes spools that nobody has locked. What resists stays: it is only space; and what is empty stays too, since nothing
/// tells that it was a spool.
fn remove_dead(parent: &Path, own: &Path) {
    for dir in std::fs::read_dir(parent).into_iter().flatten().flatten().map(|entry| entry.path()) {
        let is_spool = |entry: std::io::Result<std::fs::DirEntry>| entry.is_ok_and(|entry| is_ours(&entry.path()));
        let only_ours = || std::fs::read_dir(&dir).is_ok_and(|entries| entries.map(is_spool).min() == Some(true));
        if dir == own || !dir.is_dir() || !only_ours() {
            continue;
        }
        if let Ok(held) = File::open(&dir)
            && held.try_lock().is_ok()
            && std::fs::remove_dir_all(&dir).is_ok()
        {
            tracing::info!(spool = %dir.display(), "removed what a process that died left waiting: it is computed again");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn open(dir: &Path) -> Spool {
        Spool::open(dir, 1_000).unwrap()
    }

    #[test]
    fn first_in_first_out_and_its_size_goes_down_as_it_is_read() {
        let dir = tempfile::tempdir().unwrap();
        let mut spool = open(&dir.path().join("a"));
        let mut n = 0_u64;
        while !spool.is_full() {
            n += 1;
            spool.push(format!("request {n}\n").as_bytes(), n).unwrap();
        }
        assert!(2 < n && 1_000 <= spool.bytes());
        assert_eq!(spool.rows(), n * (n + 1) / 2);
        let front = spool.front(20).unwrap().unwrap();
        assert_eq!((&front.body[..], front.rows, front.n), (&b"request 1\nrequest 2\n"[..], 3, 2));
        let before = spool.bytes();
        spool.pop(2).unwrap();
        assert_eq!(spool.rows(), n * (n + 1) / 2 - 3);
        assert!(spool.bytes() < before);
        let rest = spool.front(usize::MAX).unwrap().unwrap();
        assert_eq!(rest.n as u64, n - 2);
        spool.pop(rest.n).unwrap();
        assert!(spool.is_empty() && !spool.is_full() && spool.front(1).unwrap().is_none());
        assert_eq!(std::fs::read_dir(dir.path().join("a")).unwrap().count(), 0);
        spool.push(b"again", 1).unwrap();
        assert_eq!(spool.front(1).unwrap().unwrap().body, b"again");
    }

    #[test]
    fn it_is_one_processes_own_and_those_of_the_dead_are_removed() {
        let dir = tempfile::tempdir().unwrap();
        let at = |name: &str| dir.path().join(name);
        for dead in ["4000000000-live", "other", "empty"] {
            std::fs::create_dir(at(dead)).unwrap();
        }
        std::fs::write(at("4000000000-live").join("000000000000.rows"), "old").unwrap();
        std::fs::write(at("other").join("somebody's"), "precious").unwrap();
        let mut alive = open(&at("a"));
        alive.push(b"waits", 1).unwrap();
        let error = Spool::open(&at("a"), 1).map(|_| ()).unwrap_err().to_string();
        assert!(error.contains("another process"), "{error}");
        open(&at("b"));
        assert!(!at("4000000000-live").exists() && at("other").exists() && at("empty").exists() && !at("b").exists());
        assert_eq!(alive.front(1).unwrap().unwrap().body, b"waits");
        drop(alive);
        std::fs::create_dir(at("a")).unwrap();
        std::fs::write(at("a").join("00000001.requests"), "of one that was killed").unwrap();
        let again = open(&at("a"));
        assert_eq!((again.bytes(), again.front(1).unwrap().is_none()), (0, true));
    }

    #[test]
    fn a_disk_that_refuses_is_named_and_damage_is_noticed() {
        let dir = tempfile::tempdir().unwrap();
        let mut spool = open(&dir.path().join("a"));
        spool.push(b"one", 1).unwrap();
        let path = dir.path().join("a/00000001.requests");
        let mut bytes = std::fs::read(&path).unwrap();
        *bytes.last_mut().unwrap() ^= 1;
        std::fs::write(&path, bytes).unwrap();
        assert!(spool.front(1).map(|_| ()).unwrap_err().to_string().contains("checksum"));
        spool.pop(1).unwrap();
        std::fs::remove_dir(dir.path().join("a")).unwrap();
        let error = spool.push(b"two", 1).unwrap_err().to_string();
        assert!(error.contains("questdb.spool"), "{error}");
    }
}
