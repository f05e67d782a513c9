//! The workers: our connector, or a standalone worker of Kafka Connect with Google's sink, and `aqueduct connect` with the
//! files of the latter.

use std::{
    fmt::{self, Display},
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::Result;
use tests::{
    pipe::{PROJECT, Pipe},
    process::Process,
    services,
};

use crate::sink::{PASSWORD, Secrets, Sink};

#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Worker {
    /// Pseudonymises, removes, writes positions and marks.
    Ours,
    /// The same with events in Avro.
    OursAvro,
    /// A program that does no more than it must; see `bridge_floor.rs`.
    Floor,
    /// Google's sink with the bytes of each record.
    Bytes,
    /// `aqueduct connect` with the same files.
    OurBytes,
    /// Google's sink with a converter for JSON, a transform that masks one id, and positions as attributes.
    Json,
    /// `aqueduct connect` with the same files.
    OurJson,
    /// As [`Self::Json`], with Apicurio's converter for Avro. The sink takes no nested values, so nested fields are flattened, lists
    /// are dropped, and every field but one becomes an attribute.
    Avro,
}

/// A worker's directory and its dependencies.
pub(crate) struct Place<'a> {
    pub(crate) pipe: &'a Pipe,
    pub(crate) sink: &'a Sink,
    pub(crate) secrets: &'a Secrets,
    pub(crate) jars: &'a Path,
    /// The topic in Kafka.
    pub(crate) topic: &'a str,
}

/// As `connect-standalone.sh` of Kafka's distribution starts it.
const JAVA: [&str; 6] = [
    "-Xms256M",
    "-Xmx2G",
    "-XX:+UseG1GC",
    "-XX:MaxGCPauseMillis=20",
    "-XX:InitiatingHeapOccupancyPercent=35",
    "-XX:+ExplicitGCInvokesConcurrent",
];

const WORKER: &str = "\
bootstrap.servers={kafka}
key.converter=org.apache.kafka.connect.storage.StringConverter
value.converter=org.apache.kafka.connect.converters.ByteArrayConverter
offset.storage.file.filename={folder}/connect.offsets
listeners=http://127.0.0.1:0
plugin.path={plugins}
";

const SINK: &str = "\
name={name}
connector.class=com.google.pubsub.kafka.sink.CloudPubSubSinkConnector
tasks.max=1
topics={topic}
cps.project={project}
cps.topic={name}
cps.endpoint={endpoint}
gcp.credentials.file.path={credentials}
aqueduct.forward=all
";

const JSON: &str = "\
value.converter=org.apache.kafka.connect.json.JsonConverter
value.converter.schemas.enable=false
transforms=mask
transforms.mask.type=org.apache.kafka.connect.transforms.MaskField$Value
transforms.mask.fields=user_id
metadata.publish=true
";

const AVRO: &str = "\
value.converter=io.apicurio.registry.utils.converter.AvroConverter
value.converter.apicurio.registry.url={registry}
value.converter.apicurio.registry.as-confluent=true
value.converter.apicurio.registry.use-id=contentId
value.converter.apicurio.registry.headers.enabled=false
transforms=flatten,replace,mask
transforms.replace.type=org.apache.kafka.connect.transforms.ReplaceField$Value
transforms.replace.exclude=items
transforms.replace.renames=event_id:cps_message_body
transforms.flatten.type=org.apache.kafka.connect.transforms.Flatten$Value
transforms.mask.type=org.apache.kafka.connect.transforms.MaskField$Value
transforms.mask.fields=user_id
metadata.publish=true
";

impl Worker {
    /// Whether its events are in Avro.
    pub(crate) fn is_avro(self) -> bool {
        matches!(self, Self::OursAvro | Self::Avro)
    }

    pub(crate) fn start(self, place: &Place<'_>) -> Result<Process> {
        if matches!(self, Self::Ours | Self::OursAvro) {
            return place.pipe.start(&["connector"]);
        }
        if self == Self::Floor {
            let mut floor = Command::new(std::env::current_exe()?.with_file_name("bridge-floor"));
            floor
                .args(["--kafka", &services::address(services::KAFKA)?, "--from", place.topic])
                .args(["--pubsub", &place.sink.host()])
                .args(["--to", &format!("projects/{PROJECT}/topics/{}", place.pipe.name())]);
            return Process::start("bridge-floor", &mut floor);
        }
        let (worker, sink) = self.configure(place)?;
        if matches!(self, Self::OurBytes | Self::OurJson) {
            let files = [worker, sink].map(|file| file.display().to_string());
            let certificate = place.secrets.certificate().display().to_string();
            return place
                .pipe
                .start_with(&["connect", &files[0], &files[1]], &[("SSL_CERT_FILE", &certificate)]);
        }
        let jars = place.jars.display();
        let trust = place.secrets.trust_store();
        let mut java = Command::new("java");
        java.args(JAVA)
            .arg(format!("-Djavax.net.ssl.trustStore={}", trust.display()))
            .arg(format!("-Djavax.net.ssl.trustStorePassword={PASSWORD}"))
            .arg(format!("-Dlog4j2.configurationFile={jars}/log4j2.properties"))
            .args(["-cp", &format!("{jars}/libs/*"), "org.apache.kafka.connect.cli.ConnectStandalone"])
            .args([worker, sink])
            .current_dir(place.pipe.path(""));
        Process::start("Kafka Connect", &mut java)
    }

    /// Writes both properties files.
    fn configure(self, place: &Place<'_>) -> Result<(PathBuf, PathBuf)> {
        let worker = WORKER
            .replace("{kafka}", &services::address(services::KAFKA)?)
            .replace("{folder}", &place.pipe.path("").display().to_string())
            .replace(
                "{plugins}",
                &["sink", "avro"].map(|name| place.jars.join(name).display().to_string()).join(","),
            );
        let mut sink = SINK
            .replace("{name}", place.pipe.name())
            .replace("{topic}", place.topic)
            .replace("{project}", PROJECT)
            .replace("{endpoint}", &place.sink.secured()?)
            .replace("{credentials}", &place.secrets.credentials().display().to_string());
        match self {
            Self::Json | Self::OurJson => sink += JSON,
            Self::Avro => {
                let registry = services::address(services::SCHEMA_REGISTRY)?;
                sink +=
                    &AVRO.replace("{registry}", &registry.replace("/apis/ccompat/v7", "/apis/registry/v2"));
            }
            Self::Ours | Self::OursAvro | Self::Floor | Self::Bytes | Self::OurBytes => {}
        }
        place.pipe.write("worker.properties", &worker)?;
        place.pipe.write("sink.properties", &sink)?;
        Ok((place.pipe.path("worker.properties"), place.pipe.path("sink.properties")))
    }
}

impl Display for Worker {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Ours => "aqueduct connector",
            Self::Floor => "floor",
            Self::Bytes => "Connect, bytes",
            Self::Json => "Connect, JSON + MaskField",
            Self::OurBytes => "aqueduct connect, bytes",
            Self::OurJson => "aqueduct connect, JSON",
            Self::OursAvro => "aqueduct connector, Avro",
            Self::Avro => "Connect, Avro + MaskField",
        })
    }
}
