//! The real Kafka: topics, and producers that know the offset of every record. See [`crate::traffic`] for the records.

use std::{collections::BTreeSet, time::Duration};

use anyhow::{Context as _, Result, ensure};
use rdkafka::{
    ClientConfig, Message as _, Offset, TopicPartitionList,
    admin::{
        AdminClient, AdminOptions, AlterConfig, NewPartitions, NewTopic, ResourceSpecifier, TopicReplication,
    },
    client::DefaultClientContext,
    consumer::{BaseConsumer, Consumer as _},
    error::{KafkaError, RDKafkaErrorCode},
    message::{BorrowedHeaders, Header, Headers as _, OwnedHeaders},
    metadata::MetadataPartition,
    producer::{BaseProducer, BaseRecord, Producer as _},
};

use crate::{formats::Encoded, produced::Produced, services, traffic::Outgoing, wait};

const PATIENCE: Duration = Duration::from_secs(60);

/// The only producer of a topic.
pub struct Producer {
    inner: BaseProducer,
    topic: String,
}

/// Creates a topic with one replica, and waits until the broker knows it: a connector exits if its topic does not
/// exist.
///
/// # Errors
/// Kafka rejects it, the topic exists, or the broker takes too long.
pub fn create_topic(name: &str, partitions: i32, settings: &[(&str, &str)]) -> Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let admin: AdminClient<DefaultClientContext> = client()?.create()?;
    let topic = NewTopic {
        name,
        num_partitions: partitions,
        replication: TopicReplication::Fixed(1),
        config: settings.to_vec(),
    };
    let made = runtime.block_on(admin.create_topics([&topic], &AdminOptions::new()))?;
    for result in made {
        result.map_err(|(topic, code)| anyhow::anyhow!("topic {topic}: {code}"))?;
    }
    until_known(&admin, name, partitions)
}

/// Adds partitions to a topic, and waits until the broker knows them: a producer with older metadata drops records for
/// the new partitions.
///
/// # Errors
/// Kafka rejects it, the topic has as many already, or the broker takes too long.
pub fn add_partitions(name: &str, total: i32) -> Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let admin: AdminClient<DefaultClientContext> = client()?.create()?;
    let wanted = NewPartitions::new(name, usize::try_from(total)?);
    for result in runtime.block_on(admin.create_partitions(&[wanted], &AdminOptions::new()))? {
        result.map_err(|(topic, code)| anyhow::anyhow!("topic {topic}: {code}"))?;
    }
    until_known(&admin, name, total)
}

/// The controller, which creates partitions, may be ahead of the broker.
fn until_known(admin: &AdminClient<DefaultClientContext>, name: &str, partitions: i32) -> Result<()> {
    let partitions = usize::try_from(partitions)?;
    wait::until("the broker to know the partitions", || {
        let metadata = admin.inner().fetch_metadata(Some(name), PATIENCE)?;
        let of_topic = metadata.topics().iter().find(|topic| topic.name() == name);
        let led = |partition: &&MetadataPartition| partition.leader() >= 0;
        let known = of_topic.map_or(0, |topic| topic.partitions().iter().filter(led).count());
        Ok((known >= partitions).then_some(()))
    })
}

/// Deletes a topic. Its name may remain in use for some moments.
///
/// # Errors
/// Kafka rejects it, or the topic does not exist.
pub fn delete_topic(name: &str) -> Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let admin: AdminClient<DefaultClientContext> = client()?.create()?;
    for result in runtime.block_on(admin.delete_topics(&[name], &AdminOptions::new()))? {
        result.map_err(|(topic, code)| anyhow::anyhow!("topic {topic}: {code}"))?;
    }
    Ok(())
}

/// Deletes the records of a partition before an offset, as retention does.
///
/// # Errors
/// Kafka rejects it, or the topic does not exist.
pub fn delete_before(topic: &str, partition: i32, offset: u64) -> Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let admin: AdminClient<DefaultClientContext> = client()?.create()?;
    let mut list = TopicPartitionList::new();
    list.add_partition_offset(topic, partition, Offset::Offset(i64::try_from(offset)?))?;
    let deleted = runtime.block_on(admin.delete_records(&list, &AdminOptions::new()))?;
    for element in deleted.elements() {
        element.error()?;
    }
    Ok(())
}

