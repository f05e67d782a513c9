//! Rows as messages of a topic: after every answer, and none, a reader that removes repetitions has each row once.

use std::collections::{BTreeMap, HashMap};

use event::{EventTime, Millis};
use flow::{
    Flow, FlowSettings,
    append::{Append, Appended, Rows, Table},
    row::{FlowTable, Pane, Row, Value},
    window::Window,
};
use prost::Message as _;
use pubsub::{
    Connection, Endpoint,
    admin::{self, Step, SubscriptionPlan},
};
use standin::pubsub::{Options, PubSub};
use tonic::Code;
use writer::{Letters, PubSubConfig, State, TopicPath, Writer, WriterConfig, WriterError};

const SUBSCRIPTION: &str = "projects/shop-analytics/subscriptions/reader";
const KEYS: usize = 100;
const PANES: usize = 3;

/// `PubsubMessage`.
#[derive(Clone, PartialEq, prost::Message)]
struct Read {
    #[prost(string, tag = "1")]
    data: String,
    #[prost(map = "string, string", tag = "2")]
    attributes: HashMap<String, String>,
    #[prost(string, tag = "5")]
    ordering_key: String,
}

struct Bench {
    pubsub: PubSub,
    config: WriterConfig,
    flows: Vec<FlowTable>,
    writer: Writer,
}

fn table() -> Table {
    Table::Flow("page_ctr".into())
}

/// Panes of a window of many keys, so that an append has many requests.
fn rows() -> Vec<Row> {
    let of = |n: usize| Row {
        key: [Some(format!("/p/{}", n % KEYS).into())].into(),
        window: Window { start: EventTime(0), end: EventTime(600_000) },
        values: [Value::Count(n as u64), Value::Count(0)].into_iter().collect(),
        pane: Pane::Early,
        pane_index: (n / KEYS) as u32,
        watermark: EventTime(0),
        emitted_at: EventTime(0),
        replaced: flow::row::Replaced::default(),
    };
    (0..KEYS * PANES).map(of).collect()
}

impl Bench {
    async fn new() -> Self {
        let settings: FlowSettings = serde_json::from_str(
            r#"{ "name": "page_ctr", "by": { "page": "/page" }, "views": { "/type": "view" },
                "clicks": { "/type": "click" }, "window": { "size": "10m" } }"#,
        )
        .expect("the flow is well formed");
        let flows = vec![Flow::try_from(settings).expect("the flow is right").table()];
        let pubsub = PubSub::start(Options::default()).await.expect("a free port");
        let endpoint = Endpoint::emulator(&pubsub.host()).expect("an address");
        let topic = TopicPath { project: "shop-analytics".to_owned(), topic: "ctr".to_owned() };
        let (retention, regions) = (Millis(0), Vec::new());
        let config = WriterConfig::PubSub(PubSubConfig {
            topic: topic.clone(),
            endpoint: endpoint.clone(),
            retention,
            regions,
        });
        let missing = Writer::check(&config, &flows).await;
        assert!(matches!(missing, Err(WriterError::PubSub(pubsub::Error::NotFound { .. }))), "{missing:?}");
        for (dry_run, state) in [
            (true, State::WouldCreate),
            (false, State::Created),
            (false, State::Exists),
            (true, State::Exists),
        ] {
            let steps = Writer::setup(&config, &flows, dry_run).await.expect("a topic");
            assert_eq!(steps.iter().map(|step| step.state).collect::<Vec<_>>(), [state]);
        }
        Writer::check(&config, &flows).await.expect("a topic");
        let connection = Connection::open(endpoint).await.expect("no credentials are needed");
        let reader = SubscriptionPlan {
            path: SUBSCRIPTION.to_owned(),
            topic: topic.full(),
            retention,
            filter: String::new(),
        };
        admin::apply(&connection, vec![Step::Subscription(reader)]).await.expect("a subscription");
        let writer = Writer::connect(&config, &flows).await.expect("a writer");
        Self { pubsub, config, flows, writer }
    }

    async fn append(&self) -> Append {
        let stream = self.writer.open_stream(&table()).await.expect("a name");
        let body = self.writer.encode(&table(), Rows::Panes(&rows())).expect("rows").remove(0);
        Append { table: table(), stream, offset: 40, rows: body.rows, body: body.bytes.into() }
    }

    fn messages(&self) -> Vec<Read> {
        let kept = self.pubsub.kept(SUBSCRIPTION);
        kept.into_iter().map(|message| Read::decode(message).expect("protobuf")).collect()
    }

    /// Checks that each offset was published, always with the same row, and that no pane overtook another of its key.
    fn check(&self, stream: &str) {
        let mut first = BTreeMap::new();
        let mut newest = HashMap::<String, u64>::new();
        for message in self.messages() {
            assert_eq!(message.attributes["stream"], stream);
            let offset: u64 = message.attributes["offset"].parse().expect("a number");
            let before = first.entry(offset).or_insert_with(|| message.data.clone());
            assert_eq!(*before, message.data, "a repetition is the same row");
            let newest = newest.entry(message.ordering_key).or_insert(39);
            assert!(offset <= *newest + KEYS as u64, "offset {offset} overtook others after {newest}");
            *newest = offset.max(*newest);
        }
        assert!(first.keys().copied().eq(40..40 + (KEYS * PANES) as u64), "{} rows", first.len());
    }
}

