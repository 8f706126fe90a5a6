//! Files into one order of receive time, with few of them open at once.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::fs::File;
use std::io::{BufReader, Read, Write};
use std::path::PathBuf;

use prism_schemas::event::{Batch, Message};
use prism_schemas::{Event, InstrumentId, Market, Ts};

use super::ImportError;
use super::around::Around;
use super::who::{Id, Names};

/// Files that are read at the same time at most; where more overlap in time, some are merged into a temporary file first.
pub(super) const OPEN_MAX: usize = 64;

/// Where something stands in the order: its receive time, and the number of its file.
pub(super) type Key = (Ts, usize);

/// What a file gives.
#[expect(clippy::large_enum_variant, reason = "all but one of a file are events")]
pub(super) enum Item {
    Event(Id, Event),
    /// It has been read to its end; so many of its lines carry no events.
    Ended(u64),
}

/// Items in the order of their keys, as far as the files are in order.
pub(super) enum Stream {
    File(Box<Around>),
    Run(Box<Run>),
}

impl Stream {
    /// The file, if it is one.
    pub(super) fn file(&mut self) -> Option<&mut Around> {
        match self {
            Stream::File(file) => Some(file),
            Stream::Run(_) => None,
        }
    }

    /// The key of the first item, without opening anything.
    fn first(&self) -> Key {
        match self {
            Stream::File(file) => file.first(),
            Stream::Run(run) => run.first,
        }
    }

    /// Hands over what comes up to a limit; gives the key of what is next, if there is something.
    fn give(&mut self, limit: Option<Key>, push: Push) -> Result<Option<Key>, ImportError> {
        match self {
            Stream::File(file) => file.give(limit, push),
            Stream::Run(run) => run.give(limit, push),
        }
    }
}

/// Takes items with the numbers of their files.
pub(super) type Push<'a> = &'a mut dyn FnMut(Key, Item) -> Result<(), ImportError>;

/// Hands all items over in order; at most `open_max` files are open at once.
pub(super) fn merge(mut streams: Vec<Stream>, open_max: usize, push: Push) -> Result<(), ImportError> {
    streams.sort_by_key(Stream::first);
    while open_max < n_open(&streams) {
        let mut runs = Vec::new();
        while !streams.is_empty() {
            let rest = streams.split_off(open_max.min(streams.len()));
            runs.extend(Run::of(std::mem::replace(&mut streams, rest))?.map(|run| Stream::Run(Box::new(run))));
        }
        streams = runs;
    }
    merge_open(streams, push)
}

/// How many are open at once at most: a file from its first to its last receive time, a run always.
fn n_open(streams: &[Stream]) -> usize {
    let (mut now, mut most, mut n_runs) = (0i64, 0, 0);
    let mut turns = Vec::new();
    for stream in streams {
        match stream {
            Stream::File(file) => turns.extend([(file.first().0, 1), (file.last().saturating_add(1), -1)]),
            Stream::Run(_) => n_runs += 1,
        }
    }
    turns.sort_unstable();
    for (_, turn) in turns {
        now += turn;
        most = most.max(now);
    }
    most as usize + n_runs
}

fn merge_open(mut streams: Vec<Stream>, push: Push) -> Result<(), ImportError> {
    let mut heads: BinaryHeap<Reverse<(Key, usize)>> =
        streams.iter().enumerate().map(|(at, stream)| Reverse((stream.first(), at))).collect();
    while let Some(Reverse((_, at))) = heads.pop() {
        let limit = heads.peek().map(|Reverse((head, _))| *head);
        let Some(stream) = streams.get_mut(at) else { continue };
        // This one is ahead until its next item comes after another's.
        heads.extend(stream.give(limit, push)?.map(|key| Reverse((key, at))));
    }
    Ok(())
}

/// Several files merged, in a temporary file that nobody else sees.
pub(super) struct Run {
    first: Key,
    next: Option<(Key, Item)>,
    names: Names,
    reader: BufReader<zstd::Decoder<'static, BufReader<File>>>,
}

/// Marks an item that is an end.
const END: u32 = u32::MAX;

fn io(source: std::io::Error) -> ImportError {
    ImportError::Io { path: PathBuf::from("a temporary file"), source }
}

