//! Events as lines of a file or of standard output.

use std::{io::Write as _, path::Path};

use anyhow::Context as _;
use tokio_util::sync::CancellationToken;

use super::{Order, Tally};
use crate::{output::Output, progress};

/// Number of bytes to collect before they are written.
const CHUNK: usize = 128 << 10;

/// Writes the ordered events, or as many as were generated before it is stopped.
pub(super) fn write(order: Order, path: &Path, shutdown: &CancellationToken) -> anyhow::Result<Tally> {
    let Order { mut traffic, limit, seed } = order;
    let mut output = Output::create(path)?;
    let mut tally = Tally::new(output.name(), seed);
    let bar = limit.map(|limit| progress::counting(limit, "events"));
    let limit = limit.unwrap_or(u64::MAX);
    let mut chunk = Vec::with_capacity(CHUNK + 1024);
    while tally.records() < limit && !shutdown.is_cancelled() {
        chunk.clear();
        while tally.records() < limit && chunk.len() < CHUNK {
            let start = chunk.len();
            tally.count(&traffic.next(&mut chunk));
            if chunk.len() == start {
                // A Kafka record without a value, as a line of JSON.
                chunk.extend_from_slice(b"null");
            }
            chunk.push(b'\n');
        }
        output.write_all(&chunk).with_context(|| format!("cannot write {}", output.name()))?;
        bar.iter().for_each(|bar| bar.set_position(tally.records()));
    }
    output.finish()?;
    drop(bar);
    Ok(tally)
}
