//! What this machine has for prism: a free port, and room on the disks.

use std::{
    fs,
    io::ErrorKind,
    net::TcpListener,
    path::{Path, PathBuf},
};

use prism_queries::Place;
use prism_venue::Check;

use super::{Named, places::existing};

/// Below this nothing can be kept for long, and below that for an hour.
const LITTLE: u64 = 2 << 30;
const NONE: u64 = 100 << 20;

/// The API's port.
pub(super) fn port(host: &str, port: u16) -> Check {
    let what = format!("port {port}");
    match TcpListener::bind((host, port)) {
        Ok(_) => Check::fine(what, format!("free on {host}")),
        Err(error) if error.kind() == ErrorKind::AddrInUse => {
            let who = holder(port).map_or("another process".to_string(), |(pid, name)| format!("{name} (pid {pid})"));
            Check::doubtful(what, format!("taken by {who}"), "end that, or take another --port")
        }
        Err(error) => Check::broken(what, format!("{host}: {error}"), "take another --host or --port"),
    }
}

/// The process that listens on a port, if the system lets this user see it.
fn holder(port: u16) -> Option<(u32, String)> {
    let inode =
        ["/proc/net/tcp", "/proc/net/tcp6"].iter().find_map(|path| listening(&fs::read_to_string(path).ok()?, port))?;
    let link = PathBuf::from(format!("socket:[{inode}]"));
    fs::read_dir("/proc").ok()?.filter_map(Result::ok).find_map(|process| {
        let pid: u32 = process.file_name().to_str()?.parse().ok()?;
        let mut files = fs::read_dir(process.path().join("fd")).ok()?.filter_map(Result::ok);
        files.any(|file| fs::read_link(file.path()).is_ok_and(|to| to == link)).then_some(())?;
        let name = fs::read_to_string(process.path().join("comm")).unwrap_or_default();
        Some((pid, name.trim().to_string()))
    })
}

/// The inode of the socket that listens on a port, in a table such as /proc/net/tcp.
fn listening(table: &str, port: u16) -> Option<u64> {
    let port = format!(":{port:04X}");
    table.lines().skip(1).find_map(|line| {
        let cells: Vec<&str> = line.split_whitespace().collect();
        // 0A: it listens.
        let is_it = cells.get(1)?.ends_with(&port) && *cells.get(3)? == "0A";
        if is_it { cells.get(9)?.parse().ok() } else { None }
    })
}

/// The disks of log, store and spool, as far as those are directories.
pub(super) fn disks(log: &str, store: &Place, spool: &Path) -> Vec<Named> {
    let log = (!log.contains("://")).then(|| ("log", PathBuf::from(log)));
    let store = match store {
        Place::Directory(dir) => ("store", dir.clone()),
        Place::QuestDb(_) => ("spool", spool.to_path_buf()),
    };
    let checked = log.into_iter().chain([store]).map(|(of, dir)| (of.to_string(), disk(&dir)));
    checked.collect()
}

fn disk(dir: &Path) -> Check {
    let at = existing(dir);
    match rustix::fs::statvfs(&at) {
        Ok(found) => judge(&at, found.f_bavail.saturating_mul(found.f_frsize)),
        Err(error) => Check::doubtful("disk", format!("{}: {error}", at.display()), "see that the disk is there"),
    }
}

fn judge(at: &Path, free: u64) -> Check {
    let found = format!("{:.1} GiB free under {}", free as f64 / (1_u64 << 30) as f64, at.display());
    let advice = "free space, or take another disk";
    match free {
        ..NONE => Check::broken("disk", found, advice),
        NONE..LITTLE => Check::doubtful("disk", found, advice),
        _ => Check::fine("disk", found),
    }
}

#[cfg(test)]
mod tests {
    use prism_venue::Health;

    use super::*;

    #[test]
    fn a_port_is_free_or_taken_by_somebody_with_a_name() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let taken = listener.local_addr().unwrap().port();
        let check = port("127.0.0.1", taken);
        assert_eq!(check.health, Health::Doubtful);
        assert!(check.found.contains(&format!("(pid {})", std::process::id())), "{check:?}");
        drop(listener);
        assert_eq!(port("127.0.0.1", taken).health, Health::Fine);
        assert_eq!(port("203.0.113.1", taken).health, Health::Broken);
    }

    #[test]
    fn little_room_is_told_and_none_is_broken() {
        let health = |free: u64| judge(Path::new("/data"), free).health;
        assert_eq!([50 << 20, 1 << 30, 50 << 30].map(health), [Health::Broken, Health::Doubtful, Health::Fine]);
        let dir = tempfile::tempdir().unwrap();
        let checks = disks("kafka://h:1", &Place::Directory(dir.path().join("none/yet")), Path::new("spool"));
        assert!(checks.len() == 1 && checks[0].1.found.contains(&dir.path().display().to_string()), "{checks:?}");
    }
}
