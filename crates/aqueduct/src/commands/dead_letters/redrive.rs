//! `aqueduct dead-letters redrive`: reads rejected records from Kafka again, and publishes those that pass.
//!
//! The processor decides what counts, once for each offset, so everything here may be repeated without harm: a record that
//! is published twice, a redrive that is killed, or one that begins before the processor has counted the last one. The
//! claim ([`kafka::Claim`]) keeps two redrives from doing the same work, and saves how far this one is.

use std::{
    process::ExitCode,
    time::{Duration, Instant},
};

use anyhow::{Context as _, anyhow, bail};
use connector::{
    PubSubPublisher,
    anonymise::{Anonymiser, KeyRule, Raw},
    decode::Event,
    message::{Message, Origin},
    redrive::{Published, publish},
};
use event::Partition;
use kafka::{Brokers, Claim, KafkaConfig, OwnedRecord, Picker, start};
use processor::{engine::Engine, read::Envelope};
use pubsub::{Connection, Encoder, PubSubSettings};
use tokio::runtime::Handle;
use tokio_util::sync::CancellationToken;

use super::{
    filter::Filter,
    progress::{Progress, identity},
    queue::{Chunk, Queue, Rejects},
    tally::Tally,
};
use crate::{
    config::Declared, decoding::Decoding, global::Global, grid::Format, progress, runtime, survey::Places,
};

/// The options of `dead-letters redrive`.
#[derive(Clone, Debug, clap::Args)]
pub(super) struct Args {
    #[command(flatten)]
    filter: Filter,
    /// Publish nothing, and report what would pass
    #[arg(long)]
    dry_run: bool,
    /// Records per second, at most
    #[arg(long, value_name = "NUMBER", default_value = "1000", value_parser = clap::value_parser!(u32).range(1..=100_000))]
    rate: u32,
    /// Format of the result
    #[arg(long, value_name = "FORMAT", default_value = "text")]
    format: Format,
}

/// Shown by `--help`.
pub(super) const EXAMPLE: &str = "\
Example: see what would pass, then publish it
  aqueduct dead-letters redrive --topic events --reason time --dry-run
  aqueduct dead-letters redrive --topic events --reason time --rate 500

Requires the configuration of connector and processor: [kafka], [pubsub], [anonymise], [events], [[flows]] and [state]; and [writer] for --stage, --reason, --pointer, --from and --to. Connector and processor may run meanwhile. The processor counts each record in the flows that rejected it, once, however often it is published. A redrive that was stopped or killed is continued by the same command. Records that still do not pass stay rejected, and records that Kafka no longer has are reported. The account needs Read on the topics and on the group GROUP_ID-redrive, and may publish to the Pub/Sub topic.";

/// Records that are read before progress is saved.
const CHUNK: usize = 500;
/// Bytes that are published at once.
const BYTES: usize = 8 << 20;

/// What a redrive needs of the configuration.
struct Plan {
    filter: Filter,
    rate: u32,
    kafka: KafkaConfig,
    places: Places,
    shards: u32,
    formats: Declared,
    has_keys: bool,
    anonymiser: Anonymiser,
    /// `None` in a dry run.
    publishing: Option<(PubSubSettings, pubsub::Endpoint)>,
}

/// Reads, judges and publishes the records of a chunk.
struct Redriver<'a> {
    decoding: Decoding,
    anonymiser: Anonymiser,
    engine: Engine,
    encoder: Encoder,
    /// To see whether a topic was recreated while its records were read.
    brokers: Brokers,
    publisher: Option<PubSubPublisher>,
    rejects: Rejects,
    /// `[pubsub] shards`.
    shards: u32,
    number: u64,
    tally: Tally,
    stop: &'a CancellationToken,
    messages: Vec<(usize, Message)>,
    bytes: usize,
}

/// Runs a redrive and prints its result.
///
/// # Errors
/// The configuration is invalid, another redrive is running, or a service does not answer.
pub(super) fn run(args: &Args, global: &Global) -> anyhow::Result<ExitCode> {
    let config = global.config()?;
    let kafka = config.kafka()?;
    args.filter.check(&kafka.topics)?;
    let pubsub = config.pubsub()?;
    let plan = Plan {
        filter: args.filter.clone(),
        rate: args.rate,
        places: Places::read(&config)?,
        shards: pubsub.shards(),
        formats: config.formats(&kafka)?,
        has_keys: config.anonymise()?.key != KeyRule::Drop,
        anonymiser: config.checked_anonymiser()?,
        publishing: match args.dry_run {
            true => None,
            false => Some((pubsub.clone(), config.pubsub_endpoint(&pubsub)?)),
        },
        kafka,
    };
    global.start_logging()?;
    let tally = runtime::run_blocking(|stop| plan.run(&stop))?;
    args.format.print(&tally, Tally::text)?;
    Ok(ExitCode::SUCCESS)
}

