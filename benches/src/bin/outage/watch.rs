//! Observes a processor that processes a backlog.

use std::{
    thread::sleep,
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, ensure};
use tests::{process::Process, recount::stamp, rows::Database};

/// The observations; times are since the start of the processor.
#[derive(Debug)]
pub(crate) struct Course {
    /// When the first events were applied.
    pub(crate) first: Duration,
    /// When as many events as the backlog has were applied.
    pub(crate) counted: Duration,
    /// Events that were applied by then, and at the first check.
    pub(crate) events: u64,
    /// The processor's first estimate of when it will be caught up, and its time.
    pub(crate) announced: Option<(Duration, String)>,
    /// When the processor reported that it was caught up.
    pub(crate) caught_up: Option<Duration>,
    /// When the first window that ended after the start of the processor was in the table.
    pub(crate) served: Option<Duration>,
    /// Peak size of the live state.
    pub(crate) state_bytes: u64,
}

/// Polling interval.
const LOOK: Duration = Duration::from_millis(200);
/// Limit for a counter without progress; a window ends once a minute.
const PATIENCE: Duration = Duration::from_secs(180);

const ANNOUNCED: &str = "catching up with a backlog";
const CAUGHT_UP: &str = "caught up with the backlog";

/// The current time, milliseconds since the epoch.
pub(crate) fn now() -> Result<i64> {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH)?;
    Ok(i64::try_from(since.as_millis())?)
}

/// Waits until this many events are applied.
pub(crate) fn until_counted(processor: &mut Process, backlog: u64) -> Result<Course> {
    let mut watch = Watch::new();
    while watch.course.counted.is_zero() {
        watch.look(processor)?;
        watch.count(backlog);
    }
    Ok(watch.course)
}

/// Waits until this many events are applied and a window that ended after `back` is in the table.
pub(crate) fn until_served(
    processor: &mut Process,
    database: &Database,
    backlog: u64,
    back: i64,
) -> Result<Course> {
    let mut watch = Watch::new();
    let back = stamp(back)?;
    loop {
        watch.look(processor)?;
        watch.count(backlog);
        let is_counted = !watch.course.counted.is_zero();
        if is_counted && database.newest_end()?.is_some_and(|end| end > back) {
            watch.course.served = Some(watch.started.elapsed());
            // Its metrics lag by a tick.
            watch.look(processor)?;
            return Ok(watch.course);
        }
    }
}

/// Waits until a window that ended after a time is in the table, and returns how long that took.
pub(crate) fn until_row_after(processor: &mut Process, database: &Database, time: i64) -> Result<Duration> {
    let (started, time) = (Instant::now(), stamp(time)?);
    while database.newest_end()?.is_none_or(|end| end <= time) {
        ensure!(started.elapsed() < PATIENCE, "new events are not served");
        ensure!(processor.has_ended()?.is_none(), "the processor ended: {}", processor.err());
        sleep(LOOK);
    }
    Ok(started.elapsed())
}

/// Waits until exactly this many events are applied.
pub(crate) fn until_applied(processor: &mut Process, events: u64) -> Result<()> {
    let mut watch = Watch::new();
    while watch.applied != events {
        ensure!(watch.applied < events, "{} events were applied, and there are {events}", watch.applied);
        watch.look(processor)?;
    }
    Ok(())
}

struct Watch {
    started: Instant,
    moved: Instant,
    applied: u64,
    course: Course,
}

impl Watch {
    fn new() -> Self {
        let course = Course {
            first: Duration::ZERO,
            counted: Duration::ZERO,
            events: 0,
            announced: None,
            caught_up: None,
            served: None,
            state_bytes: 0,
        };
        Self { started: Instant::now(), moved: Instant::now(), applied: 0, course }
    }

    fn look(&mut self, processor: &mut Process) -> Result<()> {
        sleep(LOOK);
        let applied = processor.metric("aqueduct_processor_messages_total", "")?;
        if applied > self.applied {
            self.moved = Instant::now();
            if self.applied == 0 {
                self.course.first = self.started.elapsed();
            }
        }
        self.applied = applied;
        ensure!(self.moved.elapsed() < PATIENCE, "no progress after {applied} events");
        let bytes = processor.metric("aqueduct_processor_state_bytes", "")?;
        self.course.state_bytes = self.course.state_bytes.max(bytes);
        self.listen(&processor.err())
    }

    /// Records when this many events are applied.
    fn count(&mut self, backlog: u64) {
        if self.course.counted.is_zero() && self.applied >= backlog {
            (self.course.counted, self.course.events) = (self.started.elapsed(), self.applied);
        }
    }

    fn listen(&mut self, said: &str) -> Result<()> {
        if self.course.announced.is_none()
            && let Some(line) = said.lines().find(|line| line.contains(ANNOUNCED))
        {
            let remaining = line.split("remaining=").nth(1).and_then(|rest| rest.split_whitespace().next());
            let remaining = remaining.context("the estimate names what remains")?;
            self.course.announced = Some((self.started.elapsed(), remaining.to_owned()));
        }
        if self.course.caught_up.is_none() && said.contains(CAUGHT_UP) {
            self.course.caught_up = Some(self.started.elapsed());
        }
        Ok(())
    }
}
