//! Files as bytes: gzip and zstd by their magic numbers, lines without copying, and never more of either than is allowed.

use std::fs::File;
use std::io::{BufRead, BufReader, Error, ErrorKind, Read, Result};
use std::path::Path;

use super::Limits;

/// Bytes read at once.
const CHUNK: usize = 1 << 18;
/// What is this small when it is expanded may be compressed as well as it likes.
const SMALL: u64 = 64 << 20;

/// A buffered reader of a file's contents, decompressed if it is compressed. One layer at a time, so `.gz.zst` works too.
pub(super) fn open(path: &Path, limits: Limits) -> Result<Box<dyn BufRead>> {
    let file = File::open(path)?;
    let status = file.metadata()?;
    if !status.is_file() {
        return Err(Error::other("it is no regular file any more"));
    }
    let mut reader: Box<dyn BufRead> = Box::new(BufReader::with_capacity(CHUNK, file));
    for _ in 0..2 {
        let magic = reader.fill_buf()?;
        let layer: Box<dyn BufRead> = if magic.starts_with(&[0x1f, 0x8b]) {
            Box::new(BufReader::with_capacity(CHUNK, flate2::bufread::MultiGzDecoder::new(reader)))
        } else if magic.starts_with(&[0x28, 0xb5, 0x2f, 0xfd]) {
            Box::new(BufReader::with_capacity(CHUNK, zstd::Decoder::with_buffer(reader)?))
        } else {
            return Ok(reader);
        };
        reader = Box::new(Bounded::new(layer, status.len(), limits));
    }
    Ok(reader)
}

/// What comes out of a decompressor, up to a bound.
struct Bounded {
    inner: Box<dyn BufRead>,
    left: u64,
    /// What is said at the bound.
    refusal: String,
}

impl Bounded {
    fn new(inner: Box<dyn BufRead>, compressed: u64, limits: Limits) -> Bounded {
        let by_ratio = compressed.saturating_mul(limits.ratio).max(SMALL);
        let (left, refusal) = if limits.expanded < by_ratio {
            (
                limits.expanded,
                format!("it expands to more than {} bytes: allow more with --max-expanded", limits.expanded),
            )
        } else {
            (by_ratio, format!("it expands to more than {} times its size: allow more with --max-ratio", limits.ratio))
        };
        Bounded { inner, left, refusal }
    }
}

impl BufRead for Bounded {
    fn fill_buf(&mut self) -> Result<&[u8]> {
        let buffer = self.inner.fill_buf()?;
        if self.left == 0 && !buffer.is_empty() {
            return Err(Error::new(ErrorKind::FileTooLarge, self.refusal.clone()));
        }
        Ok(buffer)
    }

    fn consume(&mut self, n: usize) {
        self.left = self.left.saturating_sub(n as u64);
        self.inner.consume(n);
    }
}

impl Read for Bounded {
    fn read(&mut self, out: &mut [u8]) -> Result<usize> {
        let n = self.fill_buf()?.read(out)?;
        self.consume(n);
        Ok(n)
    }
}

/// The first decompressed bytes, at most 256 KiB.
pub(super) fn head(path: &Path, limits: Limits) -> Result<Vec<u8>> {
    let mut head = Vec::new();
    open(path, limits)?.take(CHUNK as u64).read_to_end(&mut head)?;
    Ok(head)
}

/// A head up to its last line end, or all of it.
pub(super) fn whole_lines(head: &[u8]) -> &[u8] {
    match head.iter().rposition(|byte| *byte == b'\n') {
        Some(at) if head.len() == CHUNK => &head[..at],
        // One very long line: cut where a character may be split.
        None if head.len() == CHUNK => {
            let valid = std::str::from_utf8(head).map_or_else(|error| error.valid_up_to(), str::len);
            &head[..valid]
        }
        _ => head,
    }
}

/// Lines of a file, read into one buffer.
pub(super) struct Lines {
    reader: Box<dyn BufRead>,
    line: Vec<u8>,
    /// Bytes of a line at most.
    most: usize,
    /// The number of the current line, from 1.
    pub(super) number: u64,
}

impl Lines {
    pub(super) fn open(path: &Path, limits: Limits) -> Result<Lines> {
        Ok(Lines { reader: open(path, limits)?, line: Vec::new(), most: limits.line, number: 0 })
    }

