//! Filters in QuestDB's SQL.
//!
//! What is pushed may let more rows through than the filter, never fewer; only what is marked exact need not be
//! filtered again. QuestDB takes two doubles for equal if they differ by at most 1e-10, orders texts by UTF-16, and
//! has no boolean or empty name that is absent, so none of these is exact or pushed as it is.

use datafusion::common::ScalarValue;
use datafusion::logical_expr::expr::InList;
use datafusion::logical_expr::{Between, BinaryExpr, Expr, Operator};
use prism_schemas::Table;
use prism_schemas::table::Kind;
use prism_schemas::time::format_ts;

/// Most values of a list that is pushed.
const LIST_MAX: usize = 100;
/// Most bytes of all conditions of a statement: it travels in the first line of a request.
const BYTES_MAX: usize = 8 * 1024;
/// Wider than QuestDB's tolerance in comparing doubles.
const TOLERANCE: f64 = 1e-9;

/// A condition in QuestDB's SQL.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Condition {
    pub(crate) sql: String,
    /// The filter holds for no other rows.
    pub(crate) is_exact: bool,
}

/// What of the filters QuestDB can decide, and whether that is all of them.
pub(crate) fn push(filters: &[Expr], table: &Table) -> (Vec<String>, bool) {
    let (mut conditions, mut is_exact, mut bytes) = (Vec::new(), true, 0);
    for filter in filters {
        let found = condition(filter, table).filter(|found| bytes + found.sql.len() <= BYTES_MAX);
        is_exact &= found.as_ref().is_some_and(|found| found.is_exact);
        if let Some(found) = found {
            bytes += found.sql.len();
            conditions.push(found.sql);
        }
    }
    (conditions, is_exact)
}

/// A filter as a condition, if every row it holds for also fulfils that.
pub(crate) fn condition(filter: &Expr, table: &Table) -> Option<Condition> {
    match filter {
        Expr::BinaryExpr(BinaryExpr { left, op: op @ (Operator::And | Operator::Or), right }) => {
            match (condition(left, table), condition(right, table), op) {
                (Some(left), Some(right), _) => Some(Condition {
                    sql: format!("({} {op} {})", left.sql, right.sql),
                    is_exact: left.is_exact && right.is_exact,
                }),
                // A part of a conjunction is implied by it.
                (Some(one), None, Operator::And) | (None, Some(one), Operator::And) => {
                    Some(Condition { is_exact: false, ..one })
                }
                _ => None,
            }
        }
        Expr::BinaryExpr(BinaryExpr { left, op, right }) => match (&**left, &**right) {
            (Expr::Column(column), Expr::Literal(value, _)) => compare(column, *op, value, table),
            (Expr::Literal(value, _), Expr::Column(column)) => compare(column, op.swap()?, value, table),
            _ => None,
        },
        Expr::InList(InList { expr, list, negated: false }) if list.len() <= LIST_MAX => {
            let Expr::Column(column) = &**expr else { return None };
            let (name, kind) = known(column, table)?;
            // A single time in a list is a stretch of time in QuestDB.
            if !matches!(kind, Kind::Symbol | Kind::Text | Kind::I64) {
                return None;
            }
            let text = |value: &Expr| if let Expr::Literal(value, _) = value { literal(value) } else { None };
            let values: Option<Vec<String>> = list.iter().map(text).collect();
            exact(format!("{name} IN ({})", values?.join(", ")))
        }
        Expr::Between(Between { expr, negated: false, low, high }) => match (&**expr, &**low, &**high) {
            (Expr::Column(column), Expr::Literal(low, _), Expr::Literal(high, _)) => {
                let low = compare(column, Operator::GtEq, low, table)?;
                let high = compare(column, Operator::LtEq, high, table)?;
                Some(Condition {
                    sql: format!("{} AND {}", low.sql, high.sql),
                    is_exact: low.is_exact && high.is_exact,
                })
            }
            _ => None,
        },
        Expr::Column(column) => exact(format!("{} = true", known(column, table)?.0)),
        // What is absent is false there.
        Expr::Not(inner) => match &**inner {
            Expr::Column(column) => {
                Some(Condition { sql: format!("{} = false", known(column, table)?.0), is_exact: false })
            }
            _ => None,
        },
        _ => None,
    }
}

fn exact(sql: String) -> Option<Condition> {
    Some(Condition { sql, is_exact: true })
}

fn compare(column: &datafusion::common::Column, op: Operator, value: &ScalarValue, table: &Table) -> Option<Condition> {
    let (name, kind) = known(column, table)?;
    if kind == Kind::F64 {
        let ScalarValue::Float64(Some(value)) = value else { return None };
        return near(name, op, *value);
    }
    let sign = match op {
        Operator::Eq => "=",
        _ if matches!(kind, Kind::Symbol | Kind::Text | Kind::Bool) => return None,
        Operator::Lt => "<",
        Operator::LtEq => "<=",
        Operator::Gt => ">",
        Operator::GtEq => ">=",
        _ => return None,
    };
    let is_exact = kind != Kind::Bool;
    Some(Condition { sql: format!("{name} {sign} {}", literal(value)?), is_exact })
}

