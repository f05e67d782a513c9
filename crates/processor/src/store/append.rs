//! Writes the next checkpoint, fenced, and prunes checkpoints that a complete round has made obsolete.
//!
//! The fence has two steps: the object is created only if it is absent, and then the store is listed. The second step
//! is as important as the first. A processor that was frozen for a long time may find its number absent, because the
//! processor that took over has written and pruned that number since.

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

/// This many old checkpoints are pruned together.
const PRUNED_TOGETHER: u64 = 16;

/// The only writer of a chain. It owns the next number, so that no number is skipped or used twice.
#[derive(Debug)]
pub struct Appender {
    store: Store,
    next: u64,
    /// The number of the checkpoint that the next one follows.
    previous: u64,
    /// The first checkpoint of the last complete round, where a reader starts.
    base: u64,
    /// The base before that one. It is kept so that recovery can skip a damaged checkpoint that had completed a round.
    keep: u64,
    /// The first checkpoint of the round in progress; `None` if an earlier process started it.
    round: Option<u64>,
    /// How many checkpoints a recovery reads.
    chain: u64,
    /// Every checkpoint below this number was pruned.
    pruned: u64,
    /// The newest checkpoint of the processor that took over, if one did.
    fenced_by: Option<u64>,
}

impl Store {
    /// An appender that continues the recovered chain.
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
    /// Writes the next checkpoint. Returns its number once it is durable and no other processor had taken over by then.
    ///
    /// After a transient error ([`StoreError::is_transient`]) it is unknown whether the write happened. Call again with
    /// the same part and payload: an object that was written is recognised as this writer's own. After
    /// [`StoreError::Fenced`] every call returns the same error. If the future is dropped before it ends, the next call
    /// must have the same payload.
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

    /// Whether [`Self::prune`] would delete more than a few checkpoints. Pruning lists the store, and a small state
    /// completes a round with each checkpoint.
    pub fn has_old(&self) -> bool {
        self.below().saturating_sub(self.pruned) >= PRUNED_TOGETHER
    }

    /// Deletes the checkpoints that neither the last complete round nor the one before it needs.
    ///
    /// Errors are ignored: readers skip what is left over, and the next call deletes it.
    pub async fn prune(&mut self) {
        let numbers = match self.store.list().await {
            Ok(listing) => listing.numbers,
            Err(error) => {
                warn!(
                    place = %self.store.place, error = &error as &dyn std::error::Error,
                    action = "none if it happens once; if it repeats, allow this account to list the checkpoints",
                    "cannot list old checkpoints for deletion; retrying later"
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
                        action = "none if it happens once; if it repeats, allow this account to delete objects there",
                        "cannot delete an old checkpoint; retrying later"
                    );
                }
            }
        }
        if let Some(folder) = &self.store.folder {
            lock::sweep(folder, below);
        }
    }

    /// The number of the next checkpoint.
    pub fn next(&self) -> u64 {
        self.next
    }

    /// The number of the newest checkpoint in the chain; `None` if there is none.
    pub fn newest(&self) -> Option<u64> {
        (self.previous != NONE).then_some(self.previous)
    }

    /// How many checkpoints the next start has to read.
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
        // Writing would create a folder again that was deleted.
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
            // The folder was deleted between the check and the write. The next start must not find a checkpoint without
            // its predecessors.
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

    /// The first checkpoint of the round that the next checkpoint completes, if it completes one.
    fn completes(&self, part: Part) -> Option<u64> {
        let first = if part.first { Some(self.next) } else { self.round };
        first.filter(|_| part.last)
    }

    /// Checks whether an existing object is the one that an earlier attempt of this writer created without receiving
    /// the answer.
    async fn expect_own(&self, header: &Header, payload: &Bytes) -> Result<(), StoreError> {
        match self.store.fetch(header.number).await? {
            Fetched::Whole(found, _) if found.header == *header && found.payload == *payload => Ok(()),
            Fetched::Whole(found, _) if found.header.writer == header.writer => {
                Err(StoreError::Changed { place: self.store.place.to_string(), number: header.number })
            }
            // A damaged object cannot be this writer's own, because objects are created whole or not at all.
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
            // Numbers that were skipped in between are counted too. They are few, so the error does not matter.
            self.chain = self.next - first;
        }
    }

    fn fenced(&self, newest: u64) -> StoreError {
        StoreError::Fenced { place: self.store.place.to_string(), number: self.next, newest }
    }
}
