//! Reads the chain of checkpoints: from the base that the newest whole one names, up to that one.
//!
//! It only reads, so `status` and `reconcile` can read the state of a running processor. That processor prunes
//! meanwhile: if a checkpoint vanishes and the listing has changed, reading starts again.
//!
//! Checkpoints are handed over one at a time, because all of them together are larger than the state. Some are fetched
//! ahead in compressed form. Payloads are opaque here.

use std::pin::pin;

use bytes::Bytes;
use event::time::EventTime;
use futures::{Stream, StreamExt, stream};
use tracing::warn;

use super::{
    Damage, Store, StoreError,
    format::{Header, NONE, Object},
    objects::{Fetched, Listing},
};

/// How often a reader starts again because the writer pruned. A writer prunes once per round at most.
const ATTEMPTS: usize = 10;
/// How many checkpoints are read in parallel, and how many bytes of them.
const READS: usize = 16;
const READ_BYTES: u64 = 16 << 20;

/// The checkpoints that were read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Recovered {
    /// Their number.
    pub checkpoints: u64,
    /// The number of the next checkpoint: above all that exist, whole or damaged.
    pub next: u64,
    /// The newest whole checkpoint; `None` if there is none.
    pub newest: Option<u64>,
    /// When it was written, by the object store's clock.
    pub written_at: Option<EventTime>,
    /// The damaged checkpoints above it, which were skipped.
    pub torn: Vec<u64>,
    /// The base that the newest checkpoint names.
    pub(super) base: u64,
}

/// One checkpoint, as it was passed to [`super::Appender::append`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Checkpoint {
    /// Its number, from 1.
    pub number: u64,
    /// The version of the payload: [`super::FORMAT`] or an older one.
    pub version: u16,
    /// The payload that was written.
    pub payload: Bytes,
}

/// The newest whole checkpoint without its payload.
struct Newest {
    header: Header,
    written_at: EventTime,
}

/// Why an attempt to read the chain failed.
enum Failed<E> {
    /// A checkpoint is missing or damaged; the writer may just have pruned it.
    Broken(StoreError),
    /// Reading again would not help.
    Other(E),
}

impl<E: From<StoreError>> From<StoreError> for Failed<E> {
    fn from(error: StoreError) -> Self {
        match error {
            StoreError::Broken { .. } | StoreError::Unreadable { .. } => Self::Broken(error),
            other => Self::Other(other.into()),
        }
    }
}

impl Store {
    /// Reads the state. Never writes. Calls `apply` with each checkpoint in order and the value that `begin` returned.
    /// If the writer pruned meanwhile, both are called again from the start.
    ///
    /// Damaged checkpoints above the newest whole one were being written when the machine crashed. They are skipped
    /// with a warning, and their numbers are not used again. Damage below the newest whole one is an error.
    pub async fn recover<T, E: From<StoreError>>(
        &self,
        begin: impl Fn() -> T,
        apply: impl Fn(&mut T, Checkpoint) -> Result<(), E>,
    ) -> Result<(Recovered, T), E> {
        let mut listing = self.list().await?;
        let mut attempt = 1;
        loop {
            let mut state = begin();
            let broken = match self.recover_from(&listing, &mut state, &apply).await {
                Ok(recovered) => return Ok((recovered, state)),
                Err(Failed::Broken(broken)) => broken,
                Err(Failed::Other(error)) => return Err(error),
            };
            let again = self.list().await?;
            if again.numbers == listing.numbers || attempt == ATTEMPTS {
                return Err(broken.into());
            }
            listing = again;
            attempt += 1;
        }
    }

    /// Reads the newest whole checkpoint; `None` if there is none. Never writes.
    ///
    /// # Errors
    /// Returns an error if the place cannot be read.
    pub async fn newest_checkpoint(&self) -> Result<Option<Checkpoint>, StoreError> {
        for number in self.list().await?.numbers.iter().rev() {
            if let Fetched::Whole(object, _) = self.fetch(*number).await? {
                return Ok(Some(checkpoint(object)));
            }
        }
        Ok(None)
    }

    async fn recover_from<T, E: From<StoreError>>(
        &self,
        listing: &Listing,
        state: &mut T,
        apply: &impl Fn(&mut T, Checkpoint) -> Result<(), E>,
    ) -> Result<Recovered, Failed<E>> {
        let numbers = &listing.numbers;
        let Some(newest) = self.newest_whole(numbers).await? else {
            return Ok(self.nothing_whole(numbers)?);
        };
        let number = newest.header.number;
        let checkpoints = self.apply_to(&newest.header, listing, state, apply).await?;
        let torn: Vec<u64> = numbers.iter().copied().filter(|above| *above > number).collect();
        if !torn.is_empty() {
            warn!(
                place = %self.place, ?torn, newest = number,
                action = "run `aqueduct reconcile`; if events are missing, set [state] checkpoints to an empty location and seek both subscriptions back (docs/guarantees.md, When the state is lost)",
                "skipping incomplete or corrupt checkpoints; if one of them was complete before, its events are missing"
            );
        }
        Ok(Recovered {
            checkpoints,
            next: after(numbers),
            newest: Some(number),
            written_at: Some(newest.written_at),
            torn,
            base: newest.header.base,
        })
    }

