//! How much a row of a statement may weigh, before it is planned further.
//!
//! Memory is counted for what operators keep, not for the batch that an expression is making: a text that is joined to
//! itself in each of 24 steps, or a literal beside each of 8,192 rows, is made before anybody counts. So the bytes that
//! all expressions of a row may make are bounded here from the plan alone, and batches are made small where rows are
//! large. In the same pass the expressions behind a column are counted, since the optimiser may write them out.

use std::collections::HashMap;

use arrow::datatypes::DataType;
use datafusion::common::tree_node::{TreeNode, TreeNodeRecursion};
use datafusion::common::{DFSchema, ScalarValue};
use datafusion::logical_expr::expr::{Exists, InSubquery, ScalarFunction, SetComparison};
use datafusion::logical_expr::{BinaryExpr, Distinct, Expr, LogicalPlan, Operator, RecursiveQuery};

use crate::error::Error;

/// Most bytes of one value.
const VALUE_MAX: u64 = 1 << 20;
/// Most expressions behind one column.
const EXPRESSIONS_MAX: u64 = 20_000;
/// All expressions together make about so many bytes for one batch.
const BATCH_BYTES: u64 = 8 << 20;
/// Rows of a batch at most.
const BATCH_ROWS: u64 = 8_192;
/// What a stored text is taken for.
const STORED_TEXT: u64 = 64;
/// What a text is at least taken for where it is asked whether it grows.
const GROWING: u64 = 4_096;
/// Longest pattern of a regular expression, and most repetitions that it asks for.
const PATTERN_MAX: usize = 256;
const REPETITIONS_MAX: u64 = 1_000;

/// Bytes of a value, and expressions behind it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Weight {
    bytes: u64,
    expressions: u64,
}

const NUMBER: Weight = Weight { bytes: 8, expressions: 1 };

/// The rows of a batch for a plan's statement; an error if it may not run.
pub(crate) fn batch_rows(plan: &LogicalPlan) -> Result<usize, Error> {
    let mut scale = Scale { row_bytes: 0, recursive: HashMap::new() };
    scale.plan(plan)?;
    Ok((BATCH_BYTES / scale.row_bytes.max(1)).clamp(1, BATCH_ROWS) as usize)
}

struct Scale {
    /// What all expressions make for one row.
    row_bytes: u64,
    /// The columns of recursive queries around this place.
    recursive: HashMap<String, Vec<Weight>>,
}

impl Scale {
    /// The weights of a plan's columns.
    fn plan(&mut self, plan: &LogicalPlan) -> Result<Vec<Weight>, Error> {
        let columns = match plan {
            LogicalPlan::Projection(node) => {
                let input = self.plan(&node.input)?;
                return self.all(&node.expr, &input, node.input.schema());
            }
            LogicalPlan::Window(node) => {
                let mut columns = self.plan(&node.input)?;
                columns.extend(self.all(&node.window_expr, &columns.clone(), node.input.schema())?);
                columns
            }
            LogicalPlan::Aggregate(node) => {
                let input = self.plan(&node.input)?;
                let mut columns = self.all(&node.group_expr, &input, node.input.schema())?;
                columns.extend(self.all(&node.aggr_expr, &input, node.input.schema())?);
                columns
            }
            LogicalPlan::Values(node) => {
                let mut columns = vec![NUMBER; node.schema.fields().len()];
                for row in &node.values {
                    let row = self.each(row, &[], &node.schema)?;
                    columns
                        .iter_mut()
                        .zip(row)
                        .for_each(|(column, value)| column.bytes = column.bytes.max(value.bytes));
                }
                columns
            }
            LogicalPlan::Union(node) => {
                let mut columns = vec![NUMBER; node.schema.fields().len()];
                for input in &node.inputs {
                    let input = self.plan(input)?;
                    columns.iter_mut().zip(input).for_each(|(column, value)| *column = column.larger(value));
                }
                columns
            }
            LogicalPlan::TableScan(node) => match self.recursive.get(node.table_name.table()) {
                Some(columns) => columns.clone(),
                None => node.projected_schema.fields().iter().map(|field| Weight::of(field.data_type())).collect(),
            },
            LogicalPlan::RecursiveQuery(node) => self.recursive(node)?,
            LogicalPlan::Distinct(Distinct::On(node)) => {
                let input = self.plan(&node.input)?;
                self.each(&node.on_expr, &input, node.input.schema())?;
                self.all(&node.select_expr, &input, node.input.schema())?
            }
            other => self.passing(other)?,
        };
        if makes_rows(plan) {
            let row: u64 = columns.iter().fold(0, |sum: u64, column| sum.saturating_add(column.bytes));
            self.row_bytes = self.row_bytes.saturating_add(row);
        }
        Ok(fit(columns, plan.schema()))
    }

