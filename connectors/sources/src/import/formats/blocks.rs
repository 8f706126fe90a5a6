//! What an Arrow IPC file says of its own lengths, looked at before anybody believes it.
//!
//! Layout: arrow.apache.org/docs/format/Columnar.html, "IPC File Format", "Recordbatch message" and "Compression": a footer lists
//! blocks, a block's message lists the buffers of its body, and a compressed buffer begins with its expanded length.

use std::fs::File;
use std::io::{Error, ErrorKind, Read, Result, Seek, SeekFrom};

use arrow_ipc::{Block, RecordBatch, root_as_footer, root_as_message};

fn damaged() -> Error {
    Error::new(ErrorKind::InvalidData, "a Feather file that is cut off or damaged")
}

/// Bytes of a file, from a place on.
fn at(file: &mut File, start: u64, length: u64) -> Result<Vec<u8>> {
    let mut bytes = vec![0; usize::try_from(length).map_err(|_| damaged())?];
    file.seek(SeekFrom::Start(start))?;
    file.read_exact(&mut bytes)?;
    Ok(bytes)
}

/// Bytes that all of it expands to; an error if something is said to lie where it cannot. Leaves the file at its beginning.
pub(super) fn expanded(file: &mut File) -> Result<u64> {
    let length = file.seek(SeekFrom::End(0))?;
    let end = length.checked_sub(10).ok_or_else(damaged)?;
    let tail = at(file, end, 10)?;
    let size = u64::from(u32::from_le_bytes([tail[0], tail[1], tail[2], tail[3]]));
    let start = end.checked_sub(size).filter(|_| &tail[4..] == b"ARROW1").ok_or_else(damaged)?;
    let footer = at(file, start, size)?;
    let footer = root_as_footer(&footer).map_err(|_| damaged())?;
    let mut sum = 0_u64;
    for block in footer.recordBatches().into_iter().flatten().chain(footer.dictionaries().into_iter().flatten()) {
        sum = sum.saturating_add(of_block(file, block, start)?);
    }
    file.rewind()?;
    Ok(sum)
}

/// Bytes that a block before `end` expands to.
fn of_block(file: &mut File, block: &Block, end: u64) -> Result<u64> {
    let parts = [block.offset(), i64::from(block.metaDataLength()), block.bodyLength()];
    let [start, head, body] = parts.map(|part| u64::try_from(part).unwrap_or(u64::MAX));
    if end < start.saturating_add(head).saturating_add(body) || head < 8 {
        return Err(damaged());
    }
    let bytes = at(file, start, head)?;
    // A mark of four bytes, which older files lack, and the message's length.
    let message = if bytes.starts_with(&[0xff; 4]) { &bytes[8..] } else { &bytes[4..] };
    let message = root_as_message(message).map_err(|_| damaged())?;
    let batch = message.header_as_record_batch();
    let batch = batch.or_else(|| message.header_as_dictionary_batch().and_then(|dictionary| dictionary.data()));
    of_batch(file, batch.ok_or_else(damaged)?, start + head, body)
}

/// Bytes that the buffers of a body expand to.
fn of_batch(file: &mut File, batch: RecordBatch<'_>, body: u64, length: u64) -> Result<u64> {
    let mut sum = 0_u64;
    for buffer in batch.buffers().into_iter().flatten() {
        let [start, size] = [buffer.offset(), buffer.length()].map(|part| u64::try_from(part).unwrap_or(u64::MAX));
        if length < start.saturating_add(size) {
            return Err(damaged());
        }
        let mut bytes = size;
        if batch.compression().is_some() && size != 0 {
            let prefix = at(file, body + start, 8.min(size))?;
            let prefix = prefix.try_into().map(i64::from_le_bytes).map_err(|_| damaged())?;
            // -1: it is as it is.
            bytes = if prefix == -1 { size } else { u64::try_from(prefix).map_err(|_| damaged())? };
        }
        sum = sum.saturating_add(bytes);
    }
    Ok(sum)
}
