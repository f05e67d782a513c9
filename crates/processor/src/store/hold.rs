//! Decides which processor may write: one holds the state, and the others are standbys, which pull no messages.
//!
//! This only avoids needless conflicts. The fence of [`super::append`] protects the state: if two processors both
//! believe that they hold it, no harm is done and one of them stops.
//!
//! A folder has a lock, which the operating system releases whenever its holder ends. Elsewhere, a clean stop leaves a
//! marker. In both cases a holder that writes no checkpoint for `takeover_after` counts as dead, because it
//! writes one every period even if nothing happens.

use std::{error::Error, time::Duration};

use object_store::ObjectStoreExt;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use super::{
    Store, StoreError,
    lock::{self, Attempt, Lock},
    objects::Listing,
};

/// How often a standby tries the lock of a folder, which is a local file.
const LOCK_POLL: Duration = Duration::from_millis(250);

/// Permission to write, until it is dropped. Dropping it releases the lock; other places are informed only by
/// [`Hold::release`].
#[derive(Debug)]
pub struct Hold {
    store: Store,
    lock: Option<Lock>,
}

/// The situation of a standby.
#[derive(Clone, Copy, Debug)]
pub enum Standing<'a> {
    /// It watches the state of another processor.
    By,
    /// It cannot read the state.
    Blind(&'a StoreError),
}

impl Store {
    /// Waits until this processor may write; `None` if `shutdown` is cancelled first.
    ///
    /// Returns at once if the store is empty, after a clean stop, and if the lock of a folder is free. From then on the
    /// holder must append at least every `period`, even while it waits for something else. Calls `report` after each look
    /// that does not end the wait.
    pub async fn hold(
        &self,
        takeover_after: Duration,
        shutdown: &CancellationToken,
        report: impl Fn(Standing<'_>),
    ) -> Result<Option<Hold>, StoreError> {
        shutdown.run_until_cancelled(StandBy::new(self, takeover_after).wait(report)).await.transpose()
    }
}

impl Hold {
    /// Call after the last checkpoint of a clean stop, so that the next processor need not wait. `newest` is that
    /// checkpoint.
    pub async fn release(self, newest: Option<u64>) {
        if self.lock.is_some() {
            return;
        }
        let Some(newest) = newest else { return };
        if let Err(error) = self.store.objects.put(&self.store.marker(), newest.to_string().into()).await {
            warn!(
                place = %self.store.place, error = &error as &dyn Error,
                action = "none; the next start takes longer",
                "cannot mark the state as released; the next start waits for takeover_after"
            );
        }
    }
}

/// A processor that waits.
struct StandBy<'a> {
    store: &'a Store,
    takeover_after: Duration,
    poll: Duration,
    watch: Watch,
    logged: Logged,
}

/// What was logged already, so that each message is logged once.
#[derive(Default)]
struct Logged {
    waiting: bool,
    held: bool,
    trouble: bool,
}

/// Since when the newest checkpoint has not changed, by this processor's clock.
#[derive(Debug, Default)]
struct Watch {
    seen: Option<(Option<u64>, Instant)>,
    moved: bool,
}

/// The state of the lock.
enum Locked {
    /// This processor has it.
    Ours(Lock),
    /// Another processor has it.
    Others,
    /// The place has no lock.
    None,
}

impl<'a> StandBy<'a> {
    fn new(store: &'a Store, takeover_after: Duration) -> Self {
        // Listing a bucket costs money, so a few looks within the time must suffice.
        let look = (takeover_after / 8).clamp(Duration::from_millis(50), Duration::from_secs(5));
        let poll = if store.folder.is_some() { LOCK_POLL.min(look) } else { look };
        Self { store, takeover_after, poll, watch: Watch::default(), logged: Logged::default() }
    }

