//! The simulated Kafka: topics with IDs, logs with transactions, compaction and retention, and one consumer group.
//!
//! See [`crate::replica`] for the requests of the connector.

use std::{
    collections::{BTreeMap, BTreeSet},
    rc::Rc,
    sync::Arc,
};

use event::{Incarnation, Partition};
use kafka::{TopicPartition, start::Committed};

/// One event that a producer wrote.
#[derive(Debug)]
pub(crate) struct Happening {
    /// Counts all events of a run.
    pub(crate) number: usize,
    pub(crate) time: i64,
    pub(crate) key: String,
    pub(crate) is_view: bool,
    /// Its id; two events with the same one are one.
    pub(crate) id: usize,
    /// The view that it is, or that it is a click on.
    pub(crate) view: usize,
    pub(crate) class: Class,
    pub(crate) payload: Vec<u8>,
}

/// The expected outcome of an event.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Class {
    /// It is on time: it is counted, unless it is lost.
    Firm,
    /// It may be late, so the rules leave its outcome open: it is counted at most once.
    Loose,
    /// Only one replica rejects it, or it is compacted: the first report about its offset decides.
    Contested,
    /// The second copy of another: counts as it does.
    Copy,
    /// Some of its windows may be closed when it arrives, depending on the watermark.
    Delayed,
    /// Its time is too far in the future: the processor rejects it, and it does not move the watermark.
    Future,
}

/// The content of one offset.
#[derive(Clone, Debug)]
pub(crate) struct Record {
    pub(crate) kind: Kind,
    /// Kafka's timestamp.
    pub(crate) timestamp: i64,
    transaction: Option<usize>,
}

#[derive(Clone, Debug)]
pub(crate) enum Kind {
    Event(Rc<Happening>),
    /// A record that every connector rejects.
    Poison,
    /// An event whose message Pub/Sub rejects.
    Refused,
    /// The end of a transaction.
    Control,
    /// Compacted.
    Removed,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Transaction {
    Open,
    Committed,
    Aborted,
}

/// One partition of one incarnation of a topic.
#[derive(Debug)]
pub(crate) struct Log {
    pub(crate) partition: Arc<Partition>,
    pub(crate) records: Vec<Record>,
    pub(crate) low: u64,
    transactions: BTreeMap<usize, Transaction>,
    /// The latest allowed start: the first start that any replica chose.
    pub(crate) first_start: Option<u64>,
    /// Whether it existed when the group committed for the first time.
    pub(crate) is_first: bool,
    /// Offsets below it belong to the incarnation before an election truncated the log.
    pub(crate) begins: u64,
    /// An election truncated it, and the group has not committed a start after that: nothing is written.
    pub(crate) is_cut: bool,
    /// The offset that an operator set last.
    pub(crate) reset_to: Option<u64>,
    /// When a newer incarnation replaced it.
    pub(crate) died_at: i64,
}

#[derive(Debug)]
pub(crate) struct Topic {
    pub(crate) id: String,
    pub(crate) logs: Vec<Log>,
}

#[derive(Debug, Default)]
pub(crate) struct Kafka {
    pub(crate) topics: BTreeMap<Arc<str>, Topic>,
    /// Logs of topics that were deleted.
    pub(crate) dead: Vec<Log>,
    /// Offsets with their metadata.
    pub(crate) committed: BTreeMap<TopicPartition, (u64, String)>,
    /// Members by replica, with the epoch of their membership.
    pub(crate) members: BTreeMap<usize, u64>,
    /// The owner of each partition, until it is revoked.
    pub(crate) owners: BTreeMap<TopicPartition, usize>,
    pub(crate) epoch: u64,
    /// Whether the group has committed anything.
    pub(crate) has_begun: bool,
    incarnations: u64,
}

/// What members are to be notified of.
#[derive(Debug, Default)]
pub(crate) struct Moves {
    pub(crate) revoke: BTreeMap<usize, Vec<TopicPartition>>,
    pub(crate) assign: BTreeMap<usize, Vec<TopicPartition>>,
}

impl Log {
    fn new(topic: &Arc<str>, id: &str, partition: i32) -> Self {
        let partition = Partition { topic: topic.clone(), incarnation: Incarnation::from(id), partition };
        Self {
            partition: Arc::new(partition),
            records: Vec::new(),
            low: 0,
            transactions: BTreeMap::new(),
            first_start: None,
            is_first: false,
            begins: 0,
            is_cut: false,
            reset_to: None,
            died_at: i64::MAX,
        }
    }

