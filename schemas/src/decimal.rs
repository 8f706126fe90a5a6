//! Exact decimal numbers: text to mantissa and decimals, never through a float.

use crate::event::Decimal;

/// Most decimals a number may have; 10^18 is the largest power of ten in an i64.
pub const DECIMALS_MAX: u32 = 18;

/// More digits than this fit no i64.
const DIGITS_MAX: usize = 19;

/// Powers of ten as i64.
pub const POW10: [i64; 19] = {
    let mut powers = [1i64; 19];
    let mut i = 1;
    while i < 19 {
        powers[i] = powers[i - 1] * 10;
        i += 1;
    }
    powers
};

impl Decimal {
    /// `mantissa / 10^decimals`.
    pub const fn new(mantissa: i64, decimals: u32) -> Decimal {
        Decimal { mantissa, decimals }
    }

    /// Reads plain or exponent notation (`-12.50`, `6.818e-05`); `None` if it is not a number or does not fit exactly.
    /// Trailing zeros of a fraction are dropped, so equal numbers are equal values.
    #[inline]
    pub fn parse(text: &str) -> Option<Decimal> {
        Decimal::parse_plain(text.as_bytes()).or_else(|| Decimal::parse_any(text))
    }

    /// As `parse`; of a fraction with more digits than fit as many as do: `302542.8759139051798123`, as venues print what they
    /// computed in floating point.
    pub fn parse_rounded(text: &str) -> Option<Decimal> {
        Decimal::parse(text).or_else(|| {
            let (digits, exponent) = text.split_at(text.find(['e', 'E']).unwrap_or(text.len()));
            let is_digits = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
            let whole = digits.find('.').filter(|at| is_digits(&digits[at + 1..]))?;
            let cut = |end: usize| Decimal::parse(&[&digits[..end], exponent].concat());
            // What is before the first digit is zero, and what is far behind it does not fit.
            let first = digits.bytes().position(|byte| matches!(byte, b'1'..=b'9')).unwrap_or(digits.len());
            let from = first.max(whole + 1);
            (from..digits.len().min(from + DIGITS_MAX + 1)).rev().find_map(cut)
        })
    }

    /// At most 18 digits, which surely fit, with or without a point: nearly all that venues send.
    #[inline]
    fn parse_plain(bytes: &[u8]) -> Option<Decimal> {
        if 19 < bytes.len() {
            return None;
        }
        // Zeros at the end are no digits of a fraction, and a power of ten of a whole number.
        let mut end = bytes.len();
        while 0 < end && bytes[end - 1] == b'0' {
            end -= 1;
        }
        let (whole, point) = digits(&bytes[..end], 0, 0);
        if point == end {
            let fits = (1..=18).contains(&bytes.len());
            return fits.then(|| Decimal::new(whole as i64 * POW10[bytes.len() - end], 0));
        }
        let (mantissa, stop) = digits(&bytes[..end], point + 1, whole);
        let is_number = bytes[point] == b'.' && stop == end && bytes.len() != 1;
        is_number.then(|| Decimal::new(mantissa as i64, (end - point - 1) as u32))
    }

    fn parse_any(text: &str) -> Option<Decimal> {
        let (text, exponent) = match text.find(['e', 'E']) {
            Some(at) => (&text[..at], text[at + 1..].parse::<i32>().ok()?),
            None => (text, 0),
        };
        let (sign, text) = text.strip_prefix('-').map_or((1, text), |text| (-1, text));
        let (whole, fraction) = text.split_once('.').unwrap_or((text, ""));
        let digits = || whole.bytes().chain(fraction.bytes());
        if digits().next().is_none() || !digits().all(|byte| byte.is_ascii_digit()) {
            return None;
        }
        // Zeros at the end are no digits but a power of ten.
        let zeros = digits().rev().take_while(|byte| *byte == b'0').count();
        let mut mantissa: i64 = 0;
        for byte in digits().take(whole.len() + fraction.len() - zeros) {
            mantissa = mantissa.checked_mul(10)?.checked_add(sign * i64::from(byte - b'0'))?;
        }
        if mantissa == 0 {
            return Some(Decimal::new(0, 0));
        }
        let decimals = fraction.len() as i64 - zeros as i64 - i64::from(exponent);
        if decimals < 0 {
            let power = POW10.get(usize::try_from(-decimals).ok()?)?;
            return Some(Decimal::new(mantissa.checked_mul(*power)?, 0));
        }
        let decimals = u32::try_from(decimals).ok().filter(|decimals| *decimals <= DECIMALS_MAX)?;
        Some(Decimal::new(mantissa, decimals))
    }

