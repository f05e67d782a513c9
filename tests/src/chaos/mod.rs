//! Seeded runs of the whole pipeline with injected failures: real processes, a real Kafka, Google's emulator or a
//! stand-in that repeats and reorders, and proxies before both. The rows must always equal a naive recount.
//!
//! A run processes its backlog without allowed lateness: an event that a watermark passed too early is missing in the
//! rows. Topics that are added during a run are the exception: their events are late and appear in late panes. See
//! `bin/chaos.rs` for the command line.

mod cast;
mod plan;

use std::{
    fs,
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, bail, ensure};
use standin::pubsub::{Options, PubSub};
use tokio::runtime::Runtime;

pub use plan::Plan;

use crate::{
    pipe::Pipe,
    proxy::Proxy,
    recount::{Recount, recount},
    rows::{Database, Rows as _, check_balance, difference, finals},
    services::{self, restart_kafka},
    topics::Topics,
    wait,
};
use cast::Cast;
use plan::{Action, Change, Kept, Program, Side};

/// Delay of a proxy per 16 KiB, so that work is still in progress when a fault occurs.
const PACE: Duration = Duration::from_millis(12);
const LOOK: Duration = Duration::from_millis(20);

/// The results of a successful run.
#[derive(Debug)]
pub struct Outcome {
    /// Rows of the flow's table.
    pub rows: usize,
    /// Records in Kafka.
    pub records: u64,
    /// Processes that were overtaken.
    pub overtaken: u32,
    /// Processes that waited or exited because of a full disk.
    pub starved: u32,
}

/// The state of a run.
struct Stage {
    pipe: Pipe,
    kafka: Proxy,
    pubsub: Proxy,
    /// The stand-in that replaces the emulator, and its runtime.
    stand_in: Option<(PubSub, Runtime)>,
}

/// A pipeline with its processes and proxies.
struct Run {
    stage: Stage,
    topics: Topics,
    processors: Cast,
    connectors: Cast,
}

/// Runs a plan.
///
/// # Errors
/// A row is wrong, missing or duplicated, the ledger does not balance, a watermark moved back, a process exited, or the
/// run timed out.
pub fn run(plan: &Plan) -> Result<Outcome> {
    let mut run = Run::new(plan)?;
    // Faults are suspended during an action.
    let mut now = Duration::ZERO;
    for (at, action) in &plan.actions {
        let since = Instant::now();
        while now + since.elapsed() < *at {
            run.look_after()?;
            std::thread::sleep(LOOK);
        }
        now = now.max(*at);
        run.perform(*action).with_context(|| format!("at {action:?}"))?;
    }
    run.stage.calm()?;
    if let Some(change) = plan.last {
        run.change(change).with_context(|| format!("at {change:?}"))?;
    }
    run.finish()
}

impl Run {
    fn new(plan: &Plan) -> Result<Self> {
        let stage = Stage::new(plan)?;
        stage.pipe.edit("emulator_host = ", &format!("pack = {}\nemulator_host = ", plan.packs))?;
        let topics = Topics::new(&stage.pipe, plan.partitions, plan.events)?;
        stage.pipe.run_well(&["setup"])?;
        let processors = Cast::new(&stage.pipe, Program::Processor, plan.static_members)?;
        let connectors = Cast::new(&stage.pipe, Program::Connector, plan.static_members)?;
        Ok(Self { stage, topics, processors, connectors })
    }

    fn look_after(&mut self) -> Result<()> {
        self.processors.look_after(&self.stage.pipe)?;
        self.connectors.look_after(&self.stage.pipe)
    }

    fn cast(&mut self, program: Program) -> (&mut Cast, &Pipe) {
        let cast = match program {
            Program::Connector => &mut self.connectors,
            Program::Processor => &mut self.processors,
        };
        (cast, &self.stage.pipe)
    }

    fn perform(&mut self, action: Action) -> Result<()> {
        if let Some(program) = action.program() {
            let (cast, pipe) = self.cast(program);
            return cast.perform(pipe, action);
        }
        let Self { stage, topics, processors, connectors } = self;
        if matches!(action, Action::AddTopic(..) | Action::Upgrade(..) | Action::Pack(_) | Action::Lose(_)) {
            // These actions wait for processes to exit, and no outage may end meanwhile.
            stage.reach()?;
        }
        match action {
            Action::AddTopic(partitions, events) => {
                topics.add(&stage.pipe, partitions, events)?;
                connectors.roll(&stage.pipe)
            }
            Action::AddPartitions(more) => topics.grow(more),
            Action::Upgrade(partitions, events) => {
                topics.add(&stage.pipe, partitions, events)?;
                stage.pipe.edit("period = \"1s\"\nidle", "period = \"500ms\"\nidle")?;
                connectors.roll(&stage.pipe)?;
                processors.roll(&stage.pipe)
            }
            Action::Pack(is_on) => {
                stage.pipe.edit(&format!("pack = {}", !is_on), &format!("pack = {is_on}"))?;
                connectors.roll(&stage.pipe)
            }
            Action::Lose(kept) => {
                let files = stage.files(kept);
                processors.lose(
                    &stage.pipe,
                    || files.iter().try_for_each(move_away),
                    || files.iter().try_for_each(put_back),
                )
            }
            Action::Fill(bytes) => processors.limit(&stage.pipe, Some(bytes)),
            Action::MakeRoom => processors.limit(&stage.pipe, None),
            other => stage.perform(other),
        }
    }