/// The committed offsets of a group in the first partitions of a topic; 0 if it has none.
///
/// # Errors
/// Kafka does not respond.
pub fn committed(group: &str, topic: &str, partitions: i32) -> Result<Vec<u64>> {
    let consumer: BaseConsumer = client()?.set("group.id", group).create()?;
    let mut wanted = TopicPartitionList::new();
    wanted.add_partition_range(topic, 0, partitions - 1);
    let found = consumer.committed_offsets(wanted, PATIENCE)?;
    let offset = |offset| if let Offset::Offset(offset) = offset { offset.unsigned_abs() } else { 0 };
    Ok(found.elements().iter().map(|element| offset(element.offset())).collect())
}

/// Replaces the configuration of a topic.
///
/// # Errors
/// Kafka rejects it, or the topic does not exist.
pub fn configure_topic(name: &str, settings: &[(&str, &str)]) -> Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let admin: AdminClient<DefaultClientContext> = client()?.create()?;
    let mut change = AlterConfig::new(ResourceSpecifier::Topic(name));
    for (key, value) in settings {
        change = change.set(key, value);
    }
    for result in runtime.block_on(admin.alter_configs([&change], &AdminOptions::new()))? {
        result.map_err(|(_, code)| anyhow::anyhow!("topic {name}: {code}"))?;
    }
    Ok(())
}

/// The offsets below `end` at which a partition has a record.
///
/// # Errors
/// Kafka takes too long.
pub fn offsets(topic: &str, partition: i32, end: u64) -> Result<BTreeSet<u64>> {
    let mut config = client()?;
    config.set("group.id", "offsets").set("enable.auto.commit", "false").set("enable.partition.eof", "true");
    let consumer: BaseConsumer = config.create()?;
    let mut from = TopicPartitionList::new();
    from.add_partition_offset(topic, partition, Offset::Beginning)?;
    consumer.assign(&from)?;
    let mut offsets = BTreeSet::new();
    loop {
        match consumer.poll(PATIENCE).context("Kafka takes too long to be read")? {
            Ok(record) => {
                offsets.insert(u64::try_from(record.offset())?);
            }
            Err(KafkaError::PartitionEOF(_)) => break,
            Err(error) => return Err(error.into()),
        }
    }
    Ok(offsets.into_iter().filter(|offset| *offset < end).collect())
}

/// A record as it is in Kafka.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stored {
    /// Its offset.
    pub offset: i64,
    /// The key.
    pub key: Option<Vec<u8>>,
    /// The value.
    pub value: Option<Vec<u8>>,
    /// The headers that have a value.
    pub headers: Vec<(String, Vec<u8>)>,
}

/// The records of partition 0, from the first to the last.
///
/// # Errors
/// Kafka takes too long.
pub fn records(topic: &str) -> Result<Vec<Stored>> {
    let mut config = client()?;
    config.set("group.id", "records").set("enable.auto.commit", "false").set("enable.partition.eof", "true");
    let consumer: BaseConsumer = config.create()?;
    let mut from = TopicPartitionList::new();
    from.add_partition_offset(topic, 0, Offset::Beginning)?;
    consumer.assign(&from)?;
    let mut records = Vec::new();
    loop {
        match consumer.poll(PATIENCE).context("Kafka takes too long to be read")? {
            Ok(record) => {
                let headers = record.headers().map(BorrowedHeaders::iter).into_iter().flatten();
                let headers =
                    headers.filter_map(|header| Some((header.key.to_owned(), header.value?.to_vec())));
                records.push(Stored {
                    offset: record.offset(),
                    key: record.key().map(<[u8]>::to_vec),
                    value: record.payload().map(<[u8]>::to_vec),
                    headers: headers.collect(),
                });
            }
            Err(KafkaError::PartitionEOF(_)) => return Ok(records),
            Err(error) => return Err(error.into()),
        }
    }
}

fn client() -> Result<ClientConfig> {
    let mut config = ClientConfig::new();
    config.set("bootstrap.servers", services::address(services::KAFKA)?);
    Ok(config)
}

