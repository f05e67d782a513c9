//! The next checkpoint, fenced; and pruning what a complete round has made needless.
//!
//! The fence: the object is created only if it is absent, then the store is listed. The listing matters as much:
//! a processor that was stopped for long may find its number absent again, because the processor that took over has
//! written and pruned it since.
//!
//! Not here: when a checkpoint is due, and which part of the state it holds.

use bytes::Bytes;
use futures::{StreamExt, stream};
use object_store::{ObjectStoreExt as _, PutMode, PutOptions};
use tracing::warn;

use super::{
    FORMAT, Part, Recovered, Store, StoreError,
    format::{self, Header, NONE},
    lock,
    objects::{Fetched, blocking},
};

/// So many old checkpoints are pruned together.
const PRUNED_TOGETHER: u64 = 16;

/// The one writer of a chain. It owns the number, so that none is skipped or used twice.
#[derive(Debug)]
pub struct Appender {
    store: Store,
    next: u64,
    /// The checkpoint that the next one builds on.
    previous: u64,
    /// The first checkpoint of the last complete round: a reader begins there.
    base: u64,
    /// The base before that one: it is kept, so that a checkpoint that completes a round and is damaged can be passed over.
    keep: u64,
    /// The first checkpoint of the round that is on its way; none where that began in an earlier process.
    round: Option<u64>,
    /// How many checkpoints a reader reads.
    chain: u64,
    /// Everything below was pruned.
    pruned: u64,
    /// The newest checkpoint of the processor that took over.
    fenced_by: Option<u64>,
}

impl Store {
    /// Goes on where the recovered chain ends.
    pub fn appender(&self, recovered: &Recovered) -> Appender {
        self.newest.set(recovered.newest.unwrap_or(NONE));
        Appender {
            store: self.clone(),
            next: recovered.next,
            previous: recovered.newest.unwrap_or(NONE),
            base: recovered.base,
            keep: recovered.base,
            round: None,
            chain: recovered.checkpoints,
            pruned: NONE,
            fenced_by: None,
        }
    }
}

impl Appender {
    /// Writes the next checkpoint. `Ok` gives its number: it is durable, and nobody had taken over by then.
    ///
    /// After a transient error ([`StoreError::is_transient`]) the write may have happened or not: call again with
    /// the same part and payload, and what landed is recognised as one's own. After [`StoreError::Fenced`] every
    /// call answers the same. Do not drop the future half way and then come with another payload.
    pub async fn append(&mut self, part: Part, payload: Bytes) -> Result<u64, StoreError> {
        let number = self.next;
        if let Some(newest) = self.fenced_by {
            return Err(self.fenced(newest));
        }
        match self.write(part, payload).await {
            Ok(()) => self.advance(part),
            Err(error) => {
                if let StoreError::Fenced { newest, .. } = error {
                    self.fenced_by = Some(newest);
                }
                return Err(error);
            }
        }
        Ok(number)
    }

    /// Whether [`Self::prune`] would delete more than a few: it lists the store, and a small state completes a round with
    /// each checkpoint.
    pub fn has_old(&self) -> bool {
        self.below().saturating_sub(self.pruned) >= PRUNED_TOGETHER
    }

    /// Deletes what neither the last complete round nor the one before it needs.
    ///
    /// Best effort: what is left over is ignored by every reader, and goes the next time.
    pub async fn prune(&mut self) {
        let numbers = match self.store.list().await {
            Ok(listing) => listing.numbers,
            Err(error) => {
                warn!(
                    place = %self.store.place, error = &error as &dyn std::error::Error,
                    action = "nothing once; if it repeats, let this account list the place of the checkpoints",
                    "old checkpoints stay for now"
                );
                return;
            }
        };
        let below = self.below();
        self.pruned = below;
        let old: Vec<_> = numbers
            .iter()
            .filter(|number| **number < below)
            .map(|number| Ok(self.store.path_of(*number)))
            .collect();
        let mut outcomes = self.store.objects.delete_stream(stream::iter(old).boxed());
        while let Some(outcome) = outcomes.next().await {
            match outcome {
                Ok(_) | Err(object_store::Error::NotFound { .. }) => {}
                Err(error) => {
                    warn!(
                        place = %self.store.place, error = &error as &dyn std::error::Error,
                        action = "nothing once; if it repeats, let this account delete objects there",
                        "an old checkpoint stays for now"
                    );
                }
            }
        }
        if let Some(folder) = &self.store.folder {
            lock::sweep(folder, below);
        }
    }

