//! Several texts, numbers and strings of bytes in one array, as Java writes and reads them.
//!
//! A number is eight bytes, the least significant first; everything else is its length in four
//! bytes, and then itself. Who reads knows what comes.

use crate::guard::{Result, invalid};

/// Reads fields, one after the other.
pub(crate) struct Fields<'a> {
    rest: &'a [u8],
}

impl<'a> Fields<'a> {
    pub(crate) fn of(bytes: &'a [u8]) -> Self {
        Self { rest: bytes }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.rest.is_empty()
    }

    pub(crate) fn number(&mut self) -> Result<i64> {
        let (number, rest) = self.rest.split_first_chunk::<8>().ok_or_else(short)?;
        self.rest = rest;
        Ok(i64::from_le_bytes(*number))
    }

    /// A number of `u32`, or what its name says is wrong.
    pub(crate) fn small(&mut self, name: &str) -> Result<u32> {
        let number = self.number()?;
        u32::try_from(number).map_err(|_| invalid(format!("{name} is {number}")))
    }

    pub(crate) fn bytes(&mut self) -> Result<&'a [u8]> {
        let (length, rest) = self.rest.split_first_chunk::<4>().ok_or_else(short)?;
        let length = u32::from_le_bytes(*length) as usize;
        let (bytes, rest) = rest.split_at_checked(length).ok_or_else(short)?;
        self.rest = rest;
        Ok(bytes)
    }

    pub(crate) fn text(&mut self) -> Result<&'a str> {
        std::str::from_utf8(self.bytes()?).map_err(|_| invalid("a text is not UTF-8"))
    }

    /// As many as a number before them says, each read by a function.
    pub(crate) fn list<T>(
        &mut self,
        mut read: impl FnMut(&mut Self) -> Result<T>,
    ) -> Result<Vec<T>> {
        let count = self.number()?;
        let mut list = Vec::new();
        for _ in 0..count {
            list.push(read(self)?);
        }
        Ok(list)
    }
}

fn short() -> crate::guard::Failure {
    invalid("an array of fields ends too early")
}

/// Appends one field.
pub(crate) fn put(out: &mut Vec<u8>, bytes: &[u8]) {
    out.extend_from_slice(&(bytes.len() as u32).to_le_bytes());
    out.extend_from_slice(bytes);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read() {
        let mut bytes = 2i64.to_le_bytes().to_vec();
        put(&mut bytes, "ä".as_bytes());
        put(&mut bytes, b"");
        let mut fields = Fields::of(&bytes);
        let read = fields.list(|fields| Ok(fields.text()?.to_string())).ok();
        assert_eq!(read, Some(vec!["ä".to_string(), String::new()]));
        assert!(fields.is_empty());
    }

    #[test]
    fn what_ends_early_or_is_no_text_is_refused() {
        for bytes in [&b"\x05\0\0\0abc"[..], b"\x01\0", b"", b"\xff\xff\xff\xff"] {
            assert!(Fields::of(bytes).bytes().is_err(), "{bytes:?}");
        }
        assert!(Fields::of(b"\x01\0\0\0\xff").text().is_err());
        // As many as there are bytes for, whatever the number says.
        assert!(Fields::of(&i64::MAX.to_le_bytes()).list(Fields::number).is_err());
        assert!(Fields::of(b"1234567").number().is_err());
    }
}
