//! Reads JSON as venues spell it: no spaces, no escapes, whole numbers of up to 18 digits. Anything else is `None`.
//!
//! A document that is read here is valid, and means what it means to a full parser (tested). It is there because typed
//! reading with serde_json or sonic-rs takes longer than sonic-rs takes to build a document, and half of decoding was that.

use serde::Deserialize;
use serde::de::{self, DeserializeSeed, Visitor};

use super::number::{NUMBER, length_of};

/// Lists and objects within each other; venues send four.
const DEPTH_MAX: u32 = 16;

/// A value of `text`, or `None`: the caller asks a full parser, which also says what is wrong.
pub fn read<'a, T: Deserialize<'a>>(text: &'a str) -> Option<T> {
    let mut plain = Plain { text, at: 0, depth: 0 };
    let value = T::deserialize(&mut plain).ok()?;
    (plain.at == text.len()).then_some(value)
}

struct Plain<'a> {
    text: &'a str,
    at: usize,
    depth: u32,
}

/// It is not plain.
#[derive(Debug, thiserror::Error)]
#[error("not plain")]
struct Other;

impl de::Error for Other {
    #[cold]
    fn custom<T: std::fmt::Display>(_: T) -> Other {
        Other
    }

    #[cold]
    fn missing_field(_: &'static str) -> Other {
        Other
    }
}

/// Every byte of a word that is zero has its high bit set, and those above it may.
#[inline(always)]
const fn zeros(word: u64) -> u64 {
    word.wrapping_sub(0x0101_0101_0101_0101) & !word & 0x8080_8080_8080_8080
}

/// Where a text ends: its quote, or what is not plain.
#[inline(always)]
fn end_of(bytes: &[u8]) -> usize {
    let mut at = 0;
    while let Some(eight) = bytes.get(at..at + 8) {
        let word = u64::from_le_bytes(eight.try_into().unwrap_or_default());
        let quotes = zeros(word ^ 0x2222_2222_2222_2222);
        let escapes = zeros(word ^ 0x5c5c_5c5c_5c5c_5c5c);
        let controls = word.wrapping_sub(0x2020_2020_2020_2020) & !word & 0x8080_8080_8080_8080;
        let found = quotes | escapes | controls;
        if found != 0 {
            return at + found.trailing_zeros() as usize / 8;
        }
        at += 8;
    }
    let is_end = |byte: &u8| *byte == b'"' || *byte == b'\\' || *byte < b' ';
    at + bytes[at..].iter().position(is_end).unwrap_or(bytes.len() - at)
}

impl<'a> Plain<'a> {
    #[inline(always)]
    fn bytes(&self) -> &'a [u8] {
        &self.text.as_bytes()[self.at..]
    }

    #[inline(always)]
    fn peek(&self) -> Option<u8> {
        self.text.as_bytes().get(self.at).copied()
    }

    #[inline(always)]
    fn take(&mut self, byte: u8) -> Result<(), Other> {
        if self.peek() != Some(byte) {
            return Err(Other);
        }
        self.at += 1;
        Ok(())
    }

    #[inline(always)]
    fn word(&mut self, word: &str) -> Result<(), Other> {
        if !self.bytes().starts_with(word.as_bytes()) {
            return Err(Other);
        }
        self.at += word.len();
        Ok(())
    }

    #[inline(always)]
    fn string(&mut self) -> Result<&'a str, Other> {
        self.take(b'"')?;
        let length = end_of(self.bytes());
        let text = self.text.get(self.at..self.at + length).ok_or(Other)?;
        self.at += length;
        self.take(b'"')?;
        Ok(text)
    }

    /// A whole number without a sign.
    #[inline(always)]
    fn number(&mut self) -> Result<u64, Other> {
        let bytes = self.bytes();
        let (mut number, mut n) = (0u64, 0);
        while let Some(digit) = bytes.get(n).map(|byte| byte.wrapping_sub(b'0'))
            && digit <= 9
        {
            number = number.wrapping_mul(10).wrapping_add(digit.into());
            n += 1;
        }
        let has_fraction = matches!(bytes.get(n), Some(b'.' | b'e' | b'E'));
        if n == 0 || 18 < n || (bytes[0] == b'0' && n != 1) || has_fraction {
            return Err(Other);
        }
        self.at += n;
        Ok(number)
    }

    /// A number as it is written, or a text.
    #[inline]
    fn written(&mut self) -> Result<&'a str, Other> {
        if self.peek() == Some(b'"') {
            return self.string();
        }
        let length = length_of(self.bytes()).ok_or(Other)?;
        let text = self.text.get(self.at..self.at + length).ok_or(Other)?;
        self.at += length;
        Ok(text)
    }

    /// What is between two brackets.
    #[inline(always)]
    fn within<T>(
        &mut self,
        [begin, end]: [u8; 2],
        visit: impl FnOnce(&mut Within<'_, 'a>) -> Result<T, Other>,
    ) -> Result<T, Other> {
        self.take(begin)?;
        self.depth += 1;
        if DEPTH_MAX < self.depth {
            return Err(Other);
        }
        let mut within = Within { plain: self, end, is_first: true };
        let value = visit(&mut within)?;
        self.depth -= 1;
        self.take(end)?;
        Ok(value)
    }
}

