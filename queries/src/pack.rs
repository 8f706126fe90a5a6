//! `COUNT(DISTINCT (a, b))`: each tuple as one text of bytes, equal where the tuples are.
//!
//! DataFusion keeps a distinct tuple as a row of its own with the buffers of the batch it came in, and counts all of
//! these for each row; bytes it keeps, and counts, as they are.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, BinaryArray};
use arrow::datatypes::DataType;
use arrow::row::{RowConverter, SortField};
use datafusion::common::Result;
use datafusion::common::tree_node::{Transformed, TransformedResult, TreeNode};
use datafusion::logical_expr::expr_rewriter::NamePreserver;
use datafusion::logical_expr::{
    ColumnarValue, Expr, ExprSchemable, LogicalPlan, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature,
    Volatility,
};

/// A plan that counts distinct tuples as bytes.
pub(crate) fn tuples(plan: LogicalPlan) -> Result<LogicalPlan> {
    let pack = Arc::new(ScalarUDF::new_from_impl(Pack(Signature::any(1, Volatility::Immutable))));
    plan.transform_up_with_subqueries(|node| {
        let LogicalPlan::Aggregate(aggregate) = &node else { return Ok(Transformed::no(node)) };
        let (names, schema) = (NamePreserver::new(&node), aggregate.input.schema().clone());
        node.map_expressions(|expr| {
            let name = names.save(&expr);
            let packed = expr.transform_up(|expr| match expr {
                Expr::AggregateFunction(mut call) if call.func.name() == "count" && call.params.distinct => {
                    let mut is_packed = false;
                    for arg in &mut call.params.args {
                        if arg.get_type(&schema)?.is_nested() {
                            *arg = pack.call(vec![std::mem::take(arg)]);
                            is_packed = true;
                        }
                    }
                    Ok(Transformed::new_transformed(Expr::AggregateFunction(call), is_packed))
                }
                other => Ok(Transformed::no(other)),
            })?;
            Ok(packed.update_data(|expr| name.restore(expr)))
        })?
        .map_data(LogicalPlan::recompute_schema)
    })
    .data()
}

/// A tuple as bytes; null if it is null itself.
#[derive(Debug, PartialEq, Eq, Hash)]
struct Pack(Signature);

impl ScalarUDFImpl for Pack {
    fn name(&self) -> &'static str {
        "tuple"
    }

    fn signature(&self) -> &Signature {
        &self.0
    }

    fn return_type(&self, _: &[DataType]) -> Result<DataType> {
        Ok(DataType::Binary)
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let tuples: ArrayRef = args.args[0].to_array(args.number_rows)?;
        let rows = RowConverter::new(vec![SortField::new(tuples.data_type().clone())])?;
        let (offsets, bytes, _) = rows.convert_columns(std::slice::from_ref(&tuples))?.try_into_binary()?.into_parts();
        Ok(ColumnarValue::Array(Arc::new(BinaryArray::new(offsets, bytes, tuples.logical_nulls()))))
    }
}
