//! Kafka, QuestDB and roles of prism for tests, which end with them.

use std::{
    path::PathBuf,
    process::{Child, Command, Stdio},
    sync::{Arc, OnceLock},
    time::Duration,
};

use prism_kafka::{KafkaLog, KafkaOptions};
use prism_log::{Log, LogWriter};
use prism_questdb::blocking::Client;
use prism_schemas::{
    QuestDbAddress, RowStore, Topic, Versions,
    table::TABLES,
    time::{MILLISECOND, SECOND},
};
use prism_store::Store;
use prism_store::digest::{self, Mode};
use prism_store::questdb::{Sink, SinkOptions};

use rdkafka::{
    ClientConfig, Offset, TopicPartitionList,
    admin::{AdminClient, AdminOptions},
};

use crate::{
    determinism::CONFIG,
    support::{Arrival, Said, Synthetic, command, free_port, root},
};

/// Kafka and QuestDB of this test process, on free ports; they end with it, however it ends.
pub(crate) struct Services {
    pub(crate) dir: tempfile::TempDir,
    pub(super) settings: Vec<(&'static str, String)>,
    pub(crate) kafka: String,
    pub(super) questdb: String,
    pub(super) pg_port: u16,
}

impl Services {
    /// Starts both, or says why not.
    pub(crate) fn start(test: &str) -> Option<Services> {
        let services = Services::prepare(test)?;
        services.script("start", &[]);
        Some(services)
    }

    /// A place and ports for both, or a line that says why not.
    pub(crate) fn prepare(test: &str) -> Option<Services> {
        let has = |program: &str| Command::new(program).arg("-version").output().is_ok_and(|out| out.status.success());
        if !has("java") || !has("mvn") {
            eprintln!("SKIPPED {test}: Java and Maven are needed for Kafka and QuestDB");
            return None;
        }
        let ports = [(); 5].map(|()| free_port());
        let dir = tempfile::tempdir().unwrap();
        let names = ["KAFKA_PORT", "KAFKA_CONTROLLER_PORT", "QUESTDB_PORT", "QUESTDB_PG_PORT", "QUESTDB_HEALTH_PORT"];
        let mut settings: Vec<_> = names.into_iter().zip(ports.map(|port| port.to_string())).collect();
        settings.push(("SERVICES_DIR", dir.path().display().to_string()));
        let target = PathBuf::from(env!("CARGO_BIN_EXE_prism")).ancestors().nth(2).unwrap().join("services");
        settings.push(("SERVICES_CLASSPATHS", target.display().to_string()));
        let services = Services {
            dir,
            settings,
            kafka: format!("127.0.0.1:{}", ports[0]),
            questdb: format!("127.0.0.1:{}", ports[2]),
            pg_port: ports[3],
        };
        // Ends the servers when this process is gone; itself when they are.
        let (id, path) = (std::process::id(), services.dir.path().display());
        let watch =
            format!("(while [ -d /proc/{id} -a -d {path} ]; do sleep 1; done; {} kill; rm -rf {path}) &", script());
        services.shell("bash").args(["-c", &watch]).status().unwrap();
        Some(services)
    }

    /// The instance that tests share which disturb nobody.
    pub(crate) fn shared(test: &str) -> Option<&'static Services> {
        static SHARED: OnceLock<Option<Services>> = OnceLock::new();
        SHARED.get_or_init(|| Services::start(test)).as_ref()
    }

    pub(crate) fn shell(&self, program: &str) -> Command {
        let mut command = Command::new(program);
        command.envs(self.settings.iter().map(|(name, value)| (name, value)));
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        command
    }

    pub(crate) fn script(&self, action: &str, names: &[&str]) {
        let output = self.shell(&script()).arg(action).args(names).stderr(Stdio::inherit()).status().unwrap();
        assert!(output.success(), "services.sh {action} {names:?}");
    }

    pub(crate) fn log(&self, namespace: &str) -> String {
        format!("kafka://{}/{namespace}", self.kafka)
    }

    pub(crate) fn store(&self) -> String {
        format!("questdb://{}", self.questdb)
    }

    /// What QuestDB answers to a statement.
    pub(crate) fn ask(&self, sql: &str) -> Result<Vec<Vec<serde_json::Value>>, prism_questdb::Error> {
        Client::new(QuestDbAddress::parse(&self.store()).unwrap()).exec(sql, Duration::from_secs(60))
    }

    /// The digest of a run's rows as they are in QuestDB.
    pub(crate) fn digest(&self, run: &str) -> String {
        digest::digest(&*self.keeper(run), Mode::Full).unwrap()
    }

    pub(crate) fn keeper(&self, run: &str) -> Box<dyn RowStore> {
        let spool = self.dir.path().join(format!("spool-{run}-{:?}", std::thread::current().id()));
        let options = SinkOptions { flush_bytes: 1 << 20, spool, spool_bytes: 1 << 30, ttl: Default::default() };
        Box::new(Sink::open(QuestDbAddress::parse(&self.store()).unwrap(), run, options).unwrap())
    }

    /// Copies the live rows of a directory, since no replay may write them to a server.
    pub(crate) fn copy(&self, from: &str) {
        let (from, mut to) = (Store::open_read(from.as_ref(), "live").unwrap(), self.keeper("live"));
        for table in TABLES {
            to.write(Versions::of(&from.read(table).unwrap()).unwrap()).unwrap();
        }
        until(60, || "rows cannot be read".into(), || to.finish().unwrap());
    }

    pub(crate) fn kafka_log(&self, namespace: &str) -> KafkaLog {
        let mut options = KafkaOptions::new(&self.kafka);
        options.namespace = namespace.into();
        KafkaLog::open(options).unwrap()
    }

