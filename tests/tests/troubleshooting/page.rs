//! The page as it stands: what people wrote about each error, beside what the code says of it.

use std::{collections::BTreeMap, fmt::Write as _};

use anyhow::{Result, ensure};

use crate::said::Texts;

/// What stands in a line of the tables.
#[derive(Clone, Debug, Default)]
pub(crate) struct Row {
    pub(crate) meaning: String,
    pub(crate) remedy: String,
    pub(crate) test: String,
}

/// The page, taken apart.
pub(crate) struct Page {
    /// All above the tables.
    head: String,
    rows: BTreeMap<String, Row>,
}

const FIRST: &str = "\n## Settings and the command line\n";
const COLUMNS: &str = "| it says | it means | what to do | provoked by |\n|---|---|---|---|\n";

/// The headings, and the parts whose errors stand below them.
const CHAPTERS: [(&str, &[&str]); 6] = [
    ("Settings and the command line", &["aqueduct", "service", "event"]),
    ("The connector and its keyring", &["kafka", "connector"]),
    ("Pub/Sub", &["pubsub"]),
    ("The processor and its state", &["processor"]),
    ("The tables", &["writer"]),
    ("Everything else", &[]),
];

impl Page {
    pub(crate) fn read(text: &str) -> Result<Self> {
        let (head, tables) = text.split_once(FIRST).unwrap_or((text, ""));
        let mut rows = BTreeMap::new();
        for line in tables.lines().filter(|line| line.starts_with("| `")) {
            let cells: Vec<String> = split(line);
            let [said, meaning, remedy, test] = cells.as_slice() else {
                anyhow::bail!("a line has {} cells: {line}", cells.len())
            };
            let said = unquoted(said).to_owned();
            let test = test.trim_matches('`').to_owned();
            let row = Row { meaning: meaning.clone(), remedy: remedy.clone(), test };
            ensure!(rows.insert(said.clone(), row).is_none(), "{said:?} stands twice on the page");
        }
        Ok(Self { head: head.to_owned(), rows })
    }

    pub(crate) fn texts(&self) -> impl Iterator<Item = &String> {
        self.rows.keys()
    }

    pub(crate) fn rows(&self) -> impl Iterator<Item = (&String, &Row)> {
        self.rows.iter()
    }

    /// The page that has what the code says, with what people wrote about it.
    pub(crate) fn renewed(&self, texts: &Texts) -> String {
        let mut page = self.head.clone();
        for (title, parts) in CHAPTERS {
            let of_chapter = |part: &str| {
                parts.contains(&part)
                    || parts.is_empty() && !CHAPTERS.iter().any(|(_, all)| all.contains(&part))
            };
            let said: Vec<_> = texts.iter().filter(|(_, said)| of_chapter(&said.part)).collect();
            if said.is_empty() {
                continue;
            }
            let _ = write!(page, "\n## {title}\n\n{COLUMNS}");
            for (text, said) in said {
                let row = self.rows.get(text).cloned().unwrap_or_default();
                // What the code says about its error holds; where it says nothing, people do.
                let meaning =
                    if said.meaning.is_empty() { row.meaning } else { said.meaning.replace('|', "\\|") };
                let is_name = !row.test.is_empty() && !row.test.contains(' ');
                let test = if is_name { format!("`{}`", row.test) } else { row.test };
                let said = quoted(&text.replace('|', "\\|"));
                let _ = writeln!(page, "| {said} | {meaning} | {} | {test} |", row.remedy);
            }
        }
        page
    }
}

/// As code in Markdown: a text with backticks of its own needs two of them around it.
fn quoted(text: &str) -> String {
    if text.contains('`') { format!("`` {text} ``") } else { format!("`{text}`") }
}

fn unquoted(cell: &str) -> &str {
    let inside = cell.strip_prefix("`` ").and_then(|rest| rest.strip_suffix(" ``"));
    inside.unwrap_or_else(|| cell.trim_matches('`'))
}

/// The cells of a line; a bar in a text is escaped.
fn split(line: &str) -> Vec<String> {
    let line = line.trim().trim_start_matches('|').trim_end_matches('|').replace("\\|", "\u{1}");
    line.split('|').map(|cell| cell.trim().replace('\u{1}', "|")).collect()
}
