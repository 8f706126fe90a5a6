//! Where the processes of a run keep their log and store: directories or servers, on a small disk and with a clock of their own.

use std::{
    cell::{RefCell, RefMut},
    io::Write,
    path::PathBuf,
    process::{Child, Command, Stdio},
    sync::Arc,
};

use prism_log::{Log, LogWriter, SegmentLog};
use prism_schemas::{
    Cell, InstrumentId, Market, RowStore, Topic, Ts,
    event::{event::Body, trade::Id},
    table::RUNS,
    time::{MILLISECOND, SECOND},
};

use super::{
    Parts, SETTINGS, Trouble,
    servers::{SERVERS, Servers},
    sleep,
};
use crate::support::command;

/// Where Debian keeps the library that gives a process a clock of its own.
pub(super) const FAKETIME: &str = "/usr/lib/x86_64-linux-gnu/faketime/libfaketime.so.1";

/// The disk of servers: QuestDB takes room in advance, for each column of each table.
const SIZE: &str = "8g";

/// Log and store of a run.
pub(super) struct Place {
    trouble: Trouble,
    dir: tempfile::TempDir,
    /// Holds the name space of the disk in memory.
    holder: Option<Child>,
    /// Where log and store are, if not in directories.
    servers: Option<RefCell<Servers>>,
    /// Settings of this run alone.
    settings: Vec<(&'static str, &'static str)>,
}

impl Drop for Place {
    fn drop(&mut self) {
        self.servers = None;
        if let Some(holder) = &mut self.holder {
            let _ = holder.kill();
            let _ = holder.wait();
        }
    }
}

impl Place {
    pub(super) fn new(trouble: Trouble, parts: Parts, settings: &[(&'static str, &'static str)]) -> Place {
        let dir = tempfile::tempdir().unwrap();
        let mut place = Place { trouble, dir, holder: None, servers: None, settings: settings.to_vec() };
        // Servers are always on a disk in memory: what else this machine writes must not hold them up.
        if trouble == Trouble::FullDisk || parts == Parts::WithServers {
            let mount = "mount -t tmpfs -o size=\"$2\" tmpfs \"$1\" && echo mounted && exec sleep 1000";
            let size = if parts == Parts::WithServers { SIZE } else { "64m" };
            let mut holder = Command::new("unshare");
            holder.args(["-rm", "sh", "-c", mount, "sh"]).arg(place.dir.path()).arg(size).stdout(Stdio::piped());
            let mut holder = holder.spawn().unwrap();
            let mut told = [0; 8];
            std::io::Read::read_exact(holder.stdout.as_mut().unwrap(), &mut told).unwrap();
            place.holder = Some(holder);
        }
        std::fs::create_dir_all(place.see("spool")).unwrap();
        if parts == Parts::WithServers {
            SERVERS.iter().for_each(|name| std::fs::create_dir(place.see(name)).unwrap());
            place.servers = Some(RefCell::new(Servers::new(|name| place.path(name))));
        }
        place.step_clock(0);
        place
    }

