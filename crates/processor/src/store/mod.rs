//! Durable, fenced checkpoints over an object store.
//!
//! A checkpoint is an object `<prefix>/<number as 20 digits>` that is created only if it is absent. Who finds it
//! there, or finds a newer one after creating it, was overtaken by another processor and stops: nothing that
//! rests on its checkpoint (an acknowledgement, a row) may leave it. A checkpoint holds what changed since the one before it, and a
//! part of a full copy of the state. It names the one before it, and its base: the first checkpoint of the last complete copy,
//! where reading begins. So a chain is read back exactly or not at all.
//!
//! | module | idea |
//! |---|---|
//! | [`settings`] | the section `[state]` |
//! | [`place`] | where the state lies: a folder or a bucket |
//! | `bucket` | Google Cloud Storage; needs the feature `cloud` |
//! | [`format`] | the bytes of one checkpoint |
//! | [`objects`] | listing and reading them |
//! | [`recover`] | the chain that stands, read-only |
//! | [`append`] | the next checkpoint, fenced; and pruning |
//! | [`hold`] | who may write: the stand-by that waits, the clean hand-over |
//! | [`lock`] | the lock file of a folder |
//! | [`present`] | whether the state is still where it was written |
//! | [`error`] | what can go wrong |
//!
//! Not here: what a checkpoint means. Payloads are opaque bytes with a version.

mod settings;

mod place;

#[cfg(feature = "cloud")]
mod bucket;

mod format;
mod objects;

mod recover;

mod append;

mod hold;
mod lock;

mod present;

mod error;

#[cfg(test)]
mod tests;

use std::{
    path::{Path, PathBuf},
    sync::Arc,
};

use object_store::ObjectStore;

pub use append::Appender;
pub use error::{Damage, StoreError};
pub use format::{FORMAT, Part};
pub use hold::{Hold, Standing};
pub use recover::{Checkpoint, Recovered};
pub use settings::{StateProblem, StateSettings};

/// Where the checkpoints of one pipeline lie. Cheap to clone; the clones are one writer.
#[derive(Clone, Debug)]
pub struct Store {
    objects: Arc<dyn ObjectStore>,
    prefix: object_store::path::Path,
    /// As messages name it.
    place: Arc<str>,
    /// Where the lock file stands, when the place is a folder.
    folder: Option<Arc<Path>>,
    /// Drawn once: tells an object that this writer made from another's.
    writer: format::Writer,
    /// The newest checkpoint that this writer knows to be there.
    newest: present::Newest,
}

impl Store {
    /// The place that `[state] checkpoints` names: `file://FOLDER`, relative to `folder`, or `gs://BUCKET/PATH`.
    ///
    /// Nothing is read, written or made yet.
    pub fn open(url: &str, folder: &Path) -> Result<Self, StoreError> {
        place::open(url, folder)
    }

    /// Any other object store. It has no lock file, so that a clean stop is told by a marker object.
    pub fn over(objects: Arc<dyn ObjectStore>, prefix: &str) -> Self {
        let place = format!("{objects}/{prefix}");
        Self::new(objects, object_store::path::Path::from(prefix), &place, None)
    }

    /// Where it is, as messages and records name it: `file://` with an absolute path, or `gs://BUCKET/PATH`.
    pub fn place(&self) -> &str {
        &self.place
    }

    fn new(
        objects: Arc<dyn ObjectStore>,
        prefix: object_store::path::Path,
        place: &str,
        folder: Option<PathBuf>,
    ) -> Self {
        Self {
            objects,
            prefix,
            place: place.into(),
            folder: folder.map(Into::into),
            writer: format::Writer::draw(),
            newest: present::Newest::default(),
        }
    }
}