impl Plan {
    fn run(self, stop: &CancellationToken) -> anyhow::Result<Tally> {
        let mut tally = Tally::new(self.publishing.is_none());
        let claim = match self.publishing {
            None => None,
            Some(_) => {
                let group = format!("{}-redrive", self.kafka.group_id);
                let Some(claim) = Claim::take(&self.kafka, &group, stop)? else {
                    tally.is_stopped = true;
                    return Ok(tally);
                };
                Some(claim)
            }
        };
        let handle = Handle::current();
        // The state is read after the claim is taken, so that what the redrive before has achieved is known.
        let logs = handle.block_on(self.places.logs()).map_err(|reason| anyhow!(reason))?;
        let (state, _) = handle.block_on(self.places.state(processor::driver::now()))?;
        let current: Vec<Partition> = logs.logs.into_iter().map(|log| log.partition).collect();
        let rejected = state.core.rejected();
        let rejects = Rejects::of(rejected, &current, &self.filter);
        let mut progress = None;
        if let Some(claim) = &claim {
            let of = identity(&self.filter, current.iter());
            let next = Progress::next(claim.progress()?, of, rejected.newest());
            claim.save(next.number, &next.text())?;
            tally.redrive = Some(next.number);
            tally.is_continued = next.after.is_some();
            progress = Some(next);
        }
        drop(state);
        tally.gone_with_topic = rejects.of_older;
        let publisher = match self.publishing {
            None => None,
            Some((pubsub, endpoint)) => {
                let connection = handle.block_on(Connection::open(endpoint))?;
                Some(PubSubPublisher::new(connection.publisher(), &pubsub))
            }
        };
        let queue = match self.filter.needs_table() {
            false => Queue::State,
            true => Queue::of_table(handle.block_on(self.places.open_tables())?, &self.filter),
        };
        let mut redriver = Redriver {
            decoding: Decoding::new(&self.formats, self.has_keys)?,
            anonymiser: self.anonymiser,
            engine: self.places.engine(),
            encoder: Encoder::default(),
            brokers: Brokers::open(&self.kafka)?,
            publisher,
            rejects,
            shards: self.shards,
            number: progress.as_ref().map_or(u64::MAX, |progress| progress.number),
            tally,
            stop,
            messages: Vec::new(),
            bytes: 0,
        };
        let mut source = (Picker::open(&self.kafka)?, queue);
        redriver.all(&mut source, claim.as_ref().zip(progress), self.rate)?;
        Ok(redriver.tally.finish())
    }
}

