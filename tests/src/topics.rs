//! The topics of a pipeline, and the records of each of their incarnations.

use anyhow::{Context as _, Result};

use crate::{
    kafka::{Producer, add_partitions, committed, create_topic, delete_topic},
    pipe::Pipe,
    produced::Produced,
    traffic::Traffic,
    wait,
};

/// Number of records for a topic that was recreated or gained partitions.
const MORE: u64 = 1_500;

/// All incarnations of all topics, oldest first. Records are produced to the newest.
pub struct Topics {
    incarnations: Vec<Incarnation>,
    /// Number of productions; each has its own event IDs.
    rounds: u32,
}

struct Incarnation {
    topic: String,
    partitions: i32,
    produced: Produced,
    /// Whether it is in the configuration.
    listed: bool,
}

impl Topics {
    /// Starts with the topic of a pipeline's configuration.
    ///
    /// # Errors
    /// Kafka rejects it.
    pub fn new(pipe: &Pipe, partitions: i32, events: u64) -> Result<Self> {
        let mut topics = Self { incarnations: Vec::new(), rounds: 0 };
        create_topic(pipe.name(), partitions, &[])?;
        topics.begin(pipe.name().to_owned(), partitions, events)?;
        Ok(topics)
    }

    /// Adds a topic, also to the configuration.
    ///
    /// # Errors
    /// Kafka rejects it.
    pub fn add(&mut self, pipe: &Pipe, partitions: i32, events: u64) -> Result<()> {
        let topic = format!("{}-{}", pipe.name(), self.incarnations.len());
        create_topic(&topic, partitions, &[])?;
        let before = self.listed();
        self.begin(topic, partitions, events)?;
        pipe.edit(&before, &self.listed())
    }

    /// Adds partitions to the newest topic, and events for all of them.
    ///
    /// # Errors
    /// Kafka rejects it.
    pub fn grow(&mut self, more: i32) -> Result<()> {
        let newest = self.newest()?;
        newest.partitions += more;
        add_partitions(&newest.topic, newest.partitions)?;
        self.produce(MORE)
    }

    /// Removes the newest topic from the configuration, and adds events to the one before it.
    ///
    /// # Errors
    /// Kafka rejects it.
    pub fn remove(&mut self, pipe: &Pipe) -> Result<()> {
        let before = self.listed();
        self.newest()?.listed = false;
        pipe.edit(&before, &self.listed())?;
        self.produce(MORE)
    }

    /// Deletes the newest topic, and recreates it with other events.
    ///
    /// # Errors
    /// Kafka rejects it.
    pub fn recreate(&mut self, partitions: i32) -> Result<()> {
        let newest = self.newest()?;
        newest.listed = false;
        let topic = newest.topic.clone();
        delete_topic(&topic)?;
        wait::until("the name of the deleted topic", || Ok(create_topic(&topic, partitions, &[]).ok()))?;
        self.begin(topic, partitions, MORE)
    }

    /// What the group has not committed, if anything.
    ///
    /// # Errors
    /// Kafka does not respond.
    pub fn unread(&self, group: &str) -> Result<Option<String>> {
        for one in self.incarnations.iter().filter(|one| one.listed) {
            let found = committed(group, &one.topic, one.partitions)?;
            let expected: Vec<_> =
                (0..one.partitions).map(|partition| one.produced.next_offset(partition)).collect();
            if found != expected {
                return Ok(Some(format!("{}: committed {found:?} of {expected:?}", one.topic)));
            }
        }
        Ok(None)
    }

    /// Produces more events.
    ///
    /// # Errors
    /// Kafka rejects it.
    pub fn more(&mut self) -> Result<()> {
        self.produce(MORE)
    }

    /// Everything that was produced.
    pub fn produced(&self) -> Produced {
        let records = self.incarnations.iter().flat_map(|one| one.produced.records.iter().cloned());
        Produced { records: records.collect() }
    }

    fn begin(&mut self, topic: String, partitions: i32, events: u64) -> Result<()> {
        let produced = Produced::default();
        self.incarnations.push(Incarnation { topic, partitions, produced, listed: true });
        self.produce(events)
    }

    fn newest(&mut self) -> Result<&mut Incarnation> {
        self.incarnations.last_mut().context("a run has a topic")
    }

    /// Produces to the newest configured topic.
    fn produce(&mut self, events: u64) -> Result<()> {
        self.rounds += 1;
        let ids = format!("e-{}", self.rounds);
        let listed = self.incarnations.iter_mut().filter(|one| one.listed);
        let Incarnation { topic, partitions, produced, .. } = listed.last().context("a run has a topic")?;
        let traffic = Traffic::new(events, *partitions).with_trouble().with_ids(&ids);
        Producer::new(topic, &[])?.produce(traffic, produced)
    }

    /// The line `topics = ...` of the configuration.
    fn listed(&self) -> String {
        let listed = self.incarnations.iter().filter(|one| one.listed);
        let names: Vec<_> = listed.map(|one| format!("{:?}", one.topic)).collect();
        format!("topics = [{}]", names.join(", "))
    }
}
