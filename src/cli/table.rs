//! Tables for people.

use anyhow::Result;
use comfy_table::{ContentArrangement, Table, presets};

use super::text::line;

/// A table that is printed page by page: its head stands over the first page alone, and nothing where nothing is.
pub(super) struct PagedTable<'a> {
    columns: &'a [&'a str],
}

impl<'a> PagedTable<'a> {
    /// With these columns.
    pub(super) fn new(columns: &'a [&'a str]) -> Self {
        PagedTable { columns }
    }

    /// Prints a page.
    ///
    /// # Errors
    /// As [`line()`].
    pub(super) fn print(&mut self, rows: Vec<Vec<String>>) -> Result<()> {
        if rows.is_empty() { Ok(()) } else { line(&table(std::mem::take(&mut self.columns), rows)) }
    }
}

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
    for row in rows {
        let mut row = comfy_table::Row::from(row);
        if width.is_some() {
            row.max_height(1);
        }
        table.add_row(row);
    }
    for column in table.column_iter_mut() {
        column.set_padding((0, 2));
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
    fn columns_stand_below_each_other() {
        let rows = [vec!["a".to_owned(), "302".to_owned()], vec!["longer".to_owned(), "410".to_owned()]];
        assert_eq!(table(&["key", "status"], rows), "key     status\na       302\nlonger  410");
        assert_eq!(table(&["key", "status"], []), "key  status");
        assert_eq!(table(&[], [vec!["a".to_owned(), "302".to_owned()]]), "a  302");
    }
}
