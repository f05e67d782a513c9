//! Which dead letters are read back, and the query for them.

use event::EventTime;

use crate::stamp;

/// Which lines of `dead_letters` are wanted. A record that was rejected more than once, because a redrive published it
/// again, is judged by its newest line.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Letters {
    /// Only this topic.
    pub topic: Option<String>,
    /// Only this partition.
    pub partition: Option<i32>,
    /// Only this stage.
    pub stage: Option<String>,
    /// Only these reasons; all if it is empty.
    pub reasons: Vec<String>,
    /// Only this pointer.
    pub pointer: Option<String>,
    /// Only lines from this time on.
    pub from: Option<EventTime>,
    /// Only lines before this time.
    pub to: Option<EventTime>,
    /// Only records after this topic, partition and offset.
    pub after: Option<(String, i32, u64)>,
    /// At most this many, in the order of topic, partition and offset.
    pub limit: usize,
}

/// How a database writes what differs.
pub(crate) struct Dialect {
    /// Encloses names.
    pub(crate) quote: char,
    /// A parameter by its number, from 0 on.
    pub(crate) parameter: fn(usize) -> String,
    /// The expression for a time.
    pub(crate) time: fn(EventTime) -> String,
    /// The expression that returns `seen_at`.
    pub(crate) seen_at: &'static str,
}

/// The statement that counts records by partition, stage and reason, each by its newest line. Lines of the writer are about
/// rows of tables, each of which is refused once.
pub(crate) fn refusals(table: &str, quote: char) -> String {
    let quoted = |name: &str| format!("t.{quote}{name}{quote}");
    let [partition, offset] = ["partition", "offset"].map(quoted);
    format!(
        "SELECT t.topic AS topic, {partition} AS {quote}partition{quote}, t.stage AS stage, t.reason AS reason, COUNT(*) AS n \
         FROM (SELECT t.topic, {partition}, t.stage, t.reason, ROW_NUMBER() OVER (PARTITION BY t.topic, {partition}, {offset} \
         ORDER BY t.seen_at DESC) AS newest FROM {table} AS t) AS t WHERE t.newest = 1 OR {partition} < 0 \
         GROUP BY 1, 2, 3, 4 ORDER BY 1, 2, 3, 4"
    )
}

/// A statement and its text parameters. Its columns are those of the table, in their order.
pub(crate) struct Statement {
    pub(crate) sql: String,
    pub(crate) parameters: Vec<String>,
}

impl Letters {
    /// The statement over a table, whose name is written as the database needs it.
    pub(crate) fn statement(&self, table: &str, dialect: &Dialect) -> Statement {
        let mut parameters = Vec::new();
        let mut parameter = |text: &str| {
            parameters.push(text.to_owned());
            (dialect.parameter)(parameters.len() - 1)
        };
        let q = dialect.quote;
        let quoted = |name: &str| format!("t.{q}{name}{q}");
        let [topic, partition, offset] = ["topic", "partition", "offset"].map(quoted);
        let mut of_record = vec!["TRUE".to_owned()];
        if let Some(wanted) = &self.topic {
            of_record.push(format!("{topic} = {}", parameter(wanted)));
        }
        if let Some(wanted) = self.partition {
            of_record.push(format!("{partition} = {wanted}"));
        }
        if let Some((after, number, at)) = &self.after {
            let after = parameter(after);
            let at = i64::try_from(*at).unwrap_or(i64::MAX);
            of_record.push(format!(
                "({topic} > {after} OR {topic} = {after} AND ({partition} > {number} OR {partition} = {number} AND {offset} > {at}))"
            ));
        }
        // Lines of the writer are about rows of tables, each of which is refused once.
        let mut of_line = vec![format!("(t.newest = 1 OR {partition} < 0)")];
        if let Some(wanted) = &self.stage {
            of_line.push(format!("t.stage = {}", parameter(wanted)));
        }
        if !self.reasons.is_empty() {
            let reasons: Vec<String> = self.reasons.iter().map(|reason| parameter(reason)).collect();
            of_line.push(format!("t.reason IN ({})", reasons.join(", ")));
        }
        if let Some(wanted) = &self.pointer {
            of_line.push(format!("t.pointer = {}", parameter(wanted)));
        }
        if let Some(from) = self.from {
            of_line.push(format!("t.seen_at >= {}", (dialect.time)(from)));
        }
        if let Some(to) = self.to {
            of_line.push(format!("t.seen_at < {}", (dialect.time)(to)));
        }
        let sql = format!(
            "SELECT t.topic AS topic, {partition} AS {q}partition{q}, {offset} AS {q}offset{q}, t.stage AS stage, \
             t.reason AS reason, t.pointer AS pointer, {} AS seen_at FROM (SELECT t.topic, {partition}, {offset}, \
             t.stage, t.reason, t.pointer, t.seen_at, ROW_NUMBER() OVER (PARTITION BY {topic}, {partition}, {offset} \
             ORDER BY t.seen_at DESC) AS newest FROM {table} AS t WHERE {}) AS t WHERE {} \
             ORDER BY {topic}, {partition}, {offset} LIMIT {}",
            dialect.seen_at,
            of_record.join(" AND "),
            of_line.join(" AND "),
            self.limit
        );
        Statement { sql, parameters }
    }
}

/// The literal of a time in SQLite, whose times are text.
pub(crate) fn sqlite_time(time: EventTime) -> String {
    format!("'{}'", stamp::text(time))
}
