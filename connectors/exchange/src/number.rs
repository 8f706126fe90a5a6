//! Numbers as a venue writes them: their digits are kept, since checksums count them and floats would lose some.

use std::borrow::Cow;

use serde::de::{Error, Visitor};
use serde::{Deserialize, Deserializer};
use sonic_rs::LazyValue;

/// The name under which `plain` is asked for one.
pub(super) const NUMBER: &str = "$prism::Number";

/// How many bytes the number takes that begins here, as JSON spells numbers.
#[inline]
pub(super) fn length_of(bytes: &[u8]) -> Option<usize> {
    let digits = |from: usize| bytes[from..].iter().take_while(|byte| byte.is_ascii_digit()).count();
    let sign = usize::from(bytes.first() == Some(&b'-'));
    let whole = digits(sign);
    let mut n = sign + whole;
    let mut is_number = whole == 1 || 1 < whole && bytes[sign] != b'0';
    if bytes.get(n) == Some(&b'.') {
        let fraction = digits(n + 1);
        is_number &= 0 < fraction;
        n += 1 + fraction;
    }
    if let Some(b'e' | b'E') = bytes.get(n) {
        n += 1 + usize::from(matches!(bytes.get(n + 1), Some(b'+' | b'-')));
        let exponent = digits(n);
        is_number &= 0 < exponent;
        n += exponent;
    }
    is_number.then_some(n)
}

/// The text of a JSON number; of a JSON text, what is between its quotes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Number<'a>(Cow<'a, str>);

impl std::ops::Deref for Number<'_> {
    type Target = str;

    #[inline]
    fn deref(&self) -> &str {
        &self.0
    }
}

impl<'de: 'a, 'a> Deserialize<'de> for Number<'a> {
    #[inline]
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Number<'a>, D::Error> {
        struct Written;

        impl<'a> Visitor<'a> for Written {
            type Value = Number<'a>;

            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str("a number")
            }

            #[inline]
            fn visit_borrowed_str<E: Error>(self, text: &'a str) -> Result<Number<'a>, E> {
                Ok(Number(Cow::Borrowed(text)))
            }

            fn visit_newtype_struct<D: Deserializer<'a>>(self, deserializer: D) -> Result<Number<'a>, D::Error> {
                let value = LazyValue::deserialize(deserializer)?;
                let raw = value.as_raw_str();
                match raw.as_bytes() {
                    [b'-' | b'0'..=b'9', ..] => Ok(Number(value.as_raw_cow())),
                    [b'"', .., b'"'] => Ok(Number(Cow::Owned(raw[1..raw.len() - 1].into()))),
                    _ => Err(D::Error::custom("a value is no number")),
                }
            }
        }

        deserializer.deserialize_newtype_struct(NUMBER, Written)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plain;

    #[test]
    fn digits_stay_as_they_are_written_whoever_reads_them() {
        for number in ["0", "-0.0", "37317.0", "105944.20", "6.2604214e-11", "1E+5", "0.10000000", "\"45.50\"", "19"] {
            let text = format!("[{number},{{\"x\":{number}}},null]");
            let kept = number.trim_matches('"');
            type Read<'a> = (Number<'a>, serde::de::IgnoredAny, Option<Number<'a>>);
            let (first, _, none): Read<'_> = plain::read(&text).unwrap();
            assert_eq!((&*first, none), (kept, None));
            // With a space only the full parser reads it.
            let text = text.replace(',', ", ");
            assert!(plain::read::<Read<'_>>(&text).is_none());
            let (first, _, none): Read<'_> = sonic_rs::from_str(&text).unwrap();
            assert_eq!((&*first, none), (kept, None));
        }
        for other in ["01", "-", "1.", ".5", "1e", "1e+", "+1", "1.5.2", "true", "[1]", "\"", ""] {
            let text = format!("[{other}]");
            assert!(plain::read::<[Number<'_>; 1]>(&text).is_none(), "{other}");
            assert!(plain::read::<[serde::de::IgnoredAny; 1]>(&text).is_none() || matches!(other, "true" | "[1]"));
            assert!(sonic_rs::from_str::<[Number<'_>; 1]>(&text).is_err(), "{other}");
        }
    }
}
