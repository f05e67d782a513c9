//! Reads files in parallel by event time: the next line is always from the file with the lowest clock.
//!
//! A pool of threads reads lines ahead in batches, in any order; they are counted here in the order of the
//! file. See [`super::batch`] and [`super::session`] for the processing of a line.

use std::{
    collections::VecDeque,
    sync::{
        Arc, Mutex, PoisonError,
        mpsc::{Receiver, TryRecvError, sync_channel},
    },
};

use anyhow::Context as _;
use codec::Schema;
use event::EventTime;
use processor::digest::Digests;
use tokio_util::sync::CancellationToken;

use super::{
    batch::{Batch, Content, Worker},
    neighbours::{FOLLOWING, Neighbours},
    plan::{Place, Rules},
    session::{At, Session},
};
use crate::{
    config::absent_tag,
    errors::WrongUsage,
    input::{BLOCK, Input},
    progress::{self, Bar},
};

/// The open files.
pub(super) struct Files {
    files: Vec<OpenFile>,
    threads: usize,
}

struct OpenFile {
    topic: Arc<str>,
    name: String,
    input: Input,
    is_at_end: bool,
    /// Why it cannot be read further: returned once everything before is counted.
    failure: Option<anyhow::Error>,
    /// Batches in flight, in order, and the bytes of each.
    ahead: VecDeque<(Receiver<Batch>, usize)>,
    bytes_ahead: usize,
    /// How many lines come before the current batch.
    before: u64,
    /// The current batch, and how many of its lines and events were counted.
    batch: Batch,
    lines: usize,
    events: usize,
    /// The following batches that were inspected already, in order.
    peeked: VecDeque<Batch>,
    neighbours: Neighbours,
}

/// The shared state of the threads: a worker for each active one.
struct Workers {
    first: Worker,
    idle: Arc<Mutex<Vec<Worker>>>,
    /// Batches for reuse.
    spare: Vec<Batch>,
}

/// Maximum number of batches in flight for all files: enough to keep the other threads busy while the rows of a large
/// window fire.
const AHEAD: usize = 32;
/// The number for one file and thread where there are many.
const LEAST_AHEAD: usize = 4;

impl Files {
    pub(super) fn open(
        places: Vec<Place>,
        threads: usize,
        neighbours: &Neighbours,
        shutdown: &CancellationToken,
    ) -> anyhow::Result<Self> {
        let open = |place: Place| {
            let input = Input::open(&place.path, shutdown)?;
            let name = input.name().to_owned();
            Ok(OpenFile {
                topic: place.topic.into(),
                name,
                input,
                is_at_end: false,
                failure: None,
                ahead: VecDeque::new(),
                bytes_ahead: 0,
                before: 0,
                batch: Batch::default(),
                lines: 0,
                events: 0,
                peeked: VecDeque::new(),
                neighbours: neighbours.clone(),
            })
        };
        Ok(Self { files: places.into_iter().map(open).collect::<anyhow::Result<_>>()?, threads })
    }

    /// Refuses tags that no file has: what they are to protect would pass.
    pub(super) fn check_tags(&self, rules: &mut Rules) -> anyhow::Result<()> {
        let has_lines = self.files.iter().any(|file| file.input.schema().is_none());
        if let Some(error) = rules.without_schema.take().filter(|_| has_lines) {
            return Err(error.into());
        }
        let schemas: Vec<_> = self.files.iter().filter_map(|file| file.input.schema()).collect();
        let schemas: Vec<&dyn Schema> = schemas.iter().map(|schema| &**schema).collect();
        match absent_tag(&rules.tags, &schemas) {
            Some(problem) => Err(WrongUsage(format!("anonymise.pseudonymise: {problem}")).into()),
            None => Ok(()),
        }
    }

    pub(super) fn partitions(&self) -> usize {
        self.files.len()
    }

    /// Reads all files to the end, or until stopped.
    pub(super) fn read(self, session: &mut Session, shutdown: &CancellationToken) -> anyhow::Result<()> {
        let pool = rayon::ThreadPoolBuilder::new()
            .num_threads(self.threads)
            .thread_name(|number| format!("aqueduct-replay-{number}"))
            .build()
            .context("cannot start the threads of the replay; reduce --threads")?;
        // The counting thread also reads while it waits.
        pool.install(|| self.count(session, shutdown))
    }

    fn count(mut self, session: &mut Session, shutdown: &CancellationToken) -> anyhow::Result<()> {
        let bar = self.bar();
        let mut workers = Workers { first: session.worker(), idle: Arc::default(), spare: Vec::new() };
        let ahead = match self.threads {
            1 => 1,
            threads => (AHEAD / self.files.len()).max(LEAST_AHEAD * threads),
        };
        while let Some(partition) = session.next_partition() {
            let file = &mut self.files[partition];
            if file.is_counted() && !file.next_batch(&mut workers, ahead)? {
                // After a stop, standard input seems to end.
                if shutdown.is_cancelled() {
                    break;
                }
                session.end_partition(partition)?;
                continue;
            }
            file.count_line(partition, session, &mut workers, ahead)?;
            if file.is_counted() {
                bar.iter().for_each(|bar| bar.set_position(self.bytes_read()));
                if shutdown.is_cancelled() {
                    break;
                }
            }
        }
        drop(bar);
        Ok(())
    }

