//! What the log does to files, behind a trait so that tests can have disks that are full, torn or cut off.

use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::sync::Arc;

/// A disk that is written to.
pub(crate) trait Disk: Send + Sync {
    /// Opens a file for writing and creates it if it is absent.
    fn open(&self, path: &Path) -> io::Result<Arc<dyn DiskFile>>;

    /// Makes what is in a file survive a crash of the machine, whoever wrote it.
    fn sync_file(&self, path: &Path) -> io::Result<()>;

    /// Makes a directory's entries survive a crash of the machine.
    fn sync_dir(&self, dir: &Path) -> io::Result<()>;

    /// Removes a file.
    fn remove(&self, path: &Path) -> io::Result<()>;
}

/// A file that is written to.
pub(crate) trait DiskFile: Send + Sync {
    /// Writes some of the bytes at a position and says how many.
    fn write_at(&self, bytes: &[u8], position: u64) -> io::Result<usize>;

    /// Cuts the file off, or fills it up with zeros.
    fn set_len(&self, length: u64) -> io::Result<()>;

    /// Makes what was written survive a crash of the machine.
    fn sync(&self) -> io::Result<()>;
}

/// Writes the bytes at a position; with an error, how many of them are written.
pub(crate) fn write_all_at(file: &dyn DiskFile, bytes: &[u8], position: u64) -> Result<(), (usize, io::Error)> {
    let mut n_written = 0;
    while n_written < bytes.len() {
        match file.write_at(&bytes[n_written..], position + n_written as u64) {
            Ok(0) => return Err((n_written, io::Error::from(io::ErrorKind::WriteZero))),
            Ok(n) => n_written += n,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err((n_written, error)),
        }
    }
    Ok(())
}

/// The disk of the system.
pub(crate) struct System;

impl Disk for System {
    fn open(&self, path: &Path) -> io::Result<Arc<dyn DiskFile>> {
        let file = OpenOptions::new().create(true).truncate(false).write(true).open(path)?;
        Ok(Arc::new(file))
    }

    fn sync_file(&self, path: &Path) -> io::Result<()> {
        File::open(path)?.sync_data()
    }

    fn sync_dir(&self, dir: &Path) -> io::Result<()> {
        File::open(dir)?.sync_all()
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        std::fs::remove_file(path)
    }
}

impl DiskFile for File {
    fn write_at(&self, bytes: &[u8], position: u64) -> io::Result<usize> {
        FileExt::write_at(self, bytes, position)
    }

    fn set_len(&self, length: u64) -> io::Result<()> {
        File::set_len(self, length)
    }

    fn sync(&self) -> io::Result<()> {
        self.sync_data()
    }
}
