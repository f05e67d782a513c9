//! How the reader's partitions change: the first description of the topics, the group's rebalances, recreated topics,
//! positions outside their logs, and leaving.
//!
//! Every start is chosen explicitly; librdkafka never chooses one.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
    time::{Duration, Instant},
};

use rdkafka::{Offset, TopicPartitionList, consumer::Consumer, error::KafkaError, types::RDKafkaErrorCode};

use super::{
    Intake,
    assignment::Held,
    fit::Mismatch,
    lookup::{self, Lookup},
    reader::{End, Orphaned, Reader, consumer_error},
    slot::Slot,
    start::{Notice, Start, topic_id},
    stimulus::Stimulus,
};
use crate::{
    Error, TopicPartition,
    client::{self, ANSWER_TIMEOUT, brokers, context::Callback, faults, taken::RecordQueue},
};

/// How long the group may take to report whether it knows this member.
const RETURNING: Duration = Duration::from_secs(2);
/// Between two attempts to reach the brokers.
const RETRY: Duration = Duration::from_millis(500);
/// After how long without an answer a warning is logged.
const SILENCE: Duration = Duration::from_secs(5);

impl<I: Intake> Reader<I> {
    /// Waits until the brokers have described the topics. Returns `false` if it was stopped before.
    pub(super) fn wait_for_topics(&mut self) -> Result<bool, End> {
        let mut patience = brokers::FIRST_WAIT;
        while !self.orders.is_stopping() {
            let answer = self.brokers.describe_within(patience);
            if let Some((code, reason)) = self.brokers.take_failure()
                && let Some(error) = faults::judge_code(code, &reason, &self.config)
            {
                return Err(error.into());
            }
            match answer {
                Ok(topics) => {
                    for (topic, name) in topics.into_iter().zip(self.config.topics.clone()) {
                        topic.map(drop).or_else(|code| self.judge_topic(code, &name))?;
                    }
                    return Ok(true);
                }
                // The asking thread logs it.
                Err(code) => tracing::debug!(%code, "cannot describe the topics yet"),
            }
            patience = (patience * 2).min(ANSWER_TIMEOUT);
            std::thread::sleep(RETRY);
        }
        Ok(false)
    }

    /// Whether the group has a member of this name, whose assignment it will return. If it does not answer, it may.
    fn is_returning(&self) -> bool {
        let Some(instance) = &self.config.instance else { return false };
        match self.brokers.group(&self.config.group_id, RETURNING) {
            Ok(group) => group.instances.contains(instance),
            Err(_) => true,
        }
    }

    /// Joins the group with a client that is new to it.
    pub(super) fn join(&self) -> Result<(), Error> {
        self.orders.joins(self.is_returning());
        self.subscribe()
    }

    fn subscribe(&self) -> Result<(), Error> {
        let topics: Vec<&str> = self.config.topics.iter().map(|topic| &**topic).collect();
        self.consumer.subscribe(&topics).map_err(|error| consumer_error(&error))
    }

    /// Joins the group again, so that it computes a new assignment.
    ///
    /// librdkafka has no call for that. Unsubscribing revokes what is held (it is drained and committed at the next
    /// poll), and a subscription that follows at once makes it join again as the same member, with an empty list of
    /// owned partitions and the number of its last generation. This metadata differs from what the coordinator has
    /// stored, so it starts a rebalance.
    pub(super) fn rejoin(&mut self, mismatch: &Mismatch) -> Result<(), End> {
        tracing::info!(
            group = %self.config.group_id, reason = %mismatch,
            "the group's assignment does not match kafka.topics; rejoining the group"
        );
        self.consumer.unsubscribe();
        Ok(self.subscribe()?)
    }

    fn judge_topic(&self, code: RDKafkaErrorCode, name: &Arc<str>) -> Result<(), Error> {
        match code {
            RDKafkaErrorCode::UnknownTopicOrPartition | RDKafkaErrorCode::UnknownTopic => {
                let brokers = self.config.bootstrap_servers.clone();
                Err(Error::NoTopic { topic: name.to_string(), brokers })
            }
            code => faults::judge_code(code, &code.to_string(), &self.config).map_or(Ok(()), Err),
        }
    }

    /// Handles the callbacks of the last poll.
    pub(super) fn serve(&mut self) -> Result<(), End> {
        for callback in self.consumer.context().take() {
            match callback {
                Callback::Assign(partitions) => self.assign(&partitions)?,
                Callback::Revoke(partitions) => self.revoke(&partitions)?,
                Callback::Committed(answers) => self.committed(answers)?,
            }
        }
        Ok(())
    }

