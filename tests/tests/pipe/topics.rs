//! Several topics and several kinds of time in one run.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::{Context as _, Result, ensure};
use jiff::Timestamp;
use rdkafka::producer::BaseRecord;
use rusqlite::{Connection, OpenFlags};
use serde_json::{Value, json};
use tests::{
    kafka::{Producer, create_topic},
    pipe::Pipe,
    process::Process,
    recount::{Key, stamp},
    wait,
};

const MINUTE: i64 = 60_000;
const SIZE: i64 = 10 * MINUTE;
const EVENTS: &str = "[events]\ntime = \"/time\"\nid = \"/event_id\"\n";

/// Views, clicks and, with a join, the views that were clicked.
type Counts = BTreeMap<Key, (u64, u64, u64)>;

/// Pseudo-random numbers (Knuth's MMIX), always the same.
struct Draws(u64);

impl Draws {
    fn below(&mut self, limit: u64) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % limit
    }

    fn millis(&mut self, limit: i64) -> i64 {
        self.below(limit.unsigned_abs()) as i64
    }

    /// Reordered: each is at most this many milliseconds from its time.
    fn disordered<T>(&mut self, events: Vec<(i64, T)>, most: i64) -> Vec<(i64, T)> {
        let mut moved: Vec<_> =
            events.into_iter().map(|event| (event.0 + self.millis(most), event)).collect();
        moved.sort_by_key(|(at, _)| *at);
        moved.into_iter().map(|(_, event)| event).collect()
    }
}

/// Half an hour that ended three quarters of an hour ago: a click is `unmatched` once the watermark is `within`, a window
/// and the allowed lateness past it.
fn start() -> i64 {
    let now = Timestamp::now().as_millisecond();
    now - now.rem_euclid(MINUTE) - 75 * MINUTE
}

/// Writes events to two partitions, with Kafka timestamps.
fn produce<'a>(topic: &str, events: impl IntoIterator<Item = (i64, &'a Value)>) -> Result<()> {
    let producer = Producer::new(topic, &[])?;
    for (n, (timestamp, event)) in events.into_iter().enumerate() {
        let value = event.to_string();
        let record: BaseRecord<'_, [u8], [u8]> =
            BaseRecord::to(topic).partition((n % 2) as i32).payload(value.as_bytes()).timestamp(timestamp);
        producer.inner().send(record).map_err(|(error, _)| error)?;
    }
    producer.flush()
}

fn windows(time: i64, size: i64, period: i64) -> impl Iterator<Item = i64> {
    let last = time - time.rem_euclid(period);
    (0..size / period).map(move |n| last - n * period)
}

/// The newest rows of a flow.
fn latest(pipe: &Pipe, flow: &str, attributed: &str) -> Result<Counts> {
    let connection = Connection::open_with_flags(pipe.path("rows.db"), OpenFlags::SQLITE_OPEN_READ_ONLY)?;
    let sql = format!("select window_start, page, box, views, clicks, {attributed} from {flow}_latest");
    let mut statement = connection.prepare(&sql)?;
    let mut rows = statement.query([])?;
    let mut counts = Counts::new();
    while let Some(row) = rows.next()? {
        let count = |index| Ok::<_, rusqlite::Error>(row.get::<_, i64>(index)?.unsigned_abs());
        let key = (row.get(0)?, row.get(1)?, row.get(2)?);
        ensure!(counts.insert(key, (count(3)?, count(4)?, count(5)?)).is_none(), "a window is duplicated");
    }
    Ok(counts)
}

/// The nonzero outcomes in the flow's last progress row.
fn ledger(pipe: &Pipe, flow: &str) -> Result<BTreeMap<String, u64>> {
    let connection = Connection::open_with_flags(pipe.path("rows.db"), OpenFlags::SQLITE_OPEN_READ_ONLY)?;
    let sql = format!("select * from {flow}_progress order by rowid desc limit 1");
    let mut statement = connection.prepare(&sql)?;
    let names: Vec<String> = statement.column_names().map(str::to_owned).collect();
    let mut rows = statement.query([])?;
    let row = rows.next()?.context("there is a line of progress")?;
    let mut ledger = BTreeMap::new();
    for (index, name) in names.into_iter().enumerate().skip(2) {
        let offsets = row.get::<_, i64>(index)?.unsigned_abs();
        if offsets > 0 {
            ledger.insert(name, offsets);
        }
    }
    Ok(ledger)
}

/// Waits until the newest rows of a flow equal these.
fn wait_for(pipe: &Pipe, flow: &str, attributed: &str, expected: &Counts) -> Result<()> {
    wait::until_right(&format!("the rows of {flow}"), || {
        let found = latest(pipe, flow, attributed)?;
        let keys: BTreeSet<&Key> = found.keys().chain(expected.keys()).collect();
        let differing: Vec<_> =
            keys.into_iter().filter(|key| found.get(*key) != expected.get(*key)).collect();
        Ok(differing.first().map(|key| {
            let (found, expected) = (found.get(*key), expected.get(*key));
            format!("{} rows differ, {key:?}: found {found:?}, expected {expected:?}", differing.len())
        }))
    })
}

