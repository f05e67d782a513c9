//! An object that is put together from the text of others.

use crate::{Reject, RejectCode, write};

pub(super) struct Splice<'o>(&'o mut Vec<u8>);

impl<'o> Splice<'o> {
    /// Begins an object in place of the content of `out`.
    pub(super) fn new(out: &'o mut Vec<u8>) -> Self {
        out.clear();
        out.push(b'{');
        Self(out)
    }

    /// Adds the members of an object, given as its text.
    pub(super) fn members(&mut self, object: &[u8]) {
        let inside = object.strip_prefix(b"{").and_then(|rest| rest.strip_suffix(b"}"));
        let inside = inside.unwrap_or_default().trim_ascii();
        if !inside.is_empty() {
            self.comma();
            self.0.extend_from_slice(inside);
        }
    }

    /// Adds a member, given as the text of its value. In the name nothing needs an escape.
    pub(super) fn member(&mut self, prefix: &str, name: &str, value: &[u8]) {
        self.comma();
        for text in [b"\"", prefix.as_bytes(), name.as_bytes(), b"\":", value] {
            self.0.extend_from_slice(text);
        }
    }

    /// Adds a member with a string, both of which are escaped.
    pub(super) fn text(&mut self, name: &str, value: &[u8]) -> Result<(), Reject> {
        let text = simdutf8::basic::from_utf8(value).map_err(|_| Reject::whole(RejectCode::InvalidUtf8))?;
        self.comma();
        let mut fits = write::string(self.0, name.as_bytes(), write::MAX_OUTPUT);
        self.0.push(b':');
        fits &= write::string(self.0, text.as_bytes(), write::MAX_OUTPUT);
        if fits { Ok(()) } else { Err(Reject::whole(RejectCode::TooLarge)) }
    }

    pub(super) fn end(self) -> &'o [u8] {
        self.0.push(b'}');
        self.0
    }

    fn comma(&mut self) {
        if self.0.len() > 1 {
            self.0.push(b',');
        }
    }
}
