//! Bytes as they were before they were packed: gzip, zstd and xz by their magic numbers, never more than is allowed.

use std::io::{BufRead, BufReader, Error, ErrorKind, Read, Result};

use super::Limits;

/// Bytes read at once.
pub(super) const CHUNK: usize = 1 << 18;
/// What is this small when it is expanded may be compressed as well as it likes.
const SMALL: u64 = 64 << 20;
/// KiB that an xz file may make its reader keep; `xz -9` needs 65 MiB.
const XZ_KEEPS: u32 = 256 << 10;

/// What a stream of so many bytes expands to, if it is compressed. One layer at a time, so `.gz.zst` works too.
pub(super) fn expand(mut reader: Box<dyn BufRead>, compressed: u64, limits: Limits) -> Result<Box<dyn BufRead>> {
    for _ in 0..2 {
        let magic = reader.fill_buf()?;
        let layer: Box<dyn BufRead> = if magic.starts_with(&[0x1f, 0x8b]) {
            Box::new(BufReader::with_capacity(CHUNK, flate2::bufread::MultiGzDecoder::new(reader)))
        } else if magic.starts_with(&[0x28, 0xb5, 0x2f, 0xfd]) {
            Box::new(BufReader::with_capacity(CHUNK, zstd::Decoder::with_buffer(reader)?))
        } else if magic.starts_with(b"\xfd7zXZ\0") {
            let xz = lzma_rust2::XzReader::new_mem_limit(reader, true, XZ_KEEPS);
            Box::new(BufReader::with_capacity(CHUNK, xz))
        } else {
            return Ok(reader);
        };
        reader = bounded(layer, compressed, limits);
    }
    Ok(reader)
}

/// What comes out of a decompressor of so many bytes, up to a bound.
pub(super) fn bounded(inner: Box<dyn BufRead>, compressed: u64, limits: Limits) -> Box<dyn BufRead> {
    let by_ratio = compressed.saturating_mul(limits.ratio).max(SMALL);
    let (left, refusal) = if limits.expanded < by_ratio {
        (limits.expanded, format!("it expands to more than {} bytes: allow more with --max-expanded", limits.expanded))
    } else {
        (by_ratio, format!("it expands to more than {} times its size: allow more with --max-ratio", limits.ratio))
    };
    Box::new(Bounded { inner, left, refusal })
}

struct Bounded {
    inner: Box<dyn BufRead>,
    left: u64,
    /// What is said at the bound.
    refusal: String,
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
        let mut n = 0;
        let whole = Box::new(std::io::Cursor::new(bytes.to_vec()));
        let mut reader = match expand(whole, bytes.len() as u64, limits) {
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
    fn xz_is_read_up_to_its_bounds() {
        let pack = |bytes: &[u8]| {
            let options = lzma_rust2::XzOptions::with_preset(1);
            let mut writer = lzma_rust2::XzWriter::new(Vec::new(), options).unwrap();
            writer.write_all(bytes).unwrap();
            writer.finish().unwrap()
        };
        let zeros = pack(&vec![0u8; 80 << 20]);
        let (n, refusal) = drain(&zeros, LIMITS);
        assert!(n <= SMALL + CHUNK as u64 && refusal.unwrap().contains("--max-ratio"), "{n}");
        assert_eq!(drain(&pack(b"small"), LIMITS), (5, None));
        assert!(drain(&zeros[..zeros.len() / 2], Limits { ratio: 1 << 30, ..LIMITS }).1.is_some(), "cut off");
    }
}
