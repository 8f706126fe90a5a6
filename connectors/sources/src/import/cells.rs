//! Cells of Arrow columns as what they mean: instants by the column's unit, exact numbers at the precision they have, sides.

use arrow::array::{Array, ArrayRef, AsArray};
use arrow::datatypes::{DataType, Float32Type, Float64Type, Int64Type, TimeUnit};
use prism_schemas::decimal::POW10;
use prism_schemas::event::Side;
use prism_schemas::time::{MILLISECOND, SECOND};
use prism_schemas::{Decimal, Ts};

use super::instant::Instants;
use super::rows::{Wrong, side};

fn other(error: impl std::error::Error + Send + Sync + 'static) -> std::io::Error {
    std::io::Error::other(error)
}

/// Nanoseconds of a unit.
fn unit_of(unit: TimeUnit) -> i64 {
    match unit {
        TimeUnit::Second => SECOND,
        TimeUnit::Millisecond => MILLISECOND,
        TimeUnit::Microsecond => MILLISECOND / 1_000,
        TimeUnit::Nanosecond => 1,
    }
}

/// Instants of a column.
pub(super) enum Times {
    /// Of a type that says its unit.
    Typed(ArrayRef, i64),
    /// Whole numbers, whose unit is told by their size.
    Whole(ArrayRef),
    /// Texts, or numbers with fractions.
    Text(ArrayRef),
}

impl Times {
    pub(super) fn of(column: &ArrayRef) -> std::io::Result<Times> {
        let cast = |kind: &DataType| arrow::compute::cast(column, kind).map_err(other);
        Ok(match column.data_type() {
            DataType::Timestamp(unit, _) => Times::Typed(cast(&DataType::Int64)?, unit_of(*unit)),
            DataType::Date64 => Times::Typed(cast(&DataType::Int64)?, MILLISECOND),
            DataType::Date32 => Times::Typed(
                cast(&DataType::Date64)
                    .and_then(|days| arrow::compute::cast(&days, &DataType::Int64).map_err(other))?,
                MILLISECOND,
            ),
            kind if kind.is_integer() => Times::Whole(cast(&DataType::Int64)?),
            _ => Times::Text(cast(&DataType::Utf8)?),
        })
    }

    pub(super) fn get(&self, at: usize, instants: Instants) -> Result<Ts, Wrong> {
        let (Times::Typed(column, _) | Times::Whole(column) | Times::Text(column)) = self;
        if column.is_null(at) {
            return Err("a time is null".into());
        }
        let whole = || column.as_primitive::<Int64Type>().value(at);
        let found = match self {
            Times::Typed(_, unit) => whole().checked_mul(*unit).filter(|ts| instants.can_be(*ts)),
            Times::Whole(_) => instants.of(whole()),
            Times::Text(column) => return Ok(instants.text(column.as_string::<i32>().value(at))?),
        };
        found.ok_or_else(|| format!("{} is no time from 2009 to now", whole()).into())
    }
}

/// Numbers of a column.
pub(super) enum Numbers {
    Double(ArrayRef),
    Single(ArrayRef),
    Whole(ArrayRef),
    /// Texts, and decimals.
    Text(ArrayRef),
}

impl Numbers {
    pub(super) fn of(column: &ArrayRef) -> std::io::Result<Numbers> {
        let cast = |kind: &DataType| arrow::compute::cast(column, kind).map_err(other);
        Ok(match column.data_type() {
            DataType::Float64 => Numbers::Double(column.clone()),
            DataType::Float32 | DataType::Float16 => Numbers::Single(cast(&DataType::Float32)?),
            kind if kind.is_integer() && *kind != DataType::UInt64 => Numbers::Whole(cast(&DataType::Int64)?),
            _ => Numbers::Text(cast(&DataType::Utf8)?),
        })
    }

    pub(super) fn get(&self, at: usize) -> Result<Decimal, Wrong> {
        let (Numbers::Double(column) | Numbers::Single(column) | Numbers::Whole(column) | Numbers::Text(column)) = self;
        if column.is_null(at) {
            return Err("a number is null".into());
        }
        let found = match self {
            Numbers::Double(column) => decimal(column.as_primitive::<Float64Type>().value(at)),
            // The shortest text that reads back as it: 0.1, not 0.10000000149.
            Numbers::Single(column) => Decimal::parse(&column.as_primitive::<Float32Type>().value(at).to_string()),
            Numbers::Whole(column) => Some(Decimal::new(column.as_primitive::<Int64Type>().value(at), 0)),
            Numbers::Text(column) => return Ok(super::row::number(column.as_string::<i32>().value(at))?),
        };
        found.ok_or_else(|| "a number does not fit".into())
    }
}