/// A comparison of doubles, wide enough for the tolerance.
fn near(name: &str, op: Operator, value: f64) -> Option<Condition> {
    let (low, high) = (value - TOLERANCE, value + TOLERANCE);
    if !low.is_finite() || !high.is_finite() {
        return None;
    }
    let sql = match op {
        Operator::Eq => format!("({name} >= {low:?} AND {name} <= {high:?})"),
        Operator::Lt | Operator::LtEq => format!("{name} <= {high:?}"),
        Operator::Gt | Operator::GtEq => format!("{name} >= {low:?}"),
        _ => return None,
    };
    Some(Condition { sql, is_exact: false })
}

fn known<'a>(column: &'a datafusion::common::Column, table: &Table) -> Option<(&'a str, Kind)> {
    table.position(&column.name).map(|at| (column.name.as_str(), table.columns[at].kind))
}

fn literal(value: &ScalarValue) -> Option<String> {
    let micros = |count: i64, unit: i64| count.checked_mul(unit).map(|ts| format!("'{}'", format_ts(ts)));
    match value {
        ScalarValue::Utf8(Some(text)) | ScalarValue::LargeUtf8(Some(text)) | ScalarValue::Utf8View(Some(text)) => {
            // An empty name is stored as none.
            let is_plain = !text.is_empty() && !text.chars().any(char::is_control);
            is_plain.then(|| format!("'{}'", text.replace('\'', "''")))
        }
        // The smallest is how QuestDB writes that there is none.
        ScalarValue::Int64(Some(value)) if *value != i64::MIN => Some(value.to_string()),
        ScalarValue::Boolean(Some(value)) => Some(value.to_string()),
        ScalarValue::TimestampSecond(Some(count), _) => micros(*count, 1_000_000_000),
        ScalarValue::TimestampMillisecond(Some(count), _) => micros(*count, 1_000_000),
        ScalarValue::TimestampMicrosecond(Some(count), _) => micros(*count, 1_000),
        // Finer than what is stored: left to the filter here.
        ScalarValue::TimestampNanosecond(Some(count), _) if count % 1_000 == 0 => micros(*count, 1),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use datafusion::prelude::{col, lit};
    use prism_schemas::table::BARS;

    use super::*;

    #[test]
    fn filters_become_conditions() {
        let at = |micros| lit(ScalarValue::TimestampMicrosecond(Some(micros), Some("UTC".into())));
        let many = |n: i64| (0..n).map(lit).collect::<Vec<_>>();
        for (filter, expected) in [
            (col("symbol").eq(lit("BTC'USDT")), Some(("symbol = 'BTC''USDT'", true))),
            (lit(1.5).lt(col("close")), Some(("close >= 1.499999999", false))),
            (col("close").eq(lit(0.0)), Some(("(close >= -1e-9 AND close <= 1e-9)", false))),
            (col("close").lt(lit(1e300)), Some(("close <= 1e300", false))),
            (col("close").gt(lit(f64::NAN)), None),
            (col("n_trades").gt(lit(5)), None),
            (col("n_trades").gt(lit(5_i64)), Some(("n_trades > 5", true))),
            (col("n_trades").eq(lit(i64::MIN)), None),
            (col("symbol").in_list(vec![lit("A"), lit("B")], false), Some(("symbol IN ('A', 'B')", true))),
            (col("n_trades").in_list(many(2), false), Some(("n_trades IN (0, 1)", true))),
            (col("n_trades").in_list(many(101), false), None),
            (col("ts").in_list(vec![at(0)], false), None),
            (col("close").in_list(vec![lit(0.0)], false), None),
            (
                col("ts").between(at(0), at(1_000_000)),
                Some(("ts >= '1970-01-01T00:00:00Z' AND ts <= '1970-01-01T00:00:01Z'", true)),
            ),
            (col("symbol").eq(lit("A")).and(col("close").not_eq(lit(1.0))), Some(("symbol = 'A'", false))),
            (col("symbol").eq(lit("A")).or(col("close").not_eq(lit(1.0))), None),
            (col("close").gt(col("open")), None),
            (col("symbol").eq(lit("")), None),
            (col("symbol").eq(lit("a\0b")), None),
            (col("symbol").gt(lit("A")), None),
            (col("symbol").like(lit("B%")), None),
            (col("retracted"), Some(("retracted = true", true))),
            (!col("retracted"), Some(("retracted = false", false))),
        ] {
            let expected = expected.map(|(sql, is_exact): (&str, bool)| Condition { sql: sql.into(), is_exact });
            assert_eq!(condition(&filter, &BARS), expected, "{filter}");
        }
    }

    #[test]
    fn conditions_together_fit_into_a_request() {
        let long = |n: usize| col("symbol").eq(lit("x".repeat(n)));
        let (conditions, is_exact) = push(&[long(4_000), long(5_000), long(3_000)], &BARS);
        assert_eq!((conditions.len(), is_exact), (2, false));
        let (conditions, is_exact) = push(&[long(4_000), long(3_000)], &BARS);
        assert_eq!((conditions.len(), is_exact), (2, true));
    }
}
