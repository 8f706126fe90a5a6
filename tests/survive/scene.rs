//! The processes of a run: started, watched by subscribers, killed hard, started again.

use std::{
    process::{Child, Stdio},
    sync::{Arc, Mutex},
    time::Duration,
};

use futures::{SinkExt, StreamExt};
use prism_schemas::{Ts, random::Random, time::parse_ts};
use tokio_tungstenite::tungstenite::Message;

use super::{Parts, Trouble, clock, place::Place, servers::SERVERS, sleep, tally::Tally};
use crate::support::{free_port, http};

/// After a server has been away for so long, in milliseconds, compute must have said so.
const TELLING: u64 = 4_000;

/// When nobody wrote to the log: from a kill until feeds are connected again.
#[derive(Clone, Copy, Debug)]
pub(super) struct Outage {
    pub(super) from: Ts,
    pub(super) to: Ts,
}

/// One process of prism.
struct Role {
    name: &'static str,
    port: u16,
    child: Option<Child>,
    told: Told,
    /// How far the run was kept when it started.
    frontier: Ts,
}

/// What a subscriber was told, by known_at.
type Told = Arc<Mutex<Vec<Ts>>>;

/// The processes of one run.
pub(super) struct Scene<'a> {
    place: &'a Place,
    venue: String,
    roles: Vec<Role>,
    pub(super) outages: Vec<Outage>,
    pub(super) tally: Tally,
    /// Roles that ended at their start because a server did not answer.
    n_turned_away: usize,
}

