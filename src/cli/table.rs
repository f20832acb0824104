//! Tables for people.

use anyhow::Result;
use comfy_table::{ColumnConstraint, ContentArrangement, Table, presets};

use super::text::line;

/// A table that is printed page by page: its head stands over the first page alone, and nothing where nothing is.
pub(super) struct PagedTable<'a> {
    head: &'a [&'a str],
    /// How many columns are printed, at least, and as of the first page.
    least: usize,
    kept: Option<usize>,
}

impl<'a> PagedTable<'a> {
    /// With these columns.
    pub(super) fn new(columns: &'a [&'a str]) -> Self {
        PagedTable { head: columns, least: columns.len(), kept: None }
    }

    /// With these columns, the last of which are left out of a terminal that is too narrow for all: better than to cut
    /// those before. The first `least` stay.
    pub(super) fn narrowed(columns: &'a [&'a str], least: usize) -> Self {
        PagedTable { head: columns, least, kept: None }
    }

    /// Prints a page.
    ///
    /// # Errors
    /// As [`line()`].
    pub(super) fn print(&mut self, rows: Vec<Vec<String>>) -> Result<()> {
        if rows.is_empty() {
            return Ok(());
        }
        let head = std::mem::take(&mut self.head);
        let kept = *self.kept.get_or_insert_with(|| match terminal_columns() {
            Some(width) => fitting(&widths(head, &rows), usize::from(width), self.least),
            None => head.len(),
        });
        let cut = |mut row: Vec<String>| {
            row.truncate(kept);
            row
        };
        line(&table(&head[..kept.min(head.len())], rows.into_iter().map(cut)))
    }
}

/// How wide each column is, with the space behind it.
fn widths(head: &[&str], rows: &[Vec<String>]) -> Vec<usize> {
    let width = |column: usize| {
        let cells = rows.iter().filter_map(|row| row.get(column)).map(String::as_str);
        cells.chain(head.get(column).copied()).map(|cell| cell.chars().count()).max().unwrap_or(0) + SPACE
    };
    (0..head.len()).map(width).collect()
}

/// How many of the first columns fit, but at least so many.
fn fitting(widths: &[usize], width: usize, least: usize) -> usize {
    let mut kept = widths.len();
    while kept > least && widths[..kept].iter().sum::<usize>() > width {
        kept -= 1;
    }
    kept
}

/// Empty characters behind a column.
const SPACE: usize = 2;

/// A table with these columns, without lines around them. Without columns, it has no head. On a terminal it is as wide as that, and what does not fit
/// is cut; elsewhere nothing is cut.
pub(super) fn table(columns: &[&str], rows: impl IntoIterator<Item = Vec<String>>) -> String {
    let mut table = Table::new();
    table.load_style(presets::NOTHING);
    if !columns.is_empty() {
        table.set_header(columns.to_vec());
    }
    let width = terminal_columns();
    if let Some(width) = width {
        table.set_content_arrangement(ContentArrangement::Dynamic).set_width(width).set_truncation_indicator("…");
    }
    let mut first = 0;
    for row in rows {
        first = first.max(row.first().map_or(0, |cell| cell.chars().count()));
        let mut row = comfy_table::Row::from(row);
        if width.is_some() {
            row.max_height(1);
        }
        table.add_row(row);
    }
    for column in table.column_iter_mut() {
        column.set_padding((0, SPACE as u16));
    }
    // What is cut can't be copied, and the first column is what a row is named by.
    if let (Some(width), Some(column)) = (width, table.column_mut(0))
        && 3 * (first + SPACE) <= 2 * usize::from(width)
    {
        column.set_constraint(ColumnConstraint::ContentWidth);
    }
    // Nobody wants to copy the spaces at the ends of lines.
    table.lines().map(|line| line.trim_end().to_owned() + "\n").collect::<String>().trim_end().to_owned()
}

/// The width of the terminal that stdout is, if it is one.
pub(super) fn terminal_columns() -> Option<u16> {
    let size = rustix::termios::tcgetwinsize(std::io::stdout()).ok()?;
    Some(size.ws_col).filter(|columns| *columns > 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_columns_are_left_out_where_there_is_no_room() {
        let rows = vec![vec!["a".repeat(20), "302".to_owned(), "b".repeat(30), "now".to_owned()]];
        let widths = widths(&["key", "status", "target", "updated"], &rows);
        assert_eq!(widths, [22, 8, 32, 9]);
        for (width, kept) in [(80, 4), (71, 4), (70, 3), (62, 3), (61, 2), (1, 2)] {
            assert_eq!(fitting(&widths, width, 2), kept, "{width}");
        }
        assert_eq!(fitting(&widths, 1, 4), 4);
    }

    #[test]
    fn columns_stand_below_each_other() {
        let rows = [vec!["a".to_owned(), "302".to_owned()], vec!["longer".to_owned(), "410".to_owned()]];
        assert_eq!(table(&["key", "status"], rows), "key     status\na       302\nlonger  410");
        assert_eq!(table(&["key", "status"], []), "key  status");
        assert_eq!(table(&[], [vec!["a".to_owned(), "302".to_owned()]]), "a  302");
    }
}
