//! `make bench-connect`: the cost of our connector compared with Kafka Connect and Google's sink for Pub/Sub, and the
//! behaviour of both after a kill.
//!
//! A real Kafka contains the events of all runs; each worker publishes them from the beginning, in turn, to a Pub/Sub
//! stand-in in this process. Results are printed only if every event arrived.
#![forbid(unsafe_code)]

mod sink;

mod worker;

mod table;

use std::{
    path::PathBuf,
    thread::sleep,
    time::{Duration, Instant},
};

use anyhow::{Result, ensure};
use benches::{
    accounted::{cpu, peak},
    rules::Rules,
    watch::until,
};
use clap::Parser;
use tests::{
    kafka::create_topic,
    pipe::{PROJECT, Pipe},
    process::{Process, keep_words},
    services,
};

use crate::{
    sink::{Secrets, Sink, Taken},
    table::Table,
    worker::{Place, Worker},
};

/// Compares the cost of our connector with Kafka Connect and Google's sink.
#[derive(Parser)]
struct Arguments {
    /// Events of the cold phase; the warm phase and the kill have as many each.
    #[arg(long, default_value_t = 1_000_000)]
    events: u64,
    /// Partitions of the topic.
    #[arg(long, default_value_t = 6)]
    partitions: i32,
    /// Number of runs.
    #[arg(long, default_value_t = 3)]
    runs: u32,
    /// Directory with Kafka Connect's jars in `libs`, Google's sink in `sink`, Apicurio's converter in `avro`, and
    /// `log4j2.properties`; without it only our connector runs
    #[arg(long)]
    jars: Option<PathBuf>,
    /// Also the same events in Avro, with schemas in the real registry.
    #[arg(long)]
    avro: bool,
    /// Skip the kill.
    #[arg(long)]
    no_kill: bool,
}

/// Java can take minutes to start on a busy machine, and Kafka waits for a killed worker until its session expires.
const PATIENCE: Duration = Duration::from_secs(600);
/// Messages in flight when a worker was killed have arrived by then.
const SETTLED: Duration = Duration::from_millis(300);
/// A stored message: an event, its attributes, and the fields of the stand-in.
const MESSAGE_BYTES: u64 = 1_500;

/// The cost of a worker for a part of the events.
struct Cost {
    events: u64,
    seconds: f64,
    cpu: f64,
    stand_in_cpu: f64,
    megabytes: f64,
}

/// The result of a kill.
struct Killed {
    /// Time from the kill, with an immediate restart, to the next message.
    seconds: f64,
    taken: Taken,
}

impl Cost {
    fn rate(&self) -> f64 {
        self.events as f64 / self.seconds
    }

    fn cpu_a_million(&self) -> f64 {
        self.cpu / self.events as f64 * 1e6
    }

    fn stand_in_a_million(&self) -> f64 {
        self.stand_in_cpu / self.events as f64 * 1e6
    }
}

impl Killed {
    fn duplicates(&self) -> u64 {
        self.taken.messages - self.taken.distinct
    }
}

fn main() -> Result<()> {
    let arguments = Arguments::parse();
    keep_words();
    let secrets = Secrets::make(PROJECT)?;
    let json = Pipe::new("connect")?;
    let avro = if arguments.avro { Some(in_avro(Pipe::new("connect-avro")?)?) } else { None };
    let generate_all = |seed: &str, start: &str| -> Result<()> {
        generate(&json, "json", arguments.events, seed, start)?;
        avro.iter().try_for_each(|avro| generate(avro, "avro", arguments.events, seed, start))
    };
    for source in [Some(&json), avro.as_ref()].into_iter().flatten() {
        create_topic(source.name(), arguments.partitions, &[])?;
    }
    let bench = Bench {
        topic: json.name(),
        avro: avro.as_ref().map(Pipe::name),
        secrets: &secrets,
        arguments: &arguments,
    };
    generate_all("1", "2026-01-01T00:00:00Z")?;
    if !arguments.no_kill {
        bench.kills()?;
    }
    generate_all("2", "2026-01-02T00:00:00Z")?;
    bench.costs()
}