    /// The rest of a log that an election truncated at an offset.
    fn cut(&self, at: u64) -> Self {
        let (id, cuts) =
            self.partition.incarnation.0.split_once('+').unwrap_or((&self.partition.incarnation.0, "0"));
        let cuts = cuts.parse::<u32>().expect("the simulation wrote it") + 1;
        let incarnation = Incarnation::from(format!("{id}+{cuts}").as_str());
        Self {
            partition: Arc::new(Partition { incarnation, ..(*self.partition).clone() }),
            records: self.records[..at as usize].to_vec(),
            low: self.low,
            transactions: self.transactions.clone(),
            first_start: None,
            is_first: false,
            begins: at,
            is_cut: true,
            reset_to: None,
            died_at: i64::MAX,
        }
    }

    pub(crate) fn high(&self) -> u64 {
        self.records.len() as u64
    }

    /// The last stable offset: nothing after the first record of an open transaction is readable.
    pub(crate) fn stable(&self) -> u64 {
        let is_open = |r: &Record| r.transaction.is_some_and(|t| self.transactions[&t] == Transaction::Open);
        self.records.iter().position(is_open).map_or(self.high(), |at| at as u64)
    }

    pub(crate) fn append(&mut self, kind: Kind, timestamp: i64, transaction: Option<usize>) -> u64 {
        if let Some(transaction) = transaction {
            self.transactions.entry(transaction).or_insert(Transaction::Open);
        }
        self.records.push(Record { kind, timestamp, transaction });
        self.high() - 1
    }

    /// Ends a transaction with a control record.
    pub(crate) fn end(&mut self, transaction: usize, commit: bool, timestamp: i64) {
        if self.transactions.get(&transaction) == Some(&Transaction::Open) {
            let state = if commit { Transaction::Committed } else { Transaction::Aborted };
            self.transactions.insert(transaction, state);
            self.append(Kind::Control, timestamp, None);
        }
    }

    pub(crate) fn open_transactions(&self) -> Vec<usize> {
        let open = self.transactions.iter().filter(|(_, state)| **state == Transaction::Open);
        open.map(|(number, _)| *number).collect()
    }

    /// Whether a consumer receives the record.
    pub(crate) fn is_readable(&self, offset: u64) -> bool {
        let Some(record) = self.records.get(offset as usize) else { return false };
        matches!(record.kind, Kind::Event(_) | Kind::Poison | Kind::Refused)
            && record.transaction.is_none_or(|t| self.transactions[&t] == Transaction::Committed)
    }

    /// Whether a consumer received or may still receive the record.
    pub(crate) fn is_event(&self, offset: u64) -> Option<&Rc<Happening>> {
        let record = &self.records[offset as usize];
        match &record.kind {
            Kind::Event(event)
                if record.transaction.is_none_or(|t| self.transactions[&t] != Transaction::Aborted) =>
            {
                Some(event)
            }
            _ => None,
        }
    }
}

impl Kafka {
    /// Creates a topic, or recreates it. The group's commits may outlive the old one for a while.
    pub(crate) fn make(&mut self, topic: &Arc<str>, partitions: i32, keeps_commits: bool, now: i64) {
        self.incarnations += 1;
        let id = format!("starts{:016}", self.incarnations);
        let logs = (0..partitions).map(|number| Log::new(topic, &id, number)).collect();
        if let Some(old) = self.topics.insert(topic.clone(), Topic { id, logs }) {
            self.dead.extend(old.logs.into_iter().map(|log| Log { died_at: now, ..log }));
        }
        if !keeps_commits {
            self.committed.retain(|(name, _), _| name != topic);
        }
    }

    pub(crate) fn add_partition(&mut self, topic: &Arc<str>) {
        if let Some(known) = self.topics.get_mut(topic) {
            let log = Log::new(topic, &known.id, known.logs.len() as i32);
            known.logs.push(log);
        }
    }