    fn assign(&mut self, partitions: &TopicPartitionList) -> Result<(), End> {
        // A static member receives partitions of topics that its configuration no longer has.
        let (partitions, foreign): (Vec<_>, Vec<_>) =
            unique(partitions).into_iter().partition(|(topic, _)| self.config.topics.contains(topic));
        let mut strays = foreign;
        let mut list = TopicPartitionList::with_capacity(partitions.len());
        if let Some(starts) = self.starts(&partitions, &BTreeMap::new())? {
            self.open(&starts)?;
            for ((topic, partition), start) in &starts {
                let offset = i64::try_from(start.offset).unwrap_or(i64::MAX);
                list.add_partition_offset(topic, *partition, Offset::Offset(offset))
                    .map_err(|error| consumer_error(&error))?;
            }
            let opened: BTreeSet<&TopicPartition> = starts.iter().map(|(partition, _)| partition).collect();
            strays.extend(partitions.iter().filter(|partition| !opened.contains(partition)).cloned());
        }
        self.forward_records();
        // Without starts the assignment is lost or this member is leaving: an empty one answers the group.
        self.consumer.incremental_assign(&list).map_err(|error| consumer_error(&error))?;
        self.orders.assigned(strays);
        if self.is_paused {
            self.pause(true)?;
        }
        Ok(())
    }

    fn revoke(&mut self, partitions: &TopicPartitionList) -> Result<(), End> {
        let is_lost = self.consumer.assignment_lost();
        let partitions = unique(partitions);
        let held =
            |(topic, partition): &TopicPartition| Some(self.assignment.get(topic, *partition)?.slot.clone());
        let slots: Vec<Slot> = partitions.iter().filter_map(held).collect();
        // librdkafka refuses to give back what was never taken up: a partition that this replica could not read.
        let taken_up = self.consumer.assignment().map_err(|error| consumer_error(&error))?;
        let mut list = TopicPartitionList::new();
        for (topic, partition) in &partitions {
            if taken_up.find_partition(topic, *partition).is_some() {
                list.add_partition(topic, *partition);
            }
        }
        if is_lost {
            tracing::warn!(
                partitions = slots.len(),
                action = "none if it happens once; if it repeats, this host is too slow for session.timeout.ms, or the process was suspended",
                "lost the assignment: the group moved these partitions to other members, which continue from the committed offsets"
            );
        }
        if let Some(error) = self.close(&slots, !is_lost)? {
            warn_uncommitted(&error);
        }
        self.consumer.incremental_unassign(&list).map_err(|error| consumer_error(&error))?;
        self.orders.revoked(&partitions);
        Ok(())
    }

    /// Finishes partitions and gives them up. Returns why their last offsets could not be committed.
    ///
    /// Records that wait for the intake are dropped; they were not accounted for.
    fn close(&mut self, slots: &[Slot], commit: bool) -> Result<Option<KafkaError>, Orphaned> {
        self.unpause(slots);
        let mut uncommitted = None;
        if commit && !slots.is_empty() {
            let commits = self.drain(slots)?;
            if !commits.is_empty() {
                uncommitted = lookup::commit(&self.consumer, &commits).err();
            }
        } else {
            self.hand_over_everything()?;
        }
        for slot in slots {
            self.assignment.remove(&slot.topic, slot.partition);
        }
        self.orders.set_slots(self.assignment.slots());
        self.send(Stimulus::Gone(slots.iter().cloned().collect()))?;
        Ok(uncommitted)
    }

    /// librdkafka keeps a partition paused after it has been taken away, so that it would still be paused when it is
    /// assigned again.
    fn unpause(&mut self, slots: &[Slot]) {
        let mut paused = Vec::new();
        for slot in slots {
            let Some(held) = self.assignment.get(&slot.topic, slot.partition) else { continue };
            if self.is_paused || held.is_waiting() {
                paused.push(held.topic_partition());
            }
        }
        if let Err(error) = self.resume(&paused) {
            tracing::debug!(%error, "partitions that are given up stay paused");
        }
    }

    /// Opens partitions at their starts.
    fn open(&mut self, starts: &[(TopicPartition, Start)]) -> Result<(), Orphaned> {
        let now = Instant::now();
        let mut opened = Vec::with_capacity(starts.len());
        let batches = &self.batches;
        for (partition, start) in starts {
            let origin = |partition| batches.origin(partition);
            if let Some(slot) = self.assignment.add(partition, start, now, origin) {
                announce(&slot, start);
                opened.push((slot, start.clone()));
            }
        }
        self.orders.set_slots(self.assignment.slots());
        self.send(Stimulus::Assigned(opened))
    }