    /// A progress bar over the bytes of the files; `None` if their size is unknown.
    fn bar(&self) -> Option<Bar> {
        let total = self.files.iter().map(|file| file.input.size()).sum::<Option<u64>>()?;
        Some(progress::bytes(total))
    }

    fn bytes_read(&self) -> u64 {
        self.files.iter().map(|file| file.input.bytes_read()).sum()
    }
}

impl OpenFile {
    fn is_counted(&self) -> bool {
        self.lines == self.batch.lines.len()
    }

    /// Counts the next line of the batch.
    fn count_line(
        &mut self,
        partition: usize,
        session: &mut Session,
        workers: &mut Workers,
        ahead: usize,
    ) -> anyhow::Result<()> {
        let time = match self.batch.lines[self.lines].content {
            Content::Event => {
                session.prepare(&self.batch.digests, self.events);
                self.batch.digests.get(self.events).and_then(|digest| digest.time())
            }
            _ => None,
        };
        let is_future = match time.filter(|time| self.neighbours.is_suspicious(*time)) {
            Some(time) => {
                let following = self.following(workers, ahead)?;
                self.neighbours.is_future(time, &following)
            }
            None => false,
        };
        let line = &self.batch.lines[self.lines];
        self.lines += 1;
        let at = At::Line(&self.name, self.before + line.number);
        if is_future {
            self.events += 1;
            return session.future(&self.topic, at);
        }
        if let Some(time) = time {
            self.neighbours.took(time);
        }
        let is_event = session.line(partition, line, self.batch.digests.get(self.events), at)?;
        self.events += usize::from(is_event);
        Ok(())
    }

    /// The times of the events after the next one, at most [`FOLLOWING`]. Reads later batches if necessary,
    /// so that the result does not depend on where a batch ends.
    fn following(&mut self, workers: &mut Workers, ahead: usize) -> anyhow::Result<Vec<EventTime>> {
        let mut times = Vec::with_capacity(FOLLOWING);
        add_times(&self.batch.digests, self.events + 1, &mut times);
        let mut looked_into = 0;
        while times.len() < FOLLOWING {
            if looked_into == self.peeked.len() {
                let Some(next) = self.read_batch(workers, ahead)? else { break };
                self.peeked.push_back(next);
            }
            add_times(&self.peeked[looked_into].digests, 0, &mut times);
            looked_into += 1;
        }
        Ok(times)
    }

    /// Takes the next batch with lines; `false` at the end of the file.
    fn next_batch(&mut self, workers: &mut Workers, ahead: usize) -> anyhow::Result<bool> {
        while self.is_counted() {
            self.before += self.batch.passed;
            (self.lines, self.events) = (0, 0);
            workers.spare.push(std::mem::take(&mut self.batch));
            let next = match self.peeked.pop_front() {
                Some(peeked) => Some(peeked),
                None => self.read_batch(workers, ahead)?,
            };
            let Some(next) = next else { return Ok(false) };
            self.batch = next;
        }
        Ok(true)
    }

    /// The next batch from the threads; `None` at the end of the file. Keeps further batches in flight.
    fn read_batch(&mut self, workers: &mut Workers, ahead: usize) -> anyhow::Result<Option<Batch>> {
        // A batch of one very long line counts as many.
        while self.ahead.len() < ahead && self.bytes_ahead < ahead * BLOCK && !self.is_at_end {
            let mut batch = workers.spare.pop().unwrap_or_default();
            match self.input.next_block(&mut batch.block) {
                Ok(true) => {}
                end => {
                    self.is_at_end = true;
                    self.failure = end.err();
                    break;
                }
            }
            let bytes = batch.block.len();
            self.bytes_ahead += bytes;
            self.ahead.push_back((workers.start(batch, &self.topic, self.input.schema()), bytes));
        }
        let Some((next, bytes)) = self.ahead.pop_front() else {
            return self.failure.take().map_or(Ok(None), Err);
        };
        self.bytes_ahead -= bytes;
        Ok(Some(finished(&next)))
    }
}

fn add_times(digests: &Digests, first: usize, times: &mut Vec<EventTime>) {
    let events = (first..).map_while(|number| digests.get(number));
    let room = FOLLOWING - times.len();
    times.extend(events.filter_map(|digest| digest.time()).take(room));
}

impl Workers {
    fn start(&self, mut batch: Batch, topic: &Arc<str>, schema: Option<Arc<dyn Schema>>) -> Receiver<Batch> {
        let (sender, receiver) = sync_channel(1);
        let known = self.idle.lock().unwrap_or_else(PoisonError::into_inner).pop();
        let mut worker = known.unwrap_or_else(|| self.first.clone());
        let (idle, topic) = (Arc::clone(&self.idle), Arc::clone(topic));
        rayon::spawn_fifo(move || {
            worker.read(&mut batch, &topic, schema.as_ref());
            idle.lock().unwrap_or_else(PoisonError::into_inner).push(worker);
            // After the replay was stopped, no one waits for the batch.
            let _ = sender.send(batch);
        });
        receiver
    }
}

/// Waits for the batch; meanwhile this thread reads others.
fn finished(batch: &Receiver<Batch>) -> Batch {
    loop {
        match batch.try_recv() {
            Ok(read) => return read,
            Err(TryRecvError::Empty) if rayon::yield_now() == Some(rayon::Yield::Executed) => {}
            // Another thread is reading it.
            Err(_) => return batch.recv().expect("a thread returns every batch that it receives"),
        }
    }
}
