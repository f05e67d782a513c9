//! A Kafka of our own (librdkafka's mock cluster), a sink in place of Pub/Sub, and connectors between them.

#![allow(dead_code, reason = "each test file uses its part")]

use std::{
    collections::BTreeMap,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use connector::{
    Config, ConnectorError, ConnectorMetrics, Shown, Summary,
    anonymise::{AnonymiseSettings, Anonymiser},
    decode::Formats,
    message::{Message, Publish, PublishError},
};
use event::{ByteSize, Mark, Ranges, mark::Reason, wire};
use futures::TryFutureExt as _;
use kafka::KafkaSettings;
use prost::Message as _;
use rdkafka::{
    ClientConfig, ClientContext,
    message::Message as _,
    mocking::MockCluster,
    producer::{BaseProducer, BaseRecord, DefaultProducerContext, DeliveryResult, Producer, ProducerContext},
    types::{RDKafkaApiKey, RDKafkaRespErr},
};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

/// How long a condition may take that has no reason to take long.
pub(crate) const DEADLINE: Duration = Duration::from_secs(40);

/// The mock cluster with a producer.
pub(crate) struct Kafka {
    cluster: Option<MockCluster<'static, DefaultProducerContext>>,
    pub(crate) producer: BaseProducer<Deliveries>,
    pub(crate) servers: String,
}

/// Fails a test whose records do not arrive, which would otherwise wait for them.
#[derive(Clone, Default)]
pub(crate) struct Deliveries {
    failed: Arc<Mutex<Option<String>>>,
}

impl ClientContext for Deliveries {}

impl ProducerContext for Deliveries {
    type DeliveryOpaque = ();

    fn delivery(&self, result: &DeliveryResult<'_>, (): ()) {
        if let Err((error, record)) = result {
            let failed = format!("a record of {}-{}: {error}", record.topic(), record.partition());
            self.failed.lock().expect("no panic").get_or_insert(failed);
        }
    }
}

/// Where messages and marks end up instead of Pub/Sub.
#[derive(Clone, Default)]
pub(crate) struct Sink {
    state: Arc<Mutex<State>>,
    pub(crate) is_down: Arc<AtomicBool>,
    defect: Arc<Mutex<Defect>>,
}

/// What is wrong with a sink for good.
#[derive(Clone, Copy, Debug, Default)]
enum Defect {
    #[default]
    None,
    Refuses(&'static str),
    Panics,
}

#[derive(Default)]
pub(crate) struct State {
    /// (topic, partition, incarnation) -> offset -> how often it was published.
    pub(crate) data: BTreeMap<(String, i32, String), BTreeMap<u64, u32>>,
    pub(crate) marks: Vec<Mark>,
}

/// A connector that runs.
pub(crate) struct Running {
    shutdown: CancellationToken,
    task: JoinHandle<Result<Summary, ConnectorError>>,
}

impl Kafka {
    pub(crate) fn new(topics: &[(&str, i32)]) -> Self {
        // `RUST_LOG=connector=debug,kafka=debug` shows what happens; set up once, by whichever test comes first.
        let log =
            tracing_subscriber::fmt().with_env_filter(tracing_subscriber::EnvFilter::from_default_env());
        drop(log.with_test_writer().try_init());
        let cluster = MockCluster::new(1).expect("a mock cluster");
        for (topic, partitions) in topics {
            cluster.create_topic(topic, *partitions, 1).expect("a topic");
        }
        let servers = cluster.bootstrap_servers();
        let producer = producer(ClientConfig::new().set("bootstrap.servers", &servers));
        Self { cluster: Some(cluster), producer, servers }
    }

    /// The real one that `KAFKA_BOOTSTRAP` names.
    pub(crate) fn real(properties: &[(&str, &str)]) -> Self {
        let servers = std::env::var("KAFKA_BOOTSTRAP").expect(
            "a real Kafka is needed: run this through `deploy/services/services.py run --only kafka -- cargo test ...`",
        );
        let log =
            tracing_subscriber::fmt().with_env_filter(tracing_subscriber::EnvFilter::from_default_env());
        drop(log.with_test_writer().try_init());
        let mut config = ClientConfig::new();
        config.set("bootstrap.servers", &servers);
        for (name, value) in properties {
            config.set(*name, *value);
        }
        Self { cluster: None, producer: producer(&config), servers }
    }

    /// Produces `{"n": ...}` for each number, round robin over the partitions.
    pub(crate) fn produce(&self, topic: &str, partitions: i32, numbers: std::ops::Range<u64>) {
        for n in numbers {
            let partition = i32::try_from(n % u64::from(partitions.unsigned_abs())).expect("few partitions");
            self.send(topic, partition, Some(&format!("{{\"n\":{n}}}")));
        }
        self.flush();
    }

    pub(crate) fn send(&self, topic: &str, partition: i32, value: Option<&str>) {
        let mut record = BaseRecord::<str, str>::to(topic).partition(partition).key("k");
        if let Some(value) = value {
            record = record.payload(value);
        }
        while let Err((error, back)) = self.producer.send(record) {
            let is_full = error.rdkafka_error_code() == Some(rdkafka::types::RDKafkaErrorCode::QueueFull);
            assert!(is_full, "{error}");
            record = back;
            self.producer.poll(Duration::from_millis(10));
        }
    }

    /// The mock cluster answers the next requests of a kind so.
    pub(crate) fn answer(&self, requests: RDKafkaApiKey, answers: &[RDKafkaRespErr]) {
        self.cluster.as_ref().expect("a mock cluster").request_errors(requests, answers);
    }

    pub(crate) fn flush(&self) {
        self.producer.flush(Duration::from_secs(30)).expect("the cluster takes records");
        let failed = self.producer.context().failed.lock().expect("no panic").take();
        assert_eq!(failed, None, "records that were not delivered");
    }

    pub(crate) fn settings(&self, more: &str) -> KafkaSettings {
        self.settings_of("events", more)
    }

    pub(crate) fn settings_of(&self, topic: &str, more: &str) -> KafkaSettings {
        let text = format!(
            "bootstrap_servers = '{}'\ntopics = ['{topic}']\ngroup_id = 'g-{topic}'\ngroup_instance_id = ''\n{more}",
            self.servers
        );
        toml::from_str(&text).expect("valid settings")
    }

    pub(crate) fn connect(&self, sink: &Sink, more: &str) -> Running {
        self.connect_with(&self.settings(more), sink, ByteSize(32 << 20))
    }

    pub(crate) fn connect_with(&self, settings: &KafkaSettings, sink: &Sink, in_flight: ByteSize) -> Running {
        self.connect_decoding(settings, sink, in_flight, Formats::default())
    }

    pub(crate) fn connect_decoding(
        &self,
        settings: &KafkaSettings,
        sink: &Sink,
        in_flight: ByteSize,
        formats: Formats,
    ) -> Running {
        let anonymise: AnonymiseSettings = toml::from_str("forward = 'all'").expect("valid settings");
        let anonymiser = Anonymiser::new(&anonymise, None, None).expect("valid settings");
        let config = Config {
            formats,
            kafka: settings.resolve("test").expect("valid settings"),
            outputs: Vec::new(),
            packing: None,
            shards: 1,
            in_flight,
            max_rejects: 100,
            replica: settings.group_instance_id.clone().unwrap_or_default(),
        };
        let shown = Shown {
            metrics: ConnectorMetrics::new(&service::Metrics::default()),
            readiness: service::Readiness::default(),
            watch: tokio::sync::watch::Sender::default(),
        };
        let shutdown = CancellationToken::new();
        let run = connector::run(config, anonymiser, sink.clone(), shown, shutdown.clone());
        // A test that waits for its records shows why none arrive.
        let task = tokio::spawn(run.inspect_err(|error| tracing::error!(%error, "the connector ended")));
        Running { shutdown, task }
    }
}

fn producer(config: &ClientConfig) -> BaseProducer<Deliveries> {
    config.create_with_context(Deliveries::default()).expect("a producer")
}

impl Running {
    /// SIGTERM.
    pub(crate) async fn stop(self) -> Summary {
        self.shutdown.cancel();
        self.ended().await.expect("a cancelled connector ends without an error")
    }

    pub(crate) async fn ended(self) -> Result<Summary, ConnectorError> {
        self.task.await.expect("no panic")
    }

    pub(crate) fn is_finished(&self) -> bool {
        self.task.is_finished()
    }
}

/// What a test reads of `google.pubsub.v1.PubsubMessage`.
#[derive(Clone, PartialEq, prost::Message)]
struct PubsubMessage {
    #[prost(map = "string, string", tag = "2")]
    attributes: std::collections::HashMap<String, String>,
}

impl Publish for Sink {
    async fn publish(&self, batch: &[Message]) -> Result<(), PublishError> {
        self.answer()?;
        let mut state = self.state.lock().expect("no panic");
        for message in batch {
            let attributes =
                PubsubMessage::decode(message.out().encoded().clone()).expect("protobuf").attributes;
            let get =
                |wanted: &str| attributes.get(wanted).cloned().expect("every message has the attribute");
            let number = |text: String| text.parse::<u64>().expect("a number");
            let partition = i32::try_from(number(get(wire::PARTITION))).expect("few partitions");
            let place = (get(wire::TOPIC), partition, get(wire::INCARNATION));
            *state.data.entry(place).or_default().entry(number(get(wire::OFFSET))).or_default() += 1;
        }
        Ok(())
    }

    async fn publish_mark(&self, mark: &Mark) -> Result<(), PublishError> {
        self.answer()?;
        self.state.lock().expect("no panic").marks.push(mark.clone());
        Ok(())
    }
}

impl Sink {
    pub(crate) fn refuses(&self, why: &'static str) {
        *self.defect.lock().expect("no panic") = Defect::Refuses(why);
    }

    pub(crate) fn panics(&self) {
        *self.defect.lock().expect("no panic") = Defect::Panics;
    }

    pub(crate) fn heals(&self) {
        *self.defect.lock().expect("no panic") = Defect::None;
    }

    fn answer(&self) -> Result<(), PublishError> {
        let defect = *self.defect.lock().expect("no panic");
        match defect {
            Defect::None => {}
            Defect::Refuses(why) => return Err(PublishError::Impossible(why.into())),
            Defect::Panics => panic!("as the test wants it"),
        }
        if self.is_down.load(Ordering::Acquire) {
            return Err(PublishError::Unavailable("the sink is down".into()));
        }
        Ok(())
    }

    pub(crate) fn with<T>(&self, look: impl FnOnce(&State) -> T) -> T {
        look(&self.state.lock().expect("no panic"))
    }

    /// Distinct offsets published of a topic.
    pub(crate) fn published(&self, topic: &str) -> usize {
        self.with(|state| state.data.iter().filter(|(place, _)| place.0 == topic).map(|(_, o)| o.len()).sum())
    }

    /// Waits until this many distinct offsets of a topic were published.
    pub(crate) async fn wait_for(&self, topic: &str, count: usize) {
        self.until(&format!("{count} records of {topic}"), |state| {
            let found: usize =
                state.data.iter().filter(|(place, _)| place.0 == topic).map(|(_, o)| o.len()).sum();
            found >= count
        })
        .await;
    }

    pub(crate) async fn until(&self, what: &str, condition: impl Fn(&State) -> bool) {
        let start = Instant::now();
        while !self.with(&condition) {
            let seen =
                self.with(|state| state.data.iter().map(|(p, o)| (p.clone(), o.len())).collect::<Vec<_>>());
            let mark = self.with(|state| {
                state.marks.last().map(|mark| String::from_utf8_lossy(&mark.to_json()).into_owned())
            });
            assert!(
                start.elapsed() < DEADLINE,
                "waited in vain for {what}; there are {seen:?}; last mark {mark:?}"
            );
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    /// What a partition's offsets are accounted for by: data and marks together, and each on its own.
    pub(crate) fn coverage(&self, topic: &str, partition: i32) -> (Ranges, Ranges) {
        self.with(|state| {
            let (mut data, mut marks) = (Ranges::default(), Ranges::default());
            for (_, offsets) in
                state.data.iter().filter(|(place, _)| place.0 == topic && place.1 == partition)
            {
                for offset in offsets.keys() {
                    data.insert(*offset..offset + 1);
                }
            }
            let entries = state.marks.iter().flat_map(|mark| &mark.partitions);
            let own = |p: &&event::mark::PartitionMark| {
                &*p.partition.topic == topic && p.partition.partition == partition
            };
            for range in entries.filter(own).flat_map(|p| &p.ranges) {
                marks.insert(range.offsets());
            }
            (data, marks)
        })
    }

    /// Every range of the marks, with its reason.
    pub(crate) fn reasons(&self) -> BTreeMap<Reason, u64> {
        self.with(|state| {
            let mut counts = BTreeMap::new();
            for (reason, count) in state.marks.iter().flat_map(Mark::counts) {
                *counts.entry(reason).or_default() += count;
            }
            counts
        })
    }
}