impl Run {
    /// Merges these; `None` if they hold nothing.
    pub(super) fn of(streams: Vec<Stream>) -> Result<Option<Run>, ImportError> {
        let mut writer = RunWriter::new().map_err(io)?;
        merge_open(streams, &mut |key, item| writer.write(key, item).map_err(io))?;
        writer.finish().map_err(io)
    }

    /// Of events in order; `None` of none.
    pub(super) fn of_events(events: impl Iterator<Item = (Id, Event)>) -> std::io::Result<Option<Run>> {
        let mut writer = RunWriter::new()?;
        for (instrument, event) in events {
            writer.write((event.ts_recv, 0), Item::Event(instrument, event))?;
        }
        writer.finish()
    }

    pub(super) fn take(&mut self) -> Result<Option<Item>, ImportError> {
        let next = self.read().map_err(io)?;
        Ok(std::mem::replace(&mut self.next, next).map(|(_, item)| item))
    }

    fn give(&mut self, limit: Option<Key>, push: Push) -> Result<Option<Key>, ImportError> {
        while let Some((key, _)) = self.next {
            if limit.is_some_and(|limit| limit < key) {
                return Ok(Some(key));
            }
            if let Some(item) = self.take()? {
                push(key, item)?;
            }
        }
        Ok(None)
    }

    fn read(&mut self) -> std::io::Result<Option<(Key, Item)>> {
        let mut head = [0; 20];
        match self.reader.read_exact(&mut head[..1]) {
            Err(error) if error.kind() == std::io::ErrorKind::UnexpectedEof => return Ok(None),
            other => other?,
        }
        self.reader.read_exact(&mut head[1..])?;
        let word = |at: usize| std::array::from_fn(|i| head[at + i]);
        let key = (Ts::from_le_bytes(word(0)), u64::from_le_bytes(word(8)) as usize);
        let length = u32::from_le_bytes([head[16], head[17], head[18], head[19]]);
        if length == END {
            let mut control = [0; 8];
            self.reader.read_exact(&mut control)?;
            return Ok(Some((key, Item::Ended(u64::from_le_bytes(control)))));
        }
        let mut bytes = vec![0; length as usize];
        self.reader.read_exact(&mut bytes)?;
        let Batch { exchange, market, symbol, mut events } =
            Batch::decode(&bytes[..]).map_err(std::io::Error::other)?;
        let (Some(market), Some(event)) = (Market::parse(&market), events.pop()) else {
            return Err(std::io::Error::other("an event is not as it was written"));
        };
        let id = self.names.of(InstrumentId { exchange, market, symbol });
        Ok(Some((key, Item::Event(id, event))))
    }
}

/// Writes what will be a run.
struct RunWriter {
    out: zstd::Encoder<'static, File>,
    bytes: Vec<u8>,
}

impl RunWriter {
    fn new() -> std::io::Result<RunWriter> {
        Ok(RunWriter { out: zstd::Encoder::new(tempfile::tempfile()?, 1)?, bytes: Vec::new() })
    }

    fn write(&mut self, (ts, number): Key, item: Item) -> std::io::Result<()> {
        let bytes = &mut self.bytes;
        bytes.clear();
        bytes.extend(ts.to_le_bytes());
        bytes.extend((number as u64).to_le_bytes());
        match item {
            Item::Ended(control) => {
                bytes.extend(END.to_le_bytes());
                bytes.extend(control.to_le_bytes());
            }
            Item::Event(id, event) => {
                let InstrumentId { exchange, market, symbol } = InstrumentId::clone(&id);
                let batch = Batch { exchange, market: market.name().into(), symbol, events: vec![event] };
                bytes.extend((batch.encoded_len() as u32).to_le_bytes());
                batch.encode(bytes).map_err(std::io::Error::other)?;
            }
        }
        self.out.write_all(&self.bytes)
    }

    fn finish(self) -> std::io::Result<Option<Run>> {
        let mut file = self.out.finish()?;
        std::io::Seek::rewind(&mut file)?;
        let reader = BufReader::new(zstd::Decoder::new(file)?);
        let mut run = Run { first: (Ts::MIN, 0), next: None, names: Names::default(), reader };
        run.next = run.read()?;
        Ok(run.next.as_ref().map(|(key, _)| *key).map(|first| Run { first, ..run }))
    }
}
