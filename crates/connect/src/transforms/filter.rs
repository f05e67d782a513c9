//! `Filter`: drops every record that it is given. Its predicate decides which these are.

use super::{Plugin, Transform, Verdict};
use crate::data::{DataError, Record};

pub(super) const PLUGIN: Plugin = Plugin {
    class: "org.apache.kafka.connect.transforms.Filter",
    has_parts: false,
    keys: Vec::new,
    build: |_| Ok(Box::new(Filter)),
    protects: super::no_protection,
};

struct Filter;

impl Transform for Filter {
    fn apply(&mut self, _: &mut Record<'_>) -> Result<Verdict, DataError> {
        Ok(Verdict::Drop)
    }
}
