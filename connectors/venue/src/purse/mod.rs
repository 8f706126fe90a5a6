//! The budget of requests to one address: what the feeds may spend, the small share that users may, and when nobody may ask.

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, LazyLock, Mutex, MutexGuard, PoisonError, Weak};
use std::time::{Duration, Instant};

use prism_exchange::{Cap, Limits, Request};

use super::rest::{Class, Failure, kind, now};

/// The share of the venue's budget that is used, in percent: others may share the address.
const SHARE: u32 = 80;
/// The share that requests on behalf of users may spend, in percent.
const USERS: u32 = 10;
/// What a snapshot of a symbol weighs at venues that do not weigh requests.
const SNAPSHOT: u32 = 16;
/// The share that they leave to the feeds, in percent: a book or trades that were lost are asked for at once.
const RESERVE: u32 = 20;
/// Failures in a row after which nobody asks for a while, and then one request tries.
const BREAK: u32 = 5;
/// The first wait of those, and the longest.
const BREAK_MIN: Duration = Duration::from_millis(250);
const BREAK_MAX: Duration = Duration::from_secs(30);
/// Between two looks whether that one was answered.
const LOOK: Duration = Duration::from_millis(20);

/// On whose behalf requests are made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Payer {
    /// The feeds, which may spend all there is.
    Feeds,
    /// A user, who may spend a tenth, and never what the feeds may need at once.
    User,
}

/// The state of a venue's budget.
#[derive(Clone, Copy, Debug, PartialEq, serde::Serialize)]
pub struct Quota {
    /// Weight that may be spent within the window.
    pub weight: u32,
    /// What is left of it now.
    pub left: u32,
    /// The window, in seconds.
    pub window_s: u32,
    /// Requests since the start, and the share that was answered.
    pub requests: u64,
    /// 1 before the first.
    pub success_rate: f64,
    /// Whether nobody asks for a while, after failures in a row or a refusal, be it of one kind of requests.
    pub open: bool,
}

/// What all who ask one address share.
#[derive(Default)]
pub(super) struct Purse {
    /// Held while waiting: whoever asked first goes first, users among themselves.
    turn: tokio::sync::Mutex<()>,
    users_turn: tokio::sync::Mutex<()>,
    budget: Mutex<Budget>,
}

/// What requests cost so far, and how they went.
#[derive(Default)]
struct Budget {
    /// Weights within the window, and when; and those of users among them.
    spent: VecDeque<(Instant, u32)>,
    spent_by_users: VecDeque<(Instant, u32)>,
    /// When requests with a limit of their own were made.
    capped: HashMap<&'static str, VecDeque<Instant>>,
    /// Requests of a kind that nobody may make before, and why.
    kinds: HashMap<String, (Instant, String)>,
    /// Nobody may ask before, and of which kind the failure was that said so.
    closed: Option<Instant>,
    class: Option<Class>,
    /// Failures in a row, of the venue or the network.
    failures: u32,
    /// What the last failure was.
    why: String,
    /// One request is under way to see whether they are over.
    is_trying: bool,
    asked: u64,
    /// Those that ended, and those of them that were answered.
    ended: u64,
    answered: u64,
}

/// A request under way; it may be given up at any time.
pub(super) struct Trying<'a>(&'a Purse);

impl Drop for Trying<'_> {
    fn drop(&mut self) {
        self.0.budget().is_trying = false;
    }
}

/// What a purse's owner may spend.
#[derive(Clone, Copy, Debug)]
pub(super) struct Allowance {
    limits: Limits,
    speed: u32,
    payer: Payer,
}

/// When a request may be made.
enum Wait {
    Now,
    /// Not before this long, and why.
    For(Duration, Why),
}

/// Why a request waits.
enum Why {
    /// The purse is empty.
    Room,
    /// Nobody asks for a while.
    Closed,
    /// Nobody asks such questions for a while.
    Kind(String),
    /// Another request sees whether the venue answers again.
    Trying,
}

/// The one of an address: a venue counts what comes from here, not who asked.
pub(super) fn purse(base: &str) -> Arc<Purse> {
    static PURSES: LazyLock<Mutex<HashMap<String, Weak<Purse>>>> = LazyLock::new(Mutex::default);
    let mut purses = PURSES.lock().unwrap_or_else(PoisonError::into_inner);
    purses.retain(|_, purse| 0 < purse.strong_count());
    let purse = purses.get(base).and_then(Weak::upgrade).unwrap_or_default();
    purses.insert(base.into(), Arc::downgrade(&purse));
    purse
}

/// What was spent within a window.
fn used(spent: &mut VecDeque<(Instant, u32)>, window: Duration) -> u32 {
    while spent.front().is_some_and(|(at, _)| window <= at.elapsed()) {
        spent.pop_front();
    }
    spent.iter().map(|(_, weight)| weight).sum()
}

