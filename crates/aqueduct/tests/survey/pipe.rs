//! A pipeline after a run: records in a mock Kafka, a checkpoint, rows in SQLite.

use std::{path::PathBuf, process::Command, time::Duration};

use event::{
    EventTime, Mark, Millis, Partition,
    mark::{LogEnd, PartitionMark, TopicMark},
};
use flow::{
    Flow, FlowSettings,
    append::{Append, Appended, Rows, Table},
};
use kafka::{KafkaSettings, survey::survey};
use processor::{
    core::{Core, Data},
    frontier::Limits,
    outbox::Outbox,
    saved::{Budget, Round, save},
    store::{Part, Recovered, Store, StoreError},
};
use rdkafka::{
    ClientConfig, Offset, TopicPartitionList,
    consumer::{BaseConsumer, CommitMode, Consumer as _},
    mocking::MockCluster,
    producer::{BaseProducer, BaseRecord, DefaultProducerContext, Producer as _},
};
use tempfile::TempDir;
use writer::{SqliteConfig, Writer, WriterConfig, WriterMode};

pub(crate) struct Pipe {
    folder: TempDir,
    cluster: MockCluster<'static, DefaultProducerContext>,
}

pub(crate) struct Ran {
    pub(crate) code: Option<i32>,
    pub(crate) out: String,
    pub(crate) err: String,
}

const START: i64 = 1_760_000_000_000;
pub(crate) const RECORDS: u64 = 10;

impl Pipe {
    /// Nothing has run yet.
    pub(crate) fn empty() -> Self {
        let cluster = MockCluster::new(1).expect("a cluster");
        cluster.create_topic("events", 1, 1).expect("a topic");
        let pipe = Self { folder: tempfile::tempdir().expect("a folder"), cluster };
        let config = format!(
            "[kafka]\nbootstrap_servers = \"{}\"\ntopics = [\"events\"]\ngroup_id = \"g\"\n\
             [events]\ntime = \"/t\"\n\
             [[flows]]\nname = \"f\"\nby = {{ page = \"/p\" }}\nviews = {{ \"/k\" = \"v\" }}\nclicks = {{ \"/k\" = \"c\" }}\n\
             window = {{ size = \"10s\" }}\nout_of_orderness = \"0s\"\n\
             [writer]\nkind = \"sqlite\"\npath = \"rows.db\"\n",
            pipe.cluster.bootstrap_servers()
        );
        std::fs::write(pipe.path("aqueduct.toml"), config).expect("room");
        pipe
    }

