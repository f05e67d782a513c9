//! The scanner: returns one value or member at a time.
//!
//! The caller drives it: it requests a value, and if that opens an object or array, its members or elements until there
//! are none. Values that the caller skips are checked as strictly as the others.

use super::{Error, ErrorKind, MAX_DEPTH, Text, text, without_byte_order_mark};

/// A scanner over one text whose top level is an object.
#[derive(Clone, Debug)]
pub struct Scanner<'a> {
    text: &'a str,
    at: usize,
    depth: u32,
    /// An object or array was opened and nothing of it has been read, so no comma is expected.
    fresh: bool,
}

/// The start of a value. Scalars are complete; of objects and arrays only the bracket was read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Token<'a> {
    /// `{`; continue with [`Scanner::next_member`] until it returns `None`.
    Object,
    /// `[`; continue with [`Scanner::next_element`] until it returns `false`.
    Array,
    /// A string.
    Text(Text<'a>),
    /// A number, as it is written.
    Number(&'a str),
    /// `true`.
    True,
    /// `false`.
    False,
    /// `null`.
    Null,
}

/// The name of a member; its value follows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Member<'a> {
    /// Position of the name's opening quote.
    pub start: usize,
    /// The name.
    pub name: Text<'a>,
}

impl<'a> Scanner<'a> {
    /// Opens the top-level object; its members follow.
    ///
    /// # Errors
    /// If the bytes are not UTF-8 or not an object.
    pub fn object(payload: &'a [u8]) -> Result<Self, Error> {
        // The standard library checks a few bytes at a time, so it is used only to find the exact position of an error.
        let text = simdutf8::basic::from_utf8(payload)
            .map_err(|_| Error { kind: ErrorKind::InvalidUtf8, at: valid_up_to(payload) })?;
        let start = payload.len() - without_byte_order_mark(payload).len();
        let mut scanner = Self { text, at: start, depth: 0, fresh: false };
        match scanner.value()? {
            Token::Object => Ok(scanner),
            other => {
                scanner.skip(other)?;
                scanner.finish()?;
                Err(Error { kind: ErrorKind::NotAnObject, at: start })
            }
        }
    }

    /// The current position: after a member's name or a positive [`Scanner::next_element`], the first byte of the
    /// value; after a value, one past its last byte.
    pub fn position(&self) -> usize {
        self.at
    }

