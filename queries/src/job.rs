//! One statement from its text to its answer.

use std::sync::Arc;

use datafusion::dataframe::DataFrame;
use datafusion::execution::session_state::SessionState;
use datafusion::logical_expr::LogicalPlanBuilder;
use datafusion::prelude::SQLOptions;
use futures::StreamExt;

use crate::error::Error;
use crate::guard;
use crate::named::Named;
use crate::output::{OutputColumn, QueryResult};
use crate::params::{self, Parameters, Type};
use crate::ticket::Ticket;

/// A statement to run.
pub(crate) struct Job {
    sql: String,
    parameters: Parameters,
    types: Option<&'static [(&'static str, Type)]>,
    rows_max: usize,
}

impl Job {
    pub(crate) fn of_user(sql: &str, parameters: &Parameters, rows_max: usize) -> Job {
        Job { sql: sql.into(), parameters: parameters.clone(), types: None, rows_max }
    }

    pub(crate) fn of_endpoint(named: &Named, parameters: &Parameters, rows_max: usize) -> Job {
        Job { sql: named.sql.into(), parameters: parameters.clone(), types: Some(named.parameters), rows_max }
    }

    pub(crate) async fn run(self, mut state: SessionState, ticket: Arc<Ticket>) -> Result<QueryResult, Error> {
        state.config_mut().set_extension(ticket);
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
