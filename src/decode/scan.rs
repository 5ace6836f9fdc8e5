//! A strict reader of one JSON object: its members in order, values borrowed, numbers as written.
//!
//! It is strict where `serde_json` skips: lone surrogates and nesting count in ignored members too, so that a record's
//! verdict does not depend on which members a format asks for. Limits: [`MAX_DEPTH`] nested arrays and objects, the
//! outermost included. `differential_*` tests hold it against `serde_json`.

use std::borrow::Cow;

use crate::validate::Cell;

/// How deep arrays and objects may nest.
const MAX_DEPTH: usize = 128;

/// The text is no JSON object.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Malformed;

/// A value as it stands in the text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Raw<'a> {
    /// What stands between the quotes.
    Plain(&'a str),
    /// The same, with escapes, which are valid.
    Escaped(&'a str),
    /// A number as written.
    Number(&'a str),
    Null,
    /// true, false, an array or an object.
    Other,
}

impl<'a> Raw<'a> {
    /// The text of a string.
    pub(super) fn string(self) -> Option<Cow<'a, str>> {
        match self {
            Raw::Plain(text) => Some(Cow::Borrowed(text)),
            Raw::Escaped(text) => Some(Cow::Owned(unescape(text))),
            _ => None,
        }
    }

    /// The value as a field of a record: strings trimmed, null and blank absent.
    pub(super) fn cell(self) -> Cell<'a> {
        match self {
            Raw::Plain(text) => Cell::of_text(text),
            Raw::Escaped(text) => {
                let text = unescape(text);
                match text.trim() {
                    "" => Cell::Absent,
                    trimmed if trimmed.len() == text.len() => Cell::Text(Cow::Owned(text)),
                    trimmed => Cell::Text(Cow::Owned(trimmed.to_owned())),
                }
            }
            Raw::Number(text) => Cell::Number(text),
            Raw::Null => Cell::Absent,
            Raw::Other => Cell::Other,
        }
    }
}

/// Calls `each` with key and value of every member of the object that `text` is, in order, repeated keys included.
pub(super) fn members<'a>(text: &'a str, mut each: impl FnMut(Raw<'a>, Raw<'a>)) -> Result<(), Malformed> {
    let mut scanner = Scanner { text, next: 0 };
    scanner.skip_blanks();
    scanner.object(1, &mut each)?;
    scanner.skip_blanks();
    if scanner.next == text.len() { Ok(()) } else { Err(Malformed) }
}

struct Scanner<'a> {
    text: &'a str,
    next: usize,
}

impl<'a> Scanner<'a> {
    fn peek(&self) -> Option<u8> {
        self.text.as_bytes().get(self.next).copied()
    }

    fn take(&mut self, byte: u8) -> bool {
        let is_next = self.peek() == Some(byte);
        self.next += usize::from(is_next);
        is_next
    }

    fn expect(&mut self, byte: u8) -> Result<(), Malformed> {
        if self.take(byte) { Ok(()) } else { Err(Malformed) }
    }

    fn skip_blanks(&mut self) {
        while let Some(b' ' | b'\t' | b'\n' | b'\r') = self.peek() {
            self.next += 1;
        }
    }

