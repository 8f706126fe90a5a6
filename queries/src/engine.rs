//! The engine: statements in, answers out, within limits, on threads of its own.
//!
//! Users' statements and the endpoints' named queries have threads, memory and turns of their own, so that no
//! statement, whatever it does, delays an endpoint.

use std::sync::Arc;
use std::time::Duration;

use datafusion::execution::session_state::SessionState;
use tokio::runtime::{Builder, Runtime};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::task::JoinHandle;
use tokio::time::{Instant, timeout_at};

use crate::catalogue::Catalogue;
use crate::error::Error;
use crate::job::Job;
use crate::live::LiveRows;
use crate::named::Named;
use crate::output::QueryResult;
use crate::params::Parameters;
use crate::session;
use crate::stored::Place;
use crate::ticket::Ticket;

/// Stack of every thread that plans or runs statements. DataFusion recurses over plans and expressions, and an
/// unoptimised build needs tens of kilobytes for one level; pages that are not touched cost nothing.
pub const STACK_BYTES: usize = 16 * 1024 * 1024;

/// Most rows an endpoint may read; each asks for far fewer.
const ENDPOINT_ROWS_MAX: usize = 1_000_000;

/// The limits of an engine.
#[derive(Clone, Debug)]
pub struct Options {
    /// Stored tables, if there are any.
    pub store: Option<Place>,
    /// The run whose rows plain names are, if a server keeps it among others; the live one if not said.
    pub run: Option<String>,
    /// A statement is cancelled after this long, its wait for a turn included.
    pub timeout: Duration,
    /// An answer has at most this many rows.
    pub rows_max: usize,
    /// All users' statements together take at most this much, of which half is given out; all named queries as much
    /// again.
    pub memory_bytes: usize,
    /// So many statements of users run at once; one more is refused.
    pub concurrency: usize,
    /// Threads for users' statements, and as many for named queries.
    pub threads: usize,
}

impl Default for Options {
    fn default() -> Options {
        Options {
            store: None,
            run: None,
            timeout: Duration::from_secs(10),
            rows_max: 10_000,
            memory_bytes: 256 << 20,
            concurrency: 4,
            threads: 2,
        }
    }
}

/// Answers SQL over the catalogue.
#[derive(Debug)]
pub struct Engine {
    catalogue: Catalogue,
    options: Options,
    users: Lane,
    endpoints: Lane,
}

/// Threads, memory and turns of one kind of statements.
#[derive(Debug)]
struct Lane {
    state: SessionState,
    turns: Arc<Semaphore>,
    n_turns: usize,
    timeout: Duration,
    runtime: Option<Runtime>,
}

impl Engine {
    /// Over a store and rows in memory.
    pub fn new(options: Options, live: Arc<LiveRows>) -> Result<Engine, Error> {
        Engine::with_threads("prism-sql", options, live)
    }

    /// As [`Engine::new`], with a name for the threads of users' statements.
    pub(crate) fn with_threads(name: &str, options: Options, live: Arc<LiveRows>) -> Result<Engine, Error> {
        let catalogue = Catalogue::new(options.store.as_ref(), live).of_run(options.run.clone());
        let users = Lane::new(&catalogue, &options, name, options.concurrency)?;
        let endpoints = Lane::new(&catalogue, &options, "prism-named", 2 * options.threads.max(1))?;
        Ok(Engine { catalogue, options, users, endpoints })
    }

    /// Its limits.
    pub fn options(&self) -> &Options {
        &self.options
    }

    /// What statements can name.
    pub fn catalogue(&self) -> &Catalogue {
        &self.catalogue
    }

    /// An answer may have a quarter of the memory: it is written out afterwards, which takes several times its size.
    fn answer_bytes_max(&self) -> usize {
        self.options.memory_bytes / 4
    }

    /// Answers a user's statement. Dropping the future cancels it. Refuses at once while too many are running.
    pub async fn query(&self, sql: &str, parameters: &Parameters) -> Result<QueryResult, Error> {
        let lane = &self.users;
        let deadline = Instant::now() + lane.timeout;
        let turn = lane.turns.clone().try_acquire_owned().map_err(|_| lane.busy())?;
        lane.run(Job::of_user(sql, parameters, self.options.rows_max, self.answer_bytes_max()), turn, deadline).await
    }

    /// Answers a named query; waits for its turn.
    pub async fn named(&self, named: &Named, parameters: &Parameters) -> Result<QueryResult, Error> {
        let lane = &self.endpoints;
        let deadline = Instant::now() + lane.timeout;
        let turn = timeout_at(deadline, lane.turns.clone().acquire_owned()).await;
        let Ok(Ok(turn)) = turn else { return Err(lane.busy()) };
        lane.run(Job::of_endpoint(named, parameters, ENDPOINT_ROWS_MAX, self.answer_bytes_max()), turn, deadline).await
    }
}

impl Lane {
    fn new(catalogue: &Catalogue, options: &Options, name: &str, n_turns: usize) -> Result<Lane, Error> {
        let threads = options.threads.max(1);
        let runtime = Builder::new_multi_thread()
            .worker_threads(threads)
            .thread_stack_size(STACK_BYTES)
            .thread_name(name)
            .enable_all()
            .build()
            .map_err(|error| Error::Internal(error.to_string()))?;
        Ok(Lane {
            state: session::state(catalogue, options.memory_bytes, threads)?,
            turns: Arc::new(Semaphore::new(n_turns)),
            n_turns,
            timeout: options.timeout,
            runtime: Some(runtime),
        })
    }

    fn busy(&self) -> Error {
        Error::Busy { limit: self.n_turns }
    }

    async fn run(&self, job: Job, turn: OwnedSemaphorePermit, deadline: Instant) -> Result<QueryResult, Error> {
        let Some(runtime) = &self.runtime else { return Err(Error::Internal("the engine is shutting down".into())) };
        let (state, ticket) = (self.state.clone(), Ticket::until(deadline));
        let shown = ticket.clone();
        // The turn goes with the task: what has not yet noticed its cancellation still counts as running.
        let task = runtime.spawn(async move {
            let answer = Box::pin(job.run(state, shown)).await;
            drop(turn);
            answer
        });
        let mut waiting = Waiting { task, ticket };
        match timeout_at(deadline, &mut waiting.task).await {
            Ok(Ok(Err(_))) if waiting.ticket.is_over() => Err(Error::Timeout { after: self.timeout }),
            Ok(Ok(answer)) => answer,
            Ok(Err(error)) => Err(Error::Internal(error.to_string())),
            Err(_) => Err(Error::Timeout { after: self.timeout }),
        }
    }
}

impl Drop for Lane {
    fn drop(&mut self) {
        // An engine may be dropped by a task, which must not wait for threads.
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}

/// Somebody waits for a statement; when nobody does any more, it ends.
struct Waiting<T> {
    task: JoinHandle<T>,
    ticket: Arc<Ticket>,
}

impl<T> Drop for Waiting<T> {
    fn drop(&mut self) {
        self.ticket.drop_it();
        self.task.abort();
    }
}