#[tokio::test]
async fn repetitions_have_the_same_stream_and_offset() {
    let bench = Bench::new().await;
    let append = bench.append().await;
    let faults = bench.pubsub.faults();
    faults.lose_answers(1);
    let lost = bench.writer.append(&append).await;
    assert!(lost.as_ref().is_err_and(WriterError::is_retryable), "{lost:?}");
    faults.fail_publishes(1, Code::Unavailable);
    let failed = bench.writer.append(&append).await;
    assert!(failed.as_ref().is_err_and(WriterError::is_retryable), "{failed:?}");
    faults.refuse(true);
    let down = bench.writer.append(&append).await;
    assert!(down.as_ref().is_err_and(WriterError::is_retryable), "{down:?}");
    faults.refuse(false);
    for _ in 0..2 {
        assert_eq!(bench.writer.append(&append).await.expect("a topic"), Appended::Done);
    }
    assert!(bench.messages().len() > 2 * KEYS * PANES, "the rows were published twice");
    bench.check(&append.stream);
    bench.pubsub.stop().await;
}

#[tokio::test]
async fn a_refusal_of_the_topic_stops() {
    let bench = Bench::new().await;
    let append = bench.append().await;
    let faults = bench.pubsub.faults();
    for code in [Code::InvalidArgument, Code::PermissionDenied, Code::NotFound] {
        faults.fail_publishes(1, code);
        let refused = bench.writer.append(&append).await;
        let is_right = match &refused {
            Err(WriterError::TopicRefuses { .. }) => code == Code::InvalidArgument,
            Err(WriterError::PubSub(pubsub::Error::Denied { .. })) => code == Code::PermissionDenied,
            Err(WriterError::PubSub(pubsub::Error::NotFound { .. })) => code == Code::NotFound,
            _ => false,
        };
        assert!(is_right && refused.is_err_and(|error| !error.is_retryable()), "{code}");
    }
    assert_eq!(bench.writer.append(&append).await.expect("a topic"), Appended::Done);
    bench.check(&append.stream);
    bench.pubsub.stop().await;
}

#[tokio::test]
async fn a_topic_cannot_be_queried() {
    let bench = Bench::new().await;
    let write_only = |error: Option<WriterError>| matches!(error, Some(WriterError::WriteOnly { .. }));
    assert!(write_only(Writer::open(&bench.config, &bench.flows).await.err()));
    assert!(write_only(bench.writer.count(&table()).await.err()));
    assert!(write_only(bench.writer.progress("page_ctr").await.err()));
    assert!(write_only(bench.writer.latest("page_ctr", 1).await.err()));
    assert!(write_only(bench.writer.refusals().await.err()));
    assert!(write_only(bench.writer.dead_letters(&Letters::default()).await.err()));
    bench.pubsub.stop().await;
}

/// An edit of `[writer] topic`: the rows that wait belong to a stream of the other topic.
#[tokio::test]
async fn a_stream_of_another_topic_is_gone() {
    let bench = Bench::new().await;
    let append = bench.append().await;
    let other = append.stream.replace("/ctr/", "/ctr-2/");
    assert_ne!(other, append.stream);
    let append = Append { stream: other, ..append };
    assert_eq!(bench.writer.append(&append).await.expect("an answer"), Appended::StreamGone);
    assert!(!bench.writer.contains(&append).await.expect("an answer"));
    assert!(bench.messages().is_empty());
    let (first, second) = (bench.append().await, bench.append().await);
    assert_ne!(first.stream, second.stream, "each stream has a name of its own");
    bench.pubsub.stop().await;
}
