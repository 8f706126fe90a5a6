//! When the log is made to survive a crash of the machine: in groups, by a thread beside the writer.

use std::sync::{Arc, Condvar, Mutex, Weak};
use std::thread::JoinHandle;
use std::time::Duration;

use super::inner::{Inner, lock};
use super::{LogError, retention, segment};

/// Between two looks for segments that are too old.
const TRIM: Duration = Duration::from_secs(60);

/// When written records are synced to the disk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SyncPolicy {
    /// All that was written together, this often, beside the writer: a crash of the machine loses at most so much time.
    Group(Duration),
    /// At each flush, which waits for it.
    Always,
    /// When the system likes to, when the log is closed, and each few segments.
    Never,
}

impl Default for SyncPolicy {
    fn default() -> SyncPolicy {
        SyncPolicy::Group(Duration::from_millis(100))
    }
}

impl Inner {
    /// An earlier failure to sync, of which the log does not recover in this process.
    pub(crate) fn check(&self) -> Result<(), LogError> {
        match &*lock(&self.failed) {
            Some(text) => Err(LogError::Io { path: self.dir.clone(), source: std::io::Error::other(text.clone()) }),
            None => Ok(()),
        }
    }

    /// Syncs what is in files. Only taking notes happens under the partitions' locks: writers go on meanwhile.
    pub(crate) fn sync(&self) -> Result<(), LogError> {
        let mut marks = lock(&self.marks);
        self.check()?;
        for place in &self.places {
            let Some(unsynced) = lock(&place.tail).as_mut().and_then(|tail| tail.unsynced()) else { continue };
            let until = unsynced.sync(&*self.disk).inspect_err(|error| {
                *lock(&self.failed) = Some(format!("a sync failed, what it holds is not known: {error}"));
            })?;
            if let Some(tail) = lock(&place.tail).as_mut() {
                tail.synced = until.max(tail.synced);
            }
        }
        marks.as_mut().map_or(Ok(()), |marks| marks.note(self.synced()))
    }

    /// Syncs the files of a log that another process writes: whoever syncs, what is in the file survives.
    pub(crate) fn sync_files(&self) -> Result<(), LogError> {
        let noted = super::marks::read(&self.dir, self.places.len())?.map_or_else(Vec::new, |(_, offsets)| offsets);
        for (at, (topic, partition)) in self.names().enumerate() {
            let dir = self.partition_dir(topic, partition);
            let synced = noted.get(at).copied().unwrap_or(0);
            let segments = segment::list(&dir)?;
            let from = segments.iter().rposition(|first| *first <= synced).unwrap_or(0);
            for first in segments.iter().skip(from) {
                let path = segment::path(&dir, *first);
                match self.disk.sync_file(&path) {
                    // Retention removed it meanwhile.
                    Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
                    synced => synced.map_err(LogError::io(&path))?,
                }
            }
            if !segments.is_empty() {
                self.disk.sync_dir(&dir).map_err(LogError::io(&dir))?;
            }
        }
        Ok(())
    }
}

/// The thread that syncs in groups and removes old segments.
pub(crate) struct Syncer {
    ended: Arc<(Mutex<bool>, Condvar)>,
    thread: JoinHandle<()>,
}

impl Syncer {
    /// Starts it, if there is anything for it to do.
    pub(crate) fn start(inner: &Arc<Inner>) -> Result<Option<Syncer>, LogError> {
        let options = inner.options;
        let trims = 0 < options.retention || 0 < options.retention_bytes;
        let every = match options.sync {
            SyncPolicy::Group(every) => every.max(Duration::from_millis(1)),
            SyncPolicy::Always | SyncPolicy::Never if trims => TRIM,
            SyncPolicy::Always | SyncPolicy::Never => return Ok(None),
        };
        let ended = Arc::new((Mutex::new(false), Condvar::new()));
        let (until, log) = (ended.clone(), Arc::downgrade(inner));
        let work = move || run(&log, &until, every, trims);
        let thread = std::thread::Builder::new().name("log-sync".into()).spawn(work);
        let thread = thread.map_err(LogError::io(&inner.dir))?;
        Ok(Some(Syncer { ended, thread }))
    }

    /// Ends it and waits for it.
    pub(crate) fn stop(self) {
        *lock(&self.ended.0) = true;
        self.ended.1.notify_all();
        if self.thread.join().is_err() {
            tracing::error!("the thread that syncs the log panicked");
        }
    }
}

fn run(log: &Weak<Inner>, ended: &(Mutex<bool>, Condvar), every: Duration, trims: bool) {
    let (mut since_trim, mut is_told) = (TRIM, false);
    loop {
        let Some(inner) = log.upgrade() else { return };
        if matches!(inner.options.sync, SyncPolicy::Group(_))
            && let Err(error) = inner.sync()
            && !is_told
        {
            // Whoever writes next gets it as an error.
            tracing::error!(%error, "the log could not be synced");
            is_told = true;
        }
        if trims && TRIM <= since_trim {
            since_trim = Duration::ZERO;
            #[expect(clippy::disallowed_methods, reason = "the age of files on this disk; no result depends on it")]
            if let Err(error) = retention::trim(&inner, std::time::SystemTime::now()) {
                tracing::warn!(%error, "old segments could not be removed");
            }
        }
        drop(inner);
        let guard = lock(&ended.0);
        let waited = ended.1.wait_timeout_while(guard, every, |ended| !*ended);
        if *waited.unwrap_or_else(std::sync::PoisonError::into_inner).0 {
            return;
        }
        since_trim += every;
    }
}