    /// Looks up the starts until the brokers answer; `None` if this member is leaving, the assignment is lost, or a new
    /// client has to read the partitions.
    ///
    /// Partitions that still do not exist after a while are left out. They were assigned before their topic was deleted
    /// or recreated with fewer partitions, and waiting for them would hold up the rebalance that corrects it.
    fn starts(
        &mut self,
        partitions: &[TopicPartition],
        read: &BTreeMap<TopicPartition, u64>,
    ) -> Result<Option<Vec<(TopicPartition, Start)>>, End> {
        let asked_since = Instant::now();
        let mut silent_since = Some(asked_since);
        let mut partitions = partitions.to_vec();
        while !self.orders.is_stopping() && !self.consumer.assignment_lost() {
            let (consumer, brokers) = (&self.consumer, &self.brokers);
            let outdated = &self.topic_ids.outdated(Instant::now());
            let lookup = Lookup { consumer, brokers, rule: self.config.start, outdated };
            let error = match lookup.starts(&partitions, read) {
                Ok(starts) => return Ok(self.readable(partitions.into_iter().zip(starts).collect())),
                Err(error) => error,
            };
            if self.orders.is_stopping() {
                break;
            }
            if asked_since.elapsed() >= SILENCE
                && let Ok(existing) = lookup.existing(&partitions)
                && existing.len() < partitions.len()
            {
                tracing::info!(
                    partitions = partitions.len() - existing.len(),
                    "ignoring assigned partitions that do not exist; the next rebalance revokes them"
                );
                partitions = existing;
                continue;
            }
            let code = error.rdkafka_error_code();
            if let Some(code) = code
                && let Some(end) = faults::judge_code(code, &error.to_string(), &self.config)
            {
                return Err(end.into());
            }
            if silent_since.is_some_and(|since| since.elapsed() >= SILENCE) {
                silent_since = None;
                tracing::warn!(
                    %error,
                    action = "check that the leaders of these partitions and the group coordinator are running",
                    "cannot determine the start offsets; retrying"
                );
            }
            self.brokers.serve(brokers::SERVE);
            std::thread::sleep(RETRY);
        }
        Ok(None)
    }

    /// The starts, if the current client can read from them: it cannot if a topic was recreated since it was opened.
    fn readable(&mut self, starts: Vec<(TopicPartition, Start)>) -> Option<Vec<(TopicPartition, Start)>> {
        let can_read = |((topic, _), start): &(TopicPartition, Start)| {
            self.topic_ids.read(topic, topic_id(&start.incarnation))
        };
        starts.iter().all(can_read).then_some(starts)
    }

    /// Gives partitions up and takes them again from a new start, because their log was cut.
    fn restart(&mut self, partitions: &[TopicPartition]) -> Result<(), End> {
        let partitions = partitions.to_vec();
        let mut read = BTreeMap::new();
        let mut slots = Vec::new();
        for (topic, partition) in &partitions {
            if let Some(held) = self.assignment.get(topic, *partition) {
                read.insert((topic.clone(), *partition), held.next);
                slots.push(held.slot.clone());
            }
        }
        // What was read is still accounted for; a commit would mean the new log.
        self.drain(&slots)?;
        self.close(&slots, false)?;
        let Some(starts) = self.starts(&partitions, &read)? else { return Ok(()) };
        self.open(&starts)?;
        let (opened, gone): (Vec<TopicPartition>, Vec<TopicPartition>) = partitions
            .into_iter()
            .partition(|(topic, partition)| self.assignment.get(topic, *partition).is_some());
        self.abandon(gone)?;
        self.fetch_again(&opened)
    }

    /// Removes partitions that are not read any more from librdkafka's assignment. They stay in the group's until it
    /// revokes them.
    fn abandon(&mut self, partitions: Vec<TopicPartition>) -> Result<(), End> {
        if partitions.is_empty() {
            return Ok(());
        }
        let mut list = TopicPartitionList::with_capacity(partitions.len());
        for (topic, partition) in &partitions {
            list.add_partition(topic, *partition);
        }
        self.consumer.incremental_unassign(&list).map_err(|error| consumer_error(&error))?;
        self.orders.strayed(partitions);
        Ok(())
    }

    /// Replaces the consumer by a new client of the same group and static name, because topics were recreated (see
    /// [`super::recreated`]). The driver and everything that is on its way to Pub/Sub stay as they are.
    pub(super) fn replace_client(&mut self) -> Result<(), End> {
        let is_gone = |held: &Held<_>| self.topic_ids.is_gone(&held.slot.topic, topic_id(&held.incarnation));
        let (gone, others): (Vec<_>, Vec<_>) = self.assignment.iter().partition(|held| is_gone(held));
        let slots = |of: Vec<&Held<_>>| of.into_iter().map(|held| held.slot.clone()).collect::<Vec<_>>();
        let (gone, others) = (slots(gone), slots(others));
        // What was read is still accounted for; a commit would mean the new log.
        self.drain(&gone)?;
        self.close(&gone, false)?;
        if let Some(error) = self.close(&others, !self.consumer.assignment_lost())? {
            warn_uncommitted(&error);
        }
        let context = self.consumer.context().successor();
        let client = client::create(&client::client_config(self.config.consumer()), context)
            .map_err(|error| Error::Client { source: error.into() })?;
        drop(self.records.replace(RecordQueue::new(&client)));
        if !client::close(std::mem::replace(&mut self.consumer, client)) {
            tracing::debug!(
                "the old Kafka client did not close in time; the group will remove it when its session expires"
            );
        }
        let topics = self.topic_ids.replace_client(Instant::now());
        tracing::info!(
            topics = topics.join(","),
            "topics were recreated; continuing with a new Kafka client"
        );
        Ok(self.join()?)
    }

