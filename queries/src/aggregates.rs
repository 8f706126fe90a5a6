//! Aggregates that keep their values, such as MEDIAN and COUNT(DISTINCT), in one pass: each group has one place.
//!
//! DataFusion aggregates in two passes. When memory is short, the first hands all its values on, a whole group as one
//! row, and what carries rows to the second pass waits for thousands of them and counts no bytes. In one pass all
//! values are counted where they are.

use std::sync::Arc;

use datafusion::common::Result;
use datafusion::common::config::ConfigOptions;
use datafusion::common::tree_node::{Transformed, TransformedResult, TreeNode};
use datafusion::physical_expr::Partitioning;
use datafusion::physical_optimizer::PhysicalOptimizerRule;
use datafusion::physical_plan::aggregates::{AggregateExec, AggregateMode, PhysicalGroupBy};
use datafusion::physical_plan::coalesce_partitions::CoalescePartitionsExec;
use datafusion::physical_plan::repartition::RepartitionExec;
use datafusion::physical_plan::{ExecutionPlan, ExecutionPlanProperties};

/// Lets no aggregate hand on all its values.
#[derive(Debug)]
pub(crate) struct InOnePass;

impl PhysicalOptimizerRule for InOnePass {
    fn optimize(&self, plan: Arc<dyn ExecutionPlan>, _: &ConfigOptions) -> Result<Arc<dyn ExecutionPlan>> {
        plan.transform_up(|node| {
            let Some(last) = node.downcast_ref::<AggregateExec>() else { return Ok(Transformed::no(node)) };
            let is_last = matches!(last.mode(), AggregateMode::Final | AggregateMode::FinalPartitioned);
            match is_last.then(|| first_pass(last.input())).flatten() {
                Some(first) if keeps_values(first)? => Ok(Transformed::yes(Arc::new(one_pass(first, last)?))),
                _ => Ok(Transformed::no(node)),
            }
        })
        .data()
    }

    fn name(&self) -> &str {
        "in_one_pass"
    }

    fn schema_check(&self) -> bool {
        true
    }
}

/// The first pass of an aggregate, below what carries its rows.
fn first_pass(mut node: &Arc<dyn ExecutionPlan>) -> Option<&AggregateExec> {
    loop {
        if let Some(first) = node.downcast_ref::<AggregateExec>() {
            return matches!(first.mode(), AggregateMode::Partial).then_some(first);
        }
        if !node.is::<RepartitionExec>() && !node.is::<CoalescePartitionsExec>() {
            return None;
        }
        node = node.children().first()?;
    }
}

/// Whether a state of the aggregate is a list, as those of all that keep values are.
fn keeps_values(first: &AggregateExec) -> Result<bool> {
    for aggregate in first.aggr_expr() {
        if aggregate.state_fields()?.iter().any(|field| field.data_type().is_nested()) {
            return Ok(true);
        }
    }
    Ok(false)
}

fn one_pass(first: &AggregateExec, last: &AggregateExec) -> Result<AggregateExec> {
    let (input, by) = (first.input(), first.group_expr());
    let n_partitions = input.output_partitioning().partition_count();
    let (mode, input): (_, Arc<dyn ExecutionPlan>) = if n_partitions == 1 {
        (AggregateMode::Single, input.clone())
    } else if is_plain(by) {
        let by_group = Partitioning::Hash(by.input_exprs(), n_partitions);
        (AggregateMode::SinglePartitioned, Arc::new(RepartitionExec::try_new(input.clone(), by_group)?))
    } else {
        (AggregateMode::Single, Arc::new(CoalescePartitionsExec::new(input.clone())))
    };
    let (aggregates, filters) = (first.aggr_expr().to_vec(), first.filter_expr().to_vec());
    AggregateExec::try_new(mode, by.clone(), aggregates, filters, input, first.input_schema())
        .map(|pass| pass.with_limit_options(last.limit_options()))
}

/// Whether rows of one group can be brought together by their columns.
fn is_plain(by: &PhysicalGroupBy) -> bool {
    !by.input_exprs().is_empty() && !by.has_grouping_set()
}
