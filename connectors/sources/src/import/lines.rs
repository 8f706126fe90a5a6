//! Lines of a file, found in one buffer: blank ones and a byte order mark are no lines, and none is longer than allowed.

use std::io::{Error, ErrorKind, Read, Result};
use std::ops::Range;

use super::bytes::CHUNK;
use super::digest::Hasher;
use super::input::Input;

/// What some editors write before the first line.
const BYTE_ORDER_MARK: &[u8] = b"\xef\xbb\xbf";

/// Lines of a file, one after the other.
pub(super) struct Lines {
    input: Input,
    reader: Box<dyn Read>,
    /// What ends a line.
    end: u8,
    buffer: Vec<u8>,
    /// What of the buffer was read and not given yet.
    unread: Range<usize>,
    line: Range<usize>,
    /// Bytes of a line at most.
    most: usize,
    hasher: Hasher,
    ended: bool,
    /// The number of the current line, from 1; blank ones count.
    pub(super) number: u64,
    /// How many ends were found so far; the last line may have none.
    pub(super) ends: u64,
    /// Whether the current line has an end.
    pub(super) is_closed: bool,
}

impl Lines {
    pub(super) fn open(input: &Input) -> Result<Lines> {
        Lines::ended_by(input, b'\n')
    }

    /// Of a text whose parts end with another byte.
    pub(super) fn ended_by(input: &Input, end: u8) -> Result<Lines> {
        Ok(Lines {
            input: input.clone(),
            reader: input.reader()?,
            end,
            buffer: Vec::new(),
            unread: 0..0,
            line: 0..0,
            most: input.limits.line,
            hasher: Hasher::default(),
            ended: false,
            number: 0,
            ends: 0,
            is_closed: false,
        })
    }

    /// Reads the next line that is not blank; false at the end.
    pub(super) fn step(&mut self) -> Result<bool> {
        loop {
            if !self.find()? {
                return Ok(false);
            }
            self.number += 1;
            if self.number == 1 && self.bytes().starts_with(BYTE_ORDER_MARK) {
                self.line.start += BYTE_ORDER_MARK.len();
            }
            if self.most < self.bytes().len() {
                return Err(self.too_long(self.number));
            }
            if self.bytes().iter().any(|byte| !byte.is_ascii_whitespace()) {
                return Ok(true);
            }
        }
    }

    /// The current line without its end.
    pub(super) fn bytes(&self) -> &[u8] {
        let line = &self.buffer[self.line.clone()];
        line.strip_suffix(b"\r").unwrap_or(line)
    }

    fn find(&mut self) -> Result<bool> {
        let mut seen = self.unread.start;
        loop {
            if let Some(at) = memchr::memchr(self.end, &self.buffer[seen..self.unread.end]) {
                self.line = self.unread.start..seen + at;
                self.unread.start = seen + at + 1;
                self.ends += 1;
                self.is_closed = true;
                return Ok(true);
            }
            seen = self.unread.end;
            if self.ended {
                self.line = self.unread.clone();
                self.unread.start = self.unread.end;
                self.is_closed = false;
                // A line that somebody still writes is none yet.
                return Ok(!self.line.is_empty() && !self.input.has_grown());
            }
            // Its end may be two bytes.
            if self.most + 2 < self.unread.len() {
                return Err(self.too_long(self.number + 1));
            }
            seen -= self.unread.start;
            self.fill()?;
        }
    }

    /// Reads more behind what is unread, which moves to the buffer's begin.
    fn fill(&mut self) -> Result<()> {
        self.buffer.copy_within(self.unread.clone(), 0);
        self.unread = 0..self.unread.len();
        if self.buffer.len() < self.unread.end + CHUNK {
            self.buffer.resize(self.unread.end + CHUNK, 0);
        }
        let n = self.reader.read(&mut self.buffer[self.unread.end..])?;
        self.hasher.add(&self.buffer[self.unread.end..self.unread.end + n]);
        self.unread.end += n;
        if n == 0 {
            self.ended = true;
            self.input.settle(self.hasher.digest())?;
        }
        Ok(())
    }

    fn too_long(&self, number: u64) -> Error {
        let most = self.most;
        let refusal = format!("line {number} is longer than {most} bytes: allow more with --max-line");
        Error::new(ErrorKind::FileTooLarge, refusal)
    }
}

/// A head up to its last line end, or all of it; without a byte order mark and blank lines before it.
pub(super) fn whole_lines(head: &[u8]) -> &[u8] {
    let whole = match head.iter().rposition(|byte| *byte == b'\n') {
        Some(at) if head.len() == CHUNK => &head[..at],
        // One very long line: cut where a character may be split.
        None if head.len() == CHUNK => {
            let valid = std::str::from_utf8(head).map_or_else(|error| error.valid_up_to(), str::len);
            &head[..valid]
        }
        _ => head,
    };
    whole.strip_prefix(BYTE_ORDER_MARK).unwrap_or(whole).trim_ascii_start()
}

#[cfg(test)]
mod tests {
    use super::super::Limits;
    use super::*;

    fn lines(text: &str, line: usize) -> (Lines, tempfile::NamedTempFile) {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), text).unwrap();
        let input = Input::new(file.path(), Limits { line, ..Limits::default() }).unwrap();
        (Lines::open(&input).unwrap(), file)
    }

    fn all(mut lines: Lines) -> Vec<(u64, String)> {
        let mut all = Vec::new();
        while lines.step().unwrap() {
            all.push((lines.number, String::from_utf8(lines.bytes().to_vec()).unwrap()));
        }
        all
    }

    #[test]
    fn a_line_has_an_end() {
        let (fits, long) = ("x".repeat(100), "x".repeat(101));
        let (found, _file) = lines(&format!("{fits}\r\n{fits}\n{fits}"), 100);
        assert_eq!(all(found), [(1, fits.clone()), (2, fits.clone()), (3, fits)]);
        for text in [format!("a\n{long}\n"), format!("a\n{long}"), format!("a\n{}", "x".repeat(3 * CHUNK))] {
            let (mut lines, _file) = lines(&text, 100);
            assert!(lines.step().unwrap());
            let refusal = lines.step().unwrap_err().to_string();
            assert!(refusal.contains("line 2") && refusal.contains("--max-line"), "{refusal}");
            assert!(lines.buffer.capacity() <= 3 * CHUNK);
        }
    }

    #[test]
    fn lines_are_found_wherever_chunks_end() {
        let made: Vec<String> = (0..30_000).map(|at| format!("{}{at}", "y".repeat(at % 97))).collect();
        let (found, _file) = lines(&made.join("\n"), 200);
        let found: Vec<String> = all(found).into_iter().map(|(_, line)| line).collect();
        assert!(found == made);
    }

    #[test]
    fn marks_and_blank_lines_are_no_lines() {
        let (found, _file) = lines("\u{feff}\r\n \na\n\n\nb\r\n\n \n", 100);
        assert_eq!(all(found), [(3, "a".into()), (6, "b".into())]);
        assert_eq!(whole_lines("\u{feff}\n\r\na\n".as_bytes()), b"a\n");
    }

    #[test]
    fn a_line_that_is_still_written_is_none() {
        let (mut lines, file) = lines("a,1\nb,1", 100);
        assert!(lines.step().unwrap());
        std::fs::write(file.path(), "a,1\nb,123\n").unwrap();
        assert!(!lines.step().unwrap(), "\"b,1\" is half of a line");
    }
}