/// Sides of a column.
pub(super) struct Sides {
    column: ArrayRef,
    /// Whether true says that the buyer made.
    is_maker: bool,
}

impl Sides {
    pub(super) fn of(column: &ArrayRef, is_maker: bool) -> std::io::Result<Sides> {
        let kind = match column.data_type() {
            DataType::Boolean => DataType::Boolean,
            kind if kind.is_integer() => DataType::Int64,
            _ => DataType::Utf8,
        };
        Ok(Sides { column: arrow::compute::cast(column, &kind).map_err(other)?, is_maker })
    }

    pub(super) fn get(&self, at: usize) -> Result<Side, Wrong> {
        if self.column.is_null(at) {
            return Err("a side is null".into());
        }
        let bought = |is_buy: bool| if is_buy { Side::Buy } else { Side::Sell };
        match self.column.data_type() {
            DataType::Boolean => Ok(bought(self.column.as_boolean().value(at) != self.is_maker)),
            DataType::Int64 => match (self.column.as_primitive::<Int64Type>().value(at), self.is_maker) {
                (0, true) => Ok(Side::Buy),
                (1, true) => Ok(Side::Sell),
                (number, _) => side(&number.to_string()),
            },
            _ if self.is_maker => Ok(super::rows::maker(self.column.as_string::<i32>().value(at))?),
            _ => side(self.column.as_string::<i32>().value(at)),
        }
    }
}

/// The shortest decimal that reads back as `value`: as `Decimal::from_f64`, without going through text where that is exact.
fn decimal(value: f64) -> Option<Decimal> {
    for (decimals, power) in (0..).zip(&POW10[..16]) {
        // Both are exact below 2^53, so the division rounds correctly, as reading the text would.
        let power = *power as f64;
        let mantissa = (value * power).round();
        if 4e15 < mantissa.abs() {
            break;
        }
        if mantissa / power == value {
            return Some(Decimal::new(mantissa as i64, decimals));
        }
    }
    Decimal::from_f64(value)
        .or_else(|| value.is_finite().then(|| Decimal::parse_rounded(&format!("{value}"))).flatten())
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use arrow::array::{BooleanArray, Float32Array, Int32Array, Int64Array, StringArray, TimestampMicrosecondArray};

    use super::*;

    proptest::proptest! {
        #[test]
        fn floats_become_the_decimals_their_text_reads_as(value in -1e7f64..1e7, decimals in 0usize..9) {
            let value: f64 = format!("{value:.decimals$}").parse().unwrap();
            let (a, b) = (decimal(value).unwrap(), Decimal::from_f64(value).unwrap());
            proptest::prop_assert_eq!((a.mantissa, a.decimals), (b.mantissa, b.decimals));
        }
    }

    #[test]
    fn cells_are_what_their_columns_say() {
        let instants = Instants::until(None);
        // A number of us would be one of ms in the year 55,000, and one of s is no time as ns.
        let times: [ArrayRef; 3] = [
            Arc::new(TimestampMicrosecondArray::from(vec![1_704_067_200_000_000])),
            Arc::new(Int64Array::from(vec![1_704_067_200])),
            Arc::new(StringArray::from(vec!["2024-01-01T00:00:00Z"])),
        ];
        for column in times {
            assert_eq!(Times::of(&column).unwrap().get(0, instants), Ok(1_704_067_200 * SECOND));
        }
        let tenth: ArrayRef = Arc::new(Float32Array::from(vec![0.1]));
        assert_eq!(Numbers::of(&tenth).unwrap().get(0), Ok(Decimal::new(1, 1)));
        let sides = |column: ArrayRef, is_maker: bool| {
            let sides = Sides::of(&column, is_maker).unwrap();
            (0..column.len()).map(|at| sides.get(at)).collect::<Result<Vec<Side>, Wrong>>()
        };
        let both = Ok(vec![Side::Buy, Side::Sell]);
        assert_eq!(sides(Arc::new(StringArray::from(vec!["b", "S"])), false), both);
        assert_eq!(sides(Arc::new(BooleanArray::from(vec![true, false])), false), both);
        assert_eq!(sides(Arc::new(Int32Array::from(vec![1, -1])), false), both);
        assert_eq!(sides(Arc::new(BooleanArray::from(vec![false, true])), true), both);
        assert_eq!(sides(Arc::new(Int32Array::from(vec![0, 1])), true), both);
        assert!(matches!(sides(Arc::new(Int32Array::from(vec![1, 0])), false), Err(Wrong::File(_))));
    }
}
