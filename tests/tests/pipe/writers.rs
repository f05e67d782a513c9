//! Several writers: each has all rows, and one that is down holds up no other.

use anyhow::{Result, ensure};
use tests::{
    bigquery::StandIn,
    kafka::create_topic,
    pipe::{PROJECT, Pipe},
    proxy::Proxy,
    pubsub::Onlooker,
    recount::recount,
    rows::{Database, Rows as _, difference, finals},
    wait,
};

use crate::{processors_killed, results::Reader, until_written};

/// A pipeline that writes to SQLite, to BigQuery at an address, and to a topic.
fn with_three_writers(test: &str, bigquery: &str) -> Result<(Pipe, String)> {
    let pipe = Pipe::new(test)?;
    let topic = format!("{}-results", pipe.name());
    let writers = format!(
        "[[writers]]\nkind = \"sqlite\"\npath = \"rows.db\"\n\n\
         [[writers]]\nkind = \"bigquery\"\nname = \"reports\"\nmode = \"upsert\"\nproject = \"{PROJECT}\"\ndataset = \"{}\"\n\
         location = \"EU\"\nrest_endpoint = \"http://{bigquery}\"\ngrpc_endpoint = \"http://{bigquery}\"\n\n\
         [[writers]]\nkind = \"pubsub\"\ntopic = {topic:?}\n",
        pipe.dataset()
    );
    pipe.edit("[writer]\nkind = \"sqlite\"\npath = \"rows.db\"\n", &writers)?;
    pipe.edit("allowed_lateness = \"2h\"", "allowed_lateness = \"2h\"\nearly = \"1s\"")?;
    // Messages of a killed processor are redelivered when their lease ends; a cold start must not end before.
    pipe.edit("cold_start = \"2s\"", "cold_start = \"20s\"")?;
    create_topic(pipe.name(), 3, &[])?;
    Ok((pipe, topic))
}

#[test]
fn a_writer_that_is_down_holds_up_no_other() -> Result<()> {
    let standin = StandIn::start()?;
    let door = Proxy::closed(standin.url().trim_start_matches("http://"))?;
    let (pipe, topic) = with_three_writers("writers", door.address())?;
    door.open()?;
    let setup = pipe.run_well(&["setup"])?;
    for line in ["sqlite: table box_ctr: created", "reports: table box_ctr: created", "pubsub: topic "] {
        ensure!(setup.out.contains(line), "{}", setup.out);
    }
    pipe.run_well(&["check"])?;
    let onlooker = Onlooker::ordered(&topic)?;
    // Down from the first start on, while processors are killed.
    door.close();
    let (mut connector, produced) = processors_killed(&pipe)?;
    let recount = recount(&produced)?;
    let mut processor = pipe.start(&["processor"])?;
    let database = Database::open(&pipe.path("rows.db"))?;
    let mut reader = Reader::default();
    wait::until_right("the rows of SQLite and of the topic", || {
        onlooker.some()?.iter().try_for_each(|message| reader.add(message))?;
        let found = difference(&finals(&database.rows()?)?, &recount.counts);
        Ok(found.or(difference(&finals(&reader.rows()?)?, &recount.counts)))
    })?;
    let dataset = standin.dataset(pipe.dataset());
    ensure!(dataset.rows()?.is_empty(), "BigQuery was down");
    let pending = |processor: &mut tests::process::Process, writer: &str| {
        processor.metric("aqueduct_processor_pending_requests", &format!("writer=\"{writer}\""))
    };
    ensure!(pending(&mut processor, "reports")? > 0, "rows wait for BigQuery");
    let reconcile = pipe.run(&["reconcile"])?;
    ensure!(reconcile.code == Some(1) && reconcile.out.contains("reports: "), "{}", reconcile.out);
    processor.kill()?;

    // The others have their rows; the waiting ones are in the state.
    let mut processor = pipe.start(&["processor"])?;
    door.open()?;
    wait::until_right("the rows of BigQuery", || {
        let mut rows = dataset.rows()?;
        rows.iter_mut().for_each(|row| row.index = 0);
        Ok(difference(&finals(&rows)?, &recount.counts))
    })?;
    connector.stop()?;
    until_written(&mut processor, &recount)?;
    processor.stop()?;
    wait::until_right("the last messages", || {
        onlooker.some()?.iter().try_for_each(|message| reader.add(message))?;
        Ok(reader.gap())
    })?;
    assert_eq!(difference(&finals(&database.rows()?)?, &recount.counts), None);
    assert_eq!(difference(&finals(&reader.rows()?)?, &recount.counts), None);
    assert_eq!(database.dead_letters()?, produced.dead_letters());
    assert_eq!(reader.dead_letters()?, produced.dead_letters());
    let letters = dataset.table("dead_letters");
    let found = dataset.number(&format!("select count(*) from {letters}"))?;
    assert_eq!(found, produced.dead_letters().len() as u64);
    Ok(())
}

#[test]
fn a_list_of_writers_is_checked() -> Result<()> {
    let (pipe, _) = with_three_writers("list-of-writers", "localhost:1")?;
    let check = |before: &str, after: &str, key: &str| -> Result<()> {
        pipe.edit(before, after)?;
        let refused = pipe.run(&["processor"])?;
        ensure!(refused.code == Some(2), "{after}: {:?} {}", refused.code, refused.err);
        ensure!(
            refused.err.contains(key) && refused.err.contains("aqueduct.toml:"),
            "{after}: {}",
            refused.err
        );
        pipe.edit(after, before)
    };
    check("kind = \"pubsub\"\n", "kind = \"pubsub\"\nname = \"reports\"\n", "writers[2].name")?;
    check("name = \"reports\"", "name = \"re ports\"", "writers[1].name")?;
    check("[state]\n", "[writer]\nkind = \"sqlite\"\npath = \"other.db\"\n[state]\n", "writers")?;
    check("location = \"EU\"\n", "# without a location\n", "writers[1].location")?;
    let twice = "[[writers]]\nkind = \"sqlite\"\nname = \"again\"\npath = \"./rows.db\"\n[state]\n";
    check("[state]\n", twice, "writers[3]")
}
