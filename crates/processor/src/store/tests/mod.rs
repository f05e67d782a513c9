//! The store through its public interface: in memory, in a folder, and in both with faults.

mod faults;

#[cfg(feature = "cloud")]
mod bucket;
mod chain;
mod folder;
mod gone;
mod race;
mod standby;

use std::sync::Arc;

use bytes::Bytes;
use object_store::{ObjectStore, ObjectStoreExt, PutMode, memory::InMemory, path::Path};

use super::*;

/// The prefix of every test's state.
const PREFIX: &str = "a/state";

fn memory() -> Arc<InMemory> {
    Arc::new(InMemory::new())
}

fn over(objects: &Arc<InMemory>) -> Store {
    Store::over(Arc::clone(objects) as Arc<dyn ObjectStore>, PREFIX)
}

fn path(number: u64) -> Path {
    Path::from(format!("{PREFIX}/{number:020}"))
}

fn payload(text: &str) -> Bytes {
    Bytes::copy_from_slice(text.as_bytes())
}

async fn appender(store: &Store) -> Appender {
    store.appender(&recover(store).await.expect("the chain is whole").0)
}

/// The state in these tests: the texts of the checkpoints that were read.
type Texts = Vec<String>;

async fn recover(store: &Store) -> Result<(Recovered, Texts), StoreError> {
    let apply = |texts: &mut Texts, checkpoint: Checkpoint| {
        texts.push(String::from_utf8(checkpoint.payload.to_vec()).expect("tests write text"));
        Ok(())
    };
    store.recover(Vec::new, apply).await
}

async fn texts(store: &Store) -> Texts {
    recover(store).await.expect("the chain is whole").1
}

const NEITHER: Part = Part { first: false, last: false };

/// The part of a round, by the first letter of a text: `B` for all of it, `F` for the first, `L` for the last.
fn part(text: &str) -> Part {
    Part { first: text.starts_with(['B', 'F']), last: text.starts_with(['B', 'L']) }
}

/// Appends texts as the parts that [`part`] returns.
async fn write(appender: &mut Appender, texts: &[&str]) {
    for text in texts {
        appender.append(part(text), payload(text)).await.expect("no other writer");
    }
}

/// A simulated state: all texts that were ever appended, without spaces. A checkpoint contains the newest one and a
/// copy of others.
/// all.
#[derive(Default)]
struct Texted {
    all: Vec<String>,
    /// The number of texts that the round has copied.
    copied: usize,
}

impl Texted {
    async fn recover(store: &Store) -> Result<(Recovered, Self), StoreError> {
        let apply = |state: &mut Self, checkpoint: Checkpoint| {
            let text = String::from_utf8(checkpoint.payload.to_vec()).expect("tests write text");
            for text in text.split_whitespace() {
                if !state.all.iter().any(|other| other == text) {
                    state.all.push(text.to_owned());
                }
            }
            Ok(())
        };
        store.recover(Self::default, apply).await
    }

    /// The checkpoint after a new text, with copies of this many others.
    fn push(&mut self, text: &str, copies: usize) -> (Part, Bytes) {
        self.all.push(text.to_owned());
        let end = self.all.len().min(self.copied + copies);
        let part = Part { first: self.copied == 0, last: end == self.all.len() };
        let copied = self.all[self.copied..end].join(" ");
        self.copied = if part.last { 0 } else { end };
        (part, payload(&format!("{text} {copied}")))
    }

    fn sorted(&self) -> Vec<&str> {
        let mut all: Vec<&str> = self.all.iter().map(String::as_str).collect();
        all.sort_unstable();
        all
    }
}

/// Truncates an object to half its length.
async fn tear(objects: &dyn ObjectStore, path: &Path) {
    let whole = objects.get(path).await.expect("it exists").bytes().await.expect("it can be read");
    let half = whole.slice(..whole.len() / 2);
    objects.put_opts(path, half.into(), PutMode::Overwrite.into()).await.expect("it can be written");
}