struct Within<'p, 'a> {
    plain: &'p mut Plain<'a>,
    end: u8,
    is_first: bool,
}

impl Within<'_, '_> {
    /// Whether there is one more.
    #[inline(always)]
    fn has_next(&mut self) -> Result<bool, Other> {
        if self.plain.peek() == Some(self.end) {
            return Ok(false);
        }
        if !std::mem::replace(&mut self.is_first, false) {
            self.plain.take(b',')?;
        }
        Ok(true)
    }
}

impl<'a> de::MapAccess<'a> for &mut Within<'_, 'a> {
    type Error = Other;

    #[inline(always)]
    fn next_key_seed<K: DeserializeSeed<'a>>(&mut self, seed: K) -> Result<Option<K::Value>, Other> {
        if !self.has_next()? {
            return Ok(None);
        }
        if self.plain.peek() != Some(b'"') {
            return Err(Other);
        }
        let key = seed.deserialize(&mut *self.plain)?;
        self.plain.take(b':')?;
        Ok(Some(key))
    }

    #[inline(always)]
    fn next_value_seed<S: DeserializeSeed<'a>>(&mut self, seed: S) -> Result<S::Value, Other> {
        seed.deserialize(&mut *self.plain)
    }
}

impl<'a> de::SeqAccess<'a> for &mut Within<'_, 'a> {
    type Error = Other;

    #[inline(always)]
    fn next_element_seed<S: DeserializeSeed<'a>>(&mut self, seed: S) -> Result<Option<S::Value>, Other> {
        if self.has_next()? { seed.deserialize(&mut *self.plain).map(Some) } else { Ok(None) }
    }
}