    async fn newest_whole(&self, numbers: &[u64]) -> Result<Option<Newest>, StoreError> {
        for number in numbers.iter().rev() {
            if let Fetched::Whole(object, written_at) = self.fetch(*number).await? {
                return Ok(Some(Newest { header: object.header, written_at }));
            }
        }
        Ok(None)
    }

    /// The result for an empty store, or for one whose very first checkpoint is damaged.
    fn nothing_whole(&self, numbers: &[u64]) -> Result<Recovered, StoreError> {
        if !matches!(numbers, [] | [1]) {
            return Err(StoreError::Unreadable { place: self.place.to_string(), count: numbers.len() });
        }
        if !numbers.is_empty() {
            warn!(
                place = %self.place,
                action = "none; no message is acknowledged before the first complete checkpoint",
                "the only checkpoint is corrupt; starting with an empty state"
            );
        }
        Ok(Recovered {
            checkpoints: 0,
            next: after(numbers),
            newest: None,
            written_at: None,
            torn: numbers.to_vec(),
            base: NONE,
        })
    }

    /// Applies the checkpoints from the base of `newest` up to it, and returns their number. Each one names the one
    /// before it, so a missing one is noticed. A damaged one whose number was not used again is not part of the chain.
    async fn apply_to<T, E: From<StoreError>>(
        &self,
        newest: &Header,
        listing: &Listing,
        state: &mut T,
        apply: &impl Fn(&mut T, Checkpoint) -> Result<(), E>,
    ) -> Result<u64, Failed<E>> {
        let mut fetched = pin!(self.fetch_all(listing, newest.base.max(1)..=newest.number));
        let (mut last, mut torn, mut checkpoints) = (NONE, Vec::new(), 0);
        while let Some((number, bytes)) = fetched.next().await {
            let object = match self.decode(number, bytes?).await? {
                Fetched::Whole(object, _) => object,
                Fetched::Torn => {
                    torn.push(number);
                    continue;
                }
                Fetched::Gone => continue,
            };
            // The first checkpoint contains what it builds on, or is the first of all.
            let previous = object.header.previous;
            let is_first = number == newest.base || previous == NONE;
            if previous != last && !(last == NONE && is_first) {
                let damage = if torn.contains(&previous) { Damage::Torn } else { Damage::Missing };
                return Err(self.broken(previous, damage, number).into());
            }
            last = number;
            checkpoints += 1;
            apply(state, checkpoint(object)).map_err(Failed::Other)?;
        }
        if last != newest.number {
            return Err(self.broken(newest.number, Damage::Missing, newest.number).into());
        }
        Ok(checkpoints)
    }

    fn broken(&self, number: u64, damage: Damage, needed_by: u64) -> StoreError {
        StoreError::Broken { place: self.place.to_string(), number, damage, needed_by }
    }

    /// The objects of these numbers in order, still compressed. Some are fetched ahead.
    fn fetch_all(
        &self,
        listing: &Listing,
        range: std::ops::RangeInclusive<u64>,
    ) -> impl Stream<Item = (u64, Result<Option<(Bytes, EventTime)>, StoreError>)> {
        let wanted: Vec<(u64, u64)> = listing
            .numbers
            .iter()
            .zip(&listing.sizes)
            .filter(|(number, _)| range.contains(number))
            .map(|(number, size)| (*number, *size))
            .collect();
        // Fetches runs that fit into memory together. The next run starts when this one has been applied.
        let mut runs: Vec<(u64, Vec<u64>)> = Vec::new();
        for (number, size) in wanted {
            match runs.last_mut() {
                Some((bytes, run)) if run.len() < READS && *bytes + size <= READ_BYTES => {
                    *bytes += size;
                    run.push(number);
                }
                _ => runs.push((size, vec![number])),
            }
        }
        stream::iter(runs).flat_map(move |(_, run)| {
            let side_by_side = run.len();
            stream::iter(run)
                .map(move |number| async move { (number, self.get(&self.path_of(number)).await) })
                .buffered(side_by_side)
        })
    }
}

fn checkpoint(object: Object) -> Checkpoint {
    let Object { header, payload } = object;
    Checkpoint { number: header.number, version: header.version, payload }
}

fn after(numbers: &[u64]) -> u64 {
    numbers.last().map_or(1, |newest| newest.saturating_add(1))
}
