//! The plan of a replay, from command line and configuration. Opens only the keyring.

use std::{
    fs::Metadata,
    os::unix::fs::MetadataExt as _,
    path::{Path, PathBuf},
    sync::Arc,
};

use connector::{
    anonymise::{Anonymiser, KeyRule},
    decode::Decoder,
};
use event::{EventTime, EventsSettings};
use flow::{Flow, TimeKind};
use kafka::KafkaConfig;
use writer::WriterConfig;

use super::{Args, tables::PIPELINE};
use crate::{
    config::{Config, ConfigError, Declared},
    errors::WrongUsage,
};

/// A replay.
pub(super) struct Plan {
    pub(super) source: Source,
    pub(super) rules: Rules,
    pub(super) flows: Vec<Flow>,
    pub(super) output: Target,
    /// Number of threads that read and count.
    pub(super) threads: usize,
}

/// The processing of events.
pub(super) struct Rules {
    pub(super) events: EventsSettings,
    pub(super) flows: Vec<Flow>,
    /// Unwraps the envelopes of lines of files.
    pub(super) line_decoder: Decoder,
    /// `None` if the events are already pseudonymised or are not to be.
    pub(super) anonymiser: Option<Anonymiser>,
    /// The tags that the schemas of files must have.
    pub(super) tags: Vec<Arc<str>>,
    /// The error if there are tags and a file has no schema.
    pub(super) without_schema: Option<ConfigError>,
    pub(super) only_final: bool,
}

/// The source of the events.
pub(super) enum Source {
    Files(Vec<Place>),
    Kafka(Box<Span>),
}

/// One file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Place {
    /// Empty without a topic.
    pub(super) topic: String,
    pub(super) path: PathBuf,
}

/// A range of the Kafka topics.
pub(super) struct Span {
    pub(super) kafka: KafkaConfig,
    pub(super) formats: Declared,
    /// Whether keys are used.
    pub(super) has_keys: bool,
    pub(super) from: Option<EventTime>,
    pub(super) to: Option<EventTime>,
}

/// Where rows go.
#[derive(Debug)]
pub(super) enum Target {
    /// Lines of JSON; `-` is standard output.
    Lines(PathBuf),
    /// An SQLite file of the replay.
    Database(PathBuf),
    /// The configured tables.
    Tables(Box<WriterConfig>),
}

impl Plan {
    pub(super) fn make(args: &Args, config: &Config) -> anyhow::Result<Self> {
        let mut rules = Rules::make(config, args.kafka, !args.anonymised, args.only_final)?;
        let output = Target::choose(&args.output, config)?;
        if args.replace && !matches!(output, Target::Database(_)) {
            let text =
                "--replace has an effect only with an SQLite file, such as --output rates.db; remove it";
            return Err(WrongUsage(text.to_owned()).into());
        }
        let source = if args.kafka {
            let has_keys =
                rules.anonymiser.as_ref().is_some_and(|anonymiser| anonymiser.key_rule() != KeyRule::Drop);
            Source::Kafka(Box::new(Span::make(args, config, has_keys)?))
        } else {
            if args.from.is_some() || args.to.is_some() {
                let text = "--from and --to require --kafka".to_owned();
                return Err(WrongUsage(text).into());
            }
            let places = places(&args.files)?;
            refuse_own_input(&args.output, &places, config, rules.anonymiser.is_some())?;
            rules.read_lines_of(&places, config)?;
            Source::Files(places)
        };
        if let Target::Database(path) = &output
            && !args.replace
        {
            refuse_database_of_others(path)?;
        }
        let threads = args.threads.map_or_else(default_threads, usize::from);
        let flows = rules.flows.clone();
        Ok(Self { source, rules, flows, output, threads })
    }
}

impl Rules {
    /// The rules of a configuration. With `is_raw`, events are anonymised if `[anonymise]` is configured.
    pub(super) fn make(
        config: &Config,
        from_kafka: bool,
        is_raw: bool,
        only_final: bool,
    ) -> Result<Self, ConfigError> {
        let (events, flows) = (config.events()?, config.flows()?);
        replayable(&flows, from_kafka).map_err(|(key, text)| config.error_at(&key, text))?;
        config.tables_of(&flows)?;
        config.check_across(&flows)?;
        let is_anonymised = is_raw && config.settings().has("anonymise");
        let (anonymiser, tags) = if is_anonymised {
            (Some(config.checked_anonymiser()?), config.anonymise()?.pseudonymise.tags)
        } else {
            (None, Vec::new())
        };
        let without_schema = if is_anonymised { config.refuse_tags().err() } else { None };
        Ok(Self {
            events,
            flows,
            line_decoder: Decoder::default(),
            anonymiser,
            tags,
            without_schema,
            only_final,
        })
    }

