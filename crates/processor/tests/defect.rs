//! A defect in a service that the processor uses ends it in order: it reports the error and acknowledges nothing.

use std::sync::Arc;

use flow::append::{Append, Appended, Body, Rows, Table};
use processor::{
    Config, ProcessorError, Services, Writer,
    sink::{Sink, SinkError},
    store::{StateSettings, Store},
};
use pubsub::{Connection, Endpoint, SubscribeOptions};
use service::{Metrics, Readiness};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

/// Tables behind which there is a defect.
struct Defective;

impl Sink for Defective {
    fn too_large(&self, _: Rows<'_>) -> Vec<usize> {
        Vec::new()
    }

    fn encode(&self, _: &Table, _: Rows<'_>) -> Result<Vec<Body>, SinkError> {
        Ok(Vec::new())
    }

    fn without(&self, _: &Append, _: &[u32]) -> Result<Body, SinkError> {
        Ok(Body { rows: 0, bytes: Vec::new() })
    }

    async fn open(&self, _: &Table) -> Result<String, SinkError> {
        panic!("user-4711")
    }

    async fn append(&self, _: &Append) -> Result<Appended, SinkError> {
        Ok(Appended::Done)
    }

    async fn contains(&self, _: &Append) -> Result<bool, SinkError> {
        Ok(false)
    }
}

#[tokio::test]
async fn a_task_that_panics_ends_the_processor_without_its_words() {
    let folder = tempfile::tempdir().expect("a folder");
    // No service listens there, so nothing arrives.
    let endpoint = Endpoint::Emulator { url: "http://127.0.0.1:9".to_owned() };
    let services = Services {
        connection: Connection::open(endpoint).await.expect("clients"),
        store: Store::open("file://state", folder.path()).expect("a folder"),
        metrics: Metrics::default(),
        readiness: Readiness::default(),
        shutdown: CancellationToken::new(),
        watch: watch::Sender::default(),
    };
    let config = Config {
        events: serde_json::from_str(r#"{"time": "/time"}"#).expect("[events]"),
        flows: Vec::new(),
        state: StateSettings::default(),
        inputs: processor::inputs::Inputs::default(),
        data: SubscribeOptions::new("projects/shop/subscriptions/events".to_owned()),
        marks: SubscribeOptions::new("projects/shop/subscriptions/events-marks".to_owned()),
    };
    let error =
        processor::run(config, services, vec![Writer { name: "w".into(), sink: Arc::new(Defective) }])
            .await
            .expect_err("a defect");
    assert!(matches!(error, ProcessorError::Task(_)), "{error:?}");
}
