//! The outside view of a pipeline: a real Prometheus, readiness, and logs.

use std::{collections::BTreeSet, fs};

use anyhow::{Context as _, Result, ensure};
use serde_json::Value;
use tests::{
    formats::registry,
    pipe::{PROJECT, Pipe},
    process::Process,
    prometheus::{Prometheus, encoded, shipped},
    proxy::Proxy,
    services,
    traffic::Traffic,
    wait,
};

use crate::{brought_to_an_end, formats, prepared, produced};

/// A row of `docs/metrics.md`, which another test compares with the code.
struct Described {
    name: String,
    labels: BTreeSet<String>,
    kind: String,
    help: String,
}

impl Described {
    fn all() -> Result<Vec<Self>> {
        let text = fs::read_to_string(shipped("../docs/metrics.md")?)?;
        let line = |line: &str| {
            let cells: Vec<&str> = line.split('|').map(str::trim).collect();
            let name = cells.get(1)?.strip_prefix('`')?.strip_suffix('`')?.to_owned();
            let labels = cells.get(2)?.split(", ").map(|label| label.trim_matches('`').to_owned());
            let labels = labels.filter(|label| !label.is_empty()).collect();
            Some(Self { name, labels, kind: cells.get(3)?.to_string(), help: cells.get(5)?.to_string() })
        };
        Ok(text.lines().filter_map(line).collect())
    }

    /// The name of its samples.
    fn series(&self) -> String {
        if self.kind == "histogram" { format!("{}_bucket", self.name) } else { self.name.clone() }
    }

    /// The name of its metric family.
    fn family(&self) -> &str {
        self.name.strip_suffix("_total").unwrap_or(&self.name)
    }

    /// The difference between it and Prometheus, if any.
    fn complaint(&self, prometheus: &Prometheus) -> Result<Option<String>> {
        let series = self.series();
        let found = prometheus.get(&format!("/api/v1/series?match[]={}", encoded(&series)))?;
        let found = found.as_array().context("a list of series")?;
        if found.is_empty() {
            return Ok(Some(format!("{series} is not exposed")));
        }
        for one in found {
            let beside = ["__name__", "instance", "job", "le"];
            let labels = one.as_object().context("labels")?.keys();
            let labels: BTreeSet<String> =
                labels.filter(|l| !beside.contains(&l.as_str())).cloned().collect();
            ensure!(labels == self.labels, "{series} has the labels {labels:?}, not {:?}", self.labels);
        }
        let reported = prometheus.get(&format!("/api/v1/metadata?metric={}", self.family()))?;
        let Some(reported) = reported[self.family()].get(0) else {
            return Ok(Some(format!("{} has no metadata", self.family())));
        };
        ensure!(reported["type"] == self.kind.as_str(), "{}: {reported}", self.name);
        // The encoder appends a full stop.
        ensure!(reported["help"].as_str() == Some(&format!("{}.", self.help)), "{}: {reported}", self.name);
        Ok(None)
    }
}

/// All queries of the dashboard, as Grafana sends them.
fn dashboard() -> Result<Vec<String>> {
    let dashboard: Value = serde_json::from_str(&fs::read_to_string(shipped("grafana/aqueduct.json")?)?)?;
    let panels = dashboard["panels"].as_array().context("panels")?;
    let targets = panels.iter().filter_map(|panel| panel["targets"].as_array()).flatten();
    let query = |target: &Value| {
        let query = target["expr"].as_str()?;
        Some(query.replace("$__rate_interval", "5s").replace("$flow", ".*"))
    };
    let queries: Vec<String> = targets.filter_map(query).collect();
    ensure!(queries.len() > 40 && queries.iter().all(|query| !query.contains('$')), "{queries:?}");
    Ok(queries)
}

/// A Connect worker whose connector waits for its topic.
fn connect_worker(pipe: &Pipe) -> Result<Process> {
    let worker = format!(
        "bootstrap.servers={}\nlisteners=http://127.0.0.1:0\n\
         key.converter=org.apache.kafka.connect.storage.StringConverter\n\
         value.converter=org.apache.kafka.connect.converters.ByteArrayConverter\n",
        services::address(services::KAFKA)?
    );
    let sink = format!(
        "name=sink\nconnector.class=com.google.pubsub.kafka.sink.CloudPubSubSinkConnector\ntopics={}-none\n\
         cps.project={PROJECT}\ncps.topic={}\ncps.useEmulator=true\ncps.endpoint={}\naqueduct.forward=all\n",
        pipe.name(),
        pipe.name(),
        services::address(services::PUBSUB)?
    );
    pipe.write("worker.properties", &worker)?;
    pipe.write("sink.properties", &sink)?;
    pipe.start(&["connect", "worker.properties", "sink.properties"])
}

