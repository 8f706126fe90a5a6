//! The files of a `.zip`: each is found by the archive's directory and read by itself, nothing is unpacked to disk.

use std::fs::File;
use std::io::{BufRead, BufReader, Error, ErrorKind, Read, Result, Seek, SeekFrom};

use zip::{CompressionMethod, ZipArchive};

use super::Limits;
use super::bytes::{CHUNK, bounded};
use super::input::Input;

/// Files of one archive.
const PARTS_MAX: usize = 100_000;

/// Where a file of an archive is, and how it is packed.
#[derive(Clone)]
pub(super) struct Part {
    /// Its name in the archive, with its directories.
    pub(super) name: String,
    at: u64,
    packed: u64,
    is_deflated: bool,
    crc: u32,
}

/// Parts of an archive by name, or why one cannot be read.
pub(super) type Parts = Vec<(String, std::result::Result<Part, String>)>;

/// What is in an archive; `None` if it is none. Its directory is read, no file.
pub(super) fn parts(input: &Input) -> Result<Option<Parts>> {
    let mut file = input.open()?;
    let mut magic = [0; 4];
    let n = file.read(&mut magic)?;
    if !matches!(&magic[..n], b"PK\x03\x04" | b"PK\x05\x06") {
        return Ok(None);
    }
    file.rewind()?;
    let unreadable = |error: zip::result::ZipError| {
        Error::new(ErrorKind::InvalidData, format!("a zip archive that is cut off or damaged: {error}"))
    };
    let mut archive = ZipArchive::new(BufReader::new(file)).map_err(unreadable)?;
    if PARTS_MAX < archive.len() {
        return Err(Error::other(format!("it holds more than {PARTS_MAX} files")));
    }
    let (mut parts, mut packed) = (Parts::new(), 0u64);
    for at in 0..archive.len() {
        let entry = archive.by_index_raw(at).map_err(unreadable)?;
        if entry.is_dir() {
            continue;
        }
        // What a terminal would take for orders is no name.
        let name: String = entry.name().map_err(unreadable)?.chars().filter(|c| !c.is_control()).collect();
        packed = packed.saturating_add(entry.compressed_size());
        let part = match (entry.compression(), entry.data_start()) {
            _ if entry.encrypted() => Err("it is encrypted: unpack it with its password".into()),
            _ if entry.is_symlink() => Err("a link: pack what it points to".into()),
            (method @ (CompressionMethod::Deflated | CompressionMethod::Stored), Some(at)) => Ok(Part {
                name: name.trim_start_matches('/').into(),
                at,
                packed: entry.compressed_size(),
                is_deflated: method == CompressionMethod::Deflated,
                crc: entry.crc32(),
            }),
            (method, _) => Err(format!("packed as {method}, which is not read: pack it with deflate")),
        };
        parts.push((name, part));
    }
    // Files that share their bytes would expand to any size.
    if input.length() < packed {
        return Err(Error::new(ErrorKind::InvalidData, "a zip archive whose files overlap"));
    }
    Ok(Some(parts))
}

impl Part {
    /// Bytes it takes in the archive.
    pub(super) fn packed(&self) -> u64 {
        self.packed
    }

    /// What is in it, from the archive's file.
    pub(super) fn open(&self, mut file: File, limits: Limits) -> Result<Box<dyn BufRead>> {
        file.seek(SeekFrom::Start(self.at))?;
        let raw = BufReader::with_capacity(CHUNK, file.take(self.packed));
        let inner: Box<dyn Read> = match self.is_deflated {
            true => Box::new(flate2::bufread::DeflateDecoder::new(raw)),
            false => Box::new(raw),
        };
        let checked = Checked { inner, crc: crc32fast::Hasher::new(), expected: self.crc };
        Ok(bounded(Box::new(BufReader::with_capacity(CHUNK, checked)), self.packed, limits))
    }
}

/// Compares the checksum at the end.
struct Checked {
    inner: Box<dyn Read>,
    crc: crc32fast::Hasher,
    expected: u32,
}

impl Read for Checked {
    fn read(&mut self, out: &mut [u8]) -> Result<usize> {
        let n = self.inner.read(out)?;
        self.crc.update(&out[..n]);
        if n == 0 && !out.is_empty() && self.crc.clone().finalize() != self.expected {
            return Err(Error::new(ErrorKind::InvalidData, "damaged: its checksum is not the archive's"));
        }
        Ok(n)
    }
}
