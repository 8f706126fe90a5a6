//! Files as bytes: gzip and zstd by their magic numbers, lines without copying.

use std::fs::File;
use std::io::{BufRead, BufReader, Read};
use std::path::Path;

/// A buffered reader of a file's contents, decompressed if it is compressed. One layer at a time, so `.gz.zst` works too.
pub(super) fn open(path: &Path) -> std::io::Result<Box<dyn BufRead>> {
    let mut reader: Box<dyn BufRead> = Box::new(BufReader::with_capacity(1 << 18, File::open(path)?));
    for _ in 0..2 {
        let magic = reader.fill_buf()?;
        reader = if magic.starts_with(&[0x1f, 0x8b]) {
            Box::new(BufReader::with_capacity(1 << 18, flate2::bufread::MultiGzDecoder::new(reader)))
        } else if magic.starts_with(&[0x28, 0xb5, 0x2f, 0xfd]) {
            Box::new(BufReader::with_capacity(1 << 18, zstd::Decoder::with_buffer(reader)?))
        } else {
            return Ok(reader);
        };
    }
    Ok(reader)
}

/// The first decompressed bytes, at most 256 KiB.
pub(super) fn head(path: &Path) -> std::io::Result<Vec<u8>> {
    let mut head = Vec::new();
    open(path)?.take(1 << 18).read_to_end(&mut head)?;
    Ok(head)
}

/// A head up to its last line end, or all of it.
pub(super) fn whole_lines(head: &[u8]) -> &[u8] {
    match head.iter().rposition(|byte| *byte == b'\n') {
        Some(at) if head.len() == 1 << 18 => &head[..at],
        // One very long line: cut where a character may be split.
        None if head.len() == 1 << 18 => {
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
    /// The number of the current line, from 1.
    pub(super) number: u64,
}

impl Lines {
    pub(super) fn open(path: &Path) -> std::io::Result<Lines> {
        Ok(Lines { reader: open(path)?, line: Vec::new(), number: 0 })
    }

    /// Reads the next line; false at the end.
    pub(super) fn step(&mut self) -> std::io::Result<bool> {
        self.line.clear();
        self.number += 1;
        Ok(self.reader.read_until(b'\n', &mut self.line)? != 0)
    }

    /// The current line without its end.
    pub(super) fn bytes(&self) -> &[u8] {
        let line = self.line.strip_suffix(b"\n").unwrap_or(&self.line);
        line.strip_suffix(b"\r").unwrap_or(line)
    }
}