    fn since(&self, start: usize) -> Result<&'a str, Malformed> {
        self.text.get(start..self.next).ok_or(Malformed)
    }

    fn object(&mut self, depth: usize, each: &mut dyn FnMut(Raw<'a>, Raw<'a>)) -> Result<(), Malformed> {
        self.expect(b'{')?;
        if depth > MAX_DEPTH {
            return Err(Malformed);
        }
        self.skip_blanks();
        if self.take(b'}') {
            return Ok(());
        }
        loop {
            self.skip_blanks();
            let key = self.string()?;
            self.skip_blanks();
            self.expect(b':')?;
            let value = self.value(depth)?;
            each(key, value);
            if !self.take(b',') {
                return self.expect(b'}');
            }
        }
    }

    fn array(&mut self, depth: usize) -> Result<(), Malformed> {
        self.expect(b'[')?;
        if depth > MAX_DEPTH {
            return Err(Malformed);
        }
        self.skip_blanks();
        if self.take(b']') {
            return Ok(());
        }
        loop {
            self.value(depth)?;
            if !self.take(b',') {
                return self.expect(b']');
            }
        }
    }

    /// A value and the blanks around it.
    fn value(&mut self, depth: usize) -> Result<Raw<'a>, Malformed> {
        self.skip_blanks();
        let value = match self.peek() {
            Some(b'"') => self.string()?,
            Some(b'-' | b'0'..=b'9') => self.number()?,
            Some(b'{') => self.object(depth + 1, &mut |_, _| ()).map(|()| Raw::Other)?,
            Some(b'[') => self.array(depth + 1).map(|()| Raw::Other)?,
            Some(b'n') => self.word("null", Raw::Null)?,
            Some(b't') => self.word("true", Raw::Other)?,
            Some(b'f') => self.word("false", Raw::Other)?,
            _ => return Err(Malformed),
        };
        self.skip_blanks();
        Ok(value)
    }

    fn word(&mut self, word: &str, value: Raw<'a>) -> Result<Raw<'a>, Malformed> {
        let rest = self.text.get(self.next..).ok_or(Malformed)?;
        if !rest.starts_with(word) {
            return Err(Malformed);
        }
        self.next += word.len();
        Ok(value)
    }

    fn number(&mut self) -> Result<Raw<'a>, Malformed> {
        let start = self.next;
        self.take(b'-');
        if !self.take(b'0') {
            self.digits()?;
        }
        if self.take(b'.') {
            self.digits()?;
        }
        if self.take(b'e') || self.take(b'E') {
            let _ = self.take(b'+') || self.take(b'-');
            self.digits()?;
        }
        Ok(Raw::Number(self.since(start)?))
    }

    fn digits(&mut self) -> Result<(), Malformed> {
        let start = self.next;
        while let Some(b'0'..=b'9') = self.peek() {
            self.next += 1;
        }
        if self.next > start { Ok(()) } else { Err(Malformed) }
    }

    fn string(&mut self) -> Result<Raw<'a>, Malformed> {
        self.expect(b'"')?;
        let start = self.next;
        let mut escaped = false;
        loop {
            match self.peek().ok_or(Malformed)? {
                b'"' => break,
                b'\\' => {
                    escaped = true;
                    self.escape()?;
                }
                0..=0x1f => return Err(Malformed),
                _ => self.next += 1,
            }
        }
        let text = self.since(start)?;
        self.next += 1;
        Ok(if escaped { Raw::Escaped(text) } else { Raw::Plain(text) })
    }

    fn escape(&mut self) -> Result<(), Malformed> {
        self.expect(b'\\')?;
        let letter = self.peek().ok_or(Malformed)?;
        self.next += 1;
        match letter {
            b'"' | b'\\' | b'/' | b'b' | b'f' | b'n' | b'r' | b't' => Ok(()),
            b'u' => match self.code_unit()? {
                0xd800..=0xdbff => {
                    self.expect(b'\\')?;
                    self.expect(b'u')?;
                    if (0xdc00..=0xdfff).contains(&self.code_unit()?) { Ok(()) } else { Err(Malformed) }
                }
                0xdc00..=0xdfff => Err(Malformed),
                _ => Ok(()),
            },
            _ => Err(Malformed),
        }
    }

    fn code_unit(&mut self) -> Result<u16, Malformed> {
        let digits = self.text.get(self.next..self.next + 4).ok_or(Malformed)?;
        self.next += 4;
        hexadecimal(digits).ok_or(Malformed)
    }
}

fn hexadecimal(digits: &str) -> Option<u16> {
    // `from_str_radix` would take a sign.
    digits.bytes().all(|byte| byte.is_ascii_hexdigit()).then(|| u16::from_str_radix(digits, 16).ok())?
}

