//! The files of each table and day: made aside, made durable together, and merged so that few remain.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::path::{Path, PathBuf};

use arrow::array::RecordBatch;
use prism_schemas::Table;
use prism_schemas::layout::{day_name, day_of_file, day_of_folder, part_name, part_of};
use prism_schemas::table::{RUNS, TABLES};

use super::StoreError;
use super::file::{self, Open};
use super::merge::Merged;

/// So many parts of a level are merged into one of the next; parts of the last level go into the day's file.
const FAN: usize = 8;
/// A day that was not written for so many flushes is put in order.
const IDLE: u32 = 64;
/// Times a day is opened while its parts are merged.
const TRIES: usize = 100;
/// Threads that wait for the disk.
const SYNCS: usize = 8;

/// What is below a run's directory.
pub(super) struct Days {
    dir: PathBuf,
    days: BTreeMap<(&'static str, i64), Day>,
    /// Files that are written but not durable and not seen by readers, oldest first.
    staged: Vec<Staged>,
    n_staged: u64,
    /// Directories whose new names are not durable yet.
    renamed: BTreeSet<PathBuf>,
}

struct Staged {
    table: &'static Table,
    day: i64,
    path: PathBuf,
}

/// The files of a day.
struct Day {
    has_file: bool,
    /// Number of the last part.
    last: u64,
    /// Numbers of parts and how often they were merged, oldest first.
    parts: Vec<(u64, u8)>,
    /// Flushes since it was written.
    idle: u32,
}

/// Files of a day that were opened together, oldest first: the day's file, then parts.
fn open(file: &Path) -> Result<Vec<Open>, StoreError> {
    // A file that goes while its siblings are opened was merged into another: then all are opened anew.
    for _ in 0..TRIES {
        let parts = parts(&file.with_extension(""))?;
        let mut opened = Vec::new();
        for (number, path) in &parts {
            opened.extend(Open::new(path)?.map(|part| (*number, part)));
        }
        // After its parts, so that it holds at least those that are gone.
        let Some(whole) = Open::new(file)? else { return Ok(Vec::new()) };
        if opened.len() == parts.len() {
            let merged = whole.merged_up_to();
            let newer = opened.into_iter().filter(|(number, _)| merged < *number).map(|(_, part)| part);
            return Ok([whole].into_iter().chain(newer).collect());
        }
    }
    let detail = format!("its parts in {} come and go", file.with_extension("").display());
    Err(StoreError::Damaged { path: file.into(), detail })
}

/// The parts in a day's folder, by number.
pub(super) fn parts(folder: &Path) -> Result<Vec<(u64, PathBuf)>, StoreError> {
    let mut parts: Vec<_> =
        names(folder)?.into_iter().filter_map(|name| Some((part_of(&name)?, folder.join(name)))).collect();
    parts.sort();
    Ok(parts)
}

/// The names in a directory; none if it does not exist.
pub(super) fn names(dir: &Path) -> Result<Vec<String>, StoreError> {
    let io = |source| StoreError::Io { path: dir.into(), source };
    let entries = match std::fs::read_dir(dir) {
        Ok(entries) => entries,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(source) => return Err(io(source)),
    };
    let name = |entry: std::io::Result<std::fs::DirEntry>| Ok(entry.map_err(io)?.file_name().into_string().ok());
    entries.map(name).filter_map(Result::transpose).collect()
}

impl Days {
    /// Of a run's directory.
    pub(super) fn new(dir: PathBuf) -> Days {
        Days { dir, days: BTreeMap::new(), staged: Vec::new(), n_staged: 0, renamed: BTreeSet::new() }
    }

    /// Removes what a crash left half written, and finds the days that it left unmerged.
    pub(super) fn recover(&mut self) -> Result<(), StoreError> {
        for table in TABLES {
            let dir = self.dir.join(table.name);
            for name in names(&dir)? {
                if name.ends_with(".tmp") {
                    let path = dir.join(name);
                    std::fs::remove_file(&path).map_err(|source| StoreError::Io { path, source })?;
                } else if let Some(day) = day_of_folder(&name) {
                    self.day(table, day)?;
                }
            }
        }
        Ok(())
    }

    /// The files of a table, by day.
    pub(super) fn files(&self, table: &Table) -> Result<Vec<PathBuf>, StoreError> {
        let dir = self.dir.join(table.name);
        let mut files: Vec<_> =
            names(&dir)?.into_iter().filter_map(|name| Some((day_of_file(&name)?, dir.join(name)))).collect();
        files.sort();
        Ok(files.into_iter().map(|(_, path)| path).collect())
    }

    /// The rows of the day that a file is of, its parts included.
    pub(super) fn read(table: &'static Table, file: &Path) -> Result<Merged, StoreError> {
        let rows: Result<Vec<_>, StoreError> = open(file)?.into_iter().map(|file| file.rows(table)).collect();
        Ok(Merged::new(table, rows?))
    }

