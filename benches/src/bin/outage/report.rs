//! The report of an outage.

use std::fmt;

use tests::backlog::beam::Dropped;

use crate::watch::Course;

/// The measurements, after the results were verified.
#[derive(Debug)]
pub(crate) struct Report {
    /// Records in the backlog when the processor restarted.
    pub(crate) backlog: u64,
    /// Records that were written in total.
    pub(crate) written: u64,
    pub(crate) course: Course,
    /// Peak memory of the process.
    pub(crate) peak: u64,
    pub(crate) rows: u64,
    /// Events that a reader with Beam's rule would have dropped: one that starts with the backlog, and one that was
    /// idle before.
    pub(crate) beam: Option<[Dropped; 2]>,
}

/// The target live rate; catching up should be a multiple of it.
const LIVE: f64 = 10_000.0;
const MIB: f64 = (1 << 20) as f64;

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let course = &self.course;
        let seconds = course.counted.saturating_sub(course.first).as_secs_f64();
        let rate = course.events as f64 / seconds.max(0.001);
        writeln!(f, "{:>12}  records in the backlog, {} in the end", self.backlog, self.written)?;
        writeln!(
            f,
            "{rate:>12.0}  events/s while catching up: {:.1} times 10,000 a second ({seconds:.1} s)",
            rate / LIVE
        )?;
        if let Some((at, remaining)) = &course.announced {
            writeln!(
                f,
                "{remaining:>12}  announced in the log after {:.0} s, until new events are served",
                at.as_secs_f64()
            )?;
        }
        if let Some(caught_up) = course.caught_up {
            writeln!(f, "{:>12.1}  s until the log reports that it has caught up", caught_up.as_secs_f64())?;
        }
        if let Some(served) = course.served {
            writeln!(f, "{:>12.1}  s until a window of new events was in the table", served.as_secs_f64())?;
        }
        writeln!(f, "{:>12.0}  MiB of live state at most", course.state_bytes as f64 / MIB)?;
        writeln!(f, "{:>12.0}  MiB resident at most", self.peak as f64 / MIB)?;
        writeln!(f, "{:>12}  rows, each fired once and on time, each equal to the recount", self.rows)?;
        writeln!(f, "{:>12}  late", 0)?;
        for (dropped, reader) in
            self.beam.iter().flatten().zip(["began with the backlog", "was idle for a minute before"])
        {
            writeln!(
                f,
                "{:>12}  would be dropped by Beam's rule in a reader that {reader} ({:.1} %); {} more from some windows",
                dropped.everywhere,
                100.0 * dropped.everywhere as f64 / dropped.read.max(1) as f64,
                dropped.somewhere - dropped.everywhere
            )?;
        }
        Ok(())
    }
}
