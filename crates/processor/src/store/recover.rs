//! The chain of checkpoints that stands: the newest whole one, and all that it builds on.
//!
//! It only reads, so that `status` and `reconcile` may look at the state of a running processor. That one prunes
//! meanwhile: when a checkpoint vanishes and the listing has changed, the reading starts again.
//!
//! Not here: what the payloads mean.

use std::collections::BTreeMap;

use bytes::Bytes;
use event::time::EventTime;
use futures::{StreamExt, TryStreamExt, stream};
use tracing::warn;

use super::{
    Damage, Kind, Store, StoreError,
    format::{NONE, Object},
    objects::Fetched,
};

/// How often a reader starts again because the writer pruned under it. It does so once per base.
const ATTEMPTS: usize = 10;
/// How many deltas are read side by side.
const READS: usize = 8;

/// The state as it was last checkpointed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Recovered {
    /// The whole state, as of some checkpoint; nothing where none was written yet.
    pub base: Option<Checkpoint>,
    /// What changed since, in order.
    pub deltas: Vec<Checkpoint>,
    /// The number of the next checkpoint: above all that stand there, whole or not.
    pub next: u64,
    /// The newest whole checkpoint.
    pub newest: Option<u64>,
    /// When that was written, by the object store's clock.
    pub written_at: Option<EventTime>,
    /// The damaged checkpoints above it, which were passed over.
    pub torn: Vec<u64>,
}

/// One checkpoint, as it was given to [`super::Appender::append`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Checkpoint {
    /// Counts from 1.
    pub number: u64,
    /// Base or delta.
    pub kind: Kind,
    /// The format of the payload: [`super::FORMAT`] or an older one.
    pub version: u16,
    /// What was written.
    pub payload: Bytes,
}

impl Recovered {
    /// The base and what changed since, in the order in which they are applied.
    pub fn chain(&self) -> impl Iterator<Item = &Checkpoint> {
        self.base.iter().chain(&self.deltas)
    }
}

impl Store {
    /// Reads the state back. Never writes.
    ///
    /// Damaged checkpoints above the newest whole one were being written when the machine went down; they are
    /// passed over with a WARN and their numbers are not used again. Damage below it is an error.
    pub async fn recover(&self) -> Result<Recovered, StoreError> {
        let mut numbers = self.list().await?.numbers;
        for _ in 1..ATTEMPTS {
            let broken = match self.recover_from(&numbers).await {
                Err(broken @ (StoreError::Broken { .. } | StoreError::Unreadable { .. })) => broken,
                other => return other,
            };
            let again = self.list().await?.numbers;
            if again == numbers {
                return Err(broken);
            }
            numbers = again;
        }
        self.recover_from(&numbers).await
    }

    async fn recover_from(&self, numbers: &[u64]) -> Result<Recovered, StoreError> {
        let Some((newest, written_at)) = self.newest_whole(numbers).await? else {
            return self.nothing_whole(numbers);
        };
        let number = newest.header.number;
        let torn: Vec<u64> = numbers.iter().copied().filter(|above| *above > number).collect();
        let chain = self.chain_to(newest, numbers).await?;
        if !torn.is_empty() {
            warn!(
                place = %self.place, ?torn, newest = number,
                action = "run `aqueduct reconcile`; where events are missing, seek the subscription back and start without state",
                "damaged checkpoints are passed over; if they were whole once, events that they held are missing: \
                 compare with `aqueduct reconcile`"
            );
        }
        let mut recovered = Recovered {
            base: None,
            deltas: Vec::with_capacity(chain.len()),
            next: after(numbers),
            newest: Some(number),
            written_at: Some(written_at),
            torn,
        };
        for checkpoint in chain {
            match checkpoint.kind {
                Kind::Base => recovered.base = Some(checkpoint),
                Kind::Delta => recovered.deltas.push(checkpoint),
            }
        }
        Ok(recovered)
    }

    async fn newest_whole(&self, numbers: &[u64]) -> Result<Option<(Object, EventTime)>, StoreError> {
        for number in numbers.iter().rev() {
            if let Fetched::Whole(object, written_at) = self.fetch(*number).await? {
                return Ok(Some((object, written_at)));
            }
        }
        Ok(None)
    }

    /// An empty store, or one whose very first checkpoint was cut short.
    fn nothing_whole(&self, numbers: &[u64]) -> Result<Recovered, StoreError> {
        if !matches!(numbers, [] | [1]) {
            return Err(StoreError::Unreadable { place: self.place.to_string(), count: numbers.len() });
        }
        if !numbers.is_empty() {
            warn!(
                place = %self.place,
                action = "nothing: no message was acknowledged before a first whole checkpoint",
                "the only checkpoint is damaged; the state begins anew"
            );
        }
        Ok(Recovered {
            base: None,
            deltas: Vec::new(),
            next: after(numbers),
            newest: None,
            written_at: None,
            torn: numbers.to_vec(),
        })
    }

    /// From the base up to `newest`, found from the newest downwards: each names the one before it.
    async fn chain_to(&self, newest: Object, numbers: &[u64]) -> Result<Vec<Checkpoint>, StoreError> {
        let range = newest.header.base.max(1)..newest.header.number;
        let wanted: Vec<u64> = numbers.iter().copied().filter(|number| range.contains(number)).collect();
        let wanted = if newest.header.kind == Kind::Base { Vec::new() } else { wanted };
        let mut below: BTreeMap<u64, Fetched> = stream::iter(wanted)
            .map(|number| async move { Ok((number, self.fetch(number).await?)) })
            .buffer_unordered(READS)
            .try_collect()
            .await?;

        let mut chain = Vec::with_capacity(below.len() + 1);
        let mut at = newest;
        while at.header.kind == Kind::Delta && at.header.previous != NONE {
            let previous = at.header.previous;
            let damage = match below.remove(&previous) {
                Some(Fetched::Whole(object, _)) => {
                    chain.push(checkpoint(std::mem::replace(&mut at, object)));
                    continue;
                }
                Some(Fetched::Torn) => Damage::Torn,
                Some(Fetched::Gone) | None => Damage::Missing,
            };
            return Err(StoreError::Broken {
                place: self.place.to_string(),
                number: previous,
                damage,
                needed_by: at.header.number,
            });
        }
        chain.push(checkpoint(at));
        chain.reverse();
        Ok(chain)
    }
}

fn checkpoint(object: Object) -> Checkpoint {
    let Object { header, payload } = object;
    Checkpoint { number: header.number, kind: header.kind, version: header.version, payload }
}

fn after(numbers: &[u64]) -> u64 {
    numbers.last().map_or(1, |newest| newest.saturating_add(1))
}
