//! The report of a finding: its configuration, its events, and the differences.

use std::{fs, io, path::Path};

use crate::{
    arrival::{self, Action},
    case::{Case, Content},
    check::Finding,
    settings::{Flow, Kind},
};

/// The finding as text, with everything to reproduce it.
pub fn report(finding: &Finding) -> String {
    let case = &finding.case;
    let mut text = format!("seed {}\n\n", case.seed());
    for difference in &finding.differences {
        text.push_str(&format!("  {difference}\n"));
    }
    text.push_str(&format!("\n# aqueduct.toml\n{}", case.settings.to_toml(0)));
    for edition in 1..case.settings.editions.len() {
        let flows: String = case.settings.editions[edition].iter().map(Flow::to_toml).collect();
        text.push_str(&format!("\n# edition {edition} of the flows\n{flows}"));
    }
    for (name, lines) in files(case) {
        text.push_str(&format!("\n# {name}\n{lines}"));
    }
    text.push_str(&format!("\n# {}\n", command(case)));
    if case.records.iter().any(|record| record.kafka_time.is_some()) {
        text.push_str("# (files have no Kafka timestamps; the case has those below)\n");
    }
    text.push_str("\n# order of arrival in the core\n");
    for action in arrival::expand(case) {
        text.push_str(&line(case, &action));
    }
    text
}

/// Writes configuration, events and report to a directory.
///
/// # Errors
/// The directory cannot be written.
pub fn save(finding: &Finding, folder: &Path) -> io::Result<()> {
    fs::create_dir_all(folder)?;
    fs::write(folder.join("aqueduct.toml"), finding.case.settings.to_toml(0))?;
    for (name, lines) in files(&finding.case) {
        fs::write(folder.join(name), lines)?;
    }
    fs::write(folder.join("report.txt"), report(finding))
}

/// Writes the configuration and the events to a directory, with the flows that files can feed: those of event time.
/// Returns whether there is such a flow.
///
/// # Errors
/// The directory cannot be written.
pub fn export(case: &Case, folder: &Path) -> io::Result<bool> {
    let flows = case.settings.flows().iter().filter(|flow| flow.time == Kind::Event).cloned();
    let flows: Vec<Flow> = flows.collect();
    if flows.is_empty() {
        return Ok(false);
    }
    // What final rows do not depend on, and a configuration may not have everywhere: early panes, which need a longer
    // window, and the distance between copies where no event has an ID.
    let has_id =
        case.settings.partitions().iter().any(|(topic, _)| case.settings.events.id_of(topic).is_some());
    let is_used = |line: &&str| !line.starts_with("early") && (has_id || !line.starts_with("id_within"));
    let config = case.settings.with_flows(&flows);
    let config: Vec<&str> = config.lines().filter(is_used).collect();
    fs::create_dir_all(folder)?;
    fs::write(folder.join("aqueduct.toml"), config.join("\n") + "\n")?;
    for (name, lines) in files(case) {
        fs::write(folder.join(name), lines)?;
    }
    Ok(true)
}

/// The files that `replay` reads, in the order of the partitions.
fn files(case: &Case) -> Vec<(String, String)> {
    let partitions = case.settings.partitions();
    let file = |(index, (topic, number)): (usize, &(&str, i32))| {
        let records = case.records.iter().filter(|record| record.partition == index);
        let lines = records.filter_map(|record| record.payload()).map(|payload| payload + "\n");
        (format!("{topic}-{number}.ndjson"), lines.collect::<String>())
    };
    partitions.iter().enumerate().map(file).collect()
}

fn command(case: &Case) -> String {
    let partitions = case.settings.partitions().into_iter();
    let files: Vec<String> =
        partitions.map(|(topic, number)| format!("{topic}={topic}-{number}.ndjson")).collect();
    format!("aqueduct replay --anonymised --final --config aqueduct.toml {}", files.join(" "))
}

fn line(case: &Case, action: &Action) -> String {
    let place = |number: &u32, offset: &u64| {
        let record = case.record(*number);
        let (topic, partition) = case.settings.partitions()[record.partition];
        format!("{topic}[{partition}]@{offset}")
    };
    match action {
        Action::Data(number, offset) => {
            let record = case.record(*number);
            let time = record.kafka_time.map_or("none".to_owned(), |time| time.to_string());
            let payload = record.payload().unwrap_or_default();
            let place = place(number, offset);
            format!("data {place} kafka.timestamp={time} published={} {payload}\n", record.publish_time)
        }
        Action::Redrive(redrive, offset) => {
            let payload = case.record(redrive.event_of).payload().unwrap_or_default();
            format!("redrive {} of {} {payload}\n", redrive.number, place(&redrive.record, offset))
        }
        Action::Mark(covered) => {
            let covered = covered.iter().map(|(number, offset)| {
                let reason = match case.record(*number).content {
                    Content::Gap(gap) => format!("{gap:?}").to_lowercase(),
                    Content::Object(_) | Content::Text(_) => "lost".to_owned(),
                };
                format!(" {}={reason}", place(number, offset))
            });
            format!("mark{}\n", covered.collect::<String>())
        }
        Action::Tick => "tick\n".to_owned(),
        Action::Save(budget) => format!("checkpoint with a part of {budget} bytes\n"),
        Action::Restore(edition) => format!("crash, restore with edition {edition} of the flows\n"),
        Action::EndOf(partition) => format!("end of partition {partition}\n"),
        Action::End => "end: every window is over\n".to_owned(),
    }
}
