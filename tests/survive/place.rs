//! Where the processes of a run keep their log and store: a directory, or a small disk and a clock of their own.

use std::{
    io::Write,
    path::PathBuf,
    process::{Child, Command, Stdio},
    sync::Arc,
};

use prism_log::{Log, LogWriter, SegmentLog};
use prism_schemas::{
    Cell, InstrumentId, Market, Topic, Ts,
    event::{event::Body, trade::Id},
    table::RUNS,
    time::{MILLISECOND, SECOND},
};

use super::{SETTINGS, Trouble};
use crate::support::command;

/// Where Debian keeps the library that gives a process a clock of its own.
pub(super) const FAKETIME: &str = "/usr/lib/x86_64-linux-gnu/faketime/libfaketime.so.1";

/// Log and store of a run.
pub(super) struct Place {
    trouble: Trouble,
    dir: tempfile::TempDir,
    /// Holds the name space of the small disk.
    holder: Option<Child>,
}

impl Drop for Place {
    fn drop(&mut self) {
        if let Some(holder) = &mut self.holder {
            let _ = holder.kill();
            let _ = holder.wait();
        }
    }
}

impl Place {
    pub(super) fn new(trouble: Trouble) -> Place {
        let dir = tempfile::tempdir().unwrap();
        let mut place = Place { trouble, dir, holder: None };
        if trouble == Trouble::FullDisk {
            let mount = "mount -t tmpfs -o size=64m tmpfs \"$1\" && echo mounted && exec sleep 1000";
            let mut holder = Command::new("unshare");
            holder.args(["-rm", "sh", "-c", mount, "sh"]).arg(place.dir.path()).stdout(Stdio::piped());
            let mut holder = holder.spawn().unwrap();
            let mut told = [0; 8];
            std::io::Read::read_exact(holder.stdout.as_mut().unwrap(), &mut told).unwrap();
            place.holder = Some(holder);
        }
        std::fs::create_dir_all(place.see("spool")).unwrap();
        place.step_clock(0);
        place
    }

    /// The place as the processes name it.
    pub(super) fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    /// The same place as this process reaches it.
    pub(super) fn see(&self, name: &str) -> PathBuf {
        match &self.holder {
            Some(holder) => {
                let root = PathBuf::from(format!("/proc/{}/root", holder.id()));
                root.join(self.path(name).strip_prefix("/").unwrap())
            }
            None => self.path(name),
        }
    }

    pub(super) fn trouble(&self) -> Trouble {
        self.trouble
    }

    /// A command of prism in this place.
    pub(super) fn prism(&self) -> Command {
        let mut command = command();
        if let Some(holder) = &self.holder {
            let program = command.get_program().to_os_string();
            let mut inside = Command::new("nsenter");
            inside.args(["-U", "-m", "--preserve-credentials", "-t", &holder.id().to_string()]).arg(program);
            command = inside;
        }
        command.envs(SETTINGS).env("PRISM__QUESTDB__SPOOL", format!("\"{}\"", self.path("spool").display()));
        if self.trouble == Trouble::Clock {
            command.env("LD_PRELOAD", FAKETIME).env("FAKETIME_TIMESTAMP_FILE", self.path("clock"));
            command.env("FAKETIME_NO_CACHE", "1").env("FAKETIME_DONT_FAKE_MONOTONIC", "1");
        }
        command
    }

    /// The wall clock of the processes is this far off from now on.
    pub(super) fn step_clock(&self, seconds: i64) {
        // Replaced at once: it is read all the time.
        let new = self.see("clock.new");
        std::fs::write(&new, format!("{seconds:+}s\n")).unwrap();
        std::fs::rename(new, self.see("clock")).unwrap();
    }

    /// Takes all that is free on the disk.
    pub(super) fn fill_disk(&self) {
        let mut filler = std::fs::File::create(self.see("filler")).unwrap();
        while filler.write_all(&[0; 4_096]).is_ok() {}
    }

    /// Gives it back.
    pub(super) fn free_disk(&self) {
        let _ = std::fs::remove_file(self.see("filler"));
    }

    /// What a command prints, which must end well.
    pub(super) fn run(&self, args: &[&str]) -> Result<String, String> {
        let output = self.prism().args(args).output().unwrap();
        match output.status.success() {
            true => Ok(String::from_utf8_lossy(&output.stdout).into_owned()),
            false => Err(format!("prism {}: {}", args.join(" "), String::from_utf8_lossy(&output.stderr).trim())),
        }
    }

