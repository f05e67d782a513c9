//! Hermes: `{"metadata": {...}, "message": {...}}`.

use event::json::Scanner;

use super::{Members, NO_ENVELOPE, Splice, is_object, not_json};
use crate::Reject;

pub(super) fn unwrap<'a>(value: &'a [u8], out: &'a mut Vec<u8>) -> Result<&'a [u8], Reject> {
    let mut scanner = Scanner::object(value).map_err(not_json)?;
    let mut members = Members::new(["metadata", "message", "__metadata"]);
    members.read(value, &mut scanner)?;
    scanner.finish().map_err(not_json)?;
    match members.found {
        [Some(metadata), Some(message), None] if is_object(metadata) && is_object(message) => {
            let mut event = Splice::new(out);
            event.members(message);
            event.member("", "__metadata", metadata);
            Ok(event.end())
        }
        // Avro: the metadata is a field of the event.
        [_, _, Some(_)] => Ok(value),
        _ => Err(NO_ENVELOPE),
    }
}
