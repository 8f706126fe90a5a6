//! Joins: refused where every row meets every row, and watched where many rows meet few.

use std::hash::{Hash, Hasher};
use std::sync::Arc;

use arrow::datatypes::DataType;
use datafusion::common::tree_node::{Transformed, TransformedResult, TreeNodeRecursion};
use datafusion::common::{Result, ScalarValue};
use datafusion::logical_expr::{
    ColumnarValue, FetchType, JoinType, LogicalPlan, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature,
    Volatility,
};

use crate::error::Error;
use crate::ticket::Ticket;

/// Of two tables joined without an equality one has at most this many rows.
const ROWS_MAX: u64 = 1_000;

/// Refuses joins that compare every row with every row, in a plan that was optimised: there equalities of a WHERE are
/// part of the join.
pub(crate) fn allow(plan: &LogicalPlan) -> std::result::Result<(), Error> {
    let mut wrong = None;
    plan.apply_with_subqueries(|node| {
        if let LogicalPlan::Join(join) = node
            && join.on.is_empty()
            && ![&join.left, &join.right].iter().any(|side| at_most(side).is_some_and(|rows| rows <= ROWS_MAX))
        {
            wrong = Some(Error::not_allowed(format!(
                "a join without an equality, unless one side has at most {ROWS_MAX} rows (by LIMIT, for example)"
            )));
            return Ok(TreeNodeRecursion::Stop);
        }
        Ok(TreeNodeRecursion::Continue)
    })?;
    wrong.map_or(Ok(()), Err)
}

/// A number of rows that a plan cannot exceed, where it can be told.
fn at_most(plan: &LogicalPlan) -> Option<u64> {
    match plan {
        LogicalPlan::EmptyRelation(_) => Some(1),
        LogicalPlan::Values(node) => Some(node.values.len() as u64),
        LogicalPlan::Aggregate(node) if node.group_expr.is_empty() => Some(1),
        LogicalPlan::Limit(node) => {
            let inner = at_most(&node.input);
            match node.get_fetch_type() {
                Ok(FetchType::Literal(Some(fetch))) => Some(inner.map_or(fetch as u64, |n| n.min(fetch as u64))),
                _ => inner,
            }
        }
        LogicalPlan::Sort(node) => node.fetch.map(|fetch| fetch as u64).or_else(|| at_most(&node.input)),
        // The newest rows, one of each series, and the catalogue.
        LogicalPlan::TableScan(node) => match node.table_name.schema() {
            Some("live" | "information_schema") => Some(ROWS_MAX),
            _ => node.fetch.map(|fetch| fetch as u64),
        },
        LogicalPlan::Union(node) => node.inputs.iter().try_fold(0_u64, |sum, input| sum.checked_add(at_most(input)?)),
        LogicalPlan::Join(node) => match node.join_type {
            JoinType::Inner => at_most(&node.left)?.checked_mul(at_most(&node.right)?),
            JoinType::LeftSemi | JoinType::LeftAnti | JoinType::LeftMark => at_most(&node.left),
            JoinType::RightSemi | JoinType::RightAnti | JoinType::RightMark => at_most(&node.right),
            _ => None,
        },
        LogicalPlan::Projection(_)
        | LogicalPlan::Filter(_)
        | LogicalPlan::Window(_)
        | LogicalPlan::Aggregate(_)
        | LogicalPlan::SubqueryAlias(_)
        | LogicalPlan::Distinct(_)
        | LogicalPlan::Repartition(_) => at_most(plan.inputs().first()?),
        _ => None,
    }
}

/// A join's condition is asked for each batch of pairs, of which there may be thousands between two rows of output:
/// there it also asks whether anybody still waits.
pub(crate) fn watch(plan: LogicalPlan, ticket: &Arc<Ticket>) -> Result<LogicalPlan> {
    let function = Arc::new(ScalarUDF::new_from_impl(Awaited::of(ticket.clone())));
    let is_awaited = || function.call(Vec::new());
    plan.transform_up_with_subqueries(|node| match node {
        // The join of NOT IN takes no condition.
        LogicalPlan::Join(mut join) if !join.null_aware => {
            let pairs_only =
                matches!(join.join_type, JoinType::Inner | JoinType::Left | JoinType::Right | JoinType::Full);
            join.filter = match join.filter.take() {
                Some(filter) => Some(is_awaited().and(filter)),
                // Each batch of pairs is output.
                None if pairs_only => None,
                None => Some(is_awaited()),
            };
            Ok(Transformed::yes(LogicalPlan::Join(join)))
        }
        other => Ok(Transformed::no(other)),
    })
    .data()
}

/// True while somebody waits for the statement, an error afterwards.
#[derive(Debug)]
struct Awaited {
    ticket: Arc<Ticket>,
    signature: Signature,
}

impl Awaited {
    fn of(ticket: Arc<Ticket>) -> Awaited {
        Awaited { ticket, signature: Signature::nullary(Volatility::Volatile) }
    }
}

impl PartialEq for Awaited {
    fn eq(&self, other: &Awaited) -> bool {
        Arc::ptr_eq(&self.ticket, &other.ticket)
    }
}

impl Eq for Awaited {}

impl Hash for Awaited {
    fn hash<H: Hasher>(&self, state: &mut H) {
        Arc::as_ptr(&self.ticket).hash(state);
    }
}

impl ScalarUDFImpl for Awaited {
    fn name(&self) -> &'static str {
        "is_awaited"
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, _: &[DataType]) -> Result<DataType> {
        Ok(DataType::Boolean)
    }

    fn invoke_with_args(&self, _: ScalarFunctionArgs) -> Result<ColumnarValue> {
        self.ticket.check()?;
        Ok(ColumnarValue::Scalar(ScalarValue::Boolean(Some(true))))
    }
}