    async fn wait(mut self, report: impl Fn(Standing<'_>)) -> Result<Hold, StoreError> {
        loop {
            match self.look().await {
                Ok(Some(hold)) => return Ok(hold),
                Ok(None) => {
                    self.logged.trouble = false;
                    report(Standing::By);
                }
                Err(error) if error.is_transient() => {
                    self.trouble(&error);
                    report(Standing::Blind(&error));
                }
                Err(error) => return Err(error),
            }
            tokio::time::sleep(self.poll).await;
        }
    }

    async fn look(&mut self) -> Result<Option<Hold>, StoreError> {
        let locked = self.try_lock()?;
        if let Locked::Ours(lock) = locked {
            return Ok(Some(self.hold(Some(lock)).await));
        }
        let listing = self.store.list().await?;
        let has_lock = matches!(locked, Locked::Others);
        if !has_lock && (listing.newest().is_none() || self.is_released(&listing).await?) {
            return Ok(Some(self.hold(None).await));
        }
        let still = self.watch.still_for(listing.newest(), Instant::now());
        if still < self.takeover_after {
            self.report(has_lock);
            return Ok(None);
        }
        self.take_over(has_lock, listing.newest()).await.map(Some)
    }

    fn try_lock(&self) -> Result<Locked, StoreError> {
        let Some(folder) = &self.store.folder else { return Ok(Locked::None) };
        match lock::attempt(folder).map_err(|e| StoreError::of_io(&self.store.place, "locked", e))? {
            Attempt::Taken(lock) => Ok(Locked::Ours(lock)),
            Attempt::Busy => Ok(Locked::Others),
            Attempt::Unsupported => Ok(Locked::None),
        }
    }

    /// Whether the last holder stopped cleanly and no processor has written since.
    async fn is_released(&self, listing: &Listing) -> Result<bool, StoreError> {
        if !listing.released {
            return Ok(false);
        }
        let marker = self.store.get(&self.store.marker()).await?;
        let number =
            marker.and_then(|(bytes, _)| std::str::from_utf8(&bytes).ok()?.trim().parse::<u64>().ok());
        Ok(number.is_some() && number == listing.newest())
    }

    /// Takes over from a holder that is dead or frozen. If it resumes, the fence stops it; the lock that it still has
    /// is on a file that is no longer the lock file.
    async fn take_over(&self, has_lock: bool, newest: Option<u64>) -> Result<Hold, StoreError> {
        warn!(
            place = %self.store.place, newest, takeover_after = ?self.takeover_after,
            action = "find out why the other processor stopped; if it is still running, it will exit",
            "no new checkpoint appeared; taking over the state"
        );
        let lock = match (&self.store.folder, has_lock) {
            (Some(folder), true) => Some(
                lock::replace(folder, &self.store.writer.hex())
                    .map_err(|e| StoreError::of_io(&self.store.place, "locked", e))?,
            ),
            _ => None,
        };
        Ok(self.hold(lock).await)
    }

    async fn hold(&self, lock: Option<Lock>) -> Hold {
        if lock.is_none() {
            // A later start must not mistake an old marker for a new one. If the marker cannot be deleted, its number
            // is soon too low.
            match self.store.objects.delete(&self.store.marker()).await {
                Ok(()) | Err(object_store::Error::NotFound { .. }) => {}
                Err(error) => {
                    warn!(
                        place = %self.store.place, error = &error as &dyn Error,
                        action = "none if it happens once; if it repeats, allow this account to delete objects there",
                        "cannot remove the marker of the last clean shutdown"
                    );
                }
            }
        }
        info!(place = %self.store.place, "this processor holds the state");
        Hold { store: self.store.clone(), lock }
    }

    fn report(&mut self, has_lock: bool) {
        let place = &self.store.place;
        if has_lock || self.watch.moved {
            if !std::mem::replace(&mut self.logged.held, true) {
                info!(%place, "another processor holds the state; standing by");
            }
        } else if !std::mem::replace(&mut self.logged.waiting, true) {
            info!(
                %place, takeover_after = ?self.takeover_after,
                "the last processor did not release the state; waiting to see whether it is still running"
            );
        }
    }

    /// While this processor cannot read the store, the holder may be unable to write, so its silence proves nothing.
    fn trouble(&mut self, error: &StoreError) {
        self.watch = Watch::default();
        if !std::mem::replace(&mut self.logged.trouble, true) {
            warn!(
                place = %self.store.place, error = error as &dyn Error,
                action = "check that the checkpoints can be reached and listed from this host",
                "cannot check the state; retrying"
            );
        }
    }
}

impl Watch {
    fn still_for(&mut self, newest: Option<u64>, now: Instant) -> Duration {
        match self.seen {
            Some((seen, since)) if seen == newest => now.saturating_duration_since(since),
            earlier => {
                self.moved |= earlier.is_some();
                self.seen = Some((newest, now));
                Duration::ZERO
            }
        }
    }
}
