//! The engine: statements in, answers out, within limits, on threads of its own.

use std::sync::Arc;
use std::time::Duration;

use datafusion::dataframe::DataFrame;
use datafusion::execution::session_state::SessionState;
use datafusion::logical_expr::LogicalPlanBuilder;
use datafusion::prelude::SQLOptions;
use futures::StreamExt;
use tokio::runtime::{Builder, Runtime};
use tokio::sync::Semaphore;
use tokio::task::JoinHandle;

use crate::catalogue::Catalogue;
use crate::error::Error;
use crate::live::LiveRows;
use crate::named::Named;
use crate::output::{OutputColumn, QueryResult};
use crate::params::{self, Parameters, Type};
use crate::stored::Place;
use crate::{guard, session};

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
    /// A statement is cancelled after this long.
    pub timeout: Duration,
    /// An answer has at most this many rows.
    pub rows_max: usize,
    /// All statements together hold at most this much.
    pub memory_bytes: usize,
    /// So many statements of users run at once; one more is refused.
    pub concurrency: usize,
    /// Threads for statements.
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

/// Answers SQL over the catalogue. Its threads are its own, so that a statement that does not yield delays no one else.
#[derive(Debug)]
pub struct Engine {
    catalogue: Catalogue,
    state: SessionState,
    options: Options,
    users: Arc<Semaphore>,
    endpoints: Arc<Semaphore>,
    runtime: Option<Runtime>,
}

impl Engine {
    /// Over a store and rows in memory.
    pub fn new(options: Options, live: Arc<LiveRows>) -> Result<Engine, Error> {
        let catalogue = Catalogue::new(options.store.as_ref(), live).of_run(options.run.clone());
        let state = session::state(&catalogue, options.memory_bytes, options.threads.max(1))?;
        let runtime = Builder::new_multi_thread()
            .worker_threads(options.threads.max(1))
            .thread_stack_size(STACK_BYTES)
            .thread_name("prism-sql")
            .enable_time()
            .build()
            .map_err(|error| Error::Internal(error.to_string()))?;
        Ok(Engine {
            catalogue,
            state,
            users: Arc::new(Semaphore::new(options.concurrency)),
            endpoints: Arc::new(Semaphore::new(2 * options.threads.max(1))),
            options,
            runtime: Some(runtime),
        })
    }

    /// Its limits.
    pub fn options(&self) -> &Options {
        &self.options
    }

    /// What statements can name.
    pub fn catalogue(&self) -> &Catalogue {
        &self.catalogue
    }

    /// Answers a user's statement. Dropping the future cancels it. Refuses at once while too many are running.
    pub async fn query(&self, sql: &str, parameters: &Parameters) -> Result<QueryResult, Error> {
        let limit = self.options.concurrency;
        let permit = self.users.clone().try_acquire_owned().map_err(|_| Error::Busy { limit })?;
        let job = Job { sql: sql.into(), parameters: parameters.clone(), types: None, rows_max: self.options.rows_max };
        self.run(job, permit).await
    }

    /// Answers a named query; waits for its turn.
    pub async fn named(&self, named: &Named, parameters: &Parameters) -> Result<QueryResult, Error> {
        let waiting = tokio::time::timeout(self.options.timeout, self.endpoints.clone().acquire_owned()).await;
        let Ok(Ok(permit)) = waiting else { return Err(Error::Busy { limit: 2 * self.options.threads.max(1) }) };
        let types = Some(named.parameters);
        let job = Job { sql: named.sql.into(), parameters: parameters.clone(), types, rows_max: ENDPOINT_ROWS_MAX };
        self.run(job, permit).await
    }

    async fn run(&self, job: Job, permit: tokio::sync::OwnedSemaphorePermit) -> Result<QueryResult, Error> {
        let Some(runtime) = &self.runtime else { return Err(Error::Internal("the engine is shutting down".into())) };
        let state = self.state.clone();
        // The permit goes with the task: what has not yet noticed its cancellation still counts as running.
        let task = runtime.spawn(async move {
            let answer = Box::pin(job.run(state)).await;
            drop(permit);
            answer
        });
        let mut task = AbortOnDrop(task);
        match tokio::time::timeout(self.options.timeout, &mut task.0).await {
            Ok(Ok(answer)) => answer,
            Ok(Err(error)) => Err(Error::Internal(error.to_string())),
            Err(_) => Err(Error::Timeout { after: self.options.timeout }),
        }
    }
}

impl Drop for Engine {
    fn drop(&mut self) {
        // An engine may be dropped by a task, which must not wait for threads.
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}

struct AbortOnDrop<T>(JoinHandle<T>);

impl<T> Drop for AbortOnDrop<T> {
    fn drop(&mut self) {
        self.0.abort();
    }
}

struct Job {
    sql: String,
    parameters: Parameters,
    types: Option<&'static [(&'static str, Type)]>,
    rows_max: usize,
}

impl Job {
    async fn run(self, mut state: SessionState) -> Result<QueryResult, Error> {
        let passed = guard::check(&self.sql)?;
        state.mark_start_execution();
        let mut plan = state.statement_to_plan(passed.statement).await?;
        let read_only = SQLOptions::new().with_allow_ddl(false).with_allow_dml(false).with_allow_statements(false);
        read_only.verify_plan(&plan).map_err(|error| Error::not_allowed(error.strip_backtrace()))?;
        let named = plan.get_parameter_names()?;
        if !named.is_empty() || !self.parameters.is_empty() {
            plan = plan.with_param_values(params::bind(named, &self.parameters, self.types)?)?;
        }
        if passed.is_query {
            plan = LogicalPlanBuilder::from(plan).limit(0, Some(self.rows_max + 1))?.build()?;
        }
        let frame = DataFrame::new(state, plan);
        let columns = frame
            .schema()
            .fields()
            .iter()
            .map(|field| OutputColumn { name: field.name().clone(), kind: field.data_type().to_string() });
        let columns = columns.collect();
        let mut stream = frame.execute_stream().await?;
        let (mut batches, mut n_rows, mut truncated) = (Vec::new(), 0, false);
        while let Some(batch) = stream.next().await {
            let batch = batch?;
            let room = self.rows_max - n_rows;
            truncated = room < batch.num_rows();
            n_rows += batch.num_rows().min(room);
            if batch.num_rows() > 0 {
                batches.push(batch.slice(0, batch.num_rows().min(room)));
            }
            if truncated {
                break;
            }
        }
        Ok(QueryResult { columns, batches, truncated })
    }
}
