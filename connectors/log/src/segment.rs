//! The segment file: a header, then records of length, checksum and Protobuf payload.
//!
//! Header: `PRSMLOG1`, the first record's offset (u64 LE), a checksum of both (u32 LE). Record: payload length (u32 LE),
//! crc32 of length and payload (u32 LE), payload. A crash leaves an unfinished last record; anything else is damage.

use std::fs::File;
use std::io::{Read, Seek, SeekFrom};
use std::ops::Range;
use std::path::{Path, PathBuf};

use prism_schemas::event::{Batch, Message};

use super::LogError;

pub(super) const HEADER: usize = 20;
pub(super) const PREFIX: usize = 8;
/// Larger than any batch (64 events, quarantined frames of at most 64 KiB each).
const PAYLOAD_MAX: usize = 16 << 20;
const MAGIC: &[u8; 8] = b"PRSMLOG1";

pub(super) fn path(dir: &Path, first_offset: u64) -> PathBuf {
    dir.join(format!("{first_offset:020}.seg"))
}

/// The first offsets of a partition's segments, in order.
pub(super) fn list(dir: &Path) -> Result<Vec<u64>, LogError> {
    let entries = match std::fs::read_dir(dir) {
        Ok(entries) => entries,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(source) => return Err(LogError::Io { path: dir.to_path_buf(), source }),
    };
    let mut offsets = Vec::new();
    for entry in entries {
        let name = entry.map_err(LogError::io(dir))?.file_name();
        let stem = name.to_str().and_then(|name| name.strip_suffix(".seg")).filter(|stem| stem.len() == 20);
        offsets.extend(stem.and_then(|stem| stem.parse::<u64>().ok()));
    }
    offsets.sort_unstable();
    Ok(offsets)
}

pub(super) fn header(first_offset: u64) -> [u8; HEADER] {
    let mut bytes = [0; HEADER];
    bytes[..8].copy_from_slice(MAGIC);
    bytes[8..16].copy_from_slice(&first_offset.to_le_bytes());
    let crc = crc32fast::hash(&bytes[..16]);
    bytes[16..].copy_from_slice(&crc.to_le_bytes());
    bytes
}

/// Appends a batch as a record to a buffer.
pub(super) fn put(buffer: &mut Vec<u8>, batch: &Batch) -> Result<(), LogError> {
    let start = buffer.len();
    buffer.extend_from_slice(&[0; PREFIX]);
    let encoded = batch.encode(buffer);
    let length = buffer.len() - start - PREFIX;
    if encoded.is_err() || length == 0 || PAYLOAD_MAX < length {
        buffer.truncate(start);
        return Err(LogError::Usage(format!("a batch of {length} bytes cannot be stored")));
    }
    let length = (length as u32).to_le_bytes();
    let crc = checksum(length, &buffer[start + PREFIX..]);
    buffer[start..start + 4].copy_from_slice(&length);
    buffer[start + 4..start + PREFIX].copy_from_slice(&crc.to_le_bytes());
    Ok(())
}

fn checksum(length: [u8; 4], payload: &[u8]) -> u32 {
    let mut hasher = crc32fast::Hasher::new();
    hasher.update(&length);
    hasher.update(payload);
    hasher.finalize()
}

/// What a scan found at its position.
pub(super) enum Found {
    /// A complete record; its payload is in `Scan::payload`.
    Record,
    /// The end, exactly.
    End,
    /// No complete record up to the end of the file: an unfinished write.
    Torn,
}

/// Reads a segment record by record, each in place in one buffer.
pub(super) struct Scan {
    pub(super) path: PathBuf,
    pub(super) first_offset: u64,
    file: File,
    /// Where the next record begins.
    pub(super) position: u64,
    /// The offset of the next record.
    pub(super) offset: u64,
    buffer: Vec<u8>,
    /// The bytes of the buffer that are read from the file and not stepped over.
    ahead: Range<usize>,
    payload: Range<usize>,
    /// Whether the header has been read: a segment in the making may not have one yet.
    started: bool,
}

impl Scan {
    pub(super) fn open(path: &Path, first_offset: u64) -> Result<Scan, LogError> {
        Scan::open_at(path, first_offset, (0, first_offset), 1 << 18)
    }

    /// Opens a segment at the position where the record of an offset begins, and reads so many bytes at once.
    pub(super) fn open_at(
        path: &Path,
        first_offset: u64,
        (position, offset): (u64, u64),
        buffer: usize,
    ) -> Result<Scan, LogError> {
        let mut file = File::open(path).map_err(LogError::io(path))?;
        file.seek(SeekFrom::Start(position)).map_err(LogError::io(path))?;
        let (path, buffer, started) = (path.into(), vec![0; buffer], 0 < position);
        Ok(Scan { path, first_offset, file, position, offset, buffer, ahead: 0..0, payload: 0..0, started })
    }