    /// A recursive query, none of whose texts may grow from round to round.
    fn recursive(&mut self, node: &RecursiveQuery) -> Result<Vec<Weight>, Error> {
        let mut columns = self.plan(&node.static_term)?;
        columns.iter_mut().for_each(|column| column.bytes = column.bytes.max(GROWING));
        let outer = self.recursive.insert(node.name.clone(), columns.clone());
        let next = self.plan(&node.recursive_term)?;
        if columns.iter().zip(&next).any(|(column, next)| column.bytes < next.bytes) {
            return Err(Error::not_allowed("a text that grows with each round of a recursive query"));
        }
        match outer {
            Some(outer) => self.recursive.insert(node.name.clone(), outer),
            None => self.recursive.remove(&node.name),
        };
        Ok(columns)
    }

    /// A plan that passes the columns of its inputs on.
    fn passing(&mut self, plan: &LogicalPlan) -> Result<Vec<Weight>, Error> {
        let (mut columns, mut schema) = (Vec::new(), DFSchema::empty());
        for input in plan.inputs() {
            columns.extend(self.plan(input)?);
            schema.merge(input.schema());
        }
        let joined = match plan {
            LogicalPlan::Join(join) => join.left.schema().join(join.right.schema()).unwrap_or(schema),
            _ => schema,
        };
        for expr in plan.expressions() {
            self.expr(&expr, &columns, &joined)?;
        }
        Ok(columns)
    }

    /// Expressions that become columns.
    fn all(&mut self, exprs: &[Expr], input: &[Weight], schema: &DFSchema) -> Result<Vec<Weight>, Error> {
        let mut columns = Vec::new();
        for expr in exprs {
            if let Expr::GroupingSet(sets) = expr {
                let named: Vec<Expr> = sets.distinct_expr().into_iter().cloned().collect();
                columns.extend(self.each(&named, input, schema)?);
                columns.push(NUMBER);
            } else {
                columns.push(self.expr(expr, input, schema)?);
            }
        }
        Ok(columns)
    }

    fn each(&mut self, exprs: &[Expr], input: &[Weight], schema: &DFSchema) -> Result<Vec<Weight>, Error> {
        exprs.iter().map(|expr| self.expr(expr, input, schema)).collect()
    }

    fn expr(&mut self, expr: &Expr, input: &[Weight], schema: &DFSchema) -> Result<Weight, Error> {
        if let Expr::Column(column) = expr {
            let at = schema.maybe_index_of_column(column);
            return Ok(at
                .and_then(|at| input.get(at).copied())
                .unwrap_or(Weight { bytes: STORED_TEXT, expressions: 1 }));
        }
        let mut parts = Vec::new();
        let mut wrong = None;
        expr.apply_children(|child| {
            match self.expr(child, input, schema) {
                Ok(weight) => parts.push(weight),
                Err(error) => wrong = wrong.take().or(Some(error)),
            }
            Ok(TreeNodeRecursion::Continue)
        })?;
        if let Some(wrong) = wrong {
            return Err(wrong);
        }
        let within = match expr {
            Expr::ScalarSubquery(subquery)
            | Expr::Exists(Exists { subquery, .. })
            | Expr::InSubquery(InSubquery { subquery, .. })
            | Expr::SetComparison(SetComparison { subquery, .. }) => Some(self.plan(&subquery.subquery)?),
            _ => None,
        };
        let largest = parts.iter().map(|part| part.bytes).max().unwrap_or(0);
        let bytes = match expr {
            Expr::Literal(value, _) => literal(value),
            Expr::ScalarSubquery(_) => within.iter().flatten().map(|column| column.bytes).max().unwrap_or(8),
            Expr::Alias(_) => return Ok(parts[0]),
            Expr::BinaryExpr(binary) => {
                allow_pattern(binary.op, &binary.right)?;
                joined(binary, &parts)
            }
            Expr::SimilarTo(like) => {
                allow_pattern(Operator::RegexMatch, &like.pattern)?;
                8
            }
            Expr::ScalarFunction(function) => called(function, &parts),
            Expr::Like(_) | Expr::InList(_) | Expr::InSubquery(_) | Expr::Exists(_) | Expr::Between(_) => 8,
            Expr::Not(_) | Expr::IsNull(_) | Expr::IsNotNull(_) | Expr::Negative(_) => 8,
            // A number as text is short.
            _ => largest.max(32),
        };
        let expressions = parts.iter().fold(1_u64, |sum, part| sum.saturating_add(part.expressions));
        if VALUE_MAX < bytes {
            return Err(Error::not_allowed(format!(
                "a text that may have {bytes} bytes, of which {VALUE_MAX} are allowed: join fewer or shorter texts"
            )));
        }
        if EXPRESSIONS_MAX < expressions {
            return Err(Error::not_allowed(format!(
                "a column that stands for more than {EXPRESSIONS_MAX} expressions once all are written out"
            )));
        }
        self.row_bytes = self.row_bytes.saturating_add(bytes);
        Ok(Weight { bytes, expressions })
    }
}

