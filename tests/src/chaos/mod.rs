//! Runs of the whole pipe in which things go wrong, by a seed: real processes, a real Kafka, Google's emulator or a
//! stand-in that repeats and shuffles, proxies before both. Whatever happens, the rows are those of a naive recount.
//!
//! A run takes its backlog from Kafka with no lateness allowed: an event that a watermark passed too early is missing
//! in the rows. Not here: the command line (`bin/chaos.rs`).

mod cast;
mod plan;

use std::{
    process::Command,
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, ensure};
use standin::pubsub::{Options, PubSub};
use tokio::runtime::Runtime;

pub use plan::Plan;

use crate::{
    kafka::{Producer, create_topic},
    pipe::Pipe,
    produced::Produced,
    proxy::Proxy,
    recount::recount,
    rows::{Database, Rows as _, check_balance, difference, finals},
    services,
    traffic::Traffic,
    wait,
};
use cast::Cast;
use plan::{Action, Program, Side};

/// What every 16 KiB wait in a proxy, so that the work is still going on when things go wrong.
const PACE: Duration = Duration::from_millis(12);
const LOOK: Duration = Duration::from_millis(20);

/// What a run that went well has to tell.
#[derive(Debug)]
pub struct Outcome {
    /// Rows of the flow's table.
    pub rows: usize,
    /// Records in Kafka.
    pub records: u64,
    /// Programs that found that another one had taken their place.
    pub overtaken: u32,
}

/// Everything of a run.
struct Stage {
    pipe: Pipe,
    kafka: Proxy,
    pubsub: Proxy,
    /// In whose place the emulator is otherwise; and what it runs on.
    stand_in: Option<(PubSub, Runtime)>,
}

/// Runs a plan to its end.
///
/// # Errors
/// A row is wrong, missing or there twice; the ledger does not balance; a watermark went back; a program ended; or
/// it all takes too long.
pub fn run(plan: &Plan) -> Result<Outcome> {
    let stage = Stage::new(plan)?;
    let mut produced = Produced::default();
    create_topic(stage.pipe.name(), plan.partitions, &[])?;
    let traffic = Traffic::new(plan.events, plan.partitions).with_trouble();
    Producer::new(stage.pipe.name(), &[])?.produce(traffic, &mut produced)?;
    let recount = recount(&produced)?;
    stage.pipe.run_well(&["setup"])?;

    let mut processors = Cast::new(&stage.pipe, Program::Processor)?;
    let mut connectors = Cast::new(&stage.pipe, Program::Connector)?;
    let started = Instant::now();
    for (at, action) in &plan.actions {
        while started.elapsed() < *at {
            processors.look_after(&stage.pipe)?;
            connectors.look_after(&stage.pipe)?;
            std::thread::sleep(LOOK);
        }
        let cast = match action.program() {
            Some(Program::Connector) | None => &mut connectors,
            Some(Program::Processor) => &mut processors,
        };
        stage.perform(*action, cast).with_context(|| format!("at {action:?}"))?;
    }
    stage.calm()?;

    let database = Database::open(&stage.pipe.path("rows.db"))?;
    wait::until_right("the rows", || {
        processors.look_after(&stage.pipe)?;
        connectors.look_after(&stage.pipe)?;
        Ok(difference(&finals(&database.rows()?)?, &recount.counts))
    })?;
    connectors.stop()?;
    wait::until_right("reconcile to find nothing missing", || {
        processors.look_after(&stage.pipe)?;
        stage.pipe.missing()
    })?;
    processors.stop()?;
    ensure!(
        database.dead_letters()? == produced.dead_letters(),
        "dead_letters has other rows than were broken"
    );
    check_balance(&database, &recount)?;
    database.check_watermark()?;
    let rows = database.rows()?.len();
    Ok(Outcome { rows, records: recount.total(), overtaken: processors.overtaken + connectors.overtaken })
}

impl Stage {
    fn new(plan: &Plan) -> Result<Self> {
        let kafka = Proxy::at(
            &services::address(services::KAFKA_FRONT)?,
            &services::address(services::KAFKA_BEHIND)?,
        );
        let stand_in = plan.stand_in.then(|| start_stand_in(plan.seed)).transpose()?;
        let behind = match &stand_in {
            Some((stand_in, _)) => stand_in.host(),
            None => services::address(services::PUBSUB)?,
        };
        let pubsub = Proxy::closed(&behind)?;
        for proxy in [&kafka, &pubsub] {
            proxy.delay(PACE);
            proxy.open()?;
        }
        let mut pipe = Pipe::new(&format!("chaos-{}", plan.seed))?;
        pipe.edit("allowed_lateness = \"2h\"", "allowed_lateness = \"0s\"")?;
        // What a killed processor held comes again when its lease ends; a cold start must not end before.
        pipe.edit("cold_start = \"2s\"", "cold_start = \"20s\"")?;
        pipe.set("kafka.bootstrap_servers", kafka.address());
        pipe.set("pubsub.emulator_host", pubsub.address());
        Ok(Self { pipe, kafka, pubsub, stand_in })
    }

    fn perform(&self, action: Action, cast: &mut Cast) -> Result<()> {
        match action {
            Action::Kill(_) => cast.kill(&self.pipe),
            Action::Freeze(_) => cast.freeze(),
            Action::Thaw(_) => cast.thaw(),
            Action::Join(_) => cast.join(&self.pipe),
            Action::Leave(_) => cast.leave(),
            Action::Close(side) => {
                self.side(side).close();
                Ok(())
            }
            Action::Open(side) => self.side(side).open(),
            Action::Hold(side) => {
                self.side(side).hold(true);
                Ok(())
            }
            Action::Release(side) => {
                self.side(side).hold(false);
                Ok(())
            }
            Action::Reset(side) => self.side(side).reset(),
            Action::RestartBroker => restart_broker(),
            Action::LoseAnswers(count) => {
                self.faults(|faults| faults.lose_answers(count));
                Ok(())
            }
            Action::CutStreams => {
                self.faults(|faults| faults.cut_streams());
                Ok(())
            }
        }
    }

    fn side(&self, side: Side) -> &Proxy {
        match side {
            Side::Kafka => &self.kafka,
            Side::PubSub => &self.pubsub,
        }
    }

    fn faults(&self, of: impl FnOnce(standin::pubsub::Faults)) {
        if let Some((stand_in, _)) = &self.stand_in {
            of(stand_in.faults());
        }
    }

    /// Everything that is still wrong ends, and the pace is free.
    fn calm(&self) -> Result<()> {
        for proxy in [&self.kafka, &self.pubsub] {
            proxy.hold(false);
            proxy.delay(Duration::ZERO);
            proxy.open()?;
        }
        self.faults(|faults| faults.lose_answers(0));
        Ok(())
    }
}

/// Every third message comes again, and which of the next two thousand comes first is chance.
fn start_stand_in(seed: u64) -> Result<(PubSub, Runtime)> {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build()?;
    let stand_in = runtime.block_on(PubSub::start(Options { seed, ..Options::default() }))?;
    stand_in.faults().redeliver(0.3);
    stand_in.faults().reorder(2_000);
    Ok((stand_in, runtime))
}

fn restart_broker() -> Result<()> {
    let services = services::address(services::KAFKA_SERVICES)?;
    let ended = Command::new("python3").args([&services, "restart", "--only", "kafka"]).output()?;
    ensure!(
        ended.status.success(),
        "the broker did not come back: {}",
        String::from_utf8_lossy(&ended.stderr)
    );
    Ok(())
}