/// Declares values to be Avro with schemas of the real registry.
fn in_avro(pipe: Pipe) -> Result<Pipe> {
    let url = services::address(services::SCHEMA_REGISTRY)?;
    pipe.edit(
        "[pubsub]",
        &format!("[kafka.format]\nvalue = \"avro\"\n[schema_registry]\nurl = \"{url}\"\n[pubsub]"),
    )?;
    Ok(pipe)
}

/// Produces to the source topic.
fn generate(source: &Pipe, format: &str, events: u64, seed: &str, start: &str) -> Result<()> {
    let events = events.to_string();
    let words = ["generate", "--events", &events, "--rate", "10000", "--seed", seed, "--start", start];
    let mut generate = source.start(&[&words[..], &["--format", format]].concat())?;
    until(1, PATIENCE, || Ok(u64::from(generate.has_ended()?.is_some())))?;
    ensure!(generate.ended()?.code == Some(0), "generate failed: {}", generate.err());
    Ok(())
}

struct Bench<'a> {
    topic: &'a str,
    /// The topic with the same events in Avro.
    avro: Option<&'a str>,
    secrets: &'a Secrets,
    arguments: &'a Arguments,
}

impl Bench<'_> {
    fn workers(&self) -> Vec<Worker> {
        let mut workers = vec![
            Worker::Ours,
            Worker::Floor,
            Worker::OurBytes,
            Worker::Bytes,
            Worker::OurJson,
            Worker::Json,
            Worker::OursAvro,
            Worker::Avro,
        ];
        workers.retain(|worker| self.avro.is_some() || !worker.is_avro());
        if self.arguments.jars.is_none() {
            workers.retain(|worker| !matches!(worker, Worker::Bytes | Worker::Json | Worker::Avro));
        }
        workers
    }

    #[expect(clippy::print_stdout, reason = "a command for people")]
    fn kills(&self) -> Result<()> {
        let mut table = Table::new();
        println!("kill -9 in the middle of {} events, and started again at once", self.arguments.events);
        println!("run  worker                     goes on after s  duplicates");
        for run in 1..=self.arguments.runs {
            for worker in self.workers() {
                if matches!(worker, Worker::Floor | Worker::Bytes | Worker::OurBytes) || worker.is_avro() {
                    continue;
                }
                let killed = self.kill(worker)?;
                println!("{run:>3}  {worker:25} {:>16.1} {:>11}", killed.seconds, killed.duplicates());
                table.add(worker, "", killed);
            }
        }
        table.print();
        Ok(())
    }

    #[expect(clippy::print_stdout, reason = "a command for people")]
    fn costs(&self) -> Result<()> {
        let mut table = Table::new();
        let Arguments { events, partitions, .. } = self.arguments;
        println!("{events} events in {partitions} partitions, then as many again");
        println!(
            "run  worker                           events/s  CPU s/million  stand-in CPU s/million    MB"
        );
        for run in 1..=self.arguments.runs {
            for worker in self.workers() {
                for (part, cost) in self.cost(worker)? {
                    println!(
                        "{run:>3}  {worker:25} {part:4} {:>11.0} {:>14.2} {:>23.2} {:>5.0}",
                        cost.rate(),
                        cost.cpu_a_million(),
                        cost.stand_in_a_million(),
                        cost.megabytes
                    );
                    table.add(worker, part, cost);
                }
            }
        }
        table.print();
        Ok(())
    }

    fn cost(&self, worker: Worker) -> Result<[(&'static str, Cost); 2]> {
        let events = self.arguments.events;
        let run = self.prepare(worker)?;
        let mut own = cpu("self")?;
        let mut process = run.start(worker, self)?;
        let pid = process.id().to_string();
        let mut before = 0;
        let first = until(1, PATIENCE, || {
            before = run.received(&mut process)?;
            Ok(before)
        })?;
        ensure!(before < events, "all was done at once; take more events");
        let (mut from, mut used) = (first, 0.0);
        let mut part = |goal: u64, events: u64| -> Result<Cost> {
            let reached = until(goal, PATIENCE, || run.received(&mut process))?;
            let (cpu_now, own_now) = (cpu(&pid)?, cpu("self")?);
            let cost = Cost {
                events,
                seconds: (reached - from).as_secs_f64(),
                cpu: cpu_now - used,
                stand_in_cpu: own_now - own,
                megabytes: peak(&pid)?,
            };
            (from, used, own) = (reached, cpu_now, own_now);
            Ok(cost)
        };
        let mut cold = part(events, events)?;
        // Events that had arrived at the first check are not part of the measured time.
        cold.seconds *= events as f64 / (events - before) as f64;
        let warm = part(2 * events, events)?;
        run.until_complete(&mut process, 2 * events)?;
        Ok([("cold", cold), ("warm", warm)])
    }

    fn kill(&self, worker: Worker) -> Result<Killed> {
        let events = self.arguments.events;
        let run = self.prepare(worker)?;
        let mut process = run.start(worker, self)?;
        until(events / 2, PATIENCE, || run.received(&mut process))?;
        process.kill()?;
        let killed = Instant::now();
        let mut process = run.start(worker, self)?;
        sleep(SETTLED.saturating_sub(killed.elapsed()));
        let before = run.received(&mut process)?;
        ensure!(before < events, "it was done before it was killed; take more events");
        let on = until(before + 1, PATIENCE, || run.received(&mut process))?;
        let taken = run.until_complete(&mut process, events)?;
        Ok(Killed { seconds: (on - killed).as_secs_f64(), taken })
    }

    /// A new directory, and a new stand-in with a topic and a subscription.
    fn prepare(&self, worker: Worker) -> Result<Run> {
        let capacity = usize::try_from(3 * self.arguments.events * MESSAGE_BYTES)?;
        let sink = Sink::start(self.secrets, capacity)?;
        let mut pipe = Pipe::new("connect")?.with("pubsub.emulator_host", &sink.host());
        Rules::OneId.apply(&pipe)?;
        let own = format!("topics = [\"{}\"]", pipe.name());
        pipe.edit(&own, &format!("topics = [\"{}\"]", self.topic_of(worker)))?;
        if worker.is_avro() {
            pipe = in_avro(pipe)?;
        }
        // The session timeout of Connect, so that a shorter one is not the reason for a faster restart.
        pipe.edit("\"session.timeout.ms\" = 6000", "\"session.timeout.ms\" = 45000")?;
        pipe.run_well(&["setup"])?;
        let subscription = format!("projects/{PROJECT}/subscriptions/{}-ctr", pipe.name());
        Ok(Run { pipe, sink, subscription })
    }

    fn topic_of(&self, worker: Worker) -> &str {
        self.avro.filter(|_| worker.is_avro()).unwrap_or(self.topic)
    }
}

struct Run {
    pipe: Pipe,
    sink: Sink,
    subscription: String,
}

impl Run {
    fn start(&self, worker: Worker, bench: &Bench<'_>) -> Result<Process> {
        let jars = bench.arguments.jars.clone().unwrap_or_default();
        let (pipe, sink, secrets) = (&self.pipe, &self.sink, bench.secrets);
        let topic = bench.topic_of(worker);
        worker.start(&Place { pipe, sink, secrets, jars: &jars, topic })
    }

    fn received(&self, process: &mut Process) -> Result<u64> {
        if let Some(ended) = process.has_ended()? {
            anyhow::bail!("the worker ended by itself ({:?}):\n{}{}", ended.code, ended.out, ended.err);
        }
        self.sink.received(&self.subscription)
    }

    /// Waits until every event has arrived at least once.
    fn until_complete(&self, process: &mut Process, events: u64) -> Result<Taken> {
        let mut taken = self.sink.taken(&self.subscription)?;
        while taken.distinct < events {
            let more = taken.messages + 1;
            until(more, PATIENCE, || self.received(process))?;
            taken = self.sink.taken(&self.subscription)?;
        }
        ensure!(taken.distinct == events, "{} different messages of {events} events", taken.distinct);
        Ok(taken)
    }
}