    /// Writes rows, sorted and each key once, to a file of its own that readers do not see yet.
    pub(super) fn stage(&mut self, table: &'static Table, day: i64, rows: &RecordBatch) -> Result<(), StoreError> {
        let path = self.fresh(table, day)?;
        write(&path, table, 0, std::iter::once(Ok(rows.clone())))?;
        self.staged.push(Staged { table, day, path });
        Ok(())
    }

    /// The path of a new file beside the table's days.
    fn fresh(&mut self, table: &Table, day: i64) -> Result<PathBuf, StoreError> {
        let dir = self.dir.join(table.name);
        std::fs::create_dir_all(&dir).map_err(|source| StoreError::Io { path: dir.clone(), source })?;
        self.n_staged += 1;
        Ok(dir.join(format!("{}.{}.tmp", day_name(day), self.n_staged)))
    }

    /// Makes what is staged durable and seen by readers: rows first, then what `runs` says of them.
    pub(super) fn publish(&mut self) -> Result<(), StoreError> {
        let (runs, rows): (Vec<_>, Vec<_>) =
            std::mem::take(&mut self.staged).into_iter().partition(|s| s.table == &RUNS);
        let mut waiting = rows.into_iter();
        let outcome = self.publish_all(&mut waiting);
        let mut after = runs.into_iter();
        let outcome = outcome.and_then(|()| self.publish_all(&mut after));
        self.staged.extend(waiting.chain(after));
        outcome
    }

    fn publish_all(&mut self, staged: &mut std::vec::IntoIter<Staged>) -> Result<(), StoreError> {
        let paths: Vec<&Path> = staged.as_slice().iter().map(|file| &*file.path).collect();
        sync(&paths)?;
        while let Some(file) = staged.as_slice().first() {
            let target = self.target(file.table, file.day)?;
            let io = |source| StoreError::Io { path: target.clone(), source };
            // The file's name, its directory's and the table's: all must outlive a power cut.
            let folders = target.ancestors().skip(1).take_while(|dir| dir.starts_with(&self.dir));
            self.renamed.extend(folders.map(Path::to_path_buf));
            std::fs::create_dir_all(target.parent().unwrap_or(&self.dir)).map_err(io)?;
            std::fs::rename(&file.path, &target).map_err(io)?;
            let day = self.day(file.table, file.day)?;
            day.idle = 0;
            if day.has_file {
                day.last += 1;
                day.parts.push((day.last, 0));
            }
            day.has_file = true;
            staged.next();
        }
        sync(&self.renamed.iter().map(PathBuf::as_path).collect::<Vec<_>>())?;
        self.renamed.clear();
        Ok(())
    }

    fn path(&self, table: &Table, day: i64) -> PathBuf {
        self.dir.join(table.name).join(format!("{}.parquet", day_name(day)))
    }

    /// Where the next rows of a day go.
    fn target(&mut self, table: &'static Table, day: i64) -> Result<PathBuf, StoreError> {
        let file = self.path(table, day);
        let day = self.day(table, day)?;
        Ok(if day.has_file { file.with_extension("").join(part_name(day.last + 1)) } else { file })
    }

    /// What is known of a day; its files are looked at the first time.
    fn day(&mut self, table: &'static Table, day: i64) -> Result<&mut Day, StoreError> {
        let file = self.path(table, day);
        match self.days.entry((table.name, day)) {
            std::collections::btree_map::Entry::Occupied(known) => Ok(known.into_mut()),
            std::collections::btree_map::Entry::Vacant(place) => {
                let merged = Open::new(&file)?.map(|file| file.merged_up_to());
                let parts: Vec<(u64, u8)> =
                    parts(&file.with_extension(""))?.into_iter().map(|(number, _)| (number, 0)).collect();
                let last = parts.last().map_or(0, |(number, _)| *number).max(merged.unwrap_or(0));
                Ok(place.insert(Day { has_file: merged.is_some(), last, parts, idle: 0 }))
            }
        }
    }

