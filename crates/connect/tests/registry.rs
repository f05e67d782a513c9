//! Confluent's converters with a registry: from framed bytes to messages.

use std::time::Duration;

use ::codec::registry::{Fetcher, RegistryError};
use connect::{
    connector::{self, Connector, Defaults},
    converters::Compiled,
    define::Config,
    pipeline::{Outcome, Pipeline, Raw},
    providers::Providers,
};
use doubles::registry::{Access, Fault, Schema, SchemaRegistry};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

const VIEW: &str = r#"{"type":"record","name":"View","fields":[{"name":"user_id","type":"string"},{"name":"cps_message_body","type":["null","string"]},{"name":"day","type":{"type":"int","logicalType":"date"}}]}"#;

fn connector(server: &SchemaRegistry, class: &str, more: &[(&str, &str)]) -> Connector {
    let url = server.url();
    let class = format!("io.confluent.connect.{class}");
    let base = [
        ("name", "c"),
        ("connector.class", "CloudPubSubSinkConnector"),
        ("topics", "events"),
        ("cps.project", "p"),
        ("cps.topic", "t"),
        ("key.converter", "org.apache.kafka.connect.storage.StringConverter"),
        ("value.converter", class.as_str()),
        ("value.converter.schema.registry.url", url.as_str()),
        ("transforms", "mask"),
        ("transforms.mask.type", "org.apache.kafka.connect.transforms.MaskField$Value"),
        ("transforms.mask.fields", "user_id"),
    ];
    let config: Config =
        base.iter().chain(more).map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect();
    let defaults = Defaults {
        key_converter: Config::new(),
        value_converter: Config::new(),
        providers: Providers::default(),
    };
    let (validation, connector) = connector::validate(&config, &defaults);
    connector.unwrap_or_else(|| panic!("{:?}", validation.values.errors().collect::<Vec<_>>()))
}

/// A pipeline with the tasks that fetch its schemas.
struct Running {
    pipeline: Pipeline,
    fetching: JoinSet<Result<(), RegistryError>>,
}

impl Running {
    fn of(connector: &Connector) -> Self {
        let mut pipeline = Pipeline::new(connector).expect("valid");
        let mut fetching = JoinSet::new();
        for fetcher in pipeline.fetchers() {
            let fetcher: Fetcher<Compiled> = fetcher;
            fetching.spawn(fetcher.run(CancellationToken::new()));
        }
        Self { pipeline, fetching }
    }

    fn once(
        &mut self,
        key: Option<&[u8]>,
        value: &[u8],
        headers: &[(&str, &[u8])],
    ) -> Result<Outcome, String> {
        let headers = headers.iter().map(|(name, value)| ((*name).into(), Some(*value))).collect();
        let raw = Raw {
            topic: "events",
            partition: 0,
            offset: 7,
            timestamp: Some(1),
            key,
            value: Some(value),
            headers,
        };
        self.pipeline.take(raw).map_err(|error| error.to_string())
    }

    /// The message of a record, which is given until its schema has arrived.
    async fn message(
        &mut self,
        key: Option<&[u8]>,
        value: &[u8],
        headers: &[(&str, &[u8])],
    ) -> Result<String, String> {
        loop {
            match self.once(key, value, headers)? {
                Outcome::Waits => tokio::time::sleep(Duration::from_millis(1)).await,
                Outcome::Message(message) => {
                    return Ok(String::from_utf8_lossy(message.out().encoded()).into_owned());
                }
                other => return Err(format!("{other:?}")),
            }
        }
    }
}

fn framed(id: u32, payload: &[u8]) -> Vec<u8> {
    [&[0], &id.to_be_bytes()[..], payload].concat()
}

async fn server() -> SchemaRegistry {
    SchemaRegistry::start().await.expect("a free port")
}

#[tokio::test]
async fn fields_of_avro_become_attributes() {
    let server = server().await;
    let id = server.register("events-value", Schema::new("AVRO", VIEW));
    let key = server.register("events-key", Schema::new("AVRO", "\"string\""));
    let url = server.url();
    let more = [
        ("key.converter", "io.confluent.connect.avro.AvroConverter"),
        ("key.converter.schema.registry.url", url.as_str()),
        ("aqueduct.key", "forward"),
    ];
    let mut running = Running::of(&connector(&server, "avro.AvroConverter", &more));
    let payload = b"\x04u1\x02\x08body\x02";
    let message =
        running.message(Some(&framed(key, b"\x04k1")), &framed(id, payload), &[]).await.expect("a message");
    for part in ["body", "user_id", "day", "1970-01-02", "key", "k1"] {
        assert!(message.contains(part), "{part} in {message}");
    }
    assert!(!message.contains("u1"), "{message}");
    // The ID in a header, and the bare payload.
    let header = [&[1], &server.guid(id)[..]].concat();
    let key = framed(key, b"\x04k1");
    let same = running.message(Some(&key), payload, &[("__value_schema_id", &header)]).await;
    assert_eq!(same.as_deref(), Ok(message.as_str()));
}

