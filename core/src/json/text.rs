//! The tokens of JSON (RFC 8259), one at a time.

use std::borrow::Cow;

/// Why a text is not the message; where, in bytes.
pub(super) struct Bad {
    pub(super) at: usize,
    pub(super) what: Cow<'static, str>,
}

pub(super) type Read<T> = Result<T, Bad>;

/// A number as it was written.
#[derive(Clone, Copy)]
pub(super) enum Number {
    Unsigned(u64),
    Negative(i64),
    Float(f64),
}

/// A text, and how far it was read.
pub(super) struct Text<'a> {
    text: &'a str,
    pub(super) at: usize,
}

impl<'a> Text<'a> {
    pub(super) fn new(text: &'a str) -> Self {
        Self { text, at: 0 }
    }

    pub(super) fn bad<T>(&self, what: impl Into<Cow<'static, str>>) -> Read<T> {
        Err(Bad { at: self.at, what: what.into() })
    }

    fn bytes(&self) -> &'a [u8] {
        self.text.as_bytes()
    }

    /// The next byte that is no blank, not taken; 0 at the end.
    #[inline]
    pub(super) fn peek(&mut self) -> u8 {
        loop {
            match self.bytes().get(self.at) {
                Some(b' ' | b'\t' | b'\n' | b'\r') => self.at += 1,
                Some(byte) => return *byte,
                None => return 0,
            }
        }
    }

    /// Takes that byte if it is next.
    #[inline]
    pub(super) fn eat(&mut self, byte: u8) -> bool {
        let is_next = self.peek() == byte;
        self.at += usize::from(is_next);
        is_next
    }

    /// Takes that byte, which has to be next.
    #[inline]
    pub(super) fn expect(&mut self, byte: u8) -> Read<()> {
        if self.eat(byte) {
            return Ok(());
        }
        self.bad(format!("expected `{}`", char::from(byte)))
    }

    /// Takes `null`, `true` or `false` if it is next.
    pub(super) fn eat_word(&mut self, word: &str) -> bool {
        let is_first = self.peek() == word.as_bytes()[0];
        let is_next = is_first && self.bytes()[self.at..].starts_with(word.as_bytes());
        self.at += if is_next { word.len() } else { 0 };
        is_next
    }

    /// Whether nothing but blanks is left.
    pub(super) fn is_over(&mut self) -> bool {
        self.peek();
        self.at == self.text.len()
    }

    /// What has been read since `start`.
    pub(super) fn since(&self, start: usize) -> &'a str {
        &self.text[start..self.at]
    }

    /// Takes a string.
    #[inline]
    pub(super) fn string(&mut self) -> Read<Cow<'a, str>> {
        self.expect_string()?;
        let start = self.at;
        let length = self.bytes()[start..].iter().position(|byte| is_special(*byte));
        let Some(length) = length else { return self.bad("a string does not end") };
        self.at += length;
        if self.bytes()[self.at] == b'"' {
            self.at += 1;
            return Ok(Cow::Borrowed(&self.text[start..start + length]));
        }
        self.escaped_string(start).map(Cow::Owned)
    }

    fn expect_string(&mut self) -> Read<()> {
        if self.eat(b'"') { Ok(()) } else { self.bad("expected a string") }
    }

    /// The rest of a string that began at `start`, from its first escape on.
    #[cold]
    fn escaped_string(&mut self, start: usize) -> Read<String> {
        let mut string = String::from(self.since(start));
        loop {
            let from = self.at;
            let length = self.bytes()[from..].iter().position(|byte| is_special(*byte));
            let Some(length) = length else { return self.bad("a string does not end") };
            self.at += length;
            string.push_str(self.since(from));
            let byte = self.bytes()[self.at];
            if byte < b' ' {
                return self.bad("a control character in a string is not escaped");
            }
            self.at += 1;
            if byte == b'"' {
                return Ok(string);
            }
            let letter = self.escape()?;
            string.push(letter);
        }
    }

    fn escape(&mut self) -> Read<char> {
        let byte = self.bytes().get(self.at).copied().unwrap_or_default();
        self.at += 1;
        Ok(match byte {
            b'"' | b'\\' | b'/' => char::from(byte),
            b'b' => '\u{8}',
            b'f' => '\u{c}',
            b'n' => '\n',
            b'r' => '\r',
            b't' => '\t',
            b'u' => return self.unicode(),
            _ => return self.bad("no such escape in a string"),
        })
    }

    fn unicode(&mut self) -> Read<char> {
        let first = self.hex()?;
        if !(0xd800..0xdc00).contains(&first) {
            let letter = char::from_u32(first);
            return letter.map_or_else(|| self.bad("half a surrogate pair in a string"), Ok);
        }
        if !self.bytes()[self.at..].starts_with(b"\\u") {
            return self.bad("half a surrogate pair in a string");
        }
        self.at += 2;
        let second = self.hex()?;
        if !(0xdc00..0xe000).contains(&second) {
            return self.bad("half a surrogate pair in a string");
        }
        let letter = char::from_u32(0x1_0000 + ((first - 0xd800) << 10 | (second - 0xdc00)));
        Ok(letter.expect("a pair of surrogates is a letter"))
    }

    fn hex(&mut self) -> Read<u32> {
        let digits = self.bytes().get(self.at..self.at + 4).unwrap_or_default();
        let mut number = 0;
        for digit in digits {
            match char::from(*digit).to_digit(16) {
                Some(digit) => number = number << 4 | digit,
                None => return self.bad("an escape wants four hexadecimal digits"),
            }
        }
        if digits.len() < 4 {
            return self.bad("an escape wants four hexadecimal digits");
        }
        self.at += 4;
        Ok(number)
    }

    /// Takes a number.
    pub(super) fn number(&mut self) -> Read<Number> {
        self.peek();
        let start = self.at;
        let is_negative = self.eat_now(b'-');
        let first = self.bytes().get(self.at).copied().unwrap_or_default();
        let digits_count = self.digits();
        if digits_count == 0 || (first == b'0' && digits_count > 1) {
            return self.bad("expected a number");
        }
        let mut is_whole = true;
        if self.eat_now(b'.') {
            is_whole = false;
            if self.digits() == 0 {
                return self.bad("a number ends with its point");
            }
        }
        if self.eat_now(b'e') || self.eat_now(b'E') {
            is_whole = false;
            let _ = self.eat_now(b'+') || self.eat_now(b'-');
            if self.digits() == 0 {
                return self.bad("a number has no exponent");
            }
        }
        let text = self.since(start);
        let whole = match (is_whole, is_negative) {
            (false, _) => None,
            (true, false) => text.parse().ok().map(Number::Unsigned),
            // Minus zero is no integer.
            (true, true) => text.parse().ok().filter(|n| *n != 0).map(Number::Negative),
        };
        if let Some(number) = whole {
            return Ok(number);
        }
        match text.parse::<f64>() {
            Ok(number) if number.is_finite() => Ok(Number::Float(number)),
            Ok(_) | Err(_) => self.bad("a number is out of range"),
        }
    }

    fn eat_now(&mut self, byte: u8) -> bool {
        let is_next = self.bytes().get(self.at) == Some(&byte);
        self.at += usize::from(is_next);
        is_next
    }

    fn digits(&mut self) -> usize {
        let rest = &self.bytes()[self.at..];
        let count = rest.iter().position(|byte| !byte.is_ascii_digit()).unwrap_or(rest.len());
        self.at += count;
        count
    }

    /// Takes a value of any kind as text, which is not checked; how deep it nests.
    pub(super) fn value(&mut self) -> Read<(&'a str, usize)> {
        self.peek();
        let start = self.at;
        let (mut depth, mut deepest) = (0usize, 0);
        loop {
            match self.peek() {
                b'{' | b'[' => {
                    depth += 1;
                    deepest = deepest.max(depth);
                    self.at += 1;
                }
                b'}' | b']' if depth > 0 => {
                    depth -= 1;
                    self.at += 1;
                }
                b'"' => drop(self.string()?),
                b',' | b':' if depth > 0 => self.at += 1,
                0 | b',' | b':' | b'}' | b']' => return self.bad("expected a value"),
                _ => {
                    let rest = &self.bytes()[self.at..];
                    let ends = |byte: &u8| b" \t\r\n,:{}[]\"".contains(byte);
                    self.at += rest.iter().position(ends).unwrap_or(rest.len());
                }
            }
            if depth == 0 {
                return Ok((self.since(start), deepest));
            }
        }
    }
}

/// What ends a run of plain letters in a string.
#[inline]
fn is_special(byte: u8) -> bool {
    byte == b'"' || byte == b'\\' || byte < b' '
}