/// Until so much of what was spent is over.
fn until(spent: &VecDeque<(Instant, u32)>, excess: u32, window: Duration) -> Duration {
    let mut over = 0;
    let last = spent.iter().find(|(_, weight)| {
        over += weight;
        excess <= over
    });
    last.map_or(LOOK, |(at, _)| window.saturating_sub(at.elapsed()))
}

impl Allowance {
    pub(super) fn new(limits: Limits, speed: u32, payer: Payer) -> Allowance {
        Allowance { limits, speed, payer }
    }

    fn window(&self) -> Duration {
        Duration::from_secs(self.limits.window.into()) / self.speed
    }

    /// The weight that may be spent within the window.
    fn room(&self) -> u32 {
        match self.payer {
            Payer::Feeds => self.limits.weight * SHARE / 100,
            // Where a tenth is less, one snapshot.
            Payer::User => {
                (self.limits.weight * USERS / 100).max(SNAPSHOT).min(self.limits.weight * (SHARE - RESERVE) / 100)
            }
        }
    }

    /// Requests of a kind that may be made within its window.
    fn room_of(&self, cap: Cap) -> usize {
        match self.payer {
            Payer::Feeds => (cap.requests * SHARE / 100) as usize,
            Payer::User => (cap.requests * (SHARE - RESERVE) / 100) as usize,
        }
    }

    /// When a weight may be spent; it is, if that is now.
    fn spend(&self, budget: &mut Budget, weight: u32) -> Wait {
        let window = self.window();
        let total = used(&mut budget.spent, window);
        let by_users = used(&mut budget.spent_by_users, window);
        let is_broken = BREAK <= budget.failures;
        if let Some(closed) = budget.closed.filter(|until| now() < *until) {
            return Wait::For(closed - now(), Why::Closed);
        }
        if is_broken && budget.is_trying {
            return Wait::For(LOOK, Why::Trying);
        }
        let excess = |used: u32, room: u32| (used + weight).saturating_sub(room);
        // Who spent nothing may ask whatever it weighs.
        let (limit, is_user) = (self.limits.weight, self.payer == Payer::User);
        let all = if is_user { limit * (SHARE - RESERVE) / 100 } else { self.room() };
        let over_all = if budget.spent.is_empty() { 0 } else { excess(total, all) };
        let over_own = if is_user && !budget.spent_by_users.is_empty() { excess(by_users, self.room()) } else { 0 };
        if 0 < over_all || 0 < over_own {
            let all = if 0 < over_all { until(&budget.spent, over_all, window) } else { Duration::ZERO };
            let own = if 0 < over_own { until(&budget.spent_by_users, over_own, window) } else { Duration::ZERO };
            return Wait::For(all.max(own), Why::Room);
        }
        budget.closed = None;
        budget.is_trying = is_broken;
        budget.spent.push_back((now(), weight));
        if is_user {
            budget.spent_by_users.push_back((now(), weight));
        }
        budget.asked += 1;
        Wait::Now
    }
}

impl Purse {
    fn budget(&self) -> MutexGuard<'_, Budget> {
        self.budget.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What is left.
    pub(super) fn quota(&self, of: &Allowance) -> Quota {
        let mut budget = self.budget();
        let feeds = Allowance { payer: Payer::Feeds, ..*of };
        let left = feeds.room().saturating_sub(used(&mut budget.spent, of.window()));
        let Budget { asked, ended, answered, closed, .. } = *budget;
        let success_rate = if ended == 0 { 1.0 } else { answered as f64 / ended as f64 };
        let kinds = budget.kinds.values().map(|(until, _)| *until);
        let open = kinds.chain(closed).any(|until| now() < until);
        Quota { weight: feeds.room(), left, window_s: of.limits.window, requests: asked, success_rate, open }
    }

    /// What the last failure was, if nobody may ask.
    pub(super) fn why(&self) -> String {
        let budget = self.budget();
        let is_closed = budget.closed.is_some_and(|until| now() < until);
        match budget.kinds.iter().find(|(_, (until, _))| !is_closed && now() < *until) {
            Some((kind, (_, why))) => format!("nobody asks for {kind} for a while: {why}"),
            None => format!("nobody asks for a while: {}", budget.why),
        }
    }

    /// Others at this address spend of it too: this is what the venue says was used.
    pub(super) fn note_used(&self, of: &Allowance, said: u32) {
        let mut budget = self.budget();
        let unseen = said.saturating_sub(used(&mut budget.spent, of.window()));
        if 0 < unseen {
            budget.spent.push_back((now(), unseen));
        }
    }