    /// An election without a replica in sync: the log ends before the committed offset of its current incarnation.
    /// Returns where.
    pub(crate) fn cut(&mut self, place: &TopicPartition, offsets: u64, now: i64) -> Option<u64> {
        let (committed, metadata) = self.committed.get(place)?.clone();
        let log = self.log(place)?;
        let at = committed.checked_sub(offsets)?;
        let is_settled =
            !log.is_cut && log.open_transactions().is_empty() && *metadata == *log.partition.incarnation.0;
        if !is_settled || at < log.low.max(log.begins) {
            return None;
        }
        let next = log.cut(at);
        let old = std::mem::replace(self.log_mut(place)?, next);
        self.dead.push(Log { died_at: now, ..old });
        Some(at)
    }

    /// The coordinator accepts a commit.
    pub(crate) fn commit(&mut self, place: TopicPartition, offset: u64, metadata: String) {
        if self.committed.is_empty() {
            let logs = self.topics.values_mut().flat_map(|topic| &mut topic.logs);
            logs.for_each(|log| log.is_first = true);
            self.has_begun = true;
        }
        if let Some(log) = self.log_mut(&place)
            && metadata.starts_with(&*log.partition.incarnation.0)
        {
            log.is_cut = false;
        }
        self.committed.insert(place, (offset, metadata));
    }

    pub(crate) fn log(&self, place: &TopicPartition) -> Option<&Log> {
        self.topics.get(&place.0)?.logs.get(place.1 as usize)
    }

    pub(crate) fn log_mut(&mut self, place: &TopicPartition) -> Option<&mut Log> {
        self.topics.get_mut(&place.0)?.logs.get_mut(place.1 as usize)
    }

    pub(crate) fn logs(&self) -> impl Iterator<Item = (TopicPartition, &Log)> {
        self.topics.iter().flat_map(|(name, topic)| {
            topic.logs.iter().enumerate().map(move |(n, log)| ((name.clone(), n as i32), log))
        })
    }

    pub(crate) fn id(&self, topic: &str) -> Option<&str> {
        self.topics.get(topic).map(|topic| topic.id.as_str())
    }

    /// What the group committed, as the connector reads it.
    pub(crate) fn committed(&self, topics: &BTreeSet<Arc<str>>) -> BTreeMap<TopicPartition, Committed> {
        let ours = self.committed.iter().filter(|((topic, _), _)| topics.contains(topic));
        ours.map(|(place, (offset, text))| (place.clone(), Committed::parse(*offset, text.as_bytes())))
            .collect()
    }

    /// A replica joins or rejoins the group.
    pub(crate) fn join(&mut self, replica: usize) -> u64 {
        self.epoch += 1;
        self.members.insert(replica, self.epoch);
        self.epoch
    }

    /// A replica is no longer a member; its partitions are unassigned.
    pub(crate) fn leave(&mut self, replica: usize) {
        self.members.remove(&replica);
        self.owners.retain(|_, owner| *owner != replica);
    }

    /// Cooperative and sticky: a member with too many partitions loses some, and one with too few receives unassigned
    /// ones.
    pub(crate) fn rebalance(&mut self, topics: &BTreeSet<Arc<str>>) -> Moves {
        let mut moves = Moves::default();
        let places: Vec<TopicPartition> =
            self.logs().map(|(place, _)| place).filter(|(topic, _)| topics.contains(topic)).collect();
        if self.members.is_empty() {
            return moves;
        }
        let share = places.len().div_ceil(self.members.len());
        let mut counts: BTreeMap<usize, usize> = self.members.keys().map(|member| (*member, 0)).collect();
        for place in &places {
            let Some(owner) = self.owners.get(place) else { continue };
            let count = counts.entry(*owner).or_default();
            *count += 1;
            if *count > share {
                moves.revoke.entry(*owner).or_default().push(place.clone());
            }
        }
        for place in places {
            if self.owners.contains_key(&place) {
                continue;
            }
            let Some((&member, _)) = counts.iter().min_by_key(|(_, count)| **count) else { break };
            *counts.entry(member).or_default() += 1;
            self.owners.insert(place.clone(), member);
            moves.assign.entry(member).or_default().push(place);
        }
        moves
    }
}