fn finished(pipe: &Pipe, connector: &mut Process, processor: &mut Process) -> Result<()> {
    connector.stop()?;
    pipe.until_reconciled()?;
    processor.stop().map(drop)
}

/// A view, and a click that may be missing.
struct Shop {
    views: Vec<(i64, Value)>,
    clicks: Vec<(i64, Value)>,
}

const WITHIN: i64 = 5 * MINUTE;

impl Shop {
    fn open(draws: &mut Draws) -> Self {
        let start = start();
        let (mut views, mut clicks) = (Vec::new(), Vec::new());
        for n in 0..1_200 {
            let time = start + n * 1_500;
            // Some IDs have two views: a click belongs to the newer one that is within `WITHIN`.
            let id = if n % 10 == 9 { n - 1 } else { n };
            let (page, place) = (draws.below(4), draws.below(3));
            views.push((time, json!({
                "view_id": id, "seen": time, "page": format!("/p/{page}?q=1"), "box": format!("box-{place}"),
            })));
            for _ in 0..draws.below(3) {
                // A few clicks are too late for their view, or before it.
                let at = time - 2_000 + draws.millis(WITHIN + 40_000);
                clicks.push((at, json!({ "view": id, "at": stamp(at).expect("this year") })));
            }
            if n % 40 == 0 {
                clicks.push((
                    time,
                    json!({ "view": format!("unknown-{n}"), "at": stamp(time).expect("this year") }),
                ));
            }
        }
        clicks.sort_by_key(|(at, _)| *at);
        Self { views, clicks }
    }

    /// The view of a click: the newest with its ID that is at most `WITHIN` older.
    fn view(&self, at: i64, click: &Value) -> Option<usize> {
        let fits = |(time, view): &(i64, Value)| {
            view["view_id"] == click["view"] && *time <= at && at - *time <= WITHIN
        };
        let of_click = self.views.iter().enumerate().filter(|(_, view)| fits(view));
        of_click.max_by_key(|(_, (time, _))| *time).map(|(index, _)| index)
    }

    fn recount(&self) -> Result<(Counts, u64)> {
        let mut counts = Counts::new();
        let mut clicked = BTreeSet::new();
        let mut unmatched = 0;
        let key = |start: i64, view: &Value| -> Result<Key> {
            let page = view["page"].as_str().context("a page")?.split('?').next().map(str::to_owned);
            Ok((stamp(start)?, page, view["box"].as_str().map(str::to_owned)))
        };
        for (time, view) in &self.views {
            for start in windows(*time, SIZE, MINUTE) {
                counts.entry(key(start, view)?).or_default().0 += 1;
            }
        }
        for (at, click) in &self.clicks {
            let Some(index) = self.view(*at, click) else {
                unmatched += 1;
                continue;
            };
            let (time, view) = &self.views[index];
            for start in windows(*at, SIZE, MINUTE) {
                counts.entry(key(start, view)?).or_default().1 += 1;
            }
            if clicked.insert(index) {
                for start in windows(*time, SIZE, MINUTE) {
                    counts.entry(key(start, view)?).or_default().2 += 1;
                }
            }
        }
        Ok((counts, unmatched))
    }
}

#[test]
fn clicks_of_one_topic_find_their_views_of_another() -> Result<()> {
    let pipe = Pipe::new("join")?;
    let (views, clicks) = (format!("{}-views", pipe.name()), format!("{}-clicks", pipe.name()));
    pipe.edit(&format!("topics = [\"{}\"]", pipe.name()), &format!("topics = [\"{views}\", \"{clicks}\"]"))?;
    pipe.edit(
        EVENTS,
        &format!("[events]\ntime = \"/time\"\n[events.topics.{views}]\ntime = \"/seen\"\n[events.topics.{clicks}]\ntime = \"/at\"\n"),
    )?;
    pipe.edit(
        "views = { \"/type\" = \"view\" }\nclicks = { \"/type\" = \"click\" }\n",
        &format!(
            "views = {{ topic = \"{views}\" }}\nclicks = {{ topic = \"{clicks}\" }}\n\
             join = {{ on = {{ view = \"/view_id\", click = \"/view\" }}, within = \"5m\" }}\n"
        ),
    )?;
    pipe.edit("allowed_lateness = \"2h\"", "allowed_lateness = \"10m\"")?;
    for topic in [&views, &clicks] {
        create_topic(topic, 2, &[])?;
    }
    pipe.run_well(&["setup"])?;
    let mut draws = Draws(0x5eed);
    let shop = Shop::open(&mut draws);
    let (expected, unmatched) = shop.recount()?;
    assert!(unmatched > 60, "{unmatched} clicks have no view");
    // Far more disorder than the watermark allows; late panes correct it.
    let disordered = draws.disordered(shop.views.clone(), 2 * MINUTE);
    produce(&views, disordered.iter().map(|(time, event)| (*time, event)))?;
    let disordered = draws.disordered(shop.clicks.clone(), 2 * MINUTE);
    produce(&clicks, disordered.iter().map(|(time, event)| (*time, event)))?;

    let mut processor = pipe.start(&["processor"])?;
    let mut connector = pipe.start(&["connector"])?;
    wait_for(&pipe, "box_ctr", "attributed_clicks", &expected)?;
    // The last unmatched click is final once no view of it can arrive.
    finished(&pipe, &mut connector, &mut processor)?;
    wait_for(&pipe, "box_ctr", "attributed_clicks", &expected)?;
    let counted = (shop.views.len() + shop.clicks.len()) as u64 - unmatched;
    let balance = [("counted".to_owned(), counted), ("unmatched".to_owned(), unmatched)];
    assert_eq!(ledger(&pipe, "box_ctr")?, BTreeMap::from(balance));
    Ok(())
}

