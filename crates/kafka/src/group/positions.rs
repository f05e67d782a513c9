//! librdkafka's positions compared with the reader's: passing control records, restarting the fetcher after an error,
//! and noticing that a topic was recreated.

use std::time::{Duration, Instant};

use rdkafka::{Offset, TopicPartitionList, consumer::Consumer};

use super::{
    Intake,
    reader::{End, Reader, consumer_error},
    stimulus::Stimulus,
};
use crate::TopicPartition;

/// How long a position may stay doubtful before it is set again.
const DOUBT: Duration = Duration::from_secs(3);

impl<I: Intake> Reader<I> {
    /// librdkafka's position passes control records, which are never returned. There is no record between the last one
    /// and the position: positions move only in this thread, when records are returned or control records skipped.
    pub(super) fn check_positions(&mut self) -> Result<(), End> {
        // While paused a batch waits, and no position may overtake it.
        if self.assignment.is_empty() || self.is_paused {
            return Ok(());
        }
        let Ok(positions) = self.consumer.position() else { return Ok(()) };
        let (mut passed, mut doubtful) = (Vec::new(), Vec::new());
        for element in positions.elements() {
            let Some(held) = self.assignment.get(element.topic(), element.partition()) else { continue };
            match element.offset() {
                Offset::Offset(position) if held.is_position_trusted => {
                    if position.unsigned_abs() > held.next {
                        held.next = position.unsigned_abs();
                        passed.push((held.slot.clone(), held.next));
                    }
                }
                Offset::Offset(_) if held.since.elapsed() > DOUBT => {
                    doubtful.push(held.topic_partition());
                }
                Offset::Offset(_) => {}
                // The position of an older assignment is gone.
                _ => held.is_position_trusted = true,
            }
        }
        if !passed.is_empty() {
            // What was read before must arrive before.
            self.batches.close();
            while let Some(batch) = self.batches.pop() {
                self.hand_over(batch)?;
            }
        }
        for (slot, position) in passed {
            self.send(Stimulus::Passed(slot, position))?;
        }
        if doubtful.is_empty() { Ok(()) } else { self.fetch_again(&doubtful) }
    }

    /// Makes librdkafka fetch these partitions from the reader's positions, by removing them from its assignment and
    /// adding them again: after an error it fetches no more, and then refuses to seek.
    pub(super) fn fetch_again(&mut self, partitions: &[TopicPartition]) -> Result<(), End> {
        let (mut out, mut back) = (TopicPartitionList::new(), TopicPartitionList::new());
        for (topic, partition) in partitions {
            let Some(held) = self.assignment.get(topic, *partition) else { continue };
            held.is_position_trusted = false;
            held.since = Instant::now();
            let offset = Offset::Offset(i64::try_from(held.next).unwrap_or(i64::MAX));
            out.add_partition(topic, *partition);
            back.add_partition_offset(topic, *partition, offset).map_err(|error| consumer_error(&error))?;
        }
        if out.count() == 0 {
            return Ok(());
        }
        self.consumer.incremental_unassign(&out).map_err(|error| consumer_error(&error))?;
        self.consumer.incremental_assign(&back).map_err(|error| consumer_error(&error))?;
        if self.is_paused { self.pause(true) } else { Ok(()) }
    }

    /// A recreated topic has another ID; its records must not pass for those of the old one.
    pub(super) fn check_topics(&mut self) {
        for topic in &self.config.topics {
            if let Some(id) = self.orders.topic_id(topic) {
                self.topic_ids.described(topic, &id);
            }
        }
    }
}