impl Redriver<'_> {
    fn all(
        &mut self,
        (picker, queue): &mut (Picker, Queue),
        mut saved: Option<(&Claim, Progress)>,
        rate: u32,
    ) -> anyhow::Result<()> {
        let handle = Handle::current();
        let mut after = saved.as_ref().and_then(|(_, progress)| progress.after.clone());
        let bar = progress::counting(self.rejects.count(after.as_ref()), "records");
        if let Some((_, progress)) = &saved {
            tracing::info!(redrive = progress.number, is_continued = after.is_some(), "redrive started");
        }
        let (start, most) = (Instant::now(), CHUNK.min(rate as usize));
        while let Some(chunk) = handle.block_on(queue.next(&self.rejects, after.as_ref(), most))? {
            if !self.chunk(picker, &chunk)? {
                break;
            }
            let last = chunk.offsets.last().copied().context("a chunk has a record")?;
            let at = (chunk.partition.topic.to_string(), chunk.partition.partition, last);
            if let Some((claim, progress)) = &mut saved {
                progress.moved(at.clone());
                claim.save(progress.number, &progress.text())?;
            }
            after = Some(at);
            bar.set_position(self.tally.records);
            let due = start + Duration::from_secs_f64(self.tally.records as f64 / f64::from(rate));
            handle.block_on(async {
                tokio::select! {
                    () = tokio::time::sleep_until(due.into()) => {}
                    () = self.stop.cancelled() => {}
                }
            });
            if self.stop.is_cancelled() {
                self.tally.is_stopped = true;
                return Ok(());
            }
        }
        if self.tally.is_stopped {
            return Ok(());
        }
        if let Some((claim, progress)) = &mut saved {
            progress.end();
            claim.save(progress.number, &progress.text())?;
        }
        Ok(())
    }

    /// Deals with the records of a chunk; returns whether it was not stopped before the end.
    fn chunk(&mut self, picker: &mut Picker, chunk: &Chunk) -> anyhow::Result<bool> {
        let Partition { topic, partition, .. } = &chunk.partition;
        let origin = Origin::redriven(chunk.partition.clone(), self.shards, self.number);
        let is_whole = picker.pick((topic, *partition), &chunk.offsets, self.stop, |offset, record| {
            self.tally.records += 1;
            match record {
                None => self.tally.gone(&chunk.partition, offset),
                Some(record) => self.record(&origin, &record)?,
            }
            if self.bytes >= BYTES { self.flush(&chunk.partition) } else { Ok(()) }
        })?;
        self.flush(&chunk.partition)?;
        self.tally.is_stopped |= !is_whole;
        Ok(is_whole && !self.tally.is_stopped)
    }

    /// Judges a record, and prepares its message if it passes.
    fn record(&mut self, origin: &Origin, owned: &OwnedRecord) -> anyhow::Result<()> {
        let (record, partition) = (owned.record(), origin.partition());
        let topic = &*partition.topic;
        let headers: Vec<(&str, &[u8])> = record.headers().collect();
        let bytes = codec::Raw { key: record.key, value: record.value, headers: &headers };
        let anonymiser = &mut self.anonymiser;
        let anonymised = self.decoding.decode(topic, &bytes, self.stop, |event| match event {
            Err(code) => Err((code, None)),
            Ok(Event { key, value, schema }) => {
                let raw = Raw { topic, value, key: key.as_deref(), headers: &headers };
                anonymiser.anonymise_decoded(&raw, schema).map_err(|reject| {
                    (reject.code.as_str(), reject.pointer.map(|pointer| pointer.to_string()))
                })
            }
        })?;
        let event = match anonymised {
            None => {
                self.tally.is_stopped = true;
                return Ok(());
            }
            Some(Err((code, pointer))) => {
                self.tally.rejected("connector", code, pointer);
                return Ok(());
            }
            Some(Ok(None)) => {
                self.tally.filtered += 1;
                return Ok(());
            }
            Some(Ok(Some(event))) => event,
        };
        let timestamp = record.timestamp.map(|timestamp| timestamp.0);
        let message = match Message::new(&mut self.encoder, &event, origin, record.offset, timestamp) {
            Ok(message) => message,
            Err(code) => {
                self.tally.rejected("connector", code, None);
                return Ok(());
            }
        };
        let envelope =
            Envelope { topic, kafka_time: record.timestamp, publish_time: processor::driver::now() };
        let flows =
            self.rejects.flows(topic, partition.partition, record.offset).context("a rejected offset")?;
        if let Some(refusal) = self.engine.refusal(event.data(), &envelope, flows) {
            self.tally.rejected("processor", refusal.reason, refusal.pointer);
            return Ok(());
        }
        self.bytes += message.wire_len();
        self.messages.push((self.messages.len(), message));
        Ok(())
    }

    /// Publishes what was prepared.
    fn flush(&mut self, partition: &Partition) -> anyhow::Result<()> {
        self.bytes = 0;
        let messages = std::mem::take(&mut self.messages);
        if messages.is_empty() {
            return Ok(());
        }
        // Otherwise records of the new topic would be published under offsets of the old one.
        let ids = self.brokers.topic_ids()?;
        if ids.get(&partition.topic).is_none_or(|id| id != start::topic_id(&partition.incarnation)) {
            bail!(
                "topic {} was deleted or recreated while its records were read; run the command again",
                partition.topic
            );
        }
        let prepared = messages.len() as u64;
        let Some(publisher) = &self.publisher else {
            self.tally.passed += prepared;
            return Ok(());
        };
        match Handle::current().block_on(publish(publisher, messages, self.stop)) {
            Ok(Published::AllBut(refused)) => {
                self.tally.passed += prepared - refused.len() as u64;
                refused.iter().for_each(|_| self.tally.rejected("connector", "refused-by-pubsub", None));
                Ok(())
            }
            Ok(Published::Stopped) => {
                self.tally.is_stopped = true;
                Ok(())
            }
            Err(error) => Err(anyhow::Error::from(error).context("cannot publish to Pub/Sub")),
        }
    }
}