impl Producer {
    /// A producer with properties of librdkafka, such as `compression.type`.
    ///
    /// # Errors
    /// A property is invalid.
    pub fn new(topic: &str, properties: &[(&str, &str)]) -> Result<Self> {
        let mut config = client()?;
        config.set("enable.idempotence", "true").set("linger.ms", "5").set("message.max.bytes", "20000000");
        for (name, value) in properties {
            config.set(*name, *value);
        }
        Ok(Self { inner: config.create()?, topic: topic.to_owned() })
    }

    /// The producer itself, for transactions.
    pub fn inner(&self) -> &BaseProducer {
        &self.inner
    }

    /// Queues a record.
    ///
    /// # Errors
    /// librdkafka rejects it.
    pub fn send(&self, outgoing: &Outgoing) -> Result<()> {
        self.send_as(outgoing, outgoing.value.as_deref(), &[])
    }

    /// As [`send`](Self::send), with another value and with headers.
    ///
    /// # Errors
    /// librdkafka refuses it.
    pub fn send_as(
        &self,
        outgoing: &Outgoing,
        value: Option<&[u8]>,
        headers: &[(&str, Vec<u8>)],
    ) -> Result<()> {
        loop {
            let mut record: BaseRecord<'_, [u8], [u8]> =
                BaseRecord::to(&self.topic).partition(outgoing.partition);
            record.key = outgoing.key.as_deref();
            record.payload = value;
            if !headers.is_empty() {
                let all = headers.iter().fold(OwnedHeaders::new(), |all, (key, value)| {
                    all.insert(Header { key, value: Some(value) })
                });
                record = record.headers(all);
            }
            match self.inner.send(record) {
                Ok(()) => break,
                Err((KafkaError::MessageProduction(RDKafkaErrorCode::QueueFull), _)) => {
                    self.inner.poll(Duration::from_millis(10));
                }
                Err((error, _)) => return Err(error.into()),
            }
        }
        self.inner.poll(Duration::ZERO);
        Ok(())
    }

    /// Waits until Kafka has acknowledged everything.
    ///
    /// # Errors
    /// Kafka takes too long.
    pub fn flush(&self) -> Result<()> {
        self.inner.flush(PATIENCE).context("Kafka takes what is produced")
    }

    /// Produces records, waits for the acknowledgements, and remembers the records.
    ///
    /// # Errors
    /// Kafka rejects a record.
    pub fn produce(
        &self,
        traffic: impl IntoIterator<Item = Outgoing>,
        produced: &mut Produced,
    ) -> Result<()> {
        for outgoing in traffic {
            self.send(&outgoing)?;
            produced.add(outgoing);
        }
        self.settle(produced)
    }

    /// As [`produce`](Self::produce), where Kafka gets other bytes than what is remembered.
    ///
    /// # Errors
    /// As [`produce`](Self::produce).
    pub fn produce_as(
        &self,
        traffic: impl IntoIterator<Item = (Outgoing, Encoded)>,
        produced: &mut Produced,
    ) -> Result<()> {
        for (outgoing, encoded) in traffic {
            self.send_as(&outgoing, Some(&encoded.value), &encoded.headers)?;
            produced.add(outgoing);
        }
        self.settle(produced)
    }

    /// Waits until Kafka has everything that is remembered.
    fn settle(&self, produced: &Produced) -> Result<()> {
        self.flush()?;
        for partition in 0..produced.partitions() {
            let (_, end) = self.ends(partition)?;
            let expected = produced.next_offset(partition);
            ensure!(
                end == expected,
                "partition {partition} ends at {end}, not {expected}: a record was refused"
            );
        }
        Ok(())
    }

    /// The first offset, and the one after the last.
    ///
    /// # Errors
    /// Kafka does not respond.
    pub fn ends(&self, partition: i32) -> Result<(u64, u64)> {
        let (low, high) = self.inner.client().fetch_watermarks(&self.topic, partition, PATIENCE)?;
        Ok((u64::try_from(low)?, u64::try_from(high)?))
    }
}