    /// The same number without trailing zeros of its fraction.
    pub const fn shortest(mut self) -> Decimal {
        if self.mantissa == 0 {
            return Decimal::new(0, 0);
        }
        while 0 < self.decimals && self.mantissa % 10 == 0 {
            self.mantissa /= 10;
            self.decimals -= 1;
        }
        self
    }

    /// Half of it, exactly where it has room for one more decimal.
    pub const fn half(self) -> Decimal {
        match self.mantissa.checked_mul(5) {
            Some(mantissa) if self.mantissa % 2 != 0 && self.decimals < DECIMALS_MAX => {
                Decimal::new(mantissa, self.decimals + 1)
            }
            _ => Decimal::new(self.mantissa / 2, self.decimals),
        }
    }

    /// The shortest decimal that reads back as `value`; `None` for NaN, infinities and what does not fit.
    pub fn from_f64(value: f64) -> Option<Decimal> {
        if value.is_finite() { Decimal::parse(&format!("{value}")) } else { None }
    }

    /// The mantissa at `decimals` decimals, if exact and in range.
    pub fn at(&self, decimals: u32) -> Option<i64> {
        if self.decimals <= decimals {
            let power = POW10.get(usize::try_from(decimals - self.decimals).ok()?)?;
            self.mantissa.checked_mul(*power)
        } else {
            let power = POW10.get(usize::try_from(self.decimals - decimals).ok()?)?;
            (self.mantissa % power == 0).then_some(self.mantissa / power)
        }
    }

    /// The product, if it fits.
    pub fn times(&self, other: Decimal) -> Option<Decimal> {
        let decimals = self.decimals.checked_add(other.decimals)?;
        let product = match self.mantissa.checked_mul(other.mantissa) {
            Some(mantissa) => Decimal::new(mantissa, decimals).shortest(),
            None => narrow(i128::from(self.mantissa) * i128::from(other.mantissa), decimals)?,
        };
        (product.decimals <= DECIMALS_MAX).then_some(product)
    }

    /// The nearest f64 (exact division of two exact numbers while the mantissa is below 2^53).
    pub fn to_f64(&self) -> f64 {
        self.mantissa as f64 / 10f64.powi(self.decimals as i32)
    }
}

/// Goes on with a number from a place on, up to what is no digit; gives where that is.
fn digits(bytes: &[u8], mut at: usize, mut number: u64) -> (u64, usize) {
    while let Some(digit) = bytes.get(at).map(|byte| byte.wrapping_sub(b'0')).filter(|digit| *digit <= 9) {
        number = number * 10 + u64::from(digit);
        at += 1;
    }
    (number, at)
}

/// The shortest decimal of a product, if it fits.
fn narrow(mut mantissa: i128, mut decimals: u32) -> Option<Decimal> {
    while 0 < decimals && mantissa % 10 == 0 {
        mantissa /= 10;
        decimals -= 1;
    }
    Some(Decimal::new(i64::try_from(mantissa).ok()?, decimals))
}

