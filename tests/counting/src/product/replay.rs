//! Runs a case through `replay`: every partition is a file, and the files are merged by event time.

use std::collections::VecDeque;

use anyhow::{Context as _, Result};
use event::EventTime;
use flow::TimeKind;
use processor::{
    digest::Digests,
    read::Reader,
    replay::{self, Replay},
};

use crate::{
    arrival::Action,
    case::{Case, Content, Gap, Record},
    records::{DAY, START},
};

use super::{Fired, Ran, configured};

/// The current time: after all events except those that are rejected as `future`.
const NOW: EventTime = EventTime(START + 12 * DAY);

/// Runs the flows that can be replayed. Also returns the order in which records were read, for the model.
pub(crate) fn run(case: &Case) -> Result<(Ran, Vec<Action>)> {
    let (events, mut flows) = configured(&case.settings.to_toml(0))?;
    // The time at which Pub/Sub received an event is not stored.
    flows.retain(|flow| flow.time != TimeKind::Processing);
    let columns: Vec<_> = flows.iter().map(|flow| flow.table().measures).collect();
    let partitions = case.settings.partitions();
    let mut files: Vec<VecDeque<&Record>> = vec![VecDeque::new(); partitions.len()];
    for record in case.records.iter().filter(|record| is_line(record)) {
        files[record.partition].push_back(record);
    }
    let offsets = files.iter().map(VecDeque::len).sum::<usize>() as u64;
    let mut lines = vec![0; partitions.len()];
    let mut replay = Replay::new(&events, flows, partitions.len(), NOW);
    let mut batch = case.batched.then(|| (replay.reader(), Digests::default()));
    let (mut rows, mut actions, mut watermarks) = (Vec::new(), Vec::new(), Vec::new());
    while let Some(number) = replay.next_partition() {
        match files[number].pop_front() {
            None => {
                replay.end(number);
                actions.push(Action::EndOf(number));
            }
            Some(record) => {
                let line = lines[number];
                lines[number] += 1;
                if let Some(payload) = record.payload() {
                    read(&mut replay, &mut batch, partitions[number].0, record, &payload)?;
                    actions.push(Action::Data(record.number, line));
                } else {
                    match record.content {
                        Content::Gap(Gap::Filtered) => replay.filtered(),
                        _ => replay.rejected(),
                    }
                    actions.push(Action::Mark(vec![(record.number, line)]));
                }
            }
        }
        let at = (0, actions.len());
        replay.advance(&mut |flow, fired| {
            rows.extend(fired.drain(..).map(|row| Fired::new(flow, at, &columns[flow], row)));
        });
        actions.push(Action::Tick);
        watermarks.push(replay.engine().flows().iter().map(|flow| flow.windows.watermark().0).collect());
    }
    let ledgers = replay.engine().flows().iter().map(|flow| (flow.name().to_string(), flow.ledger)).collect();
    Ok((Ran { ledgers, rows, watermarks, offsets }, actions))
}

/// A file has no lines for offsets without an event, except for rejected and filtered records.
fn is_line(record: &Record) -> bool {
    !matches!(record.content, Content::Gap(Gap::Empty | Gap::Lost | Gap::Before))
}

fn read(
    replay: &mut Replay,
    batch: &mut Option<(Reader, Digests)>,
    topic: &str,
    record: &Record,
    payload: &str,
) -> Result<()> {
    let (partition, kafka_time) = (record.partition, record.kafka_time.map(EventTime));
    let payload = payload.as_bytes();
    let Some((reader, digests)) = batch else {
        replay.event(&replay::Record { partition, topic, kafka_time, payload });
        return Ok(());
    };
    digests.clear();
    match reader.read(payload, &replay.envelope(topic, kafka_time), digests) {
        Ok(()) => {
            let digest = digests.get(0).context("the event that was read is in the batch")?;
            replay.count(partition, kafka_time, digest);
        }
        Err(refusal) => {
            replay.refuse(refusal);
        }
    }
    Ok(())
}
