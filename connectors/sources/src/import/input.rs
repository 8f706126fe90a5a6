//! What is read: a file, or a file of an archive; the same bytes whenever it is opened.

use std::cell::Cell;
use std::fs::File;
use std::io::{BufReader, Error, ErrorKind, Read, Result, Seek};
use std::path::{Path, PathBuf};
use std::rc::Rc;

use super::archive::Part;
use super::bytes::{CHUNK, expand};
use super::{Limits, digest::Digest};

/// A file that can be opened again and again.
#[derive(Clone)]
pub(super) struct Input {
    /// What it is called: its path; of a file of an archive, the archive's and its own behind each other.
    pub(super) path: PathBuf,
    pub(super) limits: Limits,
    /// The file on disk.
    file: PathBuf,
    part: Option<Part>,
    /// Bytes it had when it was looked at first: what comes behind them later is not read.
    length: u64,
    /// Of what is in it, once it was read to its end.
    digest: Rc<Cell<Option<Digest>>>,
}

impl Input {
    /// A file.
    pub(super) fn new(path: &Path, limits: Limits) -> Result<Input> {
        let (path, length) = (path.to_path_buf(), path.metadata()?.len());
        Ok(Input { file: path.clone(), path, limits, part: None, length, digest: Rc::default() })
    }

    /// A file of this archive.
    pub(super) fn part(&self, part: Part) -> Input {
        Input { path: self.path.join(&part.name), part: Some(part), digest: Rc::default(), ..self.clone() }
    }

    /// The file on disk, as far as it is read.
    pub(super) fn open(&self) -> Result<File> {
        let file = File::open(&self.file)?;
        let status = file.metadata()?;
        if !status.is_file() {
            return Err(Error::other("it is no regular file any more"));
        }
        if status.len() < self.length {
            return Err(Error::other("it is shorter than it was: it changed while it was read"));
        }
        Ok(file)
    }

    /// Bytes of the file on disk that are read.
    pub(super) fn length(&self) -> u64 {
        self.length
    }

    /// What is in it, expanded.
    pub(super) fn reader(&self) -> Result<Box<dyn Read>> {
        let file = self.open()?;
        let (raw, packed) = match &self.part {
            None => {
                let raw = BufReader::with_capacity(CHUNK, file.take(self.length));
                (Box::new(raw) as Box<dyn std::io::BufRead>, self.length)
            }
            Some(part) => (part.open(file, self.limits)?, part.packed()),
        };
        Ok(expand(raw, packed, self.limits)?)
    }

    /// The first bytes of what is in it, at most 256 KiB.
    pub(super) fn head(&self) -> Result<Vec<u8>> {
        let mut head = Vec::new();
        self.reader()?.take(CHUNK as u64).read_to_end(&mut head)?;
        Ok(head)
    }

    /// What is in it as a file to seek in, and the digest of it is known then: of what is packed a temporary one.
    pub(super) fn seekable(&self) -> Result<File> {
        let mut file = tempfile::tempfile()?;
        let is_plain = self.part.is_none() && {
            let mut magic = Vec::new();
            self.open()?.take(4).read_to_end(&mut magic)?;
            matches!(&magic[..], b"PAR1" | b"ARRO")
        };
        let (mut reader, mut digest, mut chunk) = (self.reader()?, super::digest::Hasher::default(), vec![0; CHUNK]);
        loop {
            let n = reader.read(&mut chunk)?;
            if n == 0 {
                break;
            }
            digest.add(&chunk[..n]);
            if !is_plain {
                std::io::Write::write_all(&mut file, &chunk[..n])?;
            }
        }
        self.settle(digest.digest())?;
        if is_plain {
            return self.open();
        }
        file.rewind()?;
        Ok(file)
    }

    /// It was read to its end, and held this; an error if it held something else before.
    pub(super) fn settle(&self, digest: Digest) -> Result<()> {
        match self.digest.replace(Some(digest)) {
            Some(before) if before != digest => Err(Error::new(
                ErrorKind::InvalidData,
                "it changed while it was read: import it again when it is whole",
            )),
            _ => Ok(()),
        }
    }

    /// The digest of what is in it, once it was read to its end.
    pub(super) fn digest(&self) -> Option<Digest> {
        self.digest.get()
    }

    /// Whether somebody writes to it.
    pub(super) fn has_grown(&self) -> bool {
        self.part.is_none() && self.file.metadata().is_ok_and(|status| self.length < status.len())
    }
}
