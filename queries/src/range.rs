//! Which part of time a statement's filters leave.

use std::ops::RangeInclusive;

use datafusion::common::ScalarValue;
use datafusion::logical_expr::{Between, BinaryExpr, Expr, Operator};
use prism_schemas::Ts;

/// The range outside of which the filters, all of them true, allow no value of `column`.
pub(crate) fn ts_range(filters: &[Expr], column: &str) -> RangeInclusive<Ts> {
    let (mut low, mut high) = (Ts::MIN, Ts::MAX);
    for filter in filters {
        narrow(filter, column, &mut low, &mut high);
    }
    low..=high
}

fn narrow(filter: &Expr, column: &str, low: &mut Ts, high: &mut Ts) {
    match filter {
        Expr::BinaryExpr(BinaryExpr { left, op: Operator::And, right }) => {
            narrow(left, column, low, high);
            narrow(right, column, low, high);
        }
        Expr::BinaryExpr(BinaryExpr { left, op, right }) => {
            let (op, value) = match (is(left, column), value(right), is(right, column), value(left)) {
                (true, Some(value), _, _) => (Some(*op), value),
                (_, _, true, Some(value)) => (op.swap(), value),
                _ => return,
            };
            match op {
                Some(Operator::Gt | Operator::GtEq) => *low = value.0.max(*low),
                Some(Operator::Lt | Operator::LtEq) => *high = value.1.min(*high),
                Some(Operator::Eq) => (*low, *high) = (value.0.max(*low), value.1.min(*high)),
                _ => {}
            }
        }
        Expr::Between(Between { expr, negated: false, low: from, high: to }) if is(expr, column) => {
            if let Some(value) = value(from) {
                *low = value.0.max(*low);
            }
            if let Some(value) = value(to) {
                *high = value.1.min(*high);
            }
        }
        _ => {}
    }
}

fn is(expr: &Expr, name: &str) -> bool {
    matches!(expr, Expr::Column(column) if column.name == name)
}

/// The first and last nanosecond of a literal time.
fn value(expr: &Expr) -> Option<(Ts, Ts)> {
    let Expr::Literal(value, _) = expr else { return None };
    let (count, unit) = match value {
        ScalarValue::TimestampSecond(count, _) => ((*count)?, 1_000_000_000),
        ScalarValue::TimestampMillisecond(count, _) => ((*count)?, 1_000_000),
        ScalarValue::TimestampMicrosecond(count, _) => ((*count)?, 1_000),
        ScalarValue::TimestampNanosecond(count, _) => ((*count)?, 1),
        _ => return None,
    };
    let start = count.saturating_mul(unit);
    Some((start, start.saturating_add(unit - 1)))
}

#[cfg(test)]
mod tests {
    use datafusion::prelude::{col, lit};

    use super::*;

    #[test]
    fn filters_bound_time() {
        let at = |micros| lit(ScalarValue::TimestampMicrosecond(Some(micros), Some("UTC".into())));
        let range = |filter: Expr| ts_range(&[filter, col("close").gt(lit(1.0))], "ts");
        assert_eq!(range(col("ts").gt_eq(at(5)).and(col("ts").lt(at(9)))), 5_000..=9_999);
        assert_eq!(range(at(5).lt(col("ts"))), 5_000..=Ts::MAX);
        assert_eq!(range(col("ts").eq(at(5))), 5_000..=5_999);
        assert_eq!(range(col("ts").between(at(1), at(2))), 1_000..=2_999);
        assert_eq!(range(col("ts").gt(at(5)).or(col("ts").lt(at(2)))), Ts::MIN..=Ts::MAX);
        assert_eq!(range(col("known_at").gt(at(5))), Ts::MIN..=Ts::MAX);
    }
}