#[tokio::test]
async fn protobuf_and_json_schema_are_read() {
    let server = server().await;
    let proto = "syntax = \"proto3\"; message View { string user_id = 1; int32 n = 2; }";
    let proto = server.register("events-value", Schema::new("PROTOBUF", proto));
    let json = r#"{"type":"object","properties":{"user_id":{"type":"string"},"n":{"type":"integer"}}}"#;
    let json = server.register("events-value", Schema::new("JSON", json));
    for (class, bytes) in [
        ("protobuf.ProtobufConverter", framed(proto, b"\x00\x0a\x02u1\x10\x05")),
        ("json.JsonSchemaConverter", framed(json, br#"{"user_id":"u1","n":5}"#)),
    ] {
        let mut running = Running::of(&connector(&server, class, &[]));
        let message = running.message(None, &bytes, &[]).await.expect("a message");
        assert!(message.contains("user_id") && message.contains('5') && !message.contains("u1"), "{message}");
        let other = framed(if class.starts_with("json") { proto } else { json }, b"{}");
        assert!(running.message(None, &other, &[]).await.is_err(), "the schema is of another format");
    }
}

#[tokio::test]
async fn what_the_registry_does_not_have_is_an_error_of_the_record() {
    let server = server().await;
    let id = server.register("events-value", Schema::new("AVRO", VIEW));
    let foreign = server
        .register("orders-value", Schema::new("AVRO", "{\"type\":\"record\",\"name\":\"O\",\"fields\":[]}"));
    let broken = server.register("events-value", Schema::new("AVRO", "{\"type\":\"record\"}"));
    let mut running = Running::of(&connector(&server, "avro.AvroConverter", &[]));
    for bytes in
        [framed(99, b"u1"), framed(foreign, b""), framed(broken, b""), framed(id, b"\x04u"), b"u1".to_vec()]
    {
        let error = running.message(None, &bytes, &[]).await.expect_err("it has no value");
        assert!(error.starts_with("AvroConverter: ") && !error.contains("u1"), "{error}");
    }
    assert!(running.message(None, &framed(id, b"\x04u1\x00\x02"), &[]).await.is_ok(), "the next one is read");
}

/// Whatever errors.tolerance is: the records are not at fault.
#[tokio::test]
async fn records_wait_while_the_registry_does_not_answer() {
    let server = server().await;
    let id = server.register("events-value", Schema::new("AVRO", VIEW));
    server.next([Fault::Status(503), Fault::Page(404), Fault::Status(500)]);
    let mut running = Running::of(&connector(&server, "avro.AvroConverter", &[("errors.tolerance", "all")]));
    let bytes = framed(id, b"\x04u1\x00\x02");
    assert!(matches!(running.once(None, &bytes, &[]), Ok(Outcome::Waits)));
    assert!(running.message(None, &bytes, &[]).await.is_ok());
}

#[tokio::test]
async fn refused_credentials_end_the_task() {
    let server = server().await;
    let id = server.register("events-value", Schema::new("AVRO", VIEW));
    server.require(Access::Basic { user: "u".to_owned(), password: "p".to_owned() });
    let login = |info: &'static str| {
        [
            ("value.converter.basic.auth.credentials.source", "USER_INFO"),
            ("value.converter.basic.auth.user.info", info),
        ]
    };
    let bytes = framed(id, b"\x04u1\x00\x02");
    let mut running = Running::of(&connector(&server, "avro.AvroConverter", &login("u:p")));
    assert!(running.message(None, &bytes, &[]).await.is_ok());
    let mut running = Running::of(&connector(&server, "avro.AvroConverter", &login("u:wrong")));
    assert!(matches!(running.once(None, &bytes, &[]), Ok(Outcome::Waits)));
    let ended = running.fetching.join_next().await.expect("a fetcher").expect("it does not panic");
    assert!(matches!(ended, Err(RegistryError::Refused { .. })));
}
