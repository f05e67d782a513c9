//! Aiven's `TombstoneHandler`: records without a value end here, or are errors.

use super::{Plugin, Transform, Verdict};
use crate::{
    data::{DataError, Record},
    define::{Importance, Key, Kind},
};

pub(super) const PLUGIN: Plugin = Plugin {
    class: "io.aiven.kafka.connect.transforms.TombstoneHandler",
    has_parts: false,
    keys: || {
        let behavior = Key::new("behavior", Kind::String)
            .one_of_any_case(&["DROP_SILENT", "DROP_WARN", "FAIL"])
            .importance(Importance::Medium);
        vec![behavior.doc("drop_silent, drop_warn or fail. Both drop; dropped records are counted.")]
    },
    build: |options| {
        let fails = options.text("behavior").is_some_and(|text| text.eq_ignore_ascii_case("fail"));
        Ok(Box::new(TombstoneHandler { fails }))
    },
    protects: super::no_protection,
};

struct TombstoneHandler {
    fails: bool,
}

impl Transform for TombstoneHandler {
    fn apply(&mut self, record: &mut Record<'_>) -> Result<Verdict, DataError> {
        match (record.value.value.is_null(), self.fails) {
            (false, _) => Ok(Verdict::Keep),
            (true, false) => Ok(Verdict::Drop),
            (true, true) => Err(DataError::new("TombstoneHandler", "a tombstone, and behavior is fail")),
        }
    }
}
