//! The processes of a run: started, watched by a subscriber, killed hard, started again.

use std::{
    process::{Child, Stdio},
    sync::{Arc, Mutex},
    time::Duration,
};

use futures::{SinkExt, StreamExt};
use prism_schemas::{Ts, random::Random, time::parse_ts};
use tokio_tungstenite::tungstenite::Message;

use super::{Trouble, clock, place::Place, sleep};
use crate::support::{free_port, http};

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
}

/// What a subscriber was told, by known_at.
type Told = Arc<Mutex<Vec<Ts>>>;

/// The processes of one run.
pub(super) struct Scene<'a> {
    place: &'a Place,
    venue: String,
    roles: Vec<Role>,
    told: Told,
    /// How far the run was kept when the subscriber's process started.
    frontier: Ts,
    pub(super) outages: Vec<Outage>,
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
    pub(super) fn new(place: &'a Place, venue: &str, apart: bool) -> Scene<'a> {
        let names: &[&str] = if apart { &["ingest", "compute", "serve"] } else { &["run"] };
        let roles = names.iter().map(|name| Role { name, port: free_port(), child: None }).collect();
        Scene { place, venue: venue.into(), roles, told: Told::default(), frontier: 0, outages: Vec::new() }
    }

    /// Starts what does not run.
    pub(super) fn begin(&mut self) {
        let frontier = self.place.frontier();
        for role in self.roles.iter_mut().filter(|role| role.child.is_none()) {
            let mut command = self.place.prism();
            let [log, store] = ["log", "store"].map(|name| self.place.path(name));
            command.arg(role.name);
            if role.name != "serve" {
                command.arg("--log").arg(log);
            }
            if role.name != "ingest" {
                command.arg("--store").arg(store).args(["--port", &role.port.to_string()]);
            }
            command.env("PRISM__FEEDS__ADDRESSES", format!("{{ \"bybit-linear\" = \"{}\" }}", self.venue));
            command.env("PRISM__FEEDS__FEAR_GREED", "");
            let stderr = std::fs::OpenOptions::new().create(true).append(true).open(self.place.see("stderr")).unwrap();
            role.child = Some(command.stdout(Stdio::null()).stderr(stderr).spawn().unwrap());
            if matches!(role.name, "run" | "compute") {
                self.frontier = frontier;
                self.told = Told::default();
                listen(role.port, self.told.clone());
            }
            if role.name == "ingest" {
                // The others need its log.
                let log = self.place.see("log");
                (0..100).take_while(|_| !log.exists()).for_each(|_| sleep(50));
            }
            if role.name == "compute" {
                let store = self.place.see("store");
                (0..100).take_while(|_| !store.exists()).for_each(|_| sleep(50));
            }
        }
        if let Some(outage) = self.outages.last_mut().filter(|outage| outage.to == Ts::MAX) {
            outage.to = clock()();
        }
    }

    /// The disk is full for a while, or the clock steps; what ended of itself is started again.
    pub(super) fn trouble(&mut self, millis: u64) -> Vec<String> {
        match self.place.trouble() {
            Trouble::Nothing => return Vec::new(),
            Trouble::FullDisk => {
                self.place.fill_disk();
                sleep(500 + millis);
                self.place.free_disk();
            }
            Trouble::Clock => {
                for step in [3_600, -3_600, 0] {
                    self.place.step_clock(step);
                    sleep(300 + millis / 3);
                }
            }
        }
        sleep(300);
        let mut is_source_gone = false;
        for role in &mut self.roles {
            if role.child.as_mut().is_some_and(|child| child.try_wait().unwrap().is_some()) {
                role.child = None;
                is_source_gone |= matches!(role.name, "run" | "ingest");
            }
        }
        if is_source_gone {
            // It ended somewhere within the trouble.
            self.outages.push(Outage { from: clock()(), to: Ts::MAX });
        }
        let problems = self.old_news();
        self.begin();
        sleep(2_000);
        problems
    }

    /// Kills one process, or two at once.
    pub(super) fn kill(&mut self, random: &mut Random) -> Vec<String> {
        let n = self.roles.len() as u64;
        let first = random.below(n) as usize;
        let second = if 1 < n && random.below(3) == 0 { random.below(n) as usize } else { first };
        let at = clock()();
        for index in [first, second] {
            let role = &mut self.roles[index];
            if let Some(mut child) = role.child.take() {
                child.kill().unwrap();
                child.wait().unwrap();
                if matches!(role.name, "run" | "ingest") {
                    self.outages.push(Outage { from: at, to: Ts::MAX });
                }
            }
        }
        self.old_news()
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
        let told = self.told.lock().unwrap();
        let n_old = told.iter().filter(|known| **known < self.frontier).count();
        if n_old == 0 { Vec::new() } else { vec![format!("{n_old} of {} changes were old news", told.len())] }
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
