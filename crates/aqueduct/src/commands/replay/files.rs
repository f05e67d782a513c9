//! Files side by side by event time: always the one whose clock is lowest.
//!
//! Not here: what becomes of a line.

use connector::anonymise::{Raw, RejectCode};
use indicatif::ProgressBar;
use tokio_util::sync::CancellationToken;

use super::{
    plan::Place,
    session::{At, Session},
};
use crate::{input::Input, progress};

/// Files that are open.
pub(super) struct Files {
    files: Vec<OpenFile>,
}

struct OpenFile {
    topic: String,
    name: String,
    input: Input,
}

/// So many lines are read between two looks at the bar and at the token.
const GLANCE: u32 = 4096;

impl Files {
    pub(super) fn open(places: Vec<Place>, shutdown: &CancellationToken) -> anyhow::Result<Self> {
        let open = |place: Place| {
            let input = Input::open(&place.path, shutdown)?;
            Ok(OpenFile { topic: place.topic, name: input.name().to_owned(), input })
        };
        Ok(Self { files: places.into_iter().map(open).collect::<anyhow::Result<_>>()? })
    }

    pub(super) fn partitions(&self) -> usize {
        self.files.len()
    }

    /// Reads to the end of all, or until told to stop.
    pub(super) fn read(mut self, session: &mut Session, shutdown: &CancellationToken) -> anyhow::Result<()> {
        let bar = self.bar();
        let mut lines = 0u32;
        while let Some(partition) = session.next_partition() {
            lines = (lines + 1) % GLANCE;
            if lines == 0 {
                bar.iter().for_each(|bar| bar.set_position(self.bytes_read()));
                if shutdown.is_cancelled() {
                    break;
                }
            }
            let file = &mut self.files[partition];
            let Some(line) = file.input.next_line()? else {
                // Told to stop, standard input seems to end.
                if shutdown.is_cancelled() {
                    break;
                }
                session.end_partition(partition)?;
                continue;
            };
            let at = At::Line(&file.name, line.number);
            match line.bytes {
                None => session.reject(RejectCode::TooLarge.as_str(), None, at),
                Some(bytes) => {
                    let raw = Raw { topic: &file.topic, value: Some(bytes), key: None, headers: &[] };
                    session.record(partition, &raw, at)?;
                }
            }
        }
        bar.iter().for_each(ProgressBar::finish_and_clear);
        Ok(())
    }

    /// A bar over the bytes as they lie there; none where the end is not known.
    fn bar(&self) -> Option<ProgressBar> {
        let total = self.files.iter().map(|file| file.input.size()).sum::<Option<u64>>()?;
        Some(progress::bytes(total))
    }

    fn bytes_read(&self) -> u64 {
        self.files.iter().map(|file| file.input.bytes_read()).sum()
    }
}