    /// Ten records were processed: nine events of two pages, and one that was rejected.
    pub(crate) fn filled() -> Self {
        let pipe = Self::empty();
        pipe.produce(RECORDS);
        let partition = pipe.partition();
        pipe.commit(RECORDS);
        let runtime = tokio::runtime::Runtime::new().expect("threads");
        runtime.block_on(pipe.process(&partition));
        pipe
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    pub(crate) fn produce(&self, records: u64) {
        let producer: BaseProducer = self.client().create().expect("a producer");
        for _ in 0..records {
            producer
                .send(BaseRecord::<(), str>::to("events").partition(0).payload("{}"))
                .expect("room in the queue");
        }
        producer.flush(Duration::from_secs(30)).expect("the cluster takes them");
    }

    pub(crate) fn commit(&self, offset: u64) {
        let group: BaseConsumer = self.client().set("group.id", "g").create().expect("a consumer");
        let mut list = TopicPartitionList::new();
        let mut element = list.add_partition("events", 0);
        element.set_offset(Offset::Offset(offset as i64)).expect("an offset");
        element.set_metadata(&*self.partition().incarnation.0);
        group.commit(&list, CommitMode::Sync).expect("the cluster takes it");
    }

    pub(crate) fn delete_a_row(&self) {
        let database = rusqlite::Connection::open(self.path("rows.db")).expect("a database");
        database.execute("DELETE FROM f WHERE page = 'p1'", []).expect("the table");
    }

    /// The next checkpoint is complete, and contains the state of another program.
    pub(crate) fn spoil(&self) {
        let store = Store::open("file://./state", self.folder.path()).expect("a place");
        let runtime = tokio::runtime::Runtime::new().expect("threads");
        runtime.block_on(async {
            let recovered = recover(&store).await;
            store.appender(&recovered).append(Part::whole(), "of another".into()).await.expect("room");
        });
    }

    pub(crate) fn run(&self, arguments: &[&str]) -> Ran {
        self.run_with(arguments, &[])
    }

    pub(crate) fn run_with(&self, arguments: &[&str], variables: &[(&str, &str)]) -> Ran {
        let output = Command::new(env!("CARGO_BIN_EXE_aqueduct"))
            .args(arguments)
            .current_dir(self.folder.path())
            .env_remove("AQUEDUCT_CONFIG")
            .envs(variables.iter().copied())
            .output()
            .expect("the program was built");
        let text = |bytes| String::from_utf8(bytes).expect("UTF-8");
        Ran { code: output.status.code(), out: text(output.stdout), err: text(output.stderr) }
    }

    fn client(&self) -> ClientConfig {
        let mut client = ClientConfig::new();
        client.set("bootstrap.servers", self.cluster.bootstrap_servers());
        client
    }

    pub(crate) fn partition(&self) -> Partition {
        let settings: KafkaSettings = serde_json::from_value(serde_json::json!({
            "bootstrap_servers": self.cluster.bootstrap_servers(), "topics": ["events"], "group_id": "g",
        }))
        .expect("the section");
        let config = settings.resolve("host").expect("nothing is wrong with it");
        survey(&config).expect("the cluster answers").logs.remove(0).partition
    }

    async fn process(&self, partition: &Partition) {
        let flow: FlowSettings = serde_json::from_value(serde_json::json!({
            "name": "f", "by": { "page": "/p" }, "views": { "/k": "v" }, "clicks": { "/k": "c" },
            "window": { "size": "10s" }, "out_of_orderness": "0s",
        }))
        .expect("the flow");
        let flow = Flow::try_from(flow).expect("the flow makes sense");
        let events = serde_json::from_value(serde_json::json!({ "time": "/t" })).expect("the section");
        let limits =
            Limits { idle_after: Millis(10_000), hole_limit: Millis(600_000), cold_start: Millis(60_000) };
        let now = EventTime(START + 60_000);
        let tables = [flow.table()];
        let mut core = Core::new(&events, vec![flow], limits, now);
        for offset in 0..RECORDS {
            let (seconds, page) = (if offset == RECORDS - 1 { 25 } else { 5 }, offset % 2);
            let payload = match offset {
                7 => "no event".to_owned(),
                _ => format!("{{\"t\":{},\"k\":\"v\",\"p\":\"p{page}\"}}", START + seconds * 1000),
            };
            let position = Some((partition, offset));
            core.data(
                &Data { position, kafka_time: None, publish_time: now, payload: payload.as_bytes() },
                now,
            );
        }
        core.mark(&mark(partition, now), now, now);
        core.tick(now);
        let effects = core.take_effects();
        let config =
            WriterConfig::Sqlite(SqliteConfig { path: self.path("rows.db"), mode: WriterMode::Append });
        let writer = Writer::connect(&config, &tables).await.expect("a database");
        let mut outbox = Outbox::default();
        let (flow, progress) = (Table::Flow("f".into()), Table::Progress("f".into()));
        for (_, rows) in &effects.output.rows {
            send(&writer, &mut outbox, &flow, Rows::Panes(rows)).await;
        }
        for (_, row) in &effects.output.progress {
            send(&writer, &mut outbox, &progress, Rows::Progress(std::slice::from_ref(row))).await;
        }
        writer.close().await.expect("the file is complete");
        let budget = Budget::of(core.bytes(), 0);
        let saved = save(&mut core, &mut [("sqlite".into(), &mut outbox)], &mut Round::default(), budget);
        let payload = saved.encode().expect("a state can be written");
        let store = Store::open("file://./state", self.folder.path()).expect("a place");
        let recovered = recover(&store).await;
        store.appender(&recovered).append(saved.part, payload.into()).await.expect("room");
    }
}

/// The objects in the store, without their payloads.
async fn recover(store: &Store) -> Recovered {
    let skip = |(): &mut (), _| Ok::<(), StoreError>(());
    store.recover(|| (), skip).await.expect("it is whole").0
}

fn mark(partition: &Partition, now: EventTime) -> Mark {
    let entry = PartitionMark {
        partition: partition.clone(),
        ranges: Vec::new(),
        position: RECORDS,
        committed: Some(RECORDS),
        end: Some(LogEnd { offset: RECORDS, asked_at: now }),
    };
    let topic = TopicMark {
        topic: partition.topic.clone(),
        incarnation: partition.incarnation.clone(),
        partitions: 1,
        asked_at: now,
    };
    Mark {
        version: 1,
        replica: "r".into(),
        sequence: 1,
        partitions: vec![entry],
        topics: vec![topic],
        outputs: Vec::new(),
    }
}

async fn send(writer: &Writer, outbox: &mut Outbox, table: &Table, rows: Rows<'_>) {
    if !outbox.has_stream(table) {
        outbox.open(table, writer.open_stream(table).await.expect("a stream"));
    }
    let first = outbox.next();
    outbox.push(table, writer.encode(table, rows).expect("rows of this table"));
    let appends: Vec<(u64, Append)> = outbox.pending_from(first).cloned().collect();
    for (number, append) in appends {
        assert_eq!(writer.append(&append).await.expect("room"), Appended::Done);
        outbox.done(number);
    }
}