impl std::fmt::Display for Decimal {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        if DECIMALS_MAX < self.decimals {
            // No text is read as such a number, but a message may hold one.
            return write!(f, "{}e-{}", self.mantissa, self.decimals);
        }
        let digits = format!("{:0width$}", self.mantissa.unsigned_abs(), width = self.decimals as usize + 1);
        let (whole, fraction) = digits.split_at(digits.len() - self.decimals as usize);
        let sign = if self.mantissa < 0 { "-" } else { "" };
        if fraction.is_empty() { write!(f, "{sign}{whole}") } else { write!(f, "{sign}{whole}.{fraction}") }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parses_exactly_or_not_at_all() {
        for (text, expected) in [
            ("61837.63000000", Some((6183763, 2))),
            ("0.00000000", Some((0, 0))),
            ("-6.12e-06", Some((-612, 8))),
            ("1e3", Some((1000, 0))),
            ("10", Some((10, 0))),
            (".5", Some((5, 1))),
            ("", None),
            (".", None),
            ("1.2.3", None),
            ("NaN", None),
            ("99999999999999999999", None),
            ("1e-19", None),
            ("10e-19", Some((1, 18))),
            ("0e100", Some((0, 0))),
            ("1000000000000000000000e-20", Some((10, 0))),
            ("-9223372036854775808", Some((i64::MIN, 0))),
            ("9223372036854775808", None),
        ] {
            let got = Decimal::parse(text).map(|d| (d.mantissa, d.decimals));
            assert_eq!(got, expected, "{text}");
        }
    }

    #[test]
    fn products_are_exact_or_none() {
        let times = |a: &str, b: &str| Decimal::parse(a)?.times(Decimal::parse(b)?).map(|product| product.to_string());
        assert_eq!(times("415", "0.01").as_deref(), Some("4.15"));
        assert_eq!(times("-2.5", "4").as_deref(), Some("-10"));
        assert_eq!(times("0.0000000001", "0.0000000001"), None);
        assert_eq!(times("9223372036854775807", "2"), None);
        assert_eq!(times("9223372036854775805", "0.2").as_deref(), Some("1844674407370955161"));
    }

    #[test]
    fn what_only_a_message_holds_is_shown_and_takes_no_time() {
        for number in [Decimal::new(7, 70_000), Decimal::new(0, u32::MAX), Decimal::new(i64::MIN, u32::MAX)] {
            assert!(number.to_string().len() < 40);
            assert_eq!((number.at(2), number.times(number).is_some()), (None, false));
        }
        assert_eq!(Decimal::new(0, u32::MAX).shortest(), Decimal::new(0, 0));
    }

    #[test]
    fn a_long_fraction_takes_no_longer_than_it_is_long() {
        let digits = "3".repeat(1 << 20);
        assert_eq!(Decimal::parse_rounded(&format!("0.{digits}")), Decimal::parse("0.333333333333333333"));
        assert_eq!(Decimal::parse_rounded(&format!("99999999999999999999.{digits}")), None);
        let zeros = "0".repeat(1 << 20);
        assert_eq!(Decimal::parse_rounded(&format!("0.{zeros}{digits}e99999999999")), None);
        assert_eq!(Decimal::parse_rounded(&format!("0.{zeros}1")), Some(Decimal::new(0, 0)));
    }

    #[test]
    fn what_floats_print_is_cut_to_what_fits() {
        for (text, expected) in [
            ("0.29009999999999997", Some("0.29009999999999997")),
            ("302542.8759139051798123", Some("302542.8759139051798")),
            ("-1.38038472222234567e-6", Some("-0.000001380384722222")),
            ("1.5e-30", None),
            ("1..5", None),
        ] {
            assert_eq!(Decimal::parse_rounded(text).map(|d| d.to_string()).as_deref(), expected, "{text}");
        }
    }

    proptest::proptest! {
        #[test]
        fn the_short_way_is_the_long_way(text in "-?[0-9]{0,20}(\\.[0-9]{0,20})?") {
            proptest::prop_assert_eq!(Decimal::parse(&text), Decimal::parse_any(&text));
        }

        #[test]
        fn display_reads_back(mantissa in -1_000_000_000_000i64..1_000_000_000_000, decimals in 0u32..12) {
            let text = Decimal::new(mantissa, decimals).to_string();
            let back = Decimal::parse(&text).unwrap();
            proptest::prop_assert_eq!(back.at(decimals), Some(mantissa));
        }

        #[test]
        fn floats_read_back(value in -1e9f64..1e9) {
            if let Some(d) = Decimal::from_f64(value) {
                proptest::prop_assert!((d.to_f64() - value).abs() <= value.abs() * 1e-15);
            }
        }
    }
}
