//! One statement from its text to its answer.

use std::sync::Arc;

use arrow::array::{Array, RecordBatch};
use datafusion::execution::memory_pool::MemoryConsumer;
use datafusion::execution::session_state::SessionState;
use datafusion::logical_expr::{LogicalPlan, LogicalPlanBuilder};
use datafusion::physical_plan::execute_stream;
use datafusion::prelude::SQLOptions;
use futures::StreamExt;

use crate::error::Error;
use crate::named::Named;
use crate::output::{OutputColumn, QueryResult};
use crate::params::{self, Parameters, Type};
use crate::ticket::Ticket;
use crate::{guard, joins, pack, watched, weigh};

/// A statement to run.
pub(crate) struct Job {
    sql: String,
    parameters: Parameters,
    types: Option<&'static [(&'static str, Type)]>,
    rows_max: usize,
    bytes_max: usize,
}

impl Job {
    pub(crate) fn of_user(sql: &str, parameters: &Parameters, rows_max: usize, bytes_max: usize) -> Job {
        Job { sql: sql.into(), parameters: parameters.clone(), types: None, rows_max, bytes_max }
    }

    pub(crate) fn of_endpoint(named: &Named, parameters: &Parameters, rows_max: usize, bytes_max: usize) -> Job {
        Job {
            sql: named.sql.into(),
            parameters: parameters.clone(),
            types: Some(named.parameters),
            rows_max,
            bytes_max,
        }
    }

    pub(crate) async fn run(self, mut state: SessionState, ticket: Arc<Ticket>) -> Result<QueryResult, Error> {
        state.config_mut().set_extension(ticket.clone());
        let logical = self.plan(&mut state, &ticket).await?;
        let columns = logical
            .schema()
            .fields()
            .iter()
            .map(|field| OutputColumn { name: field.name().clone(), kind: field.data_type().to_string() })
            .collect();
        let physical = state.query_planner().create_physical_plan(&logical, &state).await?;
        ticket.check()?;
        let mut stream = execute_stream(watched::watch(physical)?, state.task_ctx())?;
        // An answer is held as a whole, so it counts as memory in use while it grows.
        let memory = MemoryConsumer::new("answer").register(&state.runtime_env().memory_pool);
        let (mut batches, mut n_rows, mut truncated) = (Vec::new(), 0, false);
        while let Some(batch) = stream.next().await {
            let batch = batch?;
            let room = self.rows_max - n_rows;
            truncated = room < batch.num_rows();
            n_rows += batch.num_rows().min(room);
            if batch.num_rows() > 0 {
                let batch = batch.slice(0, batch.num_rows().min(room));
                memory.try_grow(bytes(&batch)?)?;
                if self.bytes_max < memory.size() {
                    let message = format!("an answer of more than {} MiB", self.bytes_max >> 20);
                    return Err(Error::OutOfMemory { message });
                }
                batches.push(batch);
            }
            if truncated {
                break;
            }
        }
        Ok(QueryResult { columns, batches, truncated })
    }

    /// The plan of the statement, optimised, if it may run.
    async fn plan(&self, state: &mut SessionState, ticket: &Arc<Ticket>) -> Result<LogicalPlan, Error> {
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
        let config = state.config().clone().with_batch_size(weigh::batch_rows(&plan)?);
        *state.config_mut() = config;
        let plan = pack::tuples(plan)?;
        ticket.check()?;
        let plan = state.optimize(&plan)?;
        ticket.check()?;
        joins::allow(&plan)?;
        // What is only explained does not run.
        Ok(if matches!(plan, LogicalPlan::Explain(_)) { plan } else { joins::watch(plan, ticket)? })
    }
}

/// The bytes of a batch's own rows.
fn bytes(batch: &RecordBatch) -> Result<usize, Error> {
    let sizes = batch.columns().iter().map(|column| column.to_data().get_slice_memory_size());
    Ok(sizes.sum::<Result<usize, _>>()?)
}
