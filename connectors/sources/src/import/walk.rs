//! Which files a path names: regular ones, in name order; links only if they are to be followed, and never in circles.

use std::collections::BTreeSet;
use std::fs::Metadata;
use std::io::Result;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

/// Directories in directories.
const DEPTH: usize = 64;

/// Files of one path.
const FILES_MAX: usize = 1_000_000;

/// A file below a path: why it cannot be taken, if so.
pub(super) type Found = (PathBuf, Option<String>);

/// Files below a path in name order, or the path itself; and whether it is a file itself.
pub(super) fn walk(path: &Path, follow_links: bool) -> Result<(Vec<Found>, bool)> {
    let mut walk = Walk { follow_links, files: Vec::new(), seen: BTreeSet::new() };
    let is_directory = walk.status(path)?.is_dir();
    walk.step(path, 0);
    Ok((walk.files, !is_directory))
}

struct Walk {
    follow_links: bool,
    files: Vec<Found>,
    /// Directories that were entered: one that is met again is no other.
    seen: BTreeSet<(u64, u64)>,
}

impl Walk {
    fn status(&self, path: &Path) -> Result<Metadata> {
        if self.follow_links { path.metadata() } else { path.symlink_metadata() }
    }

    fn step(&mut self, path: &Path, depth: usize) {
        if let Err(reason) = self.enter(path, depth) {
            self.files.push((path.into(), Some(reason)));
        }
    }

    /// Takes a file, or what is in a directory; an error says why not.
    fn enter(&mut self, path: &Path, depth: usize) -> std::result::Result<(), String> {
        let status = self.status(path).map_err(|error| error.to_string())?;
        if FILES_MAX <= self.files.len() {
            return match FILES_MAX == self.files.len() {
                true => Err(format!("more than {FILES_MAX} files: import them in parts")),
                false => Ok(()),
            };
        }
        match () {
            () if status.is_symlink() => Err("a link: name what it points to, or take --follow-links".into()),
            () if status.is_file() => {
                self.files.push((path.into(), None));
                Ok(())
            }
            () if !status.is_dir() => Err("a pipe, socket or device: write it to a regular file first".into()),
            () if !self.seen.insert((status.dev(), status.ino())) => {
                Err("a loop of links, or a directory that is met twice: it is read once".into())
            }
            () if DEPTH < depth => Err(format!("nested deeper than {DEPTH} directories")),
            () => {
                let entries = std::fs::read_dir(path).map_err(|error| error.to_string())?;
                let mut paths = Vec::new();
                for entry in entries.take(FILES_MAX) {
                    paths.push(entry.map_err(|error| error.to_string())?.path());
                }
                paths.sort();
                paths.iter().for_each(|path| self.step(path, depth + 1));
                Ok(())
            }
        }
    }
}