    /// The payload of the record just stepped over.
    pub(super) fn payload(&self) -> &[u8] {
        &self.buffer[self.payload.clone()]
    }

    pub(super) fn length(&self) -> Result<u64, LogError> {
        Ok(self.file.metadata().map_err(LogError::io(&self.path))?.len())
    }

    pub(super) fn corrupt(&self, detail: &'static str) -> LogError {
        LogError::Corrupt { path: self.path.clone(), position: self.position, offset: self.offset, detail }
    }

    /// Steps to the next record. After `End` and `Torn` it may be called again: the file may have grown.
    pub(super) fn step(&mut self) -> Result<Found, LogError> {
        for _ in 0..2 {
            if let Some(found) = self.look()? {
                return Ok(found);
            }
            if !self.followed()? {
                return self.back();
            }
            // Since the last read a writer that was killed may have come back, cut off its unfinished record and written on.
            self.back()?;
        }
        Err(self.corrupt("the record's checksum or length is wrong, and records follow it"))
    }

    /// The next record, if what was read of it is sound.
    fn look(&mut self) -> Result<Option<Found>, LogError> {
        if !self.started {
            if !self.fill(HEADER)? {
                return self.back().map(Some);
            }
            if self.buffer[self.ahead.start..][..HEADER] != header(self.offset) {
                return Err(self.corrupt("the header is not that of a segment with this first offset"));
            }
            self.started = true;
            self.ahead.start += HEADER;
            self.position = HEADER as u64;
        }
        if !self.fill(PREFIX)? {
            return self.back().map(Some);
        }
        let (length_bytes, crc) = prefix(&self.buffer[self.ahead.start..]);
        let length = u32::from_le_bytes(length_bytes) as usize;
        if 0 < length && length <= PAYLOAD_MAX && self.fill(PREFIX + length)? {
            let start = self.ahead.start + PREFIX;
            self.payload = start..start + length;
            if checksum(length_bytes, self.payload()) == crc {
                self.ahead.start += PREFIX + length;
                self.position += (PREFIX + length) as u64;
                self.offset += 1;
                return Ok(Some(Found::Record));
            }
        }
        Ok(None)
    }

    /// Forgets what was read ahead: by the next call the file may have grown, or its tail been cut off.
    fn back(&mut self) -> Result<Found, LogError> {
        let found = if self.ahead.is_empty() { Found::End } else { Found::Torn };
        self.ahead = 0..0;
        self.file.seek(SeekFrom::Start(self.position)).map_err(LogError::io(&self.path))?;
        Ok(found)
    }

    /// Reads until at least `n` bytes are ahead; false if the file ends before.
    fn fill(&mut self, n: usize) -> Result<bool, LogError> {
        while self.ahead.len() < n {
            if self.buffer.len() < self.ahead.start + n {
                self.buffer.copy_within(self.ahead.clone(), 0);
                self.ahead = 0..self.ahead.len();
                self.buffer.resize(self.buffer.len().max(n), 0);
            }
            match self.file.read(&mut self.buffer[self.ahead.end..]) {
                Ok(0) => return Ok(false),
                Ok(read) => self.ahead.end += read,
                Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
                Err(source) => return Err(LogError::Io { path: self.path.clone(), source }),
            }
        }
        Ok(true)
    }

    /// Whether a sound record stands anywhere after the damaged one at `position`: then the damage is no torn tail.
    fn followed(&mut self) -> Result<bool, LogError> {
        let mut rest = Vec::new();
        self.file.seek(SeekFrom::Start(self.position + 1)).map_err(LogError::io(&self.path))?;
        self.file.read_to_end(&mut rest).map_err(LogError::io(&self.path))?;
        Ok((0..rest.len().saturating_sub(PREFIX)).any(|at| sound(&rest[at..])))
    }
}

/// Length and checksum of a record.
fn prefix(bytes: &[u8]) -> ([u8; 4], u32) {
    ([bytes[0], bytes[1], bytes[2], bytes[3]], u32::from_le_bytes([bytes[4], bytes[5], bytes[6], bytes[7]]))
}

/// Whether a sound record begins here. Looks at the payload's shape first, since a checksum over chance lengths is slow.
fn sound(bytes: &[u8]) -> bool {
    let (length_bytes, crc) = prefix(bytes);
    let length = u32::from_le_bytes(length_bytes) as usize;
    let Some(payload) = bytes.get(PREFIX..PREFIX.saturating_add(length)) else { return false };
    let shaped = match payload {
        // A batch: exchange, then market. A heartbeat's batch: one event.
        [0x0a, n, rest @ ..] => rest.get(usize::from(*n)) == Some(&0x12),
        [0x22, n, rest @ ..] => rest.len() == usize::from(*n),
        _ => false,
    };
    shaped && checksum(length_bytes, payload) == crc
}
