//! Lists and reads the checkpoints of a store. [`super::recover`] decides which of them make up the state.

use bytes::Bytes;
use event::time::EventTime;
use futures::{TryStreamExt, future};
use object_store::{ObjectStoreExt, path::Path};

use super::{
    Store, StoreError,
    format::{self, Object, Unreadable},
};

/// The object that marks a clean stop. It contains the number of the newest checkpoint at that time.
pub(super) const RELEASED: &str = "released";
/// Up to this many bytes are processed in place; more in a thread where they cannot delay other tasks.
const INLINE: usize = 64 << 10;

/// The result of reading one checkpoint.
#[derive(Debug)]
pub(super) enum Fetched {
    /// The whole checkpoint, and when it was written by the object store's clock.
    Whole(Object, EventTime),
    /// It exists, but is damaged.
    Torn,
    /// It does not exist, or not any more.
    Gone,
}

/// The contents of a store.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Listing {
    /// The numbers of all checkpoints, ascending.
    pub(super) numbers: Vec<u64>,
    /// Their sizes in bytes.
    pub(super) sizes: Vec<u64>,
    /// Whether a clean stop left its marker.
    pub(super) released: bool,
}

impl Listing {
    pub(super) fn newest(&self) -> Option<u64> {
        self.numbers.last().copied()
    }
}

impl Store {
    pub(super) fn path_of(&self, number: u64) -> Path {
        self.prefix.clone().join(name_of(number))
    }

    pub(super) fn marker(&self) -> Path {
        self.prefix.clone().join(RELEASED)
    }

    pub(super) async fn list(&self) -> Result<Listing, StoreError> {
        let mut listing = Listing::default();
        let mut found = Vec::new();
        let mut objects = self.objects.list(Some(&self.prefix));
        while let Some(object) = objects.try_next().await.map_err(|e| self.error("listed", e))? {
            match self.name_in(&object.location) {
                Some(RELEASED) => listing.released = true,
                Some(name) => found.extend(number_of(name).map(|number| (number, object.size))),
                None => {}
            }
        }
        found.sort_unstable();
        (listing.numbers, listing.sizes) = found.into_iter().unzip();
        Ok(listing)
    }

    /// The newest checkpoint above `number`; `None` if there is none.
    pub(super) async fn newer_than(&self, number: u64) -> Result<Option<u64>, StoreError> {
        self.objects
            .list_with_offset(Some(&self.prefix), &self.path_of(number))
            .try_fold(None, |newest: Option<u64>, object| {
                let found =
                    self.name_in(&object.location).and_then(number_of).filter(|found| *found > number);
                future::ready(Ok(newest.max(found)))
            })
            .await
            .map_err(|e| self.error("listed", e))
    }

    pub(super) async fn fetch(&self, number: u64) -> Result<Fetched, StoreError> {
        let fetched = self.get(&self.path_of(number)).await?;
        self.decode(number, fetched).await
    }

    /// Decodes the bytes of a checkpoint.
    pub(super) async fn decode(
        &self,
        number: u64,
        fetched: Option<(Bytes, EventTime)>,
    ) -> Result<Fetched, StoreError> {
        let Some((bytes, written_at)) = fetched else { return Ok(Fetched::Gone) };
        match blocking(bytes.len(), move || format::decode(number, &bytes)).await {
            Ok(object) => Ok(Fetched::Whole(object, written_at)),
            Err(Unreadable::Torn) => Ok(Fetched::Torn),
            Err(Unreadable::Newer(version)) => {
                Err(StoreError::Newer { place: self.place.to_string(), number, version })
            }
        }
    }

    /// The bytes of an object and when it was written; `None` if it does not exist.
    pub(super) async fn get(&self, path: &Path) -> Result<Option<(Bytes, EventTime)>, StoreError> {
        let result = match self.objects.get(path).await {
            Err(object_store::Error::NotFound { .. }) => return Ok(None),
            other => other.map_err(|e| self.error("read", e))?,
        };
        let written_at = EventTime(result.meta.last_modified.timestamp_millis());
        let bytes = result.bytes().await.map_err(|e| self.error("read", e))?;
        Ok(Some((bytes, written_at)))
    }

    pub(super) fn error(&self, action: &'static str, error: object_store::Error) -> StoreError {
        StoreError::of(&self.place, action, error)
    }

    /// The name of an object directly in this store, not below it.
    fn name_in<'a>(&self, location: &'a Path) -> Option<&'a str> {
        let below = location.as_ref().strip_prefix(self.prefix.as_ref())?;
        let name = below.strip_prefix('/').unwrap_or(below);
        (!name.contains('/')).then_some(name)
    }
}

/// Runs work that takes time in proportion to `bytes`.
pub(super) async fn blocking<T: Send + 'static>(
    bytes: usize,
    work: impl FnOnce() -> T + Send + 'static,
) -> T {
    if bytes <= INLINE {
        return work();
    }
    match tokio::task::spawn_blocking(work).await {
        Ok(done) => done,
        Err(failed) => match failed.try_into_panic() {
            Ok(panic) => std::panic::resume_unwind(panic),
            // The runtime is shutting down, so nothing that waits here will be polled again.
            Err(_) => future::pending().await,
        },
    }
}

pub(super) fn name_of(number: u64) -> String {
    format!("{number:020}")
}

/// `None` for anything that is not a checkpoint: the lock file, the marker, or another file.
pub(super) fn number_of(name: &str) -> Option<u64> {
    if name.len() != 20 || !name.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    name.parse().ok().filter(|number| *number != format::NONE)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_sort_as_their_numbers_do() {
        for number in [1, 9, 10, u64::MAX] {
            assert_eq!(number_of(&name_of(number)), Some(number));
        }
        assert!(name_of(9) < name_of(10));
        for name in
            ["lock", "released", "7", "00000000000000000000", "+0000000000000000001", "99999999999999999999"]
        {
            assert_eq!(number_of(name), None, "{name}");
        }
    }
}