/// Resolves the escapes of a string that was scanned and is valid.
fn unescape(text: &str) -> String {
    let mut plain = String::with_capacity(text.len());
    let mut rest = text;
    let mut high = None;
    while let Some((before, after)) = rest.split_once('\\') {
        plain.push_str(before);
        let mut chars = after.chars();
        let letter = chars.next().unwrap_or('\\');
        rest = chars.as_str();
        match letter {
            'b' => plain.push('\u{8}'),
            'f' => plain.push('\u{c}'),
            'n' => plain.push('\n'),
            'r' => plain.push('\r'),
            't' => plain.push('\t'),
            'u' => {
                let (digits, after) = rest.split_at_checked(4).unwrap_or((rest, ""));
                rest = after;
                let unit = hexadecimal(digits).unwrap_or_default();
                match (high.take(), unit) {
                    (None, 0xd800..=0xdbff) => high = Some(unit),
                    (None, _) => plain.extend(char::from_u32(u32::from(unit))),
                    (Some(high), low) => plain.extend(char::decode_utf16([high, low]).flatten()),
                }
            }
            other => plain.push(other),
        }
    }
    plain.push_str(rest);
    plain
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use serde_json::Value;

    fn as_value(raw: Raw<'_>) -> Option<Value> {
        match raw {
            Raw::Plain(_) | Raw::Escaped(_) => raw.string().map(|text| Value::from(text.into_owned())),
            Raw::Number(text) => serde_json::from_str(text).ok(),
            Raw::Null => Some(Value::Null),
            Raw::Other => None,
        }
    }

    /// Scanner and `serde_json` accept the same texts and read the same members.
    fn agree(text: &str) {
        let mut scanned = Vec::new();
        let ours = members(text, |key, value| scanned.push((key.string().unwrap().into_owned(), as_value(value))));
        match serde_json::from_str::<Value>(text) {
            Ok(Value::Object(theirs)) => {
                assert_eq!(ours, Ok(()), "{text}");
                for (key, value) in theirs {
                    let (_, last) = scanned.iter().rev().find(|(name, _)| *name == key).unwrap();
                    match last {
                        Some(scalar) => assert_eq!(*scalar, value, "{text}"),
                        None => assert!(value.is_array() || value.is_object() || value.is_boolean(), "{text}"),
                    }
                }
            }
            _ => assert_eq!(ours, Err(Malformed), "{text}"),
        }
    }

    #[test]
    fn differential_objects_and_their_neighbours() {
        for text in [
            r#"{}"#,
            " {\"a\" : 1 ,\t\"b\":[ ] , \"c\":{ \"d\" : [1,2 , {}]} }\r\n",
            r#"{"a":1,"a":"2"}"#,
            r#"{"\u0061\n":"\ud83d\ude00\"\\\/\b\f\r\t\u00e9é"}"#,
            r#"{"a":-0,"b":-0.0,"c":1e5,"d":1E+05,"e":0.10}"#,
            r#"{"a":true,"b":false,"c":null}"#,
            r#"{"a":"\ud800"}"#,
            r#"{"a":"\ud800\u0041"}"#,
            r#"{"a":"\udc00"}"#,
            r#"{"a":"\u+123"}"#,
            r#"{"a":"\u12"}"#,
            r#"{"a":"\x"}"#,
            "{\"a\":\"\u{1}\"}",
            "{\"a\":\"\n\"}",
            r#"{"a":NaN}"#,
            r#"{"a":-Infinity}"#,
            r#"{"a":01}"#,
            r#"{"a":1.}"#,
            r#"{"a":.5}"#,
            r#"{"a":+1}"#,
            r#"{"a":1e}"#,
            r#"{"a":-}"#,
            r#"{"a":1,}"#,
            r#"{,}"#,
            r#"{"a"}"#,
            r#"{"a":}"#,
            r#"{a:1}"#,
            r#"{'a':1}"#,
            r#"{"a":[1,]}"#,
            r#"{"a":[1 2]}"#,
            r#"{"a":nul}"#,
            r#"{"a":1}}"#,
            r#"{"a":1} x"#,
            r#"{"a":1"#,
            r#"{"a":"1"#,
            r#"[1]"#,
            r#""a""#,
            "\u{a0}{}",
            "",
        ] {
            agree(text);
        }
    }

    #[test]
    fn nesting_ends_at_128() {
        let nested = |depth: usize| format!("{{\"a\":{}{}}}", "[".repeat(depth - 1), "]".repeat(depth - 1));
        assert_eq!(members(&nested(128), |_, _| ()), Ok(()));
        assert_eq!(members(&nested(129), |_, _| ()), Err(Malformed));
        assert_eq!(members(&"{\"a\":".repeat(100_000), |_, _| ()), Err(Malformed));
    }

    proptest! {
        #[test]
        fn differential_agrees_with_serde_json(text in "\\{(\"[ab]\" ?: ?(-?[0-9]{1,3}(\\.[0-9]+)?([eE]-?[0-9])?|\"([a-zé ]|\\\\[nut\"]|\\\\u00e[0-9a-f]|\\\\u[dD][8-9a-f]00){0,4}\"|\\[[0-9, ]{0,4}\\]|null|tru?e|\\{\\}),? ?){0,3}[}\\]]") {
            agree(&text);
        }

        #[test]
        fn differential_survives_any_text(text in ".{0,40}") {
            agree(&text);
        }
    }
}
