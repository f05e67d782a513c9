//! The folder of `--output`: files of JSON lines in the folders `rows`, `progress` and `dead_letters`.

use std::{
    collections::{BTreeMap, HashSet},
    fs::{self, File},
    hash::{BuildHasher as _, RandomState},
    io::{BufRead as _, BufReader, ErrorKind},
    path::Path,
};

use event::{EventTime, Ledger, ledger::Outcome};
use flow::row::ProgressRow;
use serde::{Deserialize, de::DeserializeOwned};
use writer::Refusals;

use super::{Detail, Progress, Written};

#[derive(Deserialize)]
struct RowLine {
    flow: String,
}

#[derive(Deserialize)]
struct ProgressLine {
    flow: String,
    at: String,
    watermark: String,
    detail: String,
    #[serde(flatten)]
    outcomes: BTreeMap<String, u64>,
}

#[derive(Deserialize)]
struct LetterLine {
    topic: String,
    partition: i64,
    offset: u64,
    stage: String,
    reason: String,
    seen_at: String,
}

/// What the folder has. A line that occurs again counts once, because a pipeline repeats what it wrote last before it failed.
///
/// # Errors
/// A file cannot be read, or a line is not one of `engines/beam`.
pub(super) fn read(folder: &Path) -> Result<Written, String> {
    let mut written = Written::default();
    // Progress first: there may only be more rows than it knows of.
    lines(&folder.join("progress"), |line| {
        let (flow, progress) = progress(parsed(line)?)?;
        if written.progress.get(&flow).is_none_or(|known| known.row.at < progress.row.at) {
            written.progress.insert(flow, progress);
        }
        Ok(())
    })?;
    // Two hashes of each line, because a folder may have more rows than memory.
    let (mut rows, one, other) = (HashSet::new(), RandomState::new(), RandomState::new());
    lines(&folder.join("rows"), |line| {
        let RowLine { flow } = parsed(line)?;
        if rows.insert((one.hash_one(line), other.hash_one(line))) {
            *written.panes.entry(flow).or_default() += 1;
        }
        Ok(())
    })?;
    // A record that was redriven and rejected again counts by its newest line.
    let mut newest = BTreeMap::new();
    lines(&folder.join("dead_letters"), |line| {
        let LetterLine { topic, partition, offset, stage, reason, seen_at } = parsed(line)?;
        let known = newest.entry((topic, partition, offset)).or_default();
        *known = (seen_at, stage, reason).max(std::mem::take(known));
        Ok(())
    })?;
    let mut refusals = BTreeMap::<_, u64>::new();
    for ((topic, partition, _), (_, stage, reason)) in newest {
        *refusals.entry((topic, partition, stage, reason)).or_default() += 1;
    }
    let refusal =
        |((topic, partition, stage, reason), rows)| Refusals { topic, partition, stage, reason, rows };
    written.refusals = refusals.into_iter().map(refusal).collect();
    Ok(written)
}

fn progress(line: ProgressLine) -> Result<(String, Progress), String> {
    let time = |text: &str| EventTime::from_rfc3339(text).ok_or_else(|| format!("invalid time {text:?}"));
    let mut ledger = Ledger::default();
    for outcome in Outcome::ALL {
        ledger.add(outcome, line.outcomes.get(outcome.as_str()).copied().unwrap_or_default());
    }
    let row = ProgressRow { at: time(&line.at)?, watermark: time(&line.watermark)?, ledger };
    Ok((line.flow, Progress { row, detail: Detail::parse(&line.detail)? }))
}

fn parsed<T: DeserializeOwned>(line: &str) -> Result<T, String> {
    serde_json::from_str(line).map_err(|error| format!("not a line of engines/beam: {error}"))
}

