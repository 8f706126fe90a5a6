//! OKX's public trades: what one order filled at one price is one of them, under the last of its numbers.
//!
//! Documented at <https://www.okx.com/docs-v5/en/#order-book-trading-market-data-ws-trades-channel>.

use crate::venue::Done;

/// Trades that follow each other at one time, on one side and at one price as one, with how many they are.
pub(super) fn together(done: &[Done]) -> Vec<(Done, usize)> {
    let of_one = |one: &Done, next: &Done| (one.ts, one.buy, one.price) == (next.ts, next.buy, next.price);
    let sum = |some: &[Done]| {
        let mut last = some.last()?.clone();
        let decimals = some.iter().map(|one| one.size.decimals).max()?;
        last.size.mantissa = some.iter().filter_map(|one| one.size.at(decimals)).sum();
        last.size.decimals = decimals;
        last.size = last.size.shortest();
        Some((last, some.len()))
    };
    done.chunk_by(of_one).filter_map(sum).collect()
}

#[cfg(test)]
mod tests {
    use prism_schemas::Decimal;

    use super::*;

    #[test]
    fn fills_of_one_order_at_one_price_are_one() {
        let trade = |number: u64, ts: i64, size: (i64, u32), buy| Done {
            ts,
            id: String::new(),
            number,
            price: Decimal::new(5, 0),
            size: Decimal::new(size.0, size.1),
            buy,
        };
        let all = [
            trade(1, 10, (15, 1), true),
            trade(2, 10, (250, 3), true),
            trade(3, 10, (1, 0), false),
            trade(4, 11, (1, 0), false),
        ];
        let told: Vec<_> = together(&all).into_iter().map(|(one, n)| (one.number, one.size.to_string(), n)).collect();
        assert_eq!(told, [(2, "1.75".into(), 2), (3, "1".into(), 1), (4, "1".into(), 1)]);
    }
}
