//! The store as its users see it, over memory, over a folder, and over both with faults.

mod faults;

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

/// The prefix under which every test keeps its state.
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
    let recovered = store.recover().await.expect("the chain is whole");
    store.appender(&recovered)
}

/// Appends `B...` as a base, anything else as a delta.
async fn write(appender: &mut Appender, texts: &[&str]) {
    for text in texts {
        let kind = if text.starts_with('B') { Kind::Base } else { Kind::Delta };
        appender.append(kind, payload(text)).await.expect("nobody else writes");
    }
}

/// The payloads of base and deltas.
fn texts(recovered: &Recovered) -> Vec<String> {
    recovered
        .chain()
        .map(|checkpoint| String::from_utf8(checkpoint.payload.to_vec()).expect("tests write text"))
        .collect()
}

/// Cuts an object in half.
async fn tear(objects: &dyn ObjectStore, path: &Path) {
    let whole = objects.get(path).await.expect("it stands there").bytes().await.expect("it can be read");
    let half = whole.slice(..whole.len() / 2);
    objects.put_opts(path, half.into(), PutMode::Overwrite.into()).await.expect("it can be written");
}