#[test]
fn the_dashboard_uses_exposed_metrics() -> Result<()> {
    let pipe = prepared("watched", 2)?;
    let (_, recount) = produced(&pipe, Traffic::new(3_000, 2).with_trouble())?;
    let mut processor = pipe.start(&["processor"])?;
    processor.says("this processor holds the state")?;
    let mut standby = pipe.start(&["processor"])?;
    let mut connector = pipe.start(&["connector"])?;
    // The metrics of a schema registry.
    let with_registry = formats::pipe("watched-formats", &services::address(services::SCHEMA_REGISTRY)?)?;
    formats::Topics::new(&with_registry, 1, &registry()?)?.produce(&mut formats::traffic(10, 1), 10)?;
    let mut decoding = with_registry.start(&["connector"])?;
    let mut connect = connect_worker(&pipe)?;
    let targets = [&mut connector, &mut processor, &mut standby, &mut decoding, &mut connect];
    let targets: Vec<String> = targets.into_iter().map(Process::address).collect::<Result<_>>()?;
    let prometheus = Prometheus::start(&targets)?;

    let described = Described::all()?;
    ensure!(described.len() > 50, "docs/metrics.md describes {} metrics", described.len());
    wait::until_right("every metric to be scraped", || {
        let complaints = described.iter().map(|one| one.complaint(&prometheus));
        Ok(complaints.collect::<Result<Vec<_>>>()?.into_iter().flatten().next())
    })?;
    let names = prometheus.get("/api/v1/label/__name__/values")?;
    for name in names.as_array().context("names")?.iter().filter_map(Value::as_str) {
        let is_described = described.iter().any(|one| {
            let of_histogram = name.strip_prefix(one.name.as_str()).unwrap_or("?");
            ["", "_bucket", "_sum", "_count"].contains(&of_histogram)
        });
        let is_ours = name.starts_with("aqueduct_") || name.starts_with("process_");
        ensure!(is_described || !is_ours, "{name} is exposed and not described");
    }

    let queries = dashboard()?;
    wait::until_right("every query of the dashboard to give something", || {
        for query in &queries {
            if prometheus.query(query)?.is_empty() {
                return Ok(Some(query.clone()));
            }
        }
        Ok(None)
    })?;

    // The produced records as Prometheus samples.
    let sum = format!("sum(aqueduct_processor_events_total) == {}", recount.total());
    wait::until("every record to be accounted for in Prometheus", || {
        Ok((!prometheus.query(&sum)?.is_empty()).then_some(()))
    })?;
    let rules = prometheus.get("/api/v1/rules")?;
    let rules = rules["groups"][0]["rules"].as_array().context("rules")?.clone();
    ensure!(rules.len() >= 15, "{} rules are loaded", rules.len());
    for rule in rules {
        ensure!(rule["health"] == "ok" && rule["state"] != "firing", "{rule}\n{}", prometheus.log());
    }

    let ready = standby.get("/readyz")?;
    ensure!(ready.contains("standing by"), "a standby is not ready: {ready}");
    standby.stop()?;
    decoding.stop()?;
    brought_to_an_end(&pipe, &recount, &mut connector, &mut processor).map(drop)
}

/// Waits until it is not ready with this reason.
fn is_unready(process: &mut Process, reason: &str) -> Result<()> {
    wait::until_right(reason, || match process.get("/readyz") {
        Ok(ready) => Ok(Some(ready)),
        Err(error) => {
            let answer = format!("{error:#}");
            Ok((!answer.contains("503") || !answer.contains(reason)).then_some(answer))
        }
    })
}

/// Waits until it is ready.
fn is_ready(process: &mut Process) -> Result<()> {
    wait::until_right("being ready", || Ok(process.get("/readyz").err().map(|error| format!("{error:#}"))))
}

#[test]
fn without_pubsub_processes_live_but_are_unready() -> Result<()> {
    let mut pipe = prepared("unready", 1)?;
    let (_, recount) = produced(&pipe, Traffic::new(500, 1))?;
    let pubsub = Proxy::closed(&services::address(services::PUBSUB)?)?;
    pubsub.open()?;
    pipe.set("pubsub.emulator_host", pubsub.address());
    let mut processor = pipe.start(&["processor"])?;
    let mut connector = pipe.start(&["connector"])?;
    for process in [&mut connector, &mut processor] {
        is_ready(process)?;
    }
    pubsub.close();
    is_unready(&mut connector, "no response from Pub/Sub")?;
    is_unready(&mut processor, "Pub/Sub is unreachable")?;
    for process in [&mut connector, &mut processor] {
        assert_eq!(process.get("/healthz")?, "ok\n");
    }
    let page = connector.get("/metrics")?;
    ensure!(page.contains("aqueduct_ready{condition=\"pubsub\"} 0"), "{page}");
    pubsub.open()?;
    for process in [&mut connector, &mut processor] {
        is_ready(process)?;
    }
    brought_to_an_end(&pipe, &recount, &mut connector, &mut processor).map(drop)
}

#[test]
fn the_log_has_start_progress_and_totals() -> Result<()> {
    let pipe = prepared("log", 1)?;
    let (_, recount) = produced(&pipe, Traffic::new(500, 1).with_trouble())?;
    let mut processor = pipe.start(&["processor"])?;
    let mut connector = pipe.start(&["connector"])?;
    connector.says("connector starting")?;
    processor.says("processor starting")?;
    assert_eq!(processor.get("/log")?, "info\n");
    ensure!(!processor.err().contains("DEBUG"), "{}", processor.err());
    assert_eq!(processor.put("/log?filter=info,processor=debug")?, "info,processor=debug\n");
    processor.says("checkpoint durable")?;
    let refused = format!("{:#}", processor.put("/log?filter=h2=trace").err().context("a refusal")?);
    ensure!(refused.contains("third-party"), "{refused}");
    assert_eq!(processor.put("/log?filter=info")?, "info\n");
    brought_to_an_end(&pipe, &recount, &mut connector, &mut processor)?;
    let last = |process: &Process, text: &str| -> Result<String> {
        let err = process.err();
        let line = err.lines().rfind(|line| line.contains(text));
        Ok(line.with_context(|| format!("{text:?} is not in\n{err}"))?.to_owned())
    };
    let records = format!("records={}", recount.total());
    let line = last(&connector, "connector ended")?;
    ensure!(line.contains(&records) && line.contains("rejected="), "{line}");
    let line = last(&processor, "totals since start")?;
    ensure!(line.contains("box_ctr: watermark") && line.contains("counted"), "{line}");
    let line = last(&processor, "stopped; the state contains the open windows")?;
    ensure!(line.contains("rows=") && line.contains("checkpoints="), "{line}");
    Ok(())
}