    /// Waits until a request may be made; if that is not before `deadline`, says at once why, and for how long.
    pub(super) async fn take(
        &self,
        of: &Allowance,
        request: &Request,
        deadline: Option<Instant>,
    ) -> Result<Trying<'_>, Failure> {
        self.take_kind(of, kind(&request.path), deadline).await?;
        if let Some(cap) = request.cap {
            self.take_of(of, cap, deadline).await?;
        }
        let turn = if of.payer == Payer::User { &self.users_turn } else { &self.turn };
        let _turn = turn.lock().await;
        loop {
            let waited = of.spend(&mut self.budget(), request.weight);
            let Wait::For(wait, why) = waited else { return Ok(Trying(self)) };
            self.wait(of, wait, &why, deadline).await?;
        }
    }

    /// Waits until the venue takes requests of a kind again, of which there were too many.
    async fn take_kind(&self, of: &Allowance, kind: &str, deadline: Option<Instant>) -> Result<(), Failure> {
        loop {
            let (until, why) = match self.budget().kinds.get(kind) {
                Some((until, why)) if now() < *until => (*until, why.clone()),
                _ => return Ok(()),
            };
            self.wait(of, until - now(), &Why::Kind(why), deadline).await?;
        }
    }

    /// Waits until requests of a kind have room for one more, beside the budget: others need not.
    async fn take_of(&self, of: &Allowance, cap: Cap, deadline: Option<Instant>) -> Result<(), Failure> {
        let window = Duration::from_secs(cap.window.into()) / of.speed;
        loop {
            let wait = {
                let mut budget = self.budget();
                let times = budget.capped.entry(cap.of).or_default();
                while times.front().is_some_and(|at| window <= at.elapsed()) {
                    times.pop_front();
                }
                match times.front() {
                    Some(first) if of.room_of(cap) <= times.len() => window.saturating_sub(first.elapsed()),
                    _ => {
                        times.push_back(now());
                        return Ok(());
                    }
                }
            };
            self.wait(of, wait, &Why::Room, deadline).await?;
        }
    }

    /// Waits, if that is worth it.
    async fn wait(&self, of: &Allowance, wait: Duration, why: &Why, deadline: Option<Instant>) -> Result<(), Failure> {
        let wait = wait.max(Duration::from_millis(1));
        // A user is told at once that nobody asks.
        let is_closed = of.payer == Payer::User && matches!(why, Why::Closed | Why::Kind(_));
        if is_closed || deadline.is_some_and(|deadline| deadline < now() + wait) {
            return Err(self.refusal(of, wait, why));
        }
        tokio::time::sleep(wait).await;
        Ok(())
    }

    /// Why a request is not made at all.
    fn refusal(&self, of: &Allowance, wait: Duration, why: &Why) -> Failure {
        let seconds = wait.as_secs_f64().max(0.1);
        let budget = self.budget();
        let (class, detail) = match why {
            Why::Room => {
                let (room, window) = (of.room(), of.limits.window);
                let whose = if of.payer == Payer::User { "users may spend" } else { "may be spent" };
                let detail = format!(
                    "all that {whose} ({room} of weight within {window} s) is spent, ask again in {seconds:.1} s"
                );
                (Class::RateLimit, detail)
            }
            Why::Kind(why) => (Class::RateLimit, format!("{why}, nobody asks this again for {seconds:.1} s")),
            Why::Closed | Why::Trying => {
                let class = budget.class.unwrap_or(Class::Network);
                (class, format!("{}, nobody asks again for {seconds:.1} s", budget.why))
            }
        };
        Failure::new(class, detail, None)
    }

    /// What an answer or its absence means for those who ask next.
    pub(super) fn note(&self, of: &Allowance, outcome: &Result<String, Failure>) {
        let mut budget = self.budget();
        budget.ended += 1;
        let failure = match outcome {
            Ok(_) => {
                budget.failures = 0;
                budget.answered += 1;
                return;
            }
            Err(failure) => failure,
        };
        if let (Some(kind), Some(wait)) = (&failure.of, failure.wait) {
            let closed = (now() + wait, failure.detail.clone());
            budget.kinds.retain(|_, (until, _)| now() < *until);
            budget.kinds.insert(kind.clone(), closed);
            return;
        }
        // Who answers that a question is wrong has not failed.
        match failure.body {
            Some(_) => budget.failures = 0,
            None => budget.failures += u32::from(failure.wait.is_none()),
        }
        let broken = budget.failures.checked_sub(BREAK);
        let broken = broken.map(|n| (BREAK_MIN * 2_u32.saturating_pow(n.min(10))).min(BREAK_MAX));
        let until = failure.wait.or(broken.map(|wait| wait / of.speed)).map(|wait| now() + wait);
        if budget.closed < until {
            (budget.closed, budget.why, budget.class) = (until, failure.detail.clone(), Some(failure.class));
        }
    }
}

#[cfg(test)]
mod tests;