/// Visits the lines of all finished files of a folder, which does not exist before the first of them.
fn lines(folder: &Path, mut visit: impl FnMut(&str) -> Result<(), String>) -> Result<(), String> {
    let failed =
        |path: &Path, error: &dyn std::fmt::Display| format!("cannot read {}: {error}", path.display());
    let files = match fs::read_dir(folder) {
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(()),
        files => files.map_err(|error| failed(folder, &error))?,
    };
    for file in files {
        let path = file.map_err(|error| failed(folder, &error))?.path();
        if path.extension().is_some_and(|extension| extension == "ndjson") {
            let lines = File::open(&path).map_err(|error| failed(&path, &error))?;
            for line in BufReader::new(lines).lines() {
                visit(&line.map_err(|error| failed(&path, &error))?)
                    .map_err(|error| failed(&path, &error))?;
            }
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    const DETAIL: &str = r#"{\"panes\":2,\"dead_letters\":1,\"accounted\":9,\"partitions\":[{\"topic\":\"t\",\"incarnation\":\"i\",\"partition\":0,\"accounted\":[[0,9]],\"lost\":[[2,3]]}]}"#;

    fn line(at: &str, counted: u64) -> String {
        format!(
            "{{\"flow\":\"f\",\"at\":\"{at}\",\"watermark\":\"2026-01-01T00:00:00.000Z\",\"counted\":{counted},\"rejected\":1,\"detail\":\"{DETAIL}\"}}\n"
        )
    }

    fn filled(files: &[(&str, &str)]) -> Result<Written, String> {
        let folder = tempfile::tempdir().expect("a folder");
        for (name, text) in files {
            let path = folder.path().join(name);
            fs::create_dir_all(path.parent().expect("a folder")).expect("room");
            fs::write(path, text).expect("room");
        }
        read(folder.path())
    }

    #[test]
    fn repetitions_count_once() {
        let letter = r#"{"topic":"t","partition":0,"offset":3,"stage":"processor","reason":"time","pointer":null,"seen_at":"2026-01-01T00:00:00.000Z"}"#;
        let again = letter.replace("time", "key").replace("00:00.000Z", "00:01.000Z");
        let (older, newer) = (line("2026-01-01T00:00:01.000Z", 4), line("2026-01-01T00:01:01.000Z", 8));
        let written = filled(&[
            ("rows/1.ndjson", "{\"flow\":\"f\",\"n\":1}\n{\"flow\":\"f\",\"n\":2}\n"),
            ("rows/2.ndjson", "{\"flow\":\"f\",\"n\":2}\n{\"flow\":\"g\",\"n\":2}\n"),
            ("rows/3.unfinished", "{\"flow\":\"f\",\"n\":3}\n{\"fl"),
            ("progress/1.ndjson", &newer),
            ("progress/2.ndjson", &older),
            ("dead_letters/1.ndjson", &format!("{again}\n{letter}\n{letter}\n")),
        ])
        .expect("all is well formed");
        assert_eq!((written.panes["f"], written.panes["g"], written.dead_letters()), (2, 1, 1));
        assert_eq!(written.refusals[0].reason, "key");
        let Progress { row, detail } = written.newest().expect("a row");
        assert_eq!((row.ledger.get(Outcome::Counted), row.ledger.total()), (8, 9));
        let track = detail.partitions[0].track();
        assert_eq!((detail.accounted, track.prefix(), track.accounted()), (9, 9, 9));
        assert!(track.lost().iter().eq(std::iter::once(2..3)), "{:?}", track.lost());
    }

    #[test]
    fn other_lines_are_errors() {
        for (file, text) in [
            ("rows/1.ndjson", "no JSON\n"),
            ("progress/1.ndjson", "{\"flow\":\"f\",\"at\":\"2026-01-01T00:00:01.000Z\"}\n"),
            ("dead_letters/1.ndjson", "{}\n"),
        ] {
            let error = filled(&[(file, text)]).expect_err("the line is wrong");
            assert!(error.contains(file), "{error}");
        }
        let empty = filled(&[]).expect("a pipeline that has just begun");
        assert!(empty.newest().is_none());
    }
}