    /// Reads the next line; false at the end.
    pub(super) fn step(&mut self) -> Result<bool> {
        self.line.clear();
        self.number += 1;
        // Its end may be two bytes.
        let most = self.most as u64 + 2;
        let n = (&mut self.reader).take(most).read_until(b'\n', &mut self.line)?;
        if self.most < self.bytes().len() {
            let (number, most) = (self.number, self.most);
            let refusal = format!("line {number} is longer than {most} bytes: allow more with --max-line");
            return Err(Error::new(ErrorKind::FileTooLarge, refusal));
        }
        Ok(n != 0)
    }

    /// The current line without its end.
    pub(super) fn bytes(&self) -> &[u8] {
        let line = self.line.strip_suffix(b"\n").unwrap_or(&self.line);
        line.strip_suffix(b"\r").unwrap_or(line)
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;

    const LIMITS: Limits = Limits { line: 100, expanded: 1 << 40, ratio: 200 };

    fn gzip(bytes: &[u8]) -> Vec<u8> {
        let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
        encoder.write_all(bytes).unwrap();
        encoder.finish().unwrap()
    }

    /// Reads to the end; gives the number of bytes and what was refused.
    fn drain(bytes: &[u8], limits: Limits) -> (u64, Option<String>) {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), bytes).unwrap();
        let mut n = 0;
        let mut reader = match open(file.path(), limits) {
            Ok(reader) => reader,
            Err(error) => return (0, Some(error.to_string())),
        };
        loop {
            match reader.fill_buf() {
                Ok([]) => return (n, None),
                Ok(buffer) => {
                    let read = buffer.len();
                    n += read as u64;
                    reader.consume(read);
                }
                Err(error) => return (n, Some(error.to_string())),
            }
        }
    }

    #[test]
    fn what_expands_too_much_is_refused_in_either_layer() {
        let zeros = vec![0u8; 80 << 20];
        let once = zstd::encode_all(&zeros[..], 1).unwrap();
        let (n, refusal) = drain(&once, LIMITS);
        assert!(n <= SMALL + CHUNK as u64, "{n} bytes came out");
        assert!(refusal.unwrap().contains("--max-ratio"));
        assert_eq!(drain(&once, Limits { ratio: 1 << 30, ..LIMITS }), (80 << 20, None));
        let (n, refusal) = drain(&once, Limits { expanded: 1 << 20, ..LIMITS });
        assert!(n <= (1 << 20) + CHUNK as u64, "{n} bytes came out");
        assert!(refusal.unwrap().contains("--max-expanded"));
        // The outer layer alone is the bomb: frames that say nothing, so nothing comes out of the inner one.
        let mut silent = zstd::encode_all(&b"begin"[..], 1).unwrap();
        silent.extend([0x50, 0x2a, 0x4d, 0x18]);
        silent.extend(u32::to_le_bytes(80 << 20));
        silent.extend(&zeros);
        let (n, refusal) = drain(&gzip(&silent), LIMITS);
        assert!(n <= 5, "{n}");
        assert!(refusal.unwrap().contains("--max-ratio"));
        assert_eq!(drain(&gzip(b"small"), LIMITS), (5, None));
    }

    #[test]
    fn a_line_has_an_end() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let (fits, long) = ("x".repeat(100), "x".repeat(101));
        std::fs::write(file.path(), format!("{fits}\r\n{fits}\n{fits}")).unwrap();
        let mut lines = Lines::open(file.path(), LIMITS).unwrap();
        while lines.step().unwrap() {
            assert_eq!(lines.bytes().len(), 100);
        }
        assert_eq!(lines.number, 4);
        for text in [format!("a\n{long}\n"), format!("a\n{long}"), format!("a\n{}", "x".repeat(1_000))] {
            std::fs::write(file.path(), text).unwrap();
            let mut lines = Lines::open(file.path(), LIMITS).unwrap();
            assert!(lines.step().unwrap());
            let refusal = lines.step().unwrap_err().to_string();
            assert!(refusal.contains("line 2") && refusal.contains("--max-line"), "{refusal}");
            assert!(lines.line.capacity() <= 4_096);
        }
    }
}