    /// Reads a scalar or opens an object or array.
    ///
    /// # Errors
    /// If there is no value at this position.
    #[inline(always)]
    pub fn value(&mut self) -> Result<Token<'a>, Error> {
        self.skip_space();
        match self.peek() {
            Some(b'"') => self.string().map(Token::Text),
            Some(b'{') => self.open().map(|()| Token::Object),
            Some(b'[') => self.open().map(|()| Token::Array),
            Some(b'-' | b'0'..=b'9') => self.number().map(Token::Number),
            Some(b't') => self.word("true", Token::True),
            Some(b'f') => self.word("false", Token::False),
            Some(b'n') => self.word("null", Token::Null),
            _ => Err(self.unexpected()),
        }
    }

    /// The next member of the open object, or `None` if the object has ended.
    ///
    /// # Errors
    /// If neither a member nor the end of the object follows.
    #[inline(always)]
    pub fn next_member(&mut self) -> Result<Option<Member<'a>>, Error> {
        if !self.next_item(b'}')? {
            return Ok(None);
        }
        let start = self.at;
        if self.peek() != Some(b'"') {
            return Err(self.unexpected());
        }
        let name = self.string()?;
        self.skip_space();
        if self.peek() != Some(b':') {
            return Err(self.unexpected());
        }
        self.at += 1;
        self.skip_space();
        Ok(Some(Member { start, name }))
    }

    /// The position of the next member, if it has this name: then the name has been read and its value follows, as after
    /// [`Scanner::next_member`]. `expected` is the name between its quotes as it is written, immediately followed by the
    /// colon.
    #[inline]
    pub fn next_member_is(&mut self, expected: &[u8]) -> Option<usize> {
        let rest = &self.text.as_bytes()[self.at..];
        // After a comma, unless nothing of the object has been read.
        let rest = if self.fresh { rest } else { rest.strip_prefix(b",")? };
        if !rest.starts_with(expected) {
            return None;
        }
        let start = self.text.len() - rest.len();
        self.at = start + expected.len();
        self.fresh = false;
        self.skip_space();
        Some(start)
    }

    /// Whether the open array has another element. If not, the array has ended.
    ///
    /// # Errors
    /// If neither an element nor the end of the array follows.
    #[inline]
    pub fn next_element(&mut self) -> Result<bool, Error> {
        self.next_item(b']')
    }

    /// Reads the rest of a value whose start has been read.
    ///
    /// # Errors
    /// If it is not JSON.
    pub fn skip(&mut self, start: Token<'a>) -> Result<(), Error> {
        let mut token = start;
        // One bit for each level opened here, the innermost lowest: 1 for an object. MAX_DEPTH bits are enough.
        let mut objects: u128 = 0;
        let mut levels = 0;
        loop {
            if matches!(token, Token::Object | Token::Array) {
                objects = objects << 1 | u128::from(token == Token::Object);
                levels += 1;
            }
            loop {
                if levels == 0 {
                    return Ok(());
                }
                let more =
                    if objects & 1 == 1 { self.next_member()?.is_some() } else { self.next_element()? };
                if more {
                    break;
                }
                objects >>= 1;
                levels -= 1;
            }
            token = self.value()?;
        }
    }

    /// Reads a whole value and discards it.
    ///
    /// # Errors
    /// If it is not JSON.
    pub fn skip_value(&mut self) -> Result<(), Error> {
        let start = self.value()?;
        self.skip(start)
    }

    /// Finishes after the top-level object has ended.
    ///
    /// # Errors
    /// If anything but white space is left.
    pub fn finish(mut self) -> Result<(), Error> {
        self.skip_space();
        if self.at == self.text.len() { Ok(()) } else { Err(self.error(ErrorKind::TrailingData)) }
    }

    /// Moves to the next member or element; returns `false` if `close` was there and has been read.
    #[inline]
    fn next_item(&mut self, close: u8) -> Result<bool, Error> {
        self.skip_space();
        let fresh = std::mem::replace(&mut self.fresh, false);
        match self.peek() {
            Some(byte) if byte == close => {
                self.at += 1;
                self.depth -= 1;
                Ok(false)
            }
            Some(b',') if !fresh => {
                self.at += 1;
                self.skip_space();
                Ok(true)
            }
            Some(_) if fresh => Ok(true),
            _ => Err(self.unexpected()),
        }
    }

    #[inline]
    fn open(&mut self) -> Result<(), Error> {
        if self.depth == MAX_DEPTH {
            return Err(self.error(ErrorKind::TooDeep));
        }
        self.at += 1;
        self.depth += 1;
        self.fresh = true;
        Ok(())
    }

    /// Reads a string from its opening quote to after its closing quote.
    #[inline]
    fn string(&mut self) -> Result<Text<'a>, Error> {
        let bytes = self.text.as_bytes();
        let start = self.at + 1;
        let first = text::plain_end(bytes, start);
        let mut at = first;
        loop {
            match bytes.get(at) {
                Some(b'"') => {
                    self.at = at + 1;
                    return Ok(Text { raw: &self.text[start..at], plain: first - start });
                }
                Some(b'\\') => at += text::escape_length(&bytes[at..]).map_err(|kind| Error { kind, at })?,
                Some(_) => return Err(Error { kind: ErrorKind::ControlCharacter, at }),
                None => return Err(Error { kind: ErrorKind::UnexpectedEnd, at }),
            }
            at = text::plain_end(bytes, at);
        }
    }

    fn number(&mut self) -> Result<&'a str, Error> {
        let start = self.at;
        self.at += usize::from(self.peek() == Some(b'-'));
        if self.peek() == Some(b'0') {
            self.at += 1;
        } else {
            self.digits()?;
        }
        if self.peek() == Some(b'.') {
            self.at += 1;
            self.digits()?;
        }
        if matches!(self.peek(), Some(b'e' | b'E')) {
            self.at += 1;
            self.at += usize::from(matches!(self.peek(), Some(b'+' | b'-')));
            self.digits()?;
        }
        Ok(&self.text[start..self.at])
    }

    /// One digit or more.
    fn digits(&mut self) -> Result<(), Error> {
        let start = self.at;
        while matches!(self.peek(), Some(b'0'..=b'9')) {
            self.at += 1;
        }
        if self.at > start { Ok(()) } else { Err(self.unexpected()) }
    }

    fn word(&mut self, word: &str, token: Token<'a>) -> Result<Token<'a>, Error> {
        if !self.text.as_bytes()[self.at..].starts_with(word.as_bytes()) {
            return Err(self.error(ErrorKind::Syntax));
        }
        self.at += word.len();
        Ok(token)
    }

    #[inline]
    fn skip_space(&mut self) {
        while matches!(self.peek(), Some(b' ' | b'\n' | b'\r' | b'\t')) {
            self.at += 1;
        }
    }

    #[inline]
    fn peek(&self) -> Option<u8> {
        self.text.as_bytes().get(self.at).copied()
    }

    #[cold]
    fn unexpected(&self) -> Error {
        let end = self.at == self.text.len();
        self.error(if end { ErrorKind::UnexpectedEnd } else { ErrorKind::Syntax })
    }

    #[cold]
    fn error(&self, kind: ErrorKind) -> Error {
        Error { kind, at: self.at }
    }
}

