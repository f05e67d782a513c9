//! Expected rows against those that a flow wrote. Pure.

use event::EventTime;
use serde_json::Value;

/// The columns of a row, in their order.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Columns<V>(pub(super) Vec<(String, V)>);

/// The columns of an expected row.
pub(super) type Expected = Columns<Wanted>;

/// The value that a column must have.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Wanted {
    /// No value; `nan` in the file, as TOML has no null.
    Null,
    Text(String),
    Integer(i64),
    Real(f64),
    Boolean(bool),
}

/// A row as `replay` writes it.
#[derive(Clone, Debug)]
pub(super) struct Row {
    /// The line that a report shows.
    line: String,
    pub(super) columns: Columns<Value>,
}

/// Columns whose text is a time.
pub(super) const TIMES: [&str; 4] = ["window_start", "window_end", "watermark", "emitted_at"];

/// The relative difference up to which two numbers are equal.
const TOLERANCE: f64 = 1e-9;

impl<V> Columns<V> {
    pub(super) fn get(&self, column: &str) -> Option<&V> {
        self.0.iter().find(|(name, _)| name == column).map(|(_, value)| value)
    }
}

impl Expected {
    /// The columns of a row that differ, each with the wanted value and the one that was found.
    fn differing<'a>(&'a self, row: &'a Row) -> impl Iterator<Item = (&'a str, &'a Wanted, &'a Value)> {
        self.0.iter().filter_map(|(name, wanted)| {
            let found = row.columns.get(name).unwrap_or(&Value::Null);
            let is_time = TIMES.contains(&name.as_str());
            (!wanted.matches(found, is_time)).then_some((name.as_str(), wanted, found))
        })
    }

    /// The same as text.
    fn differences(&self, row: &Row) -> Vec<String> {
        self.differing(row)
            .map(|(name, wanted, found)| format!("{name}: expected {wanted}, found {found}"))
            .collect()
    }

    fn matches(&self, row: &Row) -> bool {
        self.differing(row).next().is_none()
    }
}

impl Wanted {
    fn matches(&self, found: &Value, is_time: bool) -> bool {
        match (self, found) {
            (Self::Null, Value::Null) => true,
            (Self::Text(wanted), Value::String(found)) if is_time => {
                let times = (EventTime::from_rfc3339(wanted), EventTime::from_rfc3339(found));
                matches!(times, (Some(wanted), Some(found)) if wanted == found)
            }
            (Self::Text(wanted), Value::String(found)) => wanted == found,
            (Self::Integer(wanted), Value::Number(found)) => found
                .as_i64()
                .map_or_else(|| is_near(*wanted as f64, found.as_f64()), |found| found == *wanted),
            (Self::Real(wanted), Value::Number(found)) => is_near(*wanted, found.as_f64()),
            // The columns of `by` are text.
            (Self::Integer(wanted), Value::String(found)) => wanted.to_string() == *found,
            (Self::Real(wanted), Value::String(found)) => found.parse() == Ok(*wanted),
            (Self::Boolean(wanted), Value::String(found)) => wanted.to_string() == *found,
            _ => false,
        }
    }
}

fn is_near(wanted: f64, found: Option<f64>) -> bool {
    found.is_some_and(|found| (wanted - found).abs() <= TOLERANCE * wanted.abs().max(1.0))
}

impl std::fmt::Display for Wanted {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Null => f.write_str("null"),
            Self::Text(text) => write!(f, "{}", Value::from(text.as_str())),
            Self::Integer(number) => write!(f, "{number}"),
            Self::Real(number) => write!(f, "{number}"),
            Self::Boolean(boolean) => write!(f, "{boolean}"),
        }
    }
}

impl Row {
    pub(super) fn parse(line: &str) -> serde_json::Result<Self> {
        let columns = serde_json::from_str(line)?;
        // Without the columns that depend on when the row was written.
        let end = line.rfind(",\"pane\":").map_or(line.len(), |end| end);
        Ok(Self { line: format!("{}}}", &line[..end]), columns })
    }
}

/// The problems of final rows: an expected row that is missing, and, with `only`, a row that is not expected.
pub(super) fn rows(expected: &[Expected], rows: &[Row], only: bool) -> Vec<String> {
    let pairs = pairs(expected, rows);
    let mut problems = Vec::new();
    for (index, (expected, pair)) in expected.iter().zip(&pairs).enumerate() {
        if pair.is_none() {
            problems.push(format!("expect[{index}]: {}", nearest(expected, rows)));
        }
    }
    if only {
        let others = (0..rows.len()).filter(|row| !pairs.contains(&Some(*row)));
        problems.extend(others.map(|row| format!("a row that is not expected:\n  {}", rows[row].line)));
    }
    problems
}

/// The problems of panes, which must be equal one by one.
pub(super) fn panes(expected: &[Expected], rows: &[Row]) -> Vec<String> {
    let mut problems = Vec::new();
    for index in 0..expected.len().max(rows.len()) {
        match (expected.get(index), rows.get(index)) {
            (Some(expected), Some(row)) => {
                let differences = expected.differences(row);
                if !differences.is_empty() {
                    let differences = differences.join("; ");
                    problems.push(format!("expect_panes[{index}]: {differences}\n  {}", row.line));
                }
            }
            (Some(_), None) => {
                problems.push(format!("expect_panes[{index}]: only {} panes fired", rows.len()));
            }
            (None, Some(row)) => problems.push(format!("a pane that is not expected:\n  {}", row.line)),
            (None, None) => {}
        }
    }
    problems
}