impl Drop for Scene<'_> {
    fn drop(&mut self) {
        for child in self.roles.iter_mut().filter_map(|role| role.child.as_mut()) {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

impl<'a> Scene<'a> {
    /// All in one process, or a process for each role.
    pub(super) fn new(place: &'a Place, venue: &str, parts: Parts) -> Scene<'a> {
        let names: &[&str] = if parts == Parts::Whole { &["run"] } else { &["ingest", "compute", "serve"] };
        let role =
            |name: &&'static str| Role { name, port: free_port(), child: None, told: Told::default(), frontier: 0 };
        let roles = names.iter().map(role).collect();
        Scene { place, venue: venue.into(), roles, outages: Vec::new(), tally: Tally::default(), n_turned_away: 0 }
    }

    /// What can be killed.
    pub(super) fn parts(&self) -> Vec<&'static str> {
        let servers = if self.place.servers().is_some() { &SERVERS[..] } else { &[] };
        self.roles.iter().map(|role| role.name).chain(servers.iter().copied()).collect()
    }

    /// Starts what does not run; gives what is wrong.
    pub(super) fn begin(&mut self) -> Vec<String> {
        let mut problems = self.fallen();
        problems.extend(self.place.start_servers());
        let frontier = self.place.frontier();
        for at in 0..self.roles.len() {
            if self.roles[at].child.is_some() {
                continue;
            }
            let child = self.start(&self.roles[at]);
            let role = &mut self.roles[at];
            (role.child, role.frontier, role.told) = (Some(child), frontier, Told::default());
            if role.name != "ingest" {
                listen(role.port, role.told.clone());
            }
            match role.name {
                // The others need its log.
                "ingest" => drop((0..200).take_while(|_| !self.place.has_log()).map(|_| sleep(50)).count()),
                "compute" if self.place.servers().is_none() => {
                    let store = self.place.see("store");
                    (0..100).take_while(|_| !store.exists()).for_each(|_| sleep(50));
                }
                _ => {}
            }
        }
        if let Some(outage) = self.outages.last_mut().filter(|outage| outage.to == Ts::MAX) {
            outage.to = clock()();
        }
        problems
    }

    fn start(&self, role: &Role) -> Child {
        let mut command = self.place.prism();
        let [log, store] = self.place.addresses();
        command.arg(role.name);
        if role.name != "serve" {
            command.args(["--log", &log]);
        }
        if role.name != "ingest" {
            command.args(["--store", &store, "--port", &role.port.to_string()]);
        }
        command.env("PRISM__FEEDS__ADDRESSES", format!("{{ \"bybit-linear\" = \"{}\" }}", self.venue));
        command.env("PRISM__FEEDS__FEAR_GREED", "");
        let stderr = std::fs::OpenOptions::new().create(true).append(true).open(self.place.said()).unwrap();
        command.stdout(Stdio::null()).stderr(stderr).spawn().unwrap()
    }

    /// Forgets what ended of itself, so that it is started again. Only a full disk is a reason to end, and a server that
    /// does not answer at the start, in one line that names it.
    fn fallen(&mut self) -> Vec<String> {
        let mut problems = self.old_news();
        let said = std::fs::read_to_string(self.place.said()).unwrap_or_default();
        let is_of_server = |line: &&str| line.starts_with("error: kafka://") || line.starts_with("error: questdb://");
        let n_turned_away = said.lines().filter(is_of_server).count();
        for role in &mut self.roles {
            let Some(status) = role.child.as_mut().and_then(|child| child.try_wait().unwrap()) else { continue };
            role.child = None;
            if self.n_turned_away < n_turned_away {
                self.n_turned_away += 1;
            } else if self.place.trouble() != Trouble::FullDisk {
                problems.push(format!("{} ended of itself with {status}", role.name));
            }
            if matches!(role.name, "run" | "ingest") {
                // It ended somewhere within the trouble.
                self.outages.push(Outage { from: clock()(), to: Ts::MAX });
            }
        }
        problems
    }

    /// The disk is full for a while, or the clock steps, and the victims die meanwhile or afterwards.
    pub(super) fn round(&mut self, random: &mut Random, victims: &[&'static str]) -> Vec<String> {
        let mut problems = self.begin();
        sleep(2_000 + random.below(3_000));
        let (millis, is_meanwhile, mut at) = (random.below(2_000), random.below(2) == 0, random.below(3));
        if self.place.trouble() == Trouble::Clock && self.place.servers().is_some() {
            // The Kafka client waits by the wall clock before it connects again: a step back holds it up for as long.
            problems.extend(self.ready());
            at = if victims.contains(&"kafka") { 2 } else { at };
        }
        match self.place.trouble() {
            Trouble::Nothing => {}
            Trouble::FullDisk => {
                self.place.fill_disk();
                sleep(500 + millis);
                if is_meanwhile {
                    problems.extend(self.kill(victims));
                    self.tally.full_disk += 1;
                    sleep(millis);
                }
                self.place.free_disk();
            }
            Trouble::Clock => {
                for (n, step) in (0..).zip([3_600, -3_600, 0]) {
                    self.place.step_clock(step);
                    // Whoever lives for a second sees it, and tells it.
                    sleep(1_000 + millis / 3);
                    if is_meanwhile && n == at {
                        problems.extend(self.kill(victims));
                        self.tally.clock += 1;
                    }
                }
            }
        }
        if self.place.trouble() == Trouble::Nothing || !is_meanwhile {
            if self.place.trouble() != Trouble::Nothing {
                sleep(300);
                problems.extend(self.begin());
                sleep(2_000);
            }
            problems.extend(self.kill(victims));
        }
        problems.extend(self.pause(random.below(if self.place.servers().is_some() { 6_000 } else { 4_000 })));
        problems
    }

    /// Waits. A compute that lives must say in time which servers are away.
    fn pause(&mut self, millis: u64) -> Vec<String> {
        sleep(millis);
        let compute = self.roles.iter_mut().find(|role| role.name == "compute").and_then(|role| {
            let lives = role.child.as_mut()?.try_wait().unwrap().is_none();
            lives.then_some(role.port)
        });
        let away = self.place.servers().map(|servers| servers.away()).unwrap_or_default();
        let Some(compute) = compute.filter(|_| TELLING <= millis) else { return Vec::new() };
        let is_told = |address: &String, (status, body): &(u16, String)| *status == 503 && body.contains(address);
        let mut problems = Vec::new();
        for address in away {
            let mut answer = (0, String::new());
            let told = (0..40).any(|_| {
                answer = http(compute, "GET", "/ready", "").unwrap_or_default();
                is_told(&address, &answer) || {
                    sleep(100);
                    false
                }
            });
            if !told {
                problems.push(format!("{address} is away and compute says {answer:?}"));
            }
        }
        problems
    }

    /// Kills all victims at once.
    fn kill(&mut self, victims: &[&'static str]) -> Vec<String> {
        let at = clock()();
        for name in victims {
            if let Some(mut servers) = self.place.servers().filter(|_| SERVERS.contains(name)) {
                servers.kill(name);
                self.tally.killed(name);
            }
            let Some(role) = self.roles.iter_mut().find(|role| role.name == *name) else { continue };
            let Some(mut child) = role.child.take() else { continue };
            child.kill().unwrap();
            child.wait().unwrap();
            self.tally.killed(name);
            if matches!(role.name, "run" | "ingest") {
                self.outages.push(Outage { from: at, to: Ts::MAX });
            }
        }
        self.tally.pairs += u64::from(1 < victims.len());
        self.old_news()
    }

    /// Waits until everything is ready again, where a server was away.
    pub(super) fn settle(&mut self) -> Vec<String> {
        let mut problems = self.begin();
        sleep(4_000);
        if self.place.servers().is_none() {
            return problems;
        }
        problems.extend(self.ready());
        problems
    }

    /// Waits until all who serve are ready; gives those that are not within 30 s.
    fn ready(&mut self) -> Vec<String> {
        let mut problems = Vec::new();
        let serving: Vec<_> = self.roles.iter().map(|role| (role.name, role.port)).collect();
        for (name, port) in serving.into_iter().filter(|(name, _)| *name != "ingest") {
            let mut answer = (0, String::new());
            let is_ready = (0..150).any(|_| {
                self.place.servers().iter().for_each(|servers| servers.resume());
                answer = http(port, "GET", "/ready", "").unwrap_or_default();
                answer.0 == 200 || {
                    if self
                        .roles
                        .iter_mut()
                        .filter_map(|role| role.child.as_mut())
                        .any(|c| c.try_wait().unwrap().is_some())
                    {
                        problems.extend(self.begin());
                    }
                    sleep(200);
                    false
                }
            });
            if !is_ready {
                problems.push(format!("{name} does not get ready: {}", answer.1));
            }
        }
        problems
    }

    /// Ends all in order; each must end well.
    pub(super) fn end(&mut self) -> Vec<String> {
        let mut problems = self.old_news();
        for role in &mut self.roles {
            let Some(mut child) = role.child.take() else { continue };
            if role.name != "ingest" && http(role.port, "GET", "/health", "").is_err() {
                problems.push(format!("{} does not answer", role.name));
            }
            let _ = std::process::Command::new("kill").arg(child.id().to_string()).status();
            let ended = (0..300).find_map(|_| {
                sleep(50);
                child.try_wait().unwrap()
            });
            match ended {
                Some(status) if status.success() => {}
                Some(status) => problems.push(format!("{} ended with {status}", role.name)),
                None => {
                    problems.push(format!("{} does not end within 15 s", role.name));
                    let _ = child.kill();
                    let _ = child.wait();
                }
            }
        }
        problems
    }

    /// What a subscriber was told although it was known before the process started.
    fn old_news(&self) -> Vec<String> {
        let mut problems = Vec::new();
        for role in &self.roles {
            let told = role.told.lock().unwrap();
            let n_old = told.iter().filter(|known| **known < role.frontier).count();
            if 0 < n_old {
                problems.push(format!("{n_old} of {} changes that {} told were old news", told.len(), role.name));
            }
        }
        problems
    }
}

/// Subscribes to all channels as soon as somebody listens, and notes when what is told became known.
fn listen(port: u16, told: Told) {
    let listening = async move {
        let url = format!("ws://127.0.0.1:{port}/ws/survive");
        let mut stream = None;
        for _ in 0..400 {
            match tokio_tungstenite::connect_async(&url).await {
                Ok((connected, _)) => {
                    stream = Some(connected);
                    break;
                }
                Err(_) => tokio::time::sleep(Duration::from_millis(25)).await,
            }
        }
        let Some(mut stream) = stream else { return };
        for channel in ["confluence", "signal"] {
            let subscribe = format!("{{\"op\": \"subscribe\", \"channel\": \"{channel}\"}}");
            let _ = stream.send(Message::text(subscribe)).await;
        }
        while let Some(Ok(message)) = stream.next().await {
            let Message::Text(text) = message else { continue };
            let message: serde_json::Value = serde_json::from_str(&text).unwrap_or_default();
            let known = message["known_at"].as_str().and_then(parse_ts);
            if let (Some("confluence" | "signal"), Some(known)) = (message["type"].as_str(), known) {
                told.lock().unwrap().push(known);
            }
        }
    };
    std::thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(listening);
    });
}
