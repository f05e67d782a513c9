//! Schemas that a transform has changed before, so that a schema is changed once and not for each record.

use std::sync::Arc;

use crate::data::Schema;

/// How many schemas are kept.
const KEPT: usize = 16;

/// The results for the last schemas, by their address. A kept schema cannot be freed, so no other can have its address.
pub(super) struct Updates<T>(Vec<(Arc<Schema>, T)>);

impl<T> Default for Updates<T> {
    fn default() -> Self {
        Self(Vec::new())
    }
}

impl<T: Clone> Updates<T> {
    /// The result for a schema; `make` is called if there is none yet.
    pub(super) fn of<E>(
        &mut self,
        schema: &Arc<Schema>,
        make: impl FnOnce(&Schema) -> Result<T, E>,
    ) -> Result<T, E> {
        if let Some((_, update)) = self.0.iter().find(|(known, _)| Arc::ptr_eq(known, schema)) {
            return Ok(update.clone());
        }
        let update = make(schema)?;
        if self.0.len() == KEPT {
            self.0.remove(0);
        }
        self.0.push((schema.clone(), update.clone()));
        Ok(update)
    }
}