/// The row of each expected row, such that as many as possible have one of their own: by augmenting paths, because an
/// expected row that names few columns matches many rows.
fn pairs(expected: &[Expected], rows: &[Row]) -> Vec<Option<usize>> {
    let matching: Vec<Vec<usize>> = expected
        .iter()
        .map(|expected| (0..rows.len()).filter(|row| expected.matches(&rows[*row])).collect())
        .collect();
    let mut owners: Vec<Option<usize>> = vec![None; rows.len()];
    for index in 0..expected.len() {
        augment(index, &matching, &mut owners, &mut vec![false; rows.len()]);
    }
    let mut pairs = vec![None; expected.len()];
    for (row, owner) in owners.into_iter().enumerate() {
        if let Some(owner) = owner {
            pairs[owner] = Some(row);
        }
    }
    pairs
}

/// Finds a row for an expected row, and others for those whose rows it takes.
fn augment(index: usize, matching: &[Vec<usize>], owners: &mut [Option<usize>], seen: &mut [bool]) -> bool {
    for &row in &matching[index] {
        if std::mem::replace(&mut seen[row], true) {
            continue;
        }
        let is_free = match owners[row] {
            None => true,
            Some(owner) => augment(owner, matching, owners, seen),
        };
        if is_free {
            owners[row] = Some(index);
            return true;
        }
    }
    false
}

/// What distinguishes an expected row from the row that is most like it.
fn nearest(expected: &Expected, rows: &[Row]) -> String {
    let of_flow = |row: &&Row| {
        expected
            .get("flow")
            .is_none_or(|flow| flow.matches(row.columns.get("flow").unwrap_or(&Value::Null), false))
    };
    let differences = rows.iter().filter(of_flow).map(|row| (expected.differences(row), row));
    match differences.min_by_key(|(differences, _)| differences.len()) {
        None => "there is no row of this flow".to_owned(),
        Some((differences, row)) if differences.is_empty() => {
            format!("the only rows that match are those of other expected rows\n  {}", row.line)
        }
        Some((differences, row)) => {
            format!("no row matches; the nearest one differs in {}\n  {}", differences.join("; "), row.line)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(line: &str) -> Row {
        Row::parse(line).expect("JSON")
    }

    fn expected(columns: &[(&str, Wanted)]) -> Expected {
        Columns(columns.iter().map(|(name, wanted)| ((*name).to_owned(), wanted.clone())).collect())
    }

    #[test]
    fn values_match_by_type_and_tolerance() {
        let text = |text: &str| Wanted::Text(text.to_owned());
        for (wanted, found, matches) in [
            (Wanted::Integer(1), "1", true),
            (Wanted::Integer(1), "1.0", true),
            (Wanted::Integer(1), "2", false),
            (Wanted::Integer(9_007_199_254_740_993), "9007199254740992", false),
            (Wanted::Real(0.5), "0.5000000001", true),
            (Wanted::Real(0.5), "0.500001", false),
            (Wanted::Real(3e12), "3000000000000.001", true),
            (Wanted::Real(1.0), "null", false),
            (Wanted::Null, "null", true),
            (Wanted::Null, "0", false),
            (text("a"), "\"a\"", true),
            (text("1"), "1", false),
            (Wanted::Integer(7), "\"7\"", true),
            (Wanted::Integer(7), "\"07\"", false),
            (Wanted::Boolean(true), "\"true\"", true),
        ] {
            let found: Value = serde_json::from_str(found).expect("JSON");
            assert_eq!(wanted.matches(&found, false), matches, "{wanted:?} {found}");
        }
        let time = Value::from("2026-01-01T10:00:00.000Z");
        assert!(text("2026-01-01T11:00:00+01:00").matches(&time, true));
        assert!(!text("2026-01-01T11:00:00+01:00").matches(&time, false));
        assert!(!text("noon").matches(&time, true));
    }

    #[test]
    fn each_expected_row_needs_a_row_of_its_own() {
        let found =
            [row(r#"{"flow":"f","page":"/a","views":1}"#), row(r#"{"flow":"f","page":"/b","views":1}"#)];
        let any = expected(&[("views", Wanted::Integer(1))]);
        let a = expected(&[("page", Wanted::Text("/a".to_owned()))]);
        // The first one could take the only row of the second one.
        assert_eq!(rows(&[any.clone(), a.clone()], &found, true), Vec::<String>::new());
        assert_eq!(rows(&[a.clone(), any.clone()], &found, true), Vec::<String>::new());
        assert_eq!(rows(&[any.clone(), any.clone(), any.clone()], &found, true).len(), 1);
        assert_eq!(rows(&[a.clone(), a], &found, false).len(), 1);
        assert_eq!(rows(&[any], &found, true).len(), 1, "one row is not expected");
        assert_eq!(rows(&[], &found, false), Vec::<String>::new());
        assert_eq!(rows(&[], &found, true).len(), 2);
    }

    #[test]
    fn panes_are_compared_in_order() {
        let found = [row(r#"{"flow":"f","views":1}"#), row(r#"{"flow":"f","views":2}"#)];
        let views = |views| expected(&[("views", Wanted::Integer(views))]);
        assert_eq!(panes(&[views(1), views(2)], &found), Vec::<String>::new());
        assert_eq!(panes(&[views(2), views(1)], &found).len(), 2);
        assert_eq!(panes(&[views(1)], &found).len(), 1);
        assert_eq!(panes(&[views(1), views(2), views(3)], &found).len(), 1);
    }
}
