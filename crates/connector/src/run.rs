//! The connector as a whole: a member of the group, the driver, and their end.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use event::ByteSize;
use kafka::{KafkaConfig, Member, Permits};
use service::Readiness;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use crate::{
    anonymise::{Anonymiser, KeyRule},
    core::Core,
    decode::{Decoder, Formats},
    driver::{Driver, Setup},
    error::ConnectorError,
    fencing::Fencing,
    intake::Intake,
    message::Publish,
    metrics::ConnectorMetrics,
    packing::Packing,
    summary::Summary,
    view::View,
};

/// The configuration of a connector.
#[derive(Clone)]
pub struct Config {
    /// `[kafka]`.
    pub kafka: KafkaConfig,
    /// The formats of the topics.
    pub formats: Formats,
    /// The Pub/Sub topics among which a field of the event selects one; empty if there is one topic.
    pub outputs: Vec<Arc<str>>,
    /// `[pubsub] pack`; `None` if each record has its own message.
    pub packing: Option<Packing>,
    /// `[pubsub] shards`: among how many subscriptions a pipeline divides the partitions; 1 if all are in one.
    pub shards: u32,
    /// `[pubsub] in_flight`: bytes published and not yet acknowledged.
    pub in_flight: ByteSize,
    /// How many rejects within 10,000 records are allowed.
    pub max_rejects: u32,
    /// The name of this process in its marks, for humans.
    pub replica: String,
}

/// Where a connector shows its state.
#[derive(Clone)]
pub struct Shown {
    /// Its metrics.
    pub metrics: ConnectorMetrics,
    /// Its conditions, `kafka` and `pubsub`.
    pub readiness: Readiness,
    /// Receives its state once a second.
    pub watch: watch::Sender<View>,
}

/// The longest drain. It is at most a third of the session timeout, so that the member can still leave the group.
const LONGEST_DRAIN: Duration = Duration::from_secs(15);

/// Publishes records from Kafka to Pub/Sub until `shutdown` is cancelled or an error occurs. Returns once what was
/// read is published and committed, or its time to drain is over, and both threads have ended. Joins the group again
/// when its name was taken by accident.
///
/// # Errors
/// See [`ConnectorError`]. In no case is an offset committed that Pub/Sub does not have everything below of.
pub async fn run<P: Publish>(
    config: Config,
    anonymiser: Anonymiser,
    publisher: P,
    shown: Shown,
    shutdown: CancellationToken,
) -> Result<Summary, ConnectorError> {
    shown.metrics.show_keys(anonymiser.keys());
    shown.metrics.show_topics(config.formats.with_schemas());
    let mut summary = Summary::default();
    let mut fencing = Fencing::default();
    loop {
        let clients = (anonymiser.clone(), publisher.clone());
        match membership(config.clone(), clients, shown.clone(), &shutdown, &mut summary).await {
            Ok(()) => return Ok(summary),
            Err(ConnectorError::Kafka(kafka::Error::Fenced { group, instance }))
                if !shutdown.is_cancelled() && fencing.may_rejoin(Instant::now()) =>
            {
                tracing::warn!(
                    %group,
                    %instance,
                    action = "none after a broker restart; if two replicas run, give each its own kafka.group_instance_id",
                    "fenced: another member joined with this group.instance.id, or a broker restarted; rejoining once, exiting if it recurs"
                );
            }
            Err(error) => return Err(error),
        }
    }
}

/// One membership of the group, from joining to leaving.
async fn membership<P: Publish>(
    config: Config,
    (anonymiser, publisher): (Anonymiser, P),
    shown: Shown,
    shutdown: &CancellationToken,
    summary: &mut Summary,
) -> Result<(), ConnectorError> {
    let permits = Permits::new(config.in_flight.0);
    shown.metrics.permits.set(i64::try_from(permits.total()).unwrap_or(i64::MAX));
    let drain_limit = LONGEST_DRAIN.min(config.kafka.session_timeout / 3);
    // A quarter: so that reading, encoding and sending overlap.
    let decoder = Decoder::new(&config.formats, anonymiser.key_rule() != KeyRule::Drop);
    let is_ordered = anonymiser.is_ordered();
    let new_fields = shown.metrics.new_fields.clone();
    let intake = Intake::new(decoder, anonymiser, permits.total() / 4, config.packing, new_fields)
        .sharded(config.shards);
    let (member, stimuli) = Member::join(config.kafka, intake, permits.clone(), shown.metrics.kafka.clone())?;
    let setup = Setup {
        core: Core::new(config.replica, config.max_rejects).with_outputs(config.outputs),
        publisher,
        orders: member.orders(),
        drain_limit,
        is_ordered,
        permits,
        metrics: shown.metrics,
        readiness: shown.readiness,
        watch: shown.watch,
    };
    let result = Driver::new(setup, summary).run(stimuli, shutdown).await;
    member.end().await?;
    result
}