impl<'a> de::Deserializer<'a> for &mut Plain<'a> {
    type Error = Other;

    #[inline]
    fn deserialize_any<V: Visitor<'a>>(self, visitor: V) -> Result<V::Value, Other> {
        match self.peek() {
            Some(b'"') => visitor.visit_borrowed_str(self.string()?),
            Some(b'{') => self.deserialize_map(visitor),
            Some(b'[') => self.deserialize_seq(visitor),
            Some(b't') => self.word("true").and_then(|()| visitor.visit_bool(true)),
            Some(b'f') => self.word("false").and_then(|()| visitor.visit_bool(false)),
            Some(b'n') => self.word("null").and_then(|()| visitor.visit_unit()),
            Some(b'-') => {
                self.at += 1;
                match self.number()? {
                    0 => Err(Other),
                    number => visitor.visit_i64(-(number as i64)),
                }
            }
            _ => visitor.visit_u64(self.number()?),
        }
    }

    #[inline(always)]
    fn deserialize_str<V: Visitor<'a>>(self, visitor: V) -> Result<V::Value, Other> {
        visitor.visit_borrowed_str(self.string()?)
    }

    #[inline(always)]
    fn deserialize_identifier<V: Visitor<'a>>(self, visitor: V) -> Result<V::Value, Other> {
        visitor.visit_borrowed_str(self.string()?)
    }

    #[inline(always)]
    fn deserialize_u64<V: Visitor<'a>>(self, visitor: V) -> Result<V::Value, Other> {
        visitor.visit_u64(self.number()?)
    }

    #[inline(always)]
    fn deserialize_option<V: Visitor<'a>>(self, visitor: V) -> Result<V::Value, Other> {
        match self.peek() {
            Some(b'n') => self.word("null").and_then(|()| visitor.visit_none()),
            _ => visitor.visit_some(self),
        }
    }

    #[inline(always)]
    fn deserialize_struct<V: Visitor<'a>>(
        self,
        _name: &'static str,
        _fields: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Other> {
        self.deserialize_map(visitor)
    }

    #[inline(always)]
    fn deserialize_map<V: Visitor<'a>>(self, visitor: V) -> Result<V::Value, Other> {
        self.within(*b"{}", |within| visitor.visit_map(within))
    }

    #[inline(always)]
    fn deserialize_seq<V: Visitor<'a>>(self, visitor: V) -> Result<V::Value, Other> {
        self.within(*b"[]", |within| visitor.visit_seq(within))
    }

    #[inline(always)]
    fn deserialize_tuple<V: Visitor<'a>>(self, _n: usize, visitor: V) -> Result<V::Value, Other> {
        self.deserialize_seq(visitor)
    }

    /// Nobody looks at it: of a number there may be more than is read here.
    #[inline]
    fn deserialize_ignored_any<V: Visitor<'a>>(self, visitor: V) -> Result<V::Value, Other> {
        match self.peek() {
            Some(b'-' | b'0'..=b'9') => self.written().and_then(|_| visitor.visit_unit()),
            _ => self.deserialize_any(visitor),
        }
    }

    /// sonic-rs marks its own values so, too.
    #[inline]
    fn deserialize_newtype_struct<V: Visitor<'a>>(self, name: &'static str, visitor: V) -> Result<V::Value, Other> {
        if name == NUMBER { visitor.visit_borrowed_str(self.written()?) } else { Err(Other) }
    }

    serde::forward_to_deserialize_any! {
        <V: Visitor<'a>>
        bool i8 i16 i32 i64 i128 u8 u16 u32 u128 f32 f64 char string bytes byte_buf unit unit_struct tuple_struct enum
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::Value;

    use super::*;

    #[derive(Debug, Deserialize, PartialEq)]
    struct Frame<'a> {
        e: &'a str,
        #[serde(rename = "T")]
        ts: Option<i64>,
        u: u64,
        m: bool,
        #[serde(borrow, default)]
        b: Vec<[&'a str; 2]>,
        #[serde(borrow)]
        o: Option<(&'a str, f64)>,
    }

    const FRAME: &str = r#"{"e":"depthUpdate","T":-17,"x":{"y":[1,null,{"z":"Zürich"}]},"u":400900217,"m":true,"b":[["0.0024","10"],["1.5",""]],"o":["a",35]}"#;

    #[test]
    fn what_venues_send_is_read_and_all_else_is_left_to_others() {
        let frame: Frame<'_> = read(FRAME).unwrap();
        assert_eq!(frame, sonic_rs::from_str(FRAME).unwrap());
        assert_eq!(frame.b, [["0.0024", "10"], ["1.5", ""]]);
        for other in [
            " {}",
            "{} ",
            "{\"e\":1 }",
            "[01]",
            "[-0]",
            "[1.5]",
            "[1e3]",
            "[1,]",
            "[,1]",
            "[1 ]",
            "{\"a\"}",
            "[\"\\u0041\"]",
            "[\"\n\"]",
            "[\"",
            "[1234567890123456789]",
            "",
            "[tru]",
            "[}",
            "{\"a\":1]",
        ] {
            assert!(read::<Value>(other).is_none(), "{other}");
        }
        // Nor where nobody looks.
        for other in ["{1:2}", "{[]:1}", "{null:0}", "{\"a\":{{}:1}}"] {
            assert!(read::<de::IgnoredAny>(other).is_none(), "{other}");
        }
        let deep = |n: usize| format!("{}{}", "[".repeat(n), "]".repeat(n));
        assert!(read::<Value>(&deep(16)).is_some() && read::<Value>(&deep(100_000)).is_none());
    }

    proptest! {
        /// Documents, and the same with a byte changed: what is read is what a full parser reads.
        #[test]
        fn what_is_read_is_what_it_means(
            texts in prop::collection::vec("[ -~é]{0,20}", 0..6),
            numbers in prop::collection::vec(any::<i64>(), 0..6),
            at in any::<prop::sample::Index>(),
            byte in prop::sample::select(b"\"\\{}[]:,0-1.et \n".to_vec()),
        ) {
            let document = serde_json::json!({"texts": texts, "n": {"numbers": numbers, "none": null, "is": true}});
            let text = document.to_string();
            if let Some(value) = read::<Value>(&text) {
                prop_assert_eq!(&value, &document);
            }
            for base in [&*text, FRAME] {
                let at = at.index(base.len());
                let mut bytes = base.as_bytes().to_vec();
                bytes[at] = byte;
                let Ok(changed) = String::from_utf8(bytes) else { continue };
                if let Some(value) = read::<Value>(&changed) {
                    prop_assert_eq!(value, serde_json::from_str::<Value>(&changed).unwrap());
                }
                if let Some(frame) = read::<Frame<'_>>(&changed) {
                    prop_assert_eq!(frame, sonic_rs::from_str(&changed).unwrap());
                }
            }
        }
    }
}
