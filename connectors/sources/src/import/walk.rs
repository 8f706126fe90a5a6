//! Which files a path names: regular ones, in name order; links only if they are to be followed.

use std::fs::Metadata;
use std::io::{Error, Result};
use std::path::{Path, PathBuf};

/// Directories in directories; deeper is a loop of links.
const DEPTH: usize = 32;

/// A file below a path: why it cannot be taken, if so.
pub(super) type Found = (PathBuf, Option<&'static str>);

/// Files below a path in name order, or the path itself; and whether it is a file itself.
pub(super) fn walk(path: &Path, follow_links: bool) -> Result<(Vec<Found>, bool)> {
    let mut files = Vec::new();
    let is_directory = status(path, follow_links)?.is_dir();
    step(path, follow_links, 0, &mut files)?;
    Ok((files, !is_directory))
}

fn status(path: &Path, follow_links: bool) -> Result<Metadata> {
    if follow_links { path.metadata() } else { path.symlink_metadata() }
}

fn step(path: &Path, follow_links: bool, depth: usize, files: &mut Vec<Found>) -> Result<()> {
    if DEPTH < depth {
        return Err(Error::other(format!("{}: nested deeper than {DEPTH}, is it a loop of links?", path.display())));
    }
    let status = status(path, follow_links)?;
    if !status.is_dir() {
        let reason = match () {
            () if status.is_symlink() => Some("a link: name what it points to, or take --follow-links"),
            () if !status.is_file() => Some("a pipe, socket or device: write it to a regular file first"),
            () => None,
        };
        files.push((path.into(), reason));
        return Ok(());
    }
    let mut entries: Vec<PathBuf> =
        std::fs::read_dir(path)?.map(|entry| entry.map(|entry| entry.path())).collect::<Result<_>>()?;
    entries.sort();
    entries.iter().try_for_each(|entry| step(entry, follow_links, depth + 1, files))
}