fn valid_up_to(payload: &[u8]) -> usize {
    std::str::from_utf8(payload).map_or_else(|error| error.valid_up_to(), str::len)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::{Map, Value};

    use super::*;

    fn scan(bytes: &[u8]) -> Result<(), Error> {
        let mut scanner = Scanner::object(bytes)?;
        scanner.skip(Token::Object)?;
        scanner.finish()
    }

    fn check(text: &str, expect: Result<(), (ErrorKind, usize)>) {
        assert_eq!(scan(text.as_bytes()), expect.map_err(|(kind, at)| Error { kind, at }), "{text}");
    }

    #[test]
    fn objects_are_read() {
        for text in [
            "{}",
            " \t\r\n{ } \n",
            "\u{feff}{}",
            "\u{feff} {} ",
            r#"{"a":1,"a":2,"":{"b":[[],{},[1,2.5e-3,-0,true,false,null,"x\n\u00e9\ud83d\ude00"]]}}"#,
            "{\"snow\u{2603}man in a long text\": 1E+999}",
        ] {
            check(text, Ok(()));
        }
    }

    #[test]
    fn errors_name_kind_and_byte() {
        use ErrorKind as K;
        for (text, kind, at) in [
            ("", K::UnexpectedEnd, 0),
            ("  ", K::UnexpectedEnd, 2),
            ("[1]", K::NotAnObject, 0),
            (" null ", K::NotAnObject, 0),
            ("nul", K::Syntax, 0),
            ("[1] x", K::TrailingData, 4),
            ("{} {}", K::TrailingData, 3),
            ("\u{feff}", K::UnexpectedEnd, 3),
            ("\u{feff}[]", K::NotAnObject, 3),
            ("\u{feff}{\"a\":01}", K::Syntax, 9),
            ("\u{feff}\u{feff}{}", K::Syntax, 3),
            (" \u{feff}{}", K::Syntax, 1),
            ("{}\u{feff}", K::TrailingData, 2),
            ("{\"a\":1", K::UnexpectedEnd, 6),
            ("{\"a\":1,}", K::Syntax, 7),
            ("{,}", K::Syntax, 1),
            ("{\"a\" 1}", K::Syntax, 5),
            ("{\"a\":[1,]}", K::Syntax, 8),
            ("{\"a\":[1 2]}", K::Syntax, 8),
            ("{\"a\":[1}", K::Syntax, 7),
            ("{\"a\":01}", K::Syntax, 6),
            ("{\"a\":1.}", K::Syntax, 7),
            ("{\"a\":-}", K::Syntax, 6),
            ("{\"a\":1e}", K::Syntax, 7),
            ("{\"a\":+1}", K::Syntax, 5),
            ("{\"a\":NaN}", K::Syntax, 5),
            ("{\"a\n\":1}", K::ControlCharacter, 3),
            ("{\"a\":\"b", K::UnexpectedEnd, 7),
            ("{\"a\":\"\\x\"}", K::Escape, 6),
            ("{\"a\":\"\\u00g0\"}", K::Escape, 6),
            ("{\"a\":\"\\ud800\"}", K::LoneSurrogate, 6),
            ("{\"a\":\"\\ud800\\u0041\"}", K::LoneSurrogate, 6),
            ("{\"a\":\"\\udc00\"}", K::LoneSurrogate, 6),
            ("{\"a\":\"\\u12", K::UnexpectedEnd, 6),
        ] {
            check(text, Err((kind, at)));
        }
        assert_eq!(scan(b"{\"a\":\"\xff\"}"), Err(Error { kind: K::InvalidUtf8, at: 6 }));
    }

    #[test]
    fn depth_is_bounded() {
        let nested = |depth: usize| format!("{{\"a\":{}{}}}", "[".repeat(depth - 1), "]".repeat(depth - 1));
        check(&nested(MAX_DEPTH as usize), Ok(()));
        check(&nested(MAX_DEPTH as usize + 1), Err((ErrorKind::TooDeep, 5 + MAX_DEPTH as usize - 1)));
    }

    /// Texts close to JSON: fragments that form and break objects, concatenated.
    fn nearly_json() -> impl Strategy<Value = Vec<u8>> {
        const PIECES: [&[u8]; 36] = [
            b"{",
            b"}",
            b"[",
            b"]",
            b",",
            b":",
            b"\"",
            b"\\",
            b"\"a\"",
            b"\"b\":",
            b"\"\":",
            b"1",
            b"0",
            b"-",
            b".",
            b"e",
            b"+",
            b"12.5e3",
            b"true",
            b"false",
            b"null",
            b"nul",
            b" ",
            b"\n",
            b"\t",
            b"\x00",
            b"\x7f",
            b"\\u0041",
            b"\\ud83d",
            b"\\ude00",
            b"\\n",
            b"\\/",
            "ü".as_bytes(),
            b"\xff",
            b"\xe2\x82",
            b"\xed\xa0\x80",
        ];
        let piece = proptest::sample::select(PIECES.to_vec());
        (proptest::collection::vec(piece, 0..14), any::<bool>()).prop_map(|(pieces, wrap)| {
            let middle = pieces.concat();
            if wrap { [b"{\"a\":".as_slice(), &middle, b"}"].concat() } else { middle }
        })
    }

    fn agree(bytes: &[u8]) -> Result<(), TestCaseError> {
        let ours = scan(bytes);
        let theirs = serde_json::from_slice::<Map<String, Value>>(bytes);
        let out_of_range =
            theirs.as_ref().is_err_and(|error| error.to_string().starts_with("number out of range"));
        // Numbers that are too large for a double are valid JSON.
        prop_assert!(ours.is_ok() == theirs.is_ok() || out_of_range, "{:?} {:?} {:?}", ours, theirs, bytes);
        Ok(())
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(4000))]

        #[test]
        fn the_reader_agrees_with_serde_json(bytes in nearly_json()) {
            agree(&bytes)?;
        }

        #[test]
        fn the_reader_agrees_on_broken_objects(
            value in crate::json::tests::object(),
            cut in any::<proptest::sample::Index>(),
            byte in proptest::sample::select(b"{}[],:\"\\ 0e-.nt\x00\xff".to_vec()),
            kind in 0..4,
        ) {
            let mut bytes = value.to_string().into_bytes();
            let at = cut.index(bytes.len());
            match kind {
                0 => { bytes.remove(at); }
                1 => bytes.insert(at, byte),
                2 => bytes[at] = byte,
                _ => {}
            }
            agree(&bytes)?;
        }
    }
}