impl Weight {
    /// A stored value.
    fn of(kind: &DataType) -> Weight {
        match kind.primitive_width() {
            Some(width) => Weight { bytes: width as u64, expressions: 1 },
            None if *kind == DataType::Boolean => NUMBER,
            None => Weight { bytes: STORED_TEXT, expressions: 1 },
        }
    }

    fn larger(self, other: Weight) -> Weight {
        Weight { bytes: self.bytes.max(other.bytes), expressions: self.expressions.max(other.expressions) }
    }
}

/// Whether a plan makes rows anew; others pass on what they are given.
fn makes_rows(plan: &LogicalPlan) -> bool {
    use LogicalPlan::{Aggregate, Join, RecursiveQuery, TableScan, Unnest, Values, Window};
    matches!(plan, Aggregate(_) | Join(_) | RecursiveQuery(_) | TableScan(_) | Unnest(_) | Values(_) | Window(_))
}

/// As many weights as the plan has columns: joins may leave some out, or add a mark.
fn fit(mut columns: Vec<Weight>, schema: &DFSchema) -> Vec<Weight> {
    let n = schema.fields().len();
    if columns.len() != n {
        let all = columns.iter().fold(NUMBER, |all, column| all.larger(*column));
        columns = schema.fields().iter().map(|field| Weight::of(field.data_type()).larger(all)).collect();
    }
    columns
}

fn literal(value: &ScalarValue) -> u64 {
    match value {
        ScalarValue::Utf8(Some(text)) | ScalarValue::LargeUtf8(Some(text)) | ScalarValue::Utf8View(Some(text)) => {
            text.len() as u64
        }
        ScalarValue::Binary(Some(bytes)) | ScalarValue::LargeBinary(Some(bytes)) => bytes.len() as u64,
        _ => 16,
    }
}

fn joined(binary: &BinaryExpr, parts: &[Weight]) -> u64 {
    match binary.op {
        Operator::StringConcat => parts.iter().fold(0, |sum: u64, part| sum.saturating_add(part.bytes)),
        _ => 16,
    }
}

/// The bytes of a function's result.
fn called(function: &ScalarFunction, parts: &[Weight]) -> u64 {
    let part = |at: usize| parts.get(at).map_or(0, |part: &Weight| part.bytes);
    let sum = parts.iter().fold(0, |sum: u64, part| sum.saturating_add(part.bytes));
    let largest = parts.iter().map(|part| part.bytes).max().unwrap_or(0);
    match function.func.name() {
        "concat" | "struct" | "named_struct" | "overlay" => sum,
        "concat_ws" => sum.saturating_add(part(0).saturating_mul(parts.len() as u64)),
        "replace" => {
            let from = function.args.get(1).map_or(1, |from| match from {
                Expr::Literal(value, _) => literal(value).max(1),
                _ => 1,
            });
            let times = part(0).div_ceil(from).saturating_add(1);
            part(0).saturating_add(times.saturating_mul(part(2)))
        }
        "translate" => part(0).saturating_mul(4),
        "upper" | "lower" | "initcap" => part(0).saturating_mul(3),
        "to_char" => part(1).saturating_mul(32).saturating_add(64),
        _ => largest.max(64),
    }
}

/// Regular expressions are compiled for each batch, and those in rows for each row.
fn allow_pattern(op: Operator, pattern: &Expr) -> Result<(), Error> {
    use Operator::{RegexIMatch, RegexMatch, RegexNotIMatch, RegexNotMatch};
    if !matches!(op, RegexMatch | RegexIMatch | RegexNotMatch | RegexNotIMatch) {
        return Ok(());
    }
    let Expr::Literal(
        ScalarValue::Utf8(Some(pattern)) | ScalarValue::Utf8View(Some(pattern)) | ScalarValue::LargeUtf8(Some(pattern)),
        _,
    ) = pattern
    else {
        return Err(Error::not_allowed("a regular expression that is not a plain text"));
    };
    if PATTERN_MAX < pattern.len() {
        return Err(Error::not_allowed(format!("a regular expression of more than {PATTERN_MAX} bytes")));
    }
    let counts = pattern.split('{').skip(1).filter_map(|rest| rest.split_once('}'));
    let largest = counts.filter_map(|(count, _)| count.split(',').filter_map(|n| n.trim().parse::<u64>().ok()).max());
    if REPETITIONS_MAX < largest.fold(1_u64, |all, n| all.saturating_mul(n.max(1))) {
        return Err(Error::not_allowed(format!("a regular expression of more than {REPETITIONS_MAX} repetitions")));
    }
    Ok(())
}