    /// The servers, if log and store are on some.
    pub(super) fn servers(&self) -> Option<RefMut<'_, Servers>> {
        self.servers.as_ref().map(RefCell::borrow_mut)
    }

    /// Starts servers that do not run; gives what is wrong.
    pub(super) fn start_servers(&self) -> Vec<String> {
        self.servers().map(|mut servers| servers.start(|command| self.inside(&command))).unwrap_or_default()
    }

    /// Log and store as `--log` and `--store` name them.
    pub(super) fn addresses(&self) -> [String; 2] {
        match self.servers() {
            Some(servers) => [servers.log(), servers.store()],
            None => ["log", "store"].map(|name| self.path(name).display().to_string()),
        }
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
        let mut command = self.inside(&command());
        command.envs(SETTINGS).envs(self.settings.iter().copied());
        command.env("PRISM__QUESTDB__SPOOL", format!("\"{}\"", self.path("spool").display()));
        if self.trouble == Trouble::Clock {
            command.env("LD_PRELOAD", FAKETIME).env("FAKETIME_TIMESTAMP_FILE", self.path("clock"));
            command.env("FAKETIME_NO_CACHE", "1").env("FAKETIME_DONT_FAKE_MONOTONIC", "1");
        }
        command
    }

    /// The same command where the small disk is seen, if there is one.
    fn inside(&self, command: &Command) -> Command {
        let mut inside = match &self.holder {
            Some(holder) => {
                let mut inside = Command::new("nsenter");
                inside.args(["-U", "-m", "--preserve-credentials", "-t", &holder.id().to_string()]);
                inside.arg(command.get_program());
                inside
            }
            None => Command::new(command.get_program()),
        };
        inside.args(command.get_args());
        for (name, value) in command.get_envs() {
            match value {
                Some(value) => inside.env(name, value),
                None => inside.env_remove(name),
            };
        }
        inside
    }

    /// The wall clock of the processes is this far off from now on.
    pub(super) fn step_clock(&self, seconds: i64) {
        // Replaced at once: it is read all the time.
        let new = self.see("clock.new");
        std::fs::write(&new, format!("{seconds:+}s\n")).unwrap();
        std::fs::rename(new, self.see("clock")).unwrap();
    }

    /// Takes all that is free on the disk. A large one is made as small as what it holds.
    pub(super) fn fill_disk(&self) {
        if self.servers.is_some() {
            return self.resize("$(($(df -k --output=used \"$1\" | tail -n 1) + 1024))k");
        }
        let mut filler = std::fs::File::create(self.see("filler")).unwrap();
        while filler.write_all(&[0; 4_096]).is_ok() {}
    }

    /// Gives it back.
    pub(super) fn free_disk(&self) {
        if self.servers.is_some() {
            return self.resize(SIZE);
        }
        let _ = std::fs::remove_file(self.see("filler"));
    }

    fn resize(&self, size: &str) {
        // What it holds may grow in between.
        let resize =
            format!("for n in $(seq 20); do mount -o remount,size={size} \"$1\" 2>/dev/null && exit; done; exit 1");
        let mut command = Command::new("sh");
        command.args(["-c", &resize, "sh"]).arg(self.dir.path());
        assert!(self.inside(&command).status().unwrap().success(), "the disk cannot be resized to {size}");
    }

    /// Where the processes say what goes wrong, which is not on a disk that is full.
    pub(super) fn said(&self) -> PathBuf {
        self.servers().map_or_else(|| self.see("stderr"), |servers| servers.services.dir.path().join("stderr"))
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
        let [_, store] = self.addresses();
        let text = self.run(&["sql", "--store", &store, "--format", "csv", sql])?;
        Ok(text.lines().skip(1).map(|line| line.split(',').map(str::to_string).collect()).collect())
    }

    /// How far the live run is kept.
    pub(super) fn frontier(&self) -> Ts {
        if let Some(servers) = self.servers() {
            return servers.frontier();
        }
        let rows =
            self.ask("SELECT CAST(frontier AS BIGINT) * 1000 FROM runs WHERE run_id = 'live'").unwrap_or_default();
        rows.first().and_then(|row| row[0].parse().ok()).unwrap_or(0)
    }

    pub(super) fn log(&self) -> Result<Arc<dyn Log>, String> {
        Ok(match self.servers() {
            Some(servers) => Arc::new(servers.open_log()?),
            None => Arc::new(SegmentLog::open(&self.see("log")).map_err(|error| error.to_string())?),
        })
    }

    /// Whether those who read the log can open it.
    pub(super) fn has_log(&self) -> bool {
        self.servers().map_or_else(|| self.see("log").join("log.json").exists(), |servers| servers.open_log().is_ok())
    }

    /// The live rows, once all that were taken can be read.
    pub(super) fn store(&self) -> Result<Box<dyn RowStore>, String> {
        let Some(servers) = self.servers() else {
            let store = prism_store::Store::open_read(&self.see("store"), "live");
            return Ok(Box::new(store.map_err(|error| error.to_string())?));
        };
        let mut store = servers.services.keeper("live");
        let is_readable = (0..600).any(|_| {
            servers.resume();
            sleep(50);
            store.finish().is_ok_and(|is_readable| is_readable)
        });
        if is_readable { Ok(store) } else { Err("QuestDB does not show all rows within 30 s".into()) }
    }

    /// Ends the log with a promise to every partition, so that all that is in it can be computed; gives its time.
    pub(super) fn seal(&self) -> Result<Ts, String> {
        let log = self.log()?;
        let mut newest = 0;
        let partitions = |topic| (0..log.partitions(topic)).map(move |partition| (topic, partition, 0));
        let places: Vec<_> = Topic::ALL.into_iter().flat_map(partitions).collect();
        for mut records in log.read_all(&places).unwrap() {
            while let Some(record) = records.next().unwrap() {
                newest = record.batch.events.iter().map(|event| event.ts_recv).fold(newest, Ts::max);
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
        Ok(end)
    }

    /// Copies what the processes said to where it stays; gives that place.
    pub(super) fn keep_said(&self, seed: u64) -> PathBuf {
        let kept = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(format!("survive-{seed}"));
        std::fs::create_dir_all(&kept).unwrap();
        let logs =
            self.servers().map(|servers| SERVERS.map(|name| servers.services.dir.path().join(format!("{name}.log"))));
        for said in logs.into_iter().flatten().chain([self.said()]) {
            let _ = std::fs::copy(&said, kept.join(said.file_name().unwrap()));
        }
        kept
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
        store.write(prism_schemas::Versions::of(&rows).unwrap()).unwrap();
        store.flush().unwrap();
    }

    /// Writes the log anew, without what tells how long a process lived, or with each trade once more under another id.
    pub(super) fn rewrite_log(&self, without_evidence: bool) {
        let old = self.log().unwrap();
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