    /// Rows of a query over the store.
    pub(super) fn ask(&self, sql: &str) -> Result<Vec<Vec<String>>, String> {
        let store = self.path("store");
        let text = self.run(&["sql", "--store", store.to_str().unwrap(), "--format", "csv", sql])?;
        Ok(text.lines().skip(1).map(|line| line.split(',').map(str::to_string).collect()).collect())
    }

    /// How far the live run is kept.
    pub(super) fn frontier(&self) -> Ts {
        let rows =
            self.ask("SELECT CAST(frontier AS BIGINT) * 1000 FROM runs WHERE run_id = 'live'").unwrap_or_default();
        rows.first().and_then(|row| row[0].parse().ok()).unwrap_or(0)
    }

    pub(super) fn log(&self) -> Arc<dyn Log> {
        Arc::new(SegmentLog::open(&self.see("log")).unwrap())
    }

    /// Ends the log with a promise to every partition, so that all that is in it can be computed; gives its time.
    pub(super) fn seal(&self) -> Ts {
        let log = self.log();
        let mut newest = 0;
        for topic in Topic::ALL {
            for partition in 0..log.partitions(topic) {
                let mut records = log.read(topic, partition, 0).unwrap();
                while let Some(record) = records.next().unwrap() {
                    newest = record.batch.events.iter().map(|event| event.ts_recv).fold(newest, Ts::max);
                }
            }
        }
        // Between two closings, so that it does not matter whether what is known at this time is out.
        let end = (newest / SECOND + 10) * SECOND + 50 * MILLISECOND;
        let mut writer = LogWriter::new(log.clone());
        for topic in Topic::ALL {
            for partition in 0..log.partitions(topic) {
                writer.heartbeat(topic, partition, end, "the run is over").unwrap();
            }
        }
        writer.sync().unwrap();
        end
    }

    /// Says that more is kept than is.
    pub(super) fn claim_more(&self, nanos: i64) {
        let mut store = prism_store::Store::open(&self.see("store"), "live").unwrap();
        let mut rows = Vec::new();
        store.scan(&RUNS, |row| rows.push(row)).unwrap();
        let at = RUNS.position("frontier").unwrap();
        for row in &mut rows {
            if let Cell::Ts(frontier) = &mut row.cells[at] {
                *frontier += nanos;
            }
        }
        store.write(rows).unwrap();
        store.flush().unwrap();
    }

    /// Writes the log anew, without what tells how long a process lived, or with each trade once more under another id.
    pub(super) fn rewrite_log(&self, without_evidence: bool) {
        let old = self.log();
        let new = self.see("log.new");
        {
            let log: Arc<dyn Log> = Arc::new(SegmentLog::open(&new).unwrap());
            for topic in Topic::ALL {
                for partition in 0..old.partitions(topic) {
                    let mut records = old.read(topic, partition, 0).unwrap();
                    while let Some(record) = records.next().unwrap() {
                        let mut batch = record.batch.clone();
                        if without_evidence {
                            batch.events.iter_mut().for_each(strip);
                        } else {
                            double(&mut batch.events);
                        }
                        log.append(topic, partition, &batch).unwrap();
                    }
                }
            }
            log.sync().unwrap();
        }
        drop(old);
        std::fs::remove_dir_all(self.see("log")).unwrap();
        std::fs::rename(new, self.see("log")).unwrap();
        let _ = std::fs::remove_dir_all(self.see("store"));
    }
}

fn strip(event: &mut prism_schemas::Event) {
    match &mut event.body {
        Some(Body::Heartbeat(heartbeat)) => heartbeat.session.clear(),
        Some(Body::FeedStatus(status)) => status.session.clear(),
        _ => {}
    }
}

fn double(events: &mut Vec<prism_schemas::Event>) {
    let again = events.iter().filter_map(|event| {
        let mut event = event.clone();
        let Some(Body::Trade(trade)) = &mut event.body else { return None };
        trade.id = match &trade.id {
            Some(Id::Text(text)) => Some(Id::Text(format!("{text} again"))),
            other => other.clone(),
        };
        Some(event)
    });
    let again: Vec<_> = again.collect();
    events.extend(again);
}

/// The instrument of an emulated symbol.
pub(super) fn instrument(symbol: &str) -> InstrumentId {
    InstrumentId::new("bybit", Market::Linear, symbol)
}
