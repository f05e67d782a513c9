//! Durable checkpoints over an object store, fenced so that only one processor writes them.
//!
//! A checkpoint is an object `<prefix>/<number as 20 digits>` that is created only if it is absent. A processor that
//! finds it present, or finds a newer one after creating it, was overtaken by another processor and stops: nothing that
//! depends on its checkpoint (an acknowledgement, a row) may leave it. A checkpoint contains the changes since the one
//! before it, and a part of a full copy of the state. It names the one before it and its base, the first checkpoint of
//! the last complete copy, where reading starts. A chain is therefore read back exactly or not at all.
//!
//! | module | contents |
//! |---|---|
//! | [`settings`] | the section `[state]` |
//! | [`place`] | the URL of the state: a folder or a bucket |
//! | `bucket` | Google Cloud Storage; needs the feature `cloud` |
//! | [`format`] | the bytes of one checkpoint |
//! | [`objects`] | listing and reading them |
//! | [`recover`] | reads the chain of checkpoints; never writes |
//! | [`append`] | writes the next checkpoint, fenced, and prunes old ones |
//! | [`hold`] | which processor may write: standby, takeover, clean hand-over |
//! | [`lock`] | the lock file of a folder |
//! | [`present`] | checks that the state is still where it was written |
//! | [`error`] | the errors, and whether waiting helps |
//!
//! Payloads are opaque bytes with a version; see [`crate::saved`] for their contents.

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

/// The checkpoints of one pipeline. Clones are cheap, and all of them are one writer.
#[derive(Clone, Debug)]
pub struct Store {
    objects: Arc<dyn ObjectStore>,
    prefix: object_store::path::Path,
    /// The place as messages name it.
    place: Arc<str>,
    /// The folder of the lock file, if the place is a folder.
    folder: Option<Arc<Path>>,
    /// Drawn at random once, to distinguish the objects of this writer from those of others.
    writer: format::Writer,
    /// The newest checkpoint that this writer knows to exist.
    newest: present::Newest,
}

impl Store {
    /// Opens the place that `[state] checkpoints` names: `file://FOLDER`, relative to `folder`, or `gs://BUCKET/PATH`.
    ///
    /// Nothing is read, written or created yet.
    pub fn open(url: &str, folder: &Path) -> Result<Self, StoreError> {
        place::open(url, folder)
    }

    /// Uses any other object store. It has no lock file, so a clean stop leaves a marker object.
    pub fn over(objects: Arc<dyn ObjectStore>, prefix: &str) -> Self {
        let place = format!("{objects}/{prefix}");
        Self::new(objects, object_store::path::Path::from(prefix), &place, None)
    }

    /// The place as messages and records name it: `file://` with an absolute path, or `gs://BUCKET/PATH`.
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
