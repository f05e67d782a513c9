//! The next checkpoint, fenced; and pruning what a base has made needless.
//!
//! The fence: the object is created only if it is absent, then the store is listed. The listing matters as much:
//! a processor that was stopped for long may find its number absent again, because whoever took over has written
//! it and pruned it since.
//!
//! Not here: when a checkpoint is due, and whether it is a base.

use bytes::Bytes;
use futures::{StreamExt, stream};
use object_store::{ObjectStoreExt as _, PutMode, PutOptions};
use tracing::warn;

use super::{
    FORMAT, Kind, Recovered, Store, StoreError,
    format::{self, Header, NONE},
    lock,
    objects::{Fetched, blocking},
};

/// The one writer of a chain. It owns the number, so that none is skipped or used twice.
#[derive(Debug)]
pub struct Appender {
    store: Store,
    next: u64,
    /// The checkpoint that the next one builds on.
    previous: u64,
    base: u64,
    /// The base before that one: it is kept, so that a base that is damaged can be passed over.
    keep: u64,
    base_bytes: u64,
    deltas: u64,
    delta_bytes: u64,
    /// The newest checkpoint of whoever took over.
    fenced_by: Option<u64>,
}

impl Store {
    /// Goes on where the recovered chain ends.
    pub fn appender(&self, recovered: &Recovered) -> Appender {
        let base = recovered.base.as_ref().map_or(NONE, |base| base.number);
        self.newest.set(recovered.newest.unwrap_or(NONE));
        Appender {
            store: self.clone(),
            next: recovered.next,
            previous: recovered.newest.unwrap_or(NONE),
            base,
            keep: base,
            base_bytes: recovered.base.as_ref().map_or(0, |base| base.payload.len() as u64),
            deltas: recovered.deltas.len() as u64,
            delta_bytes: recovered.deltas.iter().map(|delta| delta.payload.len() as u64).sum(),
            fenced_by: None,
        }
    }
}

impl Appender {
    /// Writes the next checkpoint. `Ok` gives its number: it is durable, and nobody had taken over by then.
    ///
    /// After a transient error ([`StoreError::is_transient`]) the write may have happened or not: call again with
    /// the same kind and payload, and what landed is recognised as one's own. After [`StoreError::Fenced`] every
    /// call answers the same. Do not drop the future half way and then come with another payload.
    pub async fn append(&mut self, kind: Kind, payload: Bytes) -> Result<u64, StoreError> {
        let number = self.next;
        if let Some(newest) = self.fenced_by {
            return Err(self.fenced(newest));
        }
        let length = payload.len() as u64;
        match self.write(kind, payload).await {
            Ok(()) => self.advance(kind, length),
            Err(error) => {
                if let StoreError::Fenced { newest, .. } = error {
                    self.fenced_by = Some(newest);
                }
                return Err(error);
            }
        }
        Ok(number)
    }

    /// Deletes what neither the present nor the previous base needs. Call it after a base was appended.
    ///
    /// Best effort: what is left over is ignored by every reader, and goes the next time.
    pub async fn prune(&self) {
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
        let below = self.keep.min(self.previous);
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

    /// The size of the base's payload, 0 without one.
    pub fn base_bytes(&self) -> u64 {
        self.base_bytes
    }

    /// How many deltas stand on the base.
    pub fn deltas(&self) -> u64 {
        self.deltas
    }

    /// The size of their payloads.
    pub fn delta_bytes(&self) -> u64 {
        self.delta_bytes
    }

    async fn write(&self, kind: Kind, payload: Bytes) -> Result<(), StoreError> {
        let header = self.header(kind);
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
            // Deleted between the look and the write: a delta that builds on nothing must not be found by the next start.
            let _ = store.objects.delete(&path).await;
            return Err(gone);
        }
        Ok(())
    }

    fn header(&self, kind: Kind) -> Header {
        Header {
            version: FORMAT,
            kind,
            number: self.next,
            previous: self.previous,
            base: if kind == Kind::Base { self.next } else { self.base },
            writer: self.store.writer,
        }
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

    fn advance(&mut self, kind: Kind, length: u64) {
        self.previous = self.next;
        self.store.newest.set(self.previous);
        self.next = self.next.saturating_add(1);
        match kind {
            Kind::Base => {
                self.keep = self.base;
                self.base = self.previous;
                (self.base_bytes, self.deltas, self.delta_bytes) = (length, 0, 0);
            }
            Kind::Delta => {
                self.deltas += 1;
                self.delta_bytes += length;
            }
        }
    }

    fn fenced(&self, newest: u64) -> StoreError {
        StoreError::Fenced { place: self.store.place.to_string(), number: self.next, newest }
    }
}