    /// Merges where many parts have gathered, and at most one day's file, so that no flush takes long.
    pub(super) fn tidy(&mut self) -> Result<(), StoreError> {
        let mut whole = None;
        let keys: Vec<(&'static str, i64)> =
            self.days.iter().filter(|(_, day)| !day.parts.is_empty()).map(|(key, _)| *key).collect();
        for key in keys {
            let (Some(table), Some(day)) = (prism_schemas::table::table(key.0), self.days.get_mut(&key)) else {
                continue;
            };
            day.idle += 1;
            let fresh = day.parts.iter().filter(|(_, level)| *level == 0).count();
            let merged = day.parts.len() - fresh;
            if IDLE < day.idle || FAN <= merged {
                whole = whole.or(Some((table, key.1)));
            }
            if FAN <= fresh {
                self.merge_parts(table, key.1)?;
            }
        }
        match whole {
            Some((table, day)) => self.merge_day(table, day),
            None => Ok(()),
        }
    }

    /// Merges all that is not merged: then each day is one file.
    pub(super) fn merge_all(&mut self) -> Result<(), StoreError> {
        let keys: Vec<(&'static str, i64)> = self.days.keys().copied().collect();
        for (name, day) in keys {
            if let Some(table) = prism_schemas::table::table(name) {
                self.merge_day(table, day)?;
            }
        }
        Ok(())
    }

    /// Merges the parts that no merge has seen into one that takes the place of the newest of them. A crash in between
    /// leaves parts that it holds already: it is newer than they.
    fn merge_parts(&mut self, table: &'static Table, number: i64) -> Result<(), StoreError> {
        let folder = self.path(table, number).with_extension("");
        let fresh = self.fresh(table, number)?;
        let Some(day) = self.days.get_mut(&(table.name, number)) else { return Ok(()) };
        let from = day.parts.iter().position(|(_, level)| *level == 0).unwrap_or(day.parts.len());
        let Some((newest, older)) = day.parts[from..].split_last() else { return Ok(()) };
        let (newest, older) = (newest.0, older.iter().map(|(number, _)| *number).collect::<Vec<_>>());
        let mut rows = Vec::new();
        for part in older.iter().chain([&newest]) {
            rows.extend(Open::new(&folder.join(part_name(*part)))?.map(|file| file.rows(table)).transpose()?);
        }
        write(&fresh, table, 0, Merged::new(table, rows))?;
        replace(&fresh, &folder.join(part_name(newest)))?;
        day.parts.truncate(from);
        day.parts.push((newest, 1));
        remove(&folder, &older)
    }

    /// Merges all parts of a day into its file.
    fn merge_day(&mut self, table: &'static Table, number: i64) -> Result<(), StoreError> {
        let file = self.path(table, number);
        let Some(day) = self.days.get(&(table.name, number)) else { return Ok(()) };
        if day.parts.is_empty() {
            return Ok(());
        }
        let (last, parts) = (day.last, day.parts.iter().map(|(number, _)| *number).collect::<Vec<_>>());
        let fresh = self.fresh(table, number)?;
        write(&fresh, table, last, Days::read(table, &file)?)?;
        replace(&fresh, &file)?;
        if let Some(day) = self.days.get_mut(&(table.name, number)) {
            day.parts.clear();
            day.idle = 0;
        }
        let folder = file.with_extension("");
        remove(&folder, &parts)?;
        // Nothing is lost if it stays.
        let _ = std::fs::remove_dir(&folder);
        Ok(())
    }
}

/// Writes a file whole, or leaves none.
fn write(
    path: &Path,
    table: &Table,
    merged_up_to: u64,
    rows: impl Iterator<Item = Result<RecordBatch, StoreError>>,
) -> Result<(), StoreError> {
    file::write(path, table, merged_up_to, rows).inspect_err(|_| {
        // What is half written takes the space that is missing; the error matters more than the file.
        let _ = std::fs::remove_file(path);
    })
}

/// Puts a file in the place of another, durably.
fn replace(fresh: &Path, path: &Path) -> Result<(), StoreError> {
    sync(&[fresh])?;
    std::fs::rename(fresh, path).map_err(|source| StoreError::Io { path: path.into(), source })?;
    match path.parent() {
        Some(dir) => sync(&[dir]),
        None => Ok(()),
    }
}

/// Removes parts, oldest first.
fn remove(folder: &Path, parts: &[u64]) -> Result<(), StoreError> {
    for number in parts {
        let path = folder.join(part_name(*number));
        match std::fs::remove_file(&path) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                return Err(StoreError::Io { path, source: error });
            }
            _ => {}
        }
    }
    Ok(())
}

/// Makes files or directories survive a power cut: several at once, so that the disk can take them together.
fn sync(paths: &[&Path]) -> Result<(), StoreError> {
    let one = |path: &&Path| {
        let synced = File::open(path).and_then(|file| file.sync_all());
        synced.map_err(|source| StoreError::Io { path: path.to_path_buf(), source })
    };
    if paths.len() < SYNCS {
        return paths.iter().try_for_each(one);
    }
    std::thread::scope(|scope| {
        let threads: Vec<_> = paths
            .chunks(paths.len().div_ceil(SYNCS))
            .map(|some| scope.spawn(move || some.iter().try_for_each(one)))
            .collect();
        let panicked = || StoreError::Io { path: PathBuf::new(), source: std::io::Error::other("a thread panicked") };
        threads.into_iter().try_for_each(|thread| thread.join().unwrap_or_else(|_| Err(panicked())))
    })
}

/// Makes the name of a run's directory and of the store's above it survive a power cut.
pub(super) fn sync_parents(dir: &Path) -> Result<(), StoreError> {
    let parents = dir.ancestors().skip(1).take(2).map(|dir| if dir == Path::new("") { Path::new(".") } else { dir });
    parents.take_while(|dir| dir.exists()).try_for_each(|dir| sync(&[dir]))
}