#[test]
fn three_notions_of_time_run_side_by_side() -> Result<()> {
    let pipe = Pipe::new("times")?;
    let flow = |name: &str, time: &str, window: &str| {
        format!(
            "[[flows]]\nname = \"{name}\"\nby = {{ page = \"/page\", box = \"/box\" }}\n\
             views = {{ \"/type\" = \"view\" }}\nclicks = {{ \"/type\" = \"click\" }}\nwindow = {window}\n\
             time = \"{time}\"\nout_of_orderness = \"2s\"\nallowed_lateness = \"2h\"\n\n"
        )
    };
    let sliding = "{ size = \"10m\", period = \"1m\" }";
    let flows = [
        flow("by_kafka", "kafka", sliding),
        flow("by_processing", "processing", "{ size = \"5s\" }"),
        "[[flows]]\nname = \"box_ctr\"\n".to_owned(),
    ];
    pipe.edit("[[flows]]\nname = \"box_ctr\"\n", &flows.concat())?;
    create_topic(pipe.name(), 2, &[])?;
    pipe.run_well(&["setup"])?;
    let mut draws = Draws(0xfade);
    let start = start();
    let (mut by_event, mut by_kafka, mut total) = (Counts::new(), Counts::new(), (0, 0));
    let mut events = Vec::new();
    for n in 0..2_000 {
        let time = start + n * 900;
        // The Kafka timestamp is some minutes after the event, in another order.
        let kafka = start + 3 * MINUTE + n * 850;
        let (views, clicks) = if draws.below(4) == 0 { (0, 1) } else { (1, 0) };
        let (page, place) = (format!("/p/{}", draws.below(4)), format!("box-{}", draws.below(3)));
        total = (total.0 + views, total.1 + clicks);
        for (counts, time) in [(&mut by_event, time), (&mut by_kafka, kafka)] {
            for start in windows(time, SIZE, MINUTE) {
                let count =
                    counts.entry((stamp(start)?, Some(page.clone()), Some(place.clone()))).or_default();
                *count = (count.0 + views, count.1 + clicks, 0);
            }
        }
        let kind = if views == 1 { "view" } else { "click" };
        let event = json!({ "event_id": n, "type": kind, "time": time, "page": page, "box": place });
        events.push((time, (kafka, event)));
    }
    let events = draws.disordered(events, 5_000);
    produce(pipe.name(), events.iter().map(|(_, (kafka, event))| (*kafka, event)))?;
    let mut processor = pipe.start(&["processor"])?;
    let mut connector = pipe.start(&["connector"])?;
    wait_for(&pipe, "box_ctr", "0", &by_event)?;
    wait_for(&pipe, "by_kafka", "0", &by_kafka)?;
    // The time at which Pub/Sub received an event is unknown, but each event is in one window.
    wait::until_right("all events in windows of processing time", || {
        let counts = latest(&pipe, "by_processing", "0")?;
        let found = counts.values().fold((0, 0), |sum, count| (sum.0 + count.0, sum.1 + count.1));
        Ok((found != total).then(|| format!("found {found:?}, expected {total:?}")))
    })?;
    finished(&pipe, &mut connector, &mut processor)?;
    for flow in ["box_ctr", "by_kafka", "by_processing"] {
        assert_eq!(ledger(&pipe, flow)?, BTreeMap::from([("counted".to_owned(), 2_000)]), "{flow}");
    }
    Ok(())
}

#[test]
fn producer_timestamps_are_warned_about() -> Result<()> {
    // Kafka takes timestamps up to an hour ahead by default.
    for (settings, lateness, warned) in [
        (&[][..], "2h", false),
        (&[], "30m", true),
        (&[("message.timestamp.after.max.ms", "60000")], "30m", false),
        (&[("message.timestamp.type", "LogAppendTime")], "30m", false),
    ] {
        let pipe = Pipe::new("clocks")?;
        create_topic(pipe.name(), 1, settings)?;
        pipe.edit("allowed_lateness = \"2h\"", &format!("allowed_lateness = \"{lateness}\""))?;
        pipe.run_well(&["setup"])?;
        let checked = pipe.run_well(&["check"])?;
        let found =
            checked.out.lines().any(|line| line.starts_with("warning topic ") && line.contains("CreateTime"));
        assert_eq!(found, warned, "{settings:?}, {lateness}: {}", checked.out);
    }
    Ok(())
}
