//! Aligned columns of text. Programs read `--format json` instead.

use serde::Serialize;

use crate::output;

/// Format of a report.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Format {
    /// Aligned text
    Text,
    /// One JSON object
    Json,
}

impl Format {
    /// Writes a report to standard output: its text, or itself as JSON.
    ///
    /// # Errors
    /// Standard output is closed.
    pub(crate) fn print<R: Serialize>(
        self,
        report: &R,
        text: impl FnOnce(&R) -> String,
    ) -> anyhow::Result<()> {
        output::print(&match self {
            Self::Text => text(report),
            Self::Json => serde_json::to_string_pretty(report)? + "\n",
        })
    }
}

/// Aligns columns under their heads: numbers to the right, everything else to the left.
pub(crate) fn grid(head: &[&str], rows: &[Vec<String>]) -> String {
    let cells = |column: usize| rows.iter().filter_map(move |row| row.get(column));
    let widths: Vec<usize> = head
        .iter()
        .enumerate()
        .map(|(column, name)| {
            cells(column).map(|cell| cell.chars().count()).fold(name.chars().count(), usize::max)
        })
        .collect();
    let is_number: Vec<bool> = (0..head.len())
        .map(|column| cells(column).all(|cell| cell == "-" || cell.bytes().all(|b| b.is_ascii_digit())))
        .collect();
    let line = |cells: &mut dyn Iterator<Item = &str>| {
        let mut text = String::new();
        for (column, cell) in cells.enumerate() {
            let (width, gap) = (widths[column], if column == 0 { "" } else { "  " });
            text.push_str(&match is_number[column] {
                true => format!("{gap}{cell:>width$}"),
                false => format!("{gap}{cell:<width$}"),
            });
        }
        text.truncate(text.trim_end().len());
        text.push('\n');
        text
    };
    let mut text = line(&mut head.iter().copied());
    for row in rows {
        text.push_str(&line(&mut row.iter().map(String::as_str)));
    }
    text
}

#[cfg(test)]
mod tests {
    #[test]
    fn numbers_are_right_aligned() {
        let rows = [["events", "7", "10..12"], ["e", "1234", "-"]].map(|row| row.map(str::to_owned).to_vec());
        let expected = "\
topic   partition  holes
events          7  10..12
e            1234  -
";
        assert_eq!(super::grid(&["topic", "partition", "holes"], &rows), expected);
    }
}