    /// Changes a topic of which everything was read.
    fn change(&mut self, change: Change) -> Result<()> {
        let group = self.stage.pipe.name().to_owned();
        wait::until_right("everything to be committed", || {
            self.look_after()?;
            // A broker that has just restarted does not have its groups loaded yet.
            Ok(self.topics.unread(&group).unwrap_or_else(|error| Some(format!("{error:#}"))))
        })?;
        match change {
            Change::Remove => {
                // A topic that is removed before its partitions are idle holds the watermark for `hole_limit`.
                self.wait_for_rows()?;
                self.topics.remove(&self.stage.pipe)?;
                self.connectors.roll(&self.stage.pipe)
            }
            Change::Recreate(partitions) => self.topics.recreate(partitions),
        }
    }

    /// Waits for the rows of the recount of everything that was produced.
    fn wait_for_rows(&mut self) -> Result<(Database, Recount)> {
        let recount = recount(&self.topics.produced())?;
        let database = Database::open(&self.stage.pipe.path("rows.db"))?;
        wait::until_right("the rows", || {
            self.look_after()?;
            Ok(difference(&finals(&database.rows()?)?, &recount.counts))
        })?;
        Ok((database, recount))
    }

    /// Waits for all rows, and stops everything.
    fn finish(mut self) -> Result<Outcome> {
        let (database, recount) = self.wait_for_rows()?;
        let produced = self.topics.produced();
        self.connectors.stop()?;
        wait::until_right("reconcile to find nothing missing", || {
            self.processors.look_after(&self.stage.pipe)?;
            self.stage.pipe.missing()
        })?;
        self.processors.stop()?;
        let (mut found, broken) = (database.dead_letters()?, produced.dead_letters());
        // Records of two topics may have the same partition and offset.
        found.sort();
        let differs = || broken.iter().zip(&found).find(|(broken, found)| broken != found);
        ensure!(
            found == broken,
            "dead_letters has {} rows, and {} records are broken; the first other one: {:?}",
            found.len(),
            broken.len(),
            differs()
        );
        check_balance(&database, &recount)?;
        database.check_watermark()?;
        let Self { processors, connectors, .. } = &self;
        Ok(Outcome {
            rows: database.rows()?.len(),
            records: recount.total(),
            overtaken: processors.overtaken + connectors.overtaken,
            starved: processors.starved,
        })
    }
}

impl Stage {
    fn new(plan: &Plan) -> Result<Self> {
        let kafka = Proxy::at(
            &services::address(services::KAFKA_CHAOS_FRONT)?,
            &services::address(services::KAFKA_CHAOS_BEHIND)?,
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
        if !plan.adds_topics() {
            pipe.edit("allowed_lateness = \"2h\"", "allowed_lateness = \"0s\"")?;
        }
        // Messages of a killed processor are redelivered when their lease ends; a cold start must not end before.
        pipe.edit("cold_start = \"2s\"", "cold_start = \"20s\"")?;
        pipe.set("kafka.bootstrap_servers", kafka.address());
        pipe.set("pubsub.emulator_host", pubsub.address());
        Ok(Self { pipe, kafka, pubsub, stand_in })
    }

    fn perform(&self, action: Action) -> Result<()> {
        match action {
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
            Action::RestartBroker => restart_kafka(),
            Action::LoseAnswers(count) => {
                self.faults(|faults| faults.lose_answers(count));
                Ok(())
            }
            Action::CutStreams => {
                self.faults(|faults| faults.cut_streams());
                Ok(())
            }
            other => bail!("{other:?} is not done to a service"),
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

    /// The paths of a store. SQLite's write-ahead log belongs to its file.
    fn files(&self, kept: Kept) -> Vec<PathBuf> {
        let names = match kept {
            Kept::Rows => &["rows.db", "rows.db-wal", "rows.db-shm"][..],
            Kept::State => &["state"],
        };
        names.iter().map(|name| self.pipe.path(name)).collect()
    }

    /// Both services are reachable.
    fn reach(&self) -> Result<()> {
        for proxy in [&self.kafka, &self.pubsub] {
            proxy.hold(false);
            proxy.open()?;
        }
        Ok(())
    }

    /// Ends all faults, and removes the delay.
    fn calm(&self) -> Result<()> {
        self.reach()?;
        for proxy in [&self.kafka, &self.pubsub] {
            proxy.delay(Duration::ZERO);
        }
        self.faults(|faults| faults.lose_answers(0));
        Ok(())
    }
}

fn move_away(path: &PathBuf) -> Result<()> {
    if path.exists() { Ok(fs::rename(path, kept(path))?) } else { Ok(()) }
}

fn put_back(path: &PathBuf) -> Result<()> {
    ensure!(!path.exists(), "{} was made again", path.display());
    if kept(path).exists() { Ok(fs::rename(kept(path), path)?) } else { Ok(()) }
}

fn kept(path: &Path) -> PathBuf {
    path.with_extension(format!("{}.kept", path.extension().unwrap_or_default().display()))
}

/// Every third message is redelivered, and the next one is drawn from a window of two thousand.
fn start_stand_in(seed: u64) -> Result<(PubSub, Runtime)> {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build()?;
    let stand_in = runtime.block_on(PubSub::start(Options { seed, ..Options::default() }))?;
    stand_in.faults().redeliver(0.3);
    stand_in.faults().reorder(2_000);
    Ok((stand_in, runtime))
}