    /// Unwraps the envelopes of these files.
    pub(super) fn read_lines_of(&mut self, places: &[Place], config: &Config) -> Result<(), ConfigError> {
        if self.anonymiser.is_some() {
            self.line_decoder = decoder_of(places, config)?;
        }
        Ok(())
    }
}

/// The decoder of lines of files, only some of which may name their topic.
fn decoder_of(places: &[Place], config: &Config) -> Result<Decoder, ConfigError> {
    if places.iter().all(|place| place.topic.is_empty()) {
        return Ok(Decoder::default());
    }
    config.lines_of_topics()
}

/// The output must not replace an input, by any path.
fn refuse_own_input(
    output: &Path,
    places: &[Place],
    config: &Config,
    is_anonymised: bool,
) -> anyhow::Result<()> {
    let Some(target) = regular_file(output) else { return Ok(()) };
    let is_target = |path: &Path| regular_file(path) == Some(target);
    let keyring = if is_anonymised { Some(config.keyring_path()?) } else { None };
    let what = if let Some(place) = places.iter().find(|place| is_target(&place.path)) {
        format!("the input {}", place.path.display())
    } else if is_target(config.settings().path()) {
        "the configuration".to_owned()
    } else if keyring.is_some_and(|path| is_target(&path)) {
        "the keyring".to_owned()
    } else {
        return Ok(());
    };
    let output = output.display();
    Err(WrongUsage(format!("--output {output} would replace {what}; choose another file")).into())
}

/// The device and number of a regular file, whatever links lead to it.
fn regular_file(path: &Path) -> Option<(u64, u64)> {
    let metadata = path.metadata().ok().filter(Metadata::is_file)?;
    Some((metadata.dev(), metadata.ino()))
}

/// A file that a replay of these flows created may be replaced. The tables of a processor look the same; only
/// the record of their pipeline distinguishes them.
fn refuse_database_of_others(path: &Path) -> Result<(), WrongUsage> {
    let Ok(metadata) = path.metadata() else { return Ok(()) };
    if metadata.len() == 0 {
        return Ok(());
    }
    let owners = writer::pipelines(path).unwrap_or_default();
    if !owners.is_empty() && owners.iter().all(|owner| owner == PIPELINE) {
        return Ok(());
    }
    let path = path.display();
    let whose = match owners.iter().find(|owner| *owner != PIPELINE) {
        Some(owner) => format!("belongs to a pipeline ({owner})"),
        None => "was not created by a replay".to_owned(),
    };
    Err(WrongUsage(format!("--output {path} exists and {whose}; choose another file, or add --replace")))
}

/// Counting uses one thread, which can use at most three reading threads.
fn default_threads() -> usize {
    std::thread::available_parallelism().map_or(1, |cores| cores.get().min(4))
}

/// The flow with a kind of time that the source does not have.
fn replayable(flows: &[Flow], kafka: bool) -> Result<(), (String, &'static str)> {
    for (n, flow) in flows.iter().enumerate() {
        let text = match flow.time {
            TimeKind::Processing => {
                "a flow with time = \"processing\" cannot be replayed, because the time at which Pub/Sub received an event is not stored; use a configuration without it"
            }
            TimeKind::Kafka if !kafka => {
                "a flow with time = \"kafka\" cannot be replayed from files, which have no Kafka timestamps; use --kafka, or a configuration without this flow"
            }
            TimeKind::Kafka | TimeKind::Event => continue,
        };
        return Err((format!("flows[{n}].time"), text));
    }
    Ok(())
}

fn places(files: &[PathBuf]) -> Result<Vec<Place>, WrongUsage> {
    let places: Vec<Place> = files.iter().map(|file| Place::parse(file)).collect();
    if places.iter().filter(|place| place.path == Path::new("-")).count() > 1 {
        return Err(WrongUsage("- (standard input) can be given only once".to_owned()));
    }
    Ok(places)
}

impl Place {
    /// `FILE`, or `TOPIC=FILE` if no file has that whole name.
    fn parse(argument: &Path) -> Self {
        let whole = || Self { topic: String::new(), path: argument.to_owned() };
        let Some((topic, path)) = argument.to_str().and_then(|text| text.split_once('=')) else {
            return whole();
        };
        let is_topic =
            !topic.is_empty() && topic.bytes().all(|b| b.is_ascii_alphanumeric() || b"._-".contains(&b));
        if !is_topic || path.is_empty() || argument.exists() {
            return whole();
        }
        Self { topic: topic.to_owned(), path: path.into() }
    }
}

impl Span {
    fn make(args: &Args, config: &Config, has_keys: bool) -> anyhow::Result<Self> {
        if let (Some(from), Some(to)) = (args.from, args.to)
            && from >= to
        {
            let text = format!("--from {from} is not before --to {to}; correct one of them");
            return Err(WrongUsage(text).into());
        }
        let kafka = config.kafka()?;
        let formats = config.formats(&kafka)?;
        Ok(Self { kafka, formats, has_keys, from: args.from, to: args.to })
    }
}