    /// The number of the checkpoint to be written next.
    pub fn next(&self) -> u64 {
        self.next
    }

    /// The newest checkpoint of the chain.
    pub fn newest(&self) -> Option<u64> {
        (self.previous != NONE).then_some(self.previous)
    }

    /// How many checkpoints the next start reads.
    pub fn chain(&self) -> u64 {
        self.chain
    }

    fn below(&self) -> u64 {
        self.keep.min(self.previous)
    }

    async fn write(&self, part: Part, payload: Bytes) -> Result<(), StoreError> {
        let header = self.header(part);
        let (store, path) = (&self.store, self.store.path_of(header.number));
        let content = payload.clone();
        let object = blocking(payload.len(), move || format::encode(&header, &content))
            .await
            .map_err(|e| StoreError::of_io(&store.place, "written", e))?;
        // A write would make a folder that was deleted again.
        store.check_present()?;
        match store.objects.put_opts(&path, object, PutOptions::from(PutMode::Create)).await {
            Ok(_) => {}
            Err(object_store::Error::AlreadyExists { .. } | object_store::Error::Precondition { .. }) => {
                self.expect_own(&header, &payload).await?;
            }
            Err(error) => return Err(store.error("written", error)),
        }
        if let Some(newest) = store.newer_than(header.number).await? {
            return Err(self.fenced(newest));
        }
        if let Err(gone) = store.check_previous(header.previous) {
            // Deleted between the look and the write: what builds on nothing must not be found by the next start.
            let _ = store.objects.delete(&path).await;
            return Err(gone);
        }
        Ok(())
    }

    fn header(&self, part: Part) -> Header {
        Header {
            version: FORMAT,
            number: self.next,
            previous: self.previous,
            base: self.completes(part).unwrap_or(self.base),
            writer: self.store.writer,
        }
    }

    /// The first checkpoint of the round that the next checkpoint completes, if it does.
    fn completes(&self, part: Part) -> Option<u64> {
        let first = if part.first { Some(self.next) } else { self.round };
        first.filter(|_| part.last)
    }

    /// Something stands there already. Fine if it is what an earlier attempt of ours wrote without hearing of it.
    async fn expect_own(&self, header: &Header, payload: &Bytes) -> Result<(), StoreError> {
        match self.store.fetch(header.number).await? {
            Fetched::Whole(found, _) if found.header == *header && found.payload == *payload => Ok(()),
            Fetched::Whole(found, _) if found.header.writer == header.writer => {
                Err(StoreError::Changed { place: self.store.place.to_string(), number: header.number })
            }
            // Not whole: ours would be, as objects are created whole or not at all.
            Fetched::Whole(..) | Fetched::Torn | Fetched::Gone => Err(self.fenced(header.number)),
        }
    }

    fn advance(&mut self, part: Part) {
        let completed = self.completes(part);
        if part.first {
            self.round = Some(self.next);
        }
        self.previous = self.next;
        self.store.newest.set(self.previous);
        self.next = self.next.saturating_add(1);
        self.chain += 1;
        if let Some(first) = completed {
            self.keep = self.base;
            self.base = first;
            self.round = None;
            // Numbers that were burnt in between are few, and no concern.
            self.chain = self.next - first;
        }
    }

    fn fenced(&self, newest: u64) -> StoreError {
        StoreError::Fenced { place: self.store.place.to_string(), number: self.next, newest }
    }
}
