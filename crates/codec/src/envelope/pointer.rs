//! The object at a pointer.

use event::{
    Pointer,
    json::{Scanner, Token},
    pointer::array_index,
};

use super::{NO_ENVELOPE, is_object, not_json, skip};
use crate::Reject;

pub(super) fn unwrap<'v>(value: &'v [u8], pointer: &Pointer) -> Result<&'v [u8], Reject> {
    let mut scanner = Scanner::object(value).map_err(not_json)?;
    let mut search = Search { value, pointer, found: None };
    search.object(&mut scanner, 0)?;
    scanner.finish().map_err(not_json)?;
    search.found.filter(|text| is_object(text)).ok_or(NO_ENVELOPE)
}

struct Search<'v, 'p> {
    value: &'v [u8],
    pointer: &'p Pointer,
    found: Option<&'v [u8]>,
}

impl<'v> Search<'v, '_> {
    /// Reads the rest of an object that the first `level` names lead to.
    fn object(&mut self, scanner: &mut Scanner<'v>, level: usize) -> Result<(), Reject> {
        let mut is_found = false;
        while let Some(member) = scanner.next_member().map_err(not_json)? {
            let is_next = self.pointer.names().nth(level).is_some_and(|name| name == member.name.decode());
            if !is_next {
                skip(self.value, scanner)?;
                continue;
            }
            if is_found {
                return Err(NO_ENVELOPE);
            }
            is_found = true;
            self.enter(scanner, level + 1)?;
        }
        Ok(())
    }

    fn array(&mut self, scanner: &mut Scanner<'v>, level: usize) -> Result<(), Reject> {
        let wanted = self.pointer.names().nth(level).and_then(array_index);
        let mut index = 0;
        while scanner.next_element().map_err(not_json)? {
            if wanted == Some(index) {
                self.enter(scanner, level + 1)?;
            } else {
                skip(self.value, scanner)?;
            }
            index += 1;
        }
        Ok(())
    }

    /// Reads a value that the first `level` names lead to.
    fn enter(&mut self, scanner: &mut Scanner<'v>, level: usize) -> Result<(), Reject> {
        if self.pointer.names().nth(level).is_none() {
            self.found = Some(skip(self.value, scanner)?);
            return Ok(());
        }
        match scanner.value().map_err(not_json)? {
            Token::Object => self.object(scanner, level),
            Token::Array => self.array(scanner, level),
            other => scanner.skip(other).map_err(not_json),
        }
    }
}
