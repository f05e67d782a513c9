//! The workers: our connector, or a standalone worker of Kafka Connect with Google's sink.

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
    /// Google's sink with the bytes of each record.
    Bytes,
    /// Google's sink with a converter for JSON, a transform that masks one id, and positions as attributes.
    Json,
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
plugin.path={sink}
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
";

const JSON: &str = "\
value.converter=org.apache.kafka.connect.json.JsonConverter
value.converter.schemas.enable=false
transforms=mask
transforms.mask.type=org.apache.kafka.connect.transforms.MaskField$Value
transforms.mask.fields=user_id
metadata.publish=true
";

impl Worker {
    pub(crate) fn start(self, place: &Place<'_>) -> Result<Process> {
        if self == Self::Ours {
            return place.pipe.start(&["connector"]);
        }
        let (worker, sink) = self.configure(place)?;
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
            .replace("{sink}", &place.jars.join("sink").display().to_string());
        let mut sink = SINK
            .replace("{name}", place.pipe.name())
            .replace("{topic}", place.topic)
            .replace("{project}", PROJECT)
            .replace("{endpoint}", &place.sink.secured()?)
            .replace("{credentials}", &place.secrets.credentials().display().to_string());
        if self == Self::Json {
            sink += JSON;
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
            Self::Bytes => "Connect, bytes",
            Self::Json => "Connect, JSON + MaskField",
        })
    }
}
