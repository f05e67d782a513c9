//! Where librdkafka's fetcher stands, beside where the books stand: passing control records, setting it going again
//! after an error, and noticing that a topic is another one.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use rdkafka::{Offset, TopicPartitionList, consumer::Consumer};

use crate::{
    io::reader::{End, Reader, stuck},
    stimulus::Stimulus,
};

/// How long a position may stay doubtful before it is set anew.
const DOUBT: Duration = Duration::from_secs(3);

impl Reader {
    /// librdkafka's position passes control records, which are never given out. What lies between the last record and
    /// it holds no record: positions move only in this thread, when records are given out or control records skipped.
    pub(super) fn look_at_positions(&mut self) -> Result<(), End> {
        // While paused a batch waits, and nothing may overtake it.
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
                    doubtful.push(held.place());
                }
                Offset::Offset(_) => {}
                // The position of an older assignment is gone.
                _ => held.is_position_trusted = true,
            }
        }
        if !passed.is_empty() {
            // What was read before comes before.
            self.intake.close();
            while let Some(batch) = self.intake.pop() {
                self.hand_over(batch)?;
            }
        }
        for (slot, position) in passed {
            self.tell(Stimulus::Passed(slot, position))?;
        }
        if doubtful.is_empty() { Ok(()) } else { self.fetch_again(&doubtful) }
    }

    /// Lets librdkafka fetch these partitions from where the books stand. It is by taking them out of its assignment
    /// and back in: after an error it fetches no more, and then refuses to seek.
    pub(super) fn fetch_again(&mut self, places: &[(Arc<str>, i32)]) -> Result<(), End> {
        let (mut out, mut back) = (TopicPartitionList::new(), TopicPartitionList::new());
        for (topic, partition) in places {
            let Some(held) = self.assignment.get(topic, *partition) else { continue };
            held.is_position_trusted = false;
            held.since = Instant::now();
            let offset = Offset::Offset(i64::try_from(held.next).unwrap_or(i64::MAX));
            out.add_partition(topic, *partition);
            back.add_partition_offset(topic, *partition, offset).map_err(|error| stuck(&error))?;
        }
        if out.count() == 0 {
            return Ok(());
        }
        self.consumer.incremental_unassign(&out).map_err(|error| stuck(&error))?;
        self.consumer.incremental_assign(&back).map_err(|error| stuck(&error))?;
        if self.is_paused { self.pause(true) } else { Ok(()) }
    }

    /// A recreated topic has another id; its records must not pass for those of the old one.
    pub(super) fn look_at_topics(&mut self) {
        for topic in &self.config.topics {
            if let Some(id) = self.orders.topic_id(topic) {
                self.topic_ids.described(topic, &id);
            }
        }
    }
}