    /// Writes events to Kafka, and to every partition a heartbeat after them; returns the time of those.
    pub(crate) fn fill(&self, namespace: &str, arrivals: &[Arrival]) -> i64 {
        let log: Arc<dyn Log> = Arc::new(self.kafka_log(namespace));
        let mut writer = LogWriter::new(log.clone());
        for arrival in arrivals {
            writer.push(&arrival.id, arrival.event.clone()).unwrap();
        }
        let last = arrivals.iter().map(|arrival| arrival.event.ts_recv).max().unwrap();
        let end = (last / SECOND + 10) * SECOND + 50 * MILLISECOND;
        for topic in Topic::ALL {
            for partition in 0..log.partitions(topic) {
                writer.heartbeat(topic, partition, end, "the test ends").unwrap();
            }
        }
        writer.sync().unwrap();
        end
    }

    /// How far `live` is kept, in UNIX nanoseconds.
    pub(crate) fn frontier(&self) -> Option<i64> {
        let rows = self.ask("SELECT cast(max(frontier) AS LONG) FROM runs WHERE run_id = 'live'").ok()?;
        Some(rows.first()?.first()?.as_i64()? * 1_000)
    }

    /// Removes the first messages of all partitions of trades.
    pub(crate) fn truncate(&self, namespace: &str) {
        let admin: AdminClient<_> = ClientConfig::new().set("bootstrap.servers", &self.kafka).create().unwrap();
        let mut before = TopicPartitionList::new();
        for partition in 0..4 {
            before.add_partition_offset(&format!("{namespace}.trades"), partition, Offset::Offset(1)).unwrap();
        }
        futures::executor::block_on(admin.delete_records(&before, &AdminOptions::new())).unwrap();
    }

    /// The time of the heartbeats that `fill` wrote last.
    pub(crate) fn frontier_of(&self, namespace: &str) -> i64 {
        let log = self.kafka_log(namespace);
        let end = log.end(Topic::Status, 0).unwrap();
        let mut records = log.read(Topic::Status, 0, end - 1).unwrap();
        let record = records.next().unwrap().unwrap();
        record.batch.events[0].ts_recv
    }

    /// A configuration whose scores are warm soon.
    pub(crate) fn config(&self) -> PathBuf {
        let config = self.dir.path().join("prism.toml");
        std::fs::write(&config, CONFIG).unwrap();
        config
    }

    pub(crate) fn compute(&self, namespace: &str) -> Running {
        self.start_compute(command(), namespace, 1)
    }

    /// Compute as `program` runs it.
    pub(crate) fn start_compute(&self, mut program: Command, namespace: &str, workers: u64) -> Running {
        let config = self.config();
        let port = free_port();
        program.args(["compute", "--log", &self.log(namespace), "--store", &self.store()]);
        program.args(["--workers", &workers.to_string(), "--port", &port.to_string(), "--config"]).arg(&config);
        program.env("PRISM__QUESTDB__SPOOL", self.spool());
        // What these tests compute is long past.
        program.env("PRISM__API__STALE", "\"0s\"");
        let errors = std::fs::File::options().create(true).append(true).open(self.dir.path().join("compute.log"));
        program.stdout(Stdio::null()).stderr(errors.unwrap());
        Running { child: program.spawn().unwrap(), port }
    }

    /// Where compute's rows wait.
    pub(crate) fn spool(&self) -> PathBuf {
        self.dir.path().join("spool")
    }

    /// Waits until `live` is kept up to `end` and can be read.
    pub(crate) fn wait(&self, compute: &mut Running, end: i64) {
        until(
            120,
            || format!("{:?} of {end}: {}", self.frontier(), self.said()),
            || {
                assert!(compute.child.try_wait().unwrap().is_none(), "compute ended: {}", self.said());
                self.frontier().is_some_and(|frontier| end - 100 * MILLISECOND <= frontier)
            },
        );
        let mut store = self.keeper("live");
        until(60, || "rows cannot be read".into(), || store.finish().unwrap());
    }

    pub(crate) fn said(&self) -> String {
        std::fs::read_to_string(self.dir.path().join("compute.log")).unwrap_or_default()
    }

    pub(crate) fn replay(&self, namespace: &str, store: &str, run: &str) -> Said {
        let config = self.config();
        let spool = self.dir.path().join("spool-of-replay");
        let mut replay = command();
        replay.args(["replay", "--log", &self.log(namespace), "--store", store, "--run", run, "--digest"]);
        replay.arg("--config").arg(&config).env("PRISM__QUESTDB__SPOOL", spool);
        Said::of(&replay.output().unwrap())
    }

    pub(crate) fn embedded(&self, name: &str) -> String {
        self.dir.path().join(name).display().to_string()
    }
}

impl Drop for Services {
    fn drop(&mut self) {
        let _ = self.shell(&script()).arg("kill").status();
    }
}

pub(crate) fn script() -> String {
    root().join("tests/services/services.sh").display().to_string()
}

/// A role, killed if a check fails before its end.
pub(crate) struct Running {
    pub(crate) child: Child,
    pub(crate) port: u16,
}

impl Running {
    pub(crate) fn kill(&mut self) {
        // SIGKILL, as a machine that loses its power.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.kill();
    }
}

/// Looks every 50 ms whether something has happened; fails after so many seconds, thrice as many on a busy machine.
pub(crate) fn until(seconds: u64, said: impl Fn() -> String, mut has_happened: impl FnMut() -> bool) {
    for _ in 0..seconds * 60 {
        if has_happened() {
            return;
        }
        std::thread::sleep(Duration::from_millis(50));
    }
    panic!("not after {seconds} s: {}", said());
}

pub(crate) fn market(seed: u64, trades: i64) -> Vec<Arrival> {
    Synthetic { seed, hours: 7, trades, late: 300, copies: 50 }.arrivals()
}