    /// Some position is outside its log: retention overtook the reader, or the log was cut.
    pub(super) fn reset_positions(&mut self) -> Result<(), End> {
        let partitions: Vec<TopicPartition> = self.assignment.iter().map(Held::topic_partition).collect();
        let bounds = || {
            let low = self.brokers.ends(&partitions, client::End::Low).ok()?;
            Some((low, self.brokers.ends(&partitions, client::End::High).ok()?))
        };
        let Some((low, high)) = bounds() else {
            // The fetcher has stopped. It reports the position again once it is restarted, and this is tried again.
            std::thread::sleep(RETRY);
            return self.fetch_again(&partitions);
        };
        let (mut cut, mut overtaken) = (Vec::new(), Vec::new());
        for partition in &partitions {
            let Some(held) = self.assignment.get(&partition.0, partition.1) else { continue };
            if high.get(partition).is_some_and(|end| *end < held.next) {
                cut.push(partition.clone());
            } else if let Some(first) = low.get(partition).filter(|first| **first > held.next) {
                overtaken.push((held.slot.clone(), held.next, *first));
            }
        }
        self.overtake(overtaken)?;
        if !cut.is_empty() {
            self.restart(&cut)?;
        }
        self.fetch_again(&partitions)
    }

    fn overtake(&mut self, partitions: Vec<(Slot, u64, u64)>) -> Result<(), Orphaned> {
        if partitions.is_empty() {
            return Ok(());
        }
        self.hand_over_everything()?;
        for (slot, next, first) in partitions {
            tracing::error!(
                partition = %slot, from = next, to = first, records = first - next,
                action = "increase the topic's retention now, then find out why the connector was delayed",
                "records lost: retention deleted them before they were read"
            );
            if let Some(held) = self.assignment.get(&slot.topic, slot.partition) {
                held.next = first;
                held.is_position_trusted = false;
            }
            self.send(Stimulus::Overtaken(slot, first))?;
        }
        Ok(())
    }

    /// Drains, commits and gives everything up. Returns why the last offsets could not be committed.
    pub(super) fn leave(&mut self) -> Result<Option<KafkaError>, Orphaned> {
        let slots = self.assignment.slots();
        let is_lost = self.consumer.assignment_lost();
        self.close(&slots, !is_lost)
    }
}

fn warn_uncommitted(error: &KafkaError) {
    tracing::warn!(
        %error,
        action = "none; the processor drops the duplicates",
        "cannot commit the last offsets; the records after the committed offsets will be published again"
    );
}

fn unique(list: &TopicPartitionList) -> Vec<TopicPartition> {
    let unique: BTreeSet<_> = list
        .elements()
        .into_iter()
        .map(|element| (Arc::<str>::from(element.topic()), element.partition()))
        .collect();
    unique.into_iter().collect()
}

/// Logs where a partition is read from, and what is unusual about it.
fn announce(slot: &Slot, start: &Start) {
    let (partition, offset) = (slot, start.offset);
    match start.notice {
        None => tracing::info!(%partition, offset, "reading"),
        Some(Notice::Reset) => {
            tracing::warn!(
                %partition, offset,
                action = "none if an operator reset the offset; the processor counts new offsets and drops duplicates",
                "the committed offset was set by another client; reading from it"
            );
        }
        Some(Notice::NewTopic) => {
            tracing::warn!(
                %partition, offset,
                action = "none if this was intended; otherwise find out who deleted the topic",
                "the topic was deleted and recreated; reading from the beginning"
            );
        }
        Some(Notice::Lost { records }) => tracing::error!(
            %partition, offset, records,
            action = "increase the topic's retention now, and do not stop the connector for longer than the retention",
            "records lost: retention deleted them before they were read"
        ),
        Some(Notice::Cut { records }) => tracing::error!(
            %partition, offset, records,
            action = "set unclean.leader.election.enable=false and min.insync.replicas in Kafka, and run `aqueduct reconcile`",
            "the log ends before the committed offset, as after an unclean leader election: records were lost or replaced; continuing from the log end as a new incarnation"
        ),
    }
}
