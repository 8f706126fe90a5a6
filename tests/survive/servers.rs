//! Kafka and QuestDB of one run: started side by side on the run's disk, killed hard, started again where they were.

use std::process::{Child, Command, Stdio};

use prism_kafka::{KafkaLog, KafkaOptions};
use prism_schemas::Ts;

use crate::services::{Services, script};

/// Both servers, as the script names them.
pub(super) const SERVERS: [&str; 2] = ["kafka", "questdb"];
/// First part of the topics' names.
const NAMESPACE: &str = "survive";

/// Whether this machine has what the servers need; tells if not.
pub(super) fn can_start() -> bool {
    let is_there = |program: &str| Command::new(program).arg("-version").output().is_ok_and(|out| out.status.success());
    let can = is_there("java") && is_there("mvn");
    if !can {
        println!("SKIPPED survive: its runs over Kafka and QuestDB need Java and Maven");
    }
    can
}

/// The servers of a run.
pub(super) struct Servers {
    pub(super) services: Services,
    /// Those that were killed and are not started again.
    dead: Vec<&'static str>,
}

impl Servers {
    /// Ports, and a folder for what is no data. What the servers keep is where `data` says.
    pub(super) fn new(data: impl Fn(&str) -> std::path::PathBuf) -> Servers {
        let services = Services::prepare("survive").unwrap();
        for name in SERVERS {
            std::os::unix::fs::symlink(data(name), services.dir.path().join(name)).unwrap();
        }
        Servers { services, dead: SERVERS.to_vec() }
    }

    pub(super) fn log(&self) -> String {
        self.services.log(NAMESPACE)
    }

    pub(super) fn store(&self) -> String {
        self.services.store()
    }

    /// The log, whose topics must exist.
    pub(super) fn open_log(&self) -> Result<KafkaLog, String> {
        let mut options = KafkaOptions::new(&self.services.kafka);
        options.namespace = NAMESPACE.into();
        KafkaLog::open_read(options).map_err(|error| error.to_string())
    }

    /// How far the live run is kept.
    pub(super) fn frontier(&self) -> Ts {
        self.services.frontier().unwrap_or(0)
    }

    /// Starts what does not run, and has QuestDB apply rows that it refused to on a full disk, as a person would.
    pub(super) fn start(&mut self, inside: impl Fn(Command) -> Command) -> Vec<String> {
        let starting: Vec<Child> = SERVERS
            .iter()
            .map(|name| {
                let mut command = self.services.shell(&script());
                command.args(["start", name]);
                inside(command).stdin(Stdio::null()).stdout(Stdio::null()).spawn().unwrap()
            })
            .collect();
        self.dead.clear();
        let mut problems = Vec::new();
        for (name, mut child) in SERVERS.iter().zip(starting) {
            if !child.wait().unwrap().success() {
                problems.push(format!("{name} does not start"));
            }
        }
        self.resume();
        problems
    }

    /// Resumes tables that QuestDB suspended.
    pub(super) fn resume(&self) {
        for name in self.services.ask("SELECT name FROM wal_tables() WHERE suspended").unwrap_or_default() {
            let _ = self.services.ask(&format!("ALTER TABLE {} RESUME WAL", name[0].as_str().unwrap_or_default()));
        }
    }

    pub(super) fn kill(&mut self, name: &'static str) {
        self.services.script("kill", &[name]);
        self.dead.push(name);
    }

    /// The addresses of those that are dead.
    pub(super) fn away(&self) -> Vec<String> {
        let address = |name: &&str| if *name == "kafka" { self.log() } else { self.store() };
        self.dead.iter().map(address).collect()
    }
}
