//! Numbers and times as text: each is read exactly, or not at all where it does not fit.

use prism_schemas::Decimal;
use prism_schemas::decimal::DECIMALS_MAX;
use prism_schemas::time::{SECOND, Timeframe, format_ts, parse_duration, parse_seconds, parse_ts};

/// Two numbers a line, and a time of both.
pub fn run(input: &[u8]) {
    let text = &*String::from_utf8_lossy(input);
    let (one, other) = text.split_once('\n').unwrap_or((text, "0.1"));
    for text in [one, other] {
        parsed(text);
        rounded(text);
        times(text);
    }
    if let (Some(one), Some(other)) = (Decimal::parse(one), Decimal::parse(other)) {
        let product = i128::from(one.mantissa) * i128::from(other.mantissa);
        let exact = Exact::of(product, -i64::from(one.decimals + other.decimals));
        assert_eq!(one.times(other), exact.fitted(), "{one} * {other}");
    }
    let mut numbers = input.chunks(8).map(|chunk| chunk.iter().fold(0u64, |n, byte| n << 8 | u64::from(*byte)));
    let mut next = || numbers.next().unwrap_or(0);
    odd(next() as i64, next() as u32, next() as u32 % 40);
}

/// A number as digits without zeros around them, times a power of ten.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Exact {
    is_negative: bool,
    digits: String,
    exponent: i64,
}

impl Exact {
    fn new(is_negative: bool, digits: &str, exponent: i64) -> Exact {
        let digits = digits.trim_start_matches('0');
        let kept = digits.trim_end_matches('0');
        match kept.is_empty() {
            true => Exact { is_negative: false, digits: String::new(), exponent: 0 },
            false => {
                let exponent = exponent.saturating_add((digits.len() - kept.len()) as i64);
                Exact { is_negative, digits: kept.into(), exponent }
            }
        }
    }

    fn of(mantissa: i128, exponent: i64) -> Exact {
        Exact::new(mantissa < 0, &mantissa.unsigned_abs().to_string(), exponent)
    }

    /// `-12.50`, `.5`, `7.`, `6.818e-05`.
    fn parse(text: &str) -> Option<Exact> {
        let (number, exponent) = text.split_once(['e', 'E']).unwrap_or((text, "0"));
        let (sign, digits) = number.strip_prefix('-').map_or(("", number), |digits| ("-", digits));
        let (whole, fraction) = digits.split_once('.').unwrap_or((digits, ""));
        let all = [whole, fraction].concat();
        let unsigned = exponent.strip_prefix(['+', '-']).unwrap_or(exponent);
        let is_digits = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
        if !is_digits(&all) || !is_digits(unsigned) {
            return None;
        }
        // An exponent beyond 32 bits is none.
        let size = i64::from(exponent.parse::<i32>().ok()?);
        Some(Exact::new(!sign.is_empty(), &all, size - fraction.len() as i64))
    }

    /// The decimal it is, if there is one.
    fn fitted(&self) -> Option<Decimal> {
        let zeros = usize::try_from(self.exponent.max(0)).ok().filter(|n| *n < 20)?;
        let mantissa = match self.digits.as_str() {
            "" => 0,
            digits if 20 < digits.len() => return None,
            digits => [digits, &"0".repeat(zeros)].concat().parse::<i128>().ok()?,
        };
        let mantissa = i64::try_from(if self.is_negative { -mantissa } else { mantissa }).ok()?;
        let decimals = u32::try_from(-self.exponent.min(0)).ok().filter(|decimals| *decimals <= DECIMALS_MAX)?;
        Some(Decimal::new(mantissa, decimals))
    }
}

fn parsed(text: &str) {
    let exact = Exact::parse(text);
    let number = Decimal::parse(text);
    assert_eq!(number, exact.as_ref().and_then(Exact::fitted), "{text}");
    let Some(number) = number else { return };
    let shown = number.to_string();
    assert_eq!((Decimal::parse(&shown), Exact::parse(&shown)), (Some(number), exact.clone()), "{text}");
    for decimals in 0..=DECIMALS_MAX {
        let at = number.at(decimals).map(|mantissa| Exact::of(mantissa.into(), -i64::from(decimals)));
        let scaled = i128::from(number.mantissa) * 10i128.pow(decimals.saturating_sub(number.decimals));
        let fits = number.decimals <= decimals && i64::try_from(scaled).is_ok();
        assert_eq!(at, exact.clone().filter(|_| fits), "{text} at {decimals}");
    }
    assert!((number.to_f64() - shown.parse::<f64>().unwrap_or(f64::NAN)).abs() <= number.to_f64().abs() * 1e-15);
}

/// As many digits of a fraction as fit, and no other number.
fn rounded(text: &str) {
    let number = Decimal::parse_rounded(text);
    let end = text.find(['e', 'E']).unwrap_or(text.len());
    let begin = text.find('.').map_or(end, |point| point + 1).min(end);
    let cut = |at: usize| Exact::parse(&[text.get(..at)?, &text[end..]].concat())?.fitted();
    let is_fraction = text[begin..end].bytes().all(|byte| byte.is_ascii_digit());
    let longest = if is_fraction { (begin..=end).rev().find_map(cut) } else { None };
    assert_eq!(number, longest, "{text}");
}

fn times(text: &str) {
    if let Some(ts) = parse_ts(text) {
        assert_eq!(parse_ts(&format_ts(ts)), Some(ts), "{text}");
        for timeframe in Timeframe::ALL.into_iter().filter(|_| ts.unsigned_abs() < 1 << 62) {
            let start = timeframe.start(ts);
            assert!(start <= ts && ts < timeframe.end(start), "{text} {timeframe}");
        }
    }
    if let Some(ts) = parse_seconds(text) {
        let exact = Exact::parse(text).unwrap_or_else(|| panic!("{text} is no number"));
        let nanos = Exact { exponent: exact.exponent + 9, ..exact };
        let whole = nanos.exponent.min(0).unsigned_abs() as usize;
        let kept = &nanos.digits[..nanos.digits.len().saturating_sub(whole)];
        let expected = Exact::new(nanos.is_negative, kept, nanos.exponent.max(0));
        assert_eq!(Exact::of(ts.into(), 0), expected, "{text}");
    }
    if let Some(nanos) = parse_duration(text) {
        assert!(0 <= nanos && (nanos % SECOND == 0 || text.ends_with("ms")), "{text}");
    }
}

/// Numbers that no text is read as, and a message may hold: nothing panics.
fn odd(mantissa: i64, decimals: u32, at: u32) {
    let number = Decimal::new(mantissa, decimals);
    let _ = (number.at(at), number.times(number), number.to_f64());
    let _ = (number.shortest(), number.half(), format_ts(mantissa));
    assert!(number.to_string().len() < 64, "{mantissa} {decimals}");
}