impl Target {
    fn choose(output: &Path, config: &Config) -> anyhow::Result<Self> {
        if output == Path::new("bigquery") {
            return Self::bigquery(None, config);
        }
        if let Some(name) = output.to_str().and_then(|output| output.strip_prefix("bigquery:")) {
            return Self::bigquery(Some(name), config);
        }
        match Kind::of(output) {
            Kind::Database => Ok(Self::Database(output.to_owned())),
            Kind::Lines => Ok(Self::Lines(output.to_owned())),
            Kind::Other => Err(WrongUsage(format!(
                "--output {}: rows cannot be written in this format; choose a file for JSON lines (.ndjson, .jsonl or .json, \
                 compressed with .gz or .zst), an SQLite file (.db, .sqlite or .sqlite3), or bigquery",
                output.display()
            ))
            .into()),
        }
    }
}

impl Target {
    /// The tables of the writer with this name, or of the only one for BigQuery.
    fn bigquery(name: Option<&str>, config: &Config) -> anyhow::Result<Self> {
        let mut writers = config.writers()?;
        let key = if config.settings().has("writers") { "writers" } else { "writer.kind" };
        writers.retain(|writer| matches!(writer.config, WriterConfig::BigQuery(_)));
        if writers.is_empty() {
            let text =
                "is not \"bigquery\", which --output bigquery requires; change it, or give --output a file";
            return Err(config.error_at(key, text).into());
        }
        let names: Vec<String> = writers.iter().map(|writer| format!("bigquery:{}", writer.name)).collect();
        writers.retain(|writer| name.is_none_or(|name| *writer.name == *name));
        match (writers.pop(), writers.is_empty()) {
            (Some(writer), true) => Ok(Self::Tables(Box::new(writer.config))),
            _ => Err(WrongUsage(format!("--output must name one writer: {}", names.join(" or "))).into()),
        }
    }
}

/// The format that the name of a file implies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Lines,
    Database,
    /// A format in which rows are not written.
    Other,
}

/// Extensions of other formats for rows. With one of them, JSON lines would be a surprise.
const OTHER_FORMATS: [&str; 14] = [
    "arrow", "avro", "bz2", "csv", "duckdb", "feather", "orc", "parquet", "tsv", "xls", "xlsx", "xml",
    "yaml", "zip",
];

impl Kind {
    fn of(path: &Path) -> Self {
        let extension = |path: &Path| path.extension().and_then(|e| e.to_str()).map(str::to_lowercase);
        let is_database = |extension: &str| matches!(extension, "db" | "sqlite" | "sqlite3");
        let outer = extension(path).unwrap_or_default();
        let is_compressed = matches!(&*outer, "gz" | "zst");
        let inner = if is_compressed { path.file_stem().map(Path::new).and_then(extension) } else { None };
        let inner = inner.unwrap_or(outer);
        match &*inner {
            inner if is_database(inner) => {
                if is_compressed {
                    Self::Other
                } else {
                    Self::Database
                }
            }
            inner if OTHER_FORMATS.contains(&inner) => Self::Other,
            _ => Self::Lines,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_name_of_the_output_chooses_its_format() {
        for (name, kind) in [
            ("-", Kind::Lines),
            ("rows", Kind::Lines),
            ("rows.ndjson", Kind::Lines),
            ("rows.json.gz", Kind::Lines),
            ("rows.gz", Kind::Lines),
            ("2026.11.zst", Kind::Lines),
            ("a.parquet/rows", Kind::Lines),
            ("rows.db", Kind::Database),
            ("rows.SQLITE", Kind::Database),
            ("rows.db.gz", Kind::Other),
            ("rows.parquet", Kind::Other),
            ("rows.CSV", Kind::Other),
            ("rows.csv.zst", Kind::Other),
            ("rows.avro", Kind::Other),
        ] {
            assert_eq!(Kind::of(Path::new(name)), kind, "{name}");
        }
    }

    #[test]
    fn a_topic_prefixes_its_file() {
        let folder = tempfile::tempdir().expect("a folder");
        let odd = folder.path().join("a=b");
        std::fs::write(&odd, "").expect("room");
        let plain = odd.to_str().expect("text");
        for (argument, topic, path) in [
            ("clicks=c.ndjson", "clicks", "c.ndjson"),
            ("clicks=-", "clicks", "-"),
            ("a.b_c-d=x=y", "a.b_c-d", "x=y"),
            ("c.ndjson", "", "c.ndjson"),
            ("./c=d", "", "./c=d"),
            ("=d", "", "=d"),
            ("c=", "", "c="),
            (plain, "", plain),
        ] {
            let expected = Place { topic: topic.to_owned(), path: path.into() };
            assert_eq!(Place::parse(Path::new(argument)), expected, "{argument}");
        }
    }
}
