//! `aqueduct setup`: creates missing topics, subscriptions, tables and views, and changes no existing data.

use std::process::ExitCode;

use flow::row::FlowTable;
use processor::store::Store;
use pubsub::{Connection, PubSubSettings, admin};
use writer::{Claim, Writer, WriterConfig};

use crate::{commands::processor::pipeline, config::Config, global::Global, output::say, runtime};

/// The options of `setup`.
#[derive(Clone, Debug, clap::Args)]
pub(crate) struct Args {
    /// Show what would be created, and create nothing
    #[arg(long)]
    dry_run: bool,
    /// Take over existing tables from another pipeline, for example after the state was moved
    #[arg(long, conflicts_with = "dry_run")]
    adopt: bool,
}

/// Shown by `--help`.
pub(crate) const EXAMPLE: &str = "\
Example: preview, then create
  aqueduct setup --dry-run
  aqueduct setup

Creates the topics and subscriptions of [pubsub], if configured, and the tables and views of [writer], or of each of [[writers]], for each of [[flows]]. Can be run again: existing resources are left unchanged, and differences are reported. A table belongs to the pipeline that writes to it, identified by the location of its [state]; --adopt transfers it to this pipeline.";

/// Creates what the configuration needs.
///
/// # Errors
/// The configuration is invalid or has nothing to set up, or a service rejects a request or does not respond.
pub(crate) fn run(args: &Args, global: &Global) -> anyhow::Result<ExitCode> {
    let config = global.config()?;
    let pubsub = if config.settings().has("pubsub") { Some(config.pubsub()?) } else { None };
    let tables = if config.has_writers() { Some((config.writers()?, config.tables()?)) } else { None };
    if pubsub.is_none() && tables.is_none() {
        return Err(config
            .error_at("pubsub", "nothing to set up: configure [pubsub], or [writer] or [[writers]]")
            .into());
    }
    global.start_logging()?;
    runtime::run(|_| async {
        if let Some(pubsub) = &pubsub {
            set_up_pubsub(&config, pubsub, args.dry_run).await?;
        }
        if let Some((writers, tables)) = &tables {
            for writer in writers {
                // Two writers may have tables of the same names.
                let of = if writers.len() > 1 { format!("{}: ", writer.name) } else { String::new() };
                set_up_tables(&of, &writer.config, tables, args.dry_run).await?;
                if !args.dry_run {
                    claim(&of, &config, &writer.config, (tables, args.adopt)).await?;
                }
            }
        }
        Ok(ExitCode::SUCCESS)
    })
}

async fn set_up_pubsub(config: &Config, pubsub: &PubSubSettings, dry_run: bool) -> anyhow::Result<()> {
    let endpoint = config.pubsub_endpoint(pubsub)?;
    let steps = admin::plan(pubsub);
    if dry_run {
        return steps.iter().try_for_each(|step| say(format_args!("would create if missing: {step}")));
    }
    let connection = Connection::open(endpoint).await?;
    // One by one, so that each line is printed before the next step can fail.
    for step in steps {
        for (step, outcome) in admin::apply(&connection, vec![step]).await? {
            say(format_args!("{step}: {outcome}"))?;
        }
    }
    Ok(())
}

/// `of` begins each line.
async fn set_up_tables(
    of: &str,
    writer: &WriterConfig,
    tables: &[FlowTable],
    dry_run: bool,
) -> anyhow::Result<()> {
    let steps = Writer::setup(writer, tables, dry_run).await?;
    steps.iter().try_for_each(|step| say(format_args!("{of}{step}")))
}

/// Records the pipeline of the tables, because a processor may lack the permission. The path of a folder
/// differs between machines, so only a bucket identifies a pipeline here; otherwise the processor records it.
async fn claim(
    of: &str,
    config: &Config,
    writer: &WriterConfig,
    (tables, adopt): (&[FlowTable], bool),
) -> anyhow::Result<()> {
    if let WriterConfig::PubSub(topic) = writer {
        // Two pipelines may publish to one topic, because their streams differ.
        let nothing = format_args!("{of}topic {}: has no owner; nothing to take over", topic.topic.full());
        return if adopt { say(nothing) } else { Ok(()) };
    }
    let state = config.state()?;
    if !adopt && !state.checkpoints.starts_with("gs://") {
        return Ok(());
    }
    let pipeline = pipeline(&Store::open(&state.checkpoints, config.settings().dir())?);
    let database = Writer::connect(writer, tables).await?;
    database.claim(&pipeline, if adopt { Claim::Adopt } else { Claim::Take }).await?;
    database.close().await?;
    say(format_args!("{of}tables of all flows, owned by {pipeline}"))
}
