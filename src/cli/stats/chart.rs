//! A chart of columns, for a terminal.

use crate::cli::text::grouped;

/// How many lines the columns have.
const LINES: usize = 8;

/// In how many parts a character is drawn.
const PARTS: u64 = 8;

/// The widest columns of a chart.
const BAR_COLUMNS: usize = 5;

/// Fewest characters that a chart has for its columns, however narrow the terminal is.
const COLUMNS_MIN: usize = 10;

/// Parts of a character, from below.
const BLOCKS: [char; 9] = [' ', '▁', '▂', '▃', '▄', '▅', '▆', '▇', '█'];

/// The same in plain characters.
const PLAIN: [char; 9] = [' ', '.', '.', '.', ':', ':', ':', '#', '#'];

/// One column, or a part of one.
pub(super) struct Bar {
    /// What it is called.
    pub(super) label: String,
    /// How high it is.
    pub(super) value: u64,
}

/// A chart that was drawn.
pub(super) struct Chart {
    /// Its lines, without their ends.
    pub(super) lines: Vec<String>,
    /// How many values each column stands for; it is their sum.
    pub(super) values_per_column: usize,
}

/// Draws values as columns, within so many characters. Where there are more values than fit, each column is the sum of
/// several.
pub(super) fn draw(bars: &[Bar], width: usize, is_plain: bool) -> Chart {
    let (glyphs, corner, side, line) = if is_plain { (&PLAIN, '+', '|', '-') } else { (&BLOCKS, '└', '│', '─') };
    let highest = |per_column: usize| bars.chunks(per_column).map(sum).max().unwrap_or(0);
    // The numbers at the side grow with the sums, and leave less for the columns.
    let (mut per_column, mut top) = (1, ceiling(highest(1)));
    let room = loop {
        let room = width.saturating_sub(grouped(top).to_string().len() + 2).max(COLUMNS_MIN);
        if bars.len().div_ceil(per_column) <= room {
            break room;
        }
        per_column += 1;
        top = ceiling(highest(per_column));
    };
    let columns: Vec<u64> = bars.chunks(per_column).map(sum).collect();
    let bar = (room / columns.len().max(1)).clamp(1, BAR_COLUMNS);
    let gap = usize::from(bar >= 3);
    let label_columns = grouped(top).to_string().len();
    let mut lines = Vec::with_capacity(LINES + 2);
    for row in (0..LINES).rev() {
        let label = match row {
            row if row + 1 == LINES => grouped(top).to_string(),
            row if 2 * (row + 1) == LINES => grouped(top / 2).to_string(),
            _ => String::new(),
        };
        let mut text = format!("{label:>label_columns$} {side}");
        for value in &columns {
            let below = row as u64 * PARTS;
            let part = level(*value, top).saturating_sub(below).min(PARTS);
            text.extend(std::iter::repeat_n(glyphs[part as usize], bar - gap));
            text.extend(std::iter::repeat_n(' ', gap));
        }
        lines.push(text.trim_end().to_owned());
    }
    let drawn = columns.len() * bar;
    lines.push(format!("{:>label_columns$} {corner}{}", 0, line.to_string().repeat(drawn)));
    lines.push(format!("{:label_columns$}  {}", "", labels(bars, per_column, drawn)).trim_end().to_owned());
    Chart { lines, values_per_column: per_column }
}

fn sum(bars: &[Bar]) -> u64 {
    bars.iter().map(|bar| bar.value).fold(0, u64::saturating_add)
}

/// How high a value stands, in parts of a character; what is not zero can be seen.
fn level(value: u64, top: u64) -> u64 {
    let parts = u128::from(value) * u128::from(LINES as u64 * PARTS);
    let level = (parts + u128::from(top / 2)) / u128::from(top.max(1));
    (level as u64).max(u64::from(value > 0))
}

/// The next number at which an axis may end: one with few digits, and a whole half.
fn ceiling(value: u64) -> u64 {
    let mut unit = 1u64;
    loop {
        let ends = [2, 4, 6, 8, 10, 12, 16].into_iter().map(|end| unit.saturating_mul(end));
        if let Some(end) = ends.into_iter().find(|end| *end >= value) {
            return end;
        }
        unit = unit.saturating_mul(10);
    }
}

/// The labels of the first and the last value below their columns, and one between them if there is room.
fn labels(bars: &[Bar], per_column: usize, width: usize) -> String {
    let (Some(first), Some(last)) = (bars.first(), bars.last()) else { return String::new() };
    let (first_columns, last_columns) = (first.label.chars().count(), last.label.chars().count());
    if bars.len() == 1 || first_columns + last_columns + 2 > width {
        return first.label.clone();
    }
    let columns = bars.len().div_ceil(per_column);
    // Where the middle column begins.
    let middle = columns / 2;
    let at = width / columns * middle;
    let label = bars.get(middle * per_column).map_or("", |bar| bar.label.as_str());
    let mut text = first.label.clone();
    let fits = at >= first_columns + 2 && at + label.chars().count() + 2 <= width - last_columns;
    if fits && columns > 2 {
        text += &" ".repeat(at - first_columns);
        text += label;
    }
    let rest = width - text.chars().count() - last_columns;
    text + &" ".repeat(rest) + &last.label
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn bars(values: &[u64]) -> Vec<Bar> {
        values.iter().enumerate().map(|(day, value)| Bar { label: format!("d{day}"), value: *value }).collect()
    }

    #[test]
    fn columns_are_as_high_as_their_values() {
        let chart = draw(&bars(&[0, 1, 32, 64, 80]), 40, true);
        assert_eq!(chart.lines.len(), LINES + 2);
        assert_eq!(chart.lines[0], "80 |                    ####");
        // 64 of 80 are 51 of 64 parts: six whole lines and three parts.
        assert_eq!(chart.lines[1], "   |               .... ####");
        assert_eq!(chart.lines[4], "40 |          .... #### ####");
        assert_eq!(chart.lines[7], "   |     .... #### #### ####");
        assert_eq!(chart.lines[8], " 0 +-------------------------");
        assert_eq!(chart.lines[9], "    d0        d2           d4");
    }

    #[test]
    fn blocks_show_parts_of_a_line() {
        let chart = draw(&bars(&[1, 2, 3, 4, 5, 6, 7, 8, 64]), 20, false);
        assert!(chart.lines[0].starts_with("80 │"), "{:?}", chart.lines);
        assert_eq!(chart.lines[7], "   │▁▂▂▃▄▅▆▆█");
        assert_eq!(chart.lines[8], " 0 └─────────");
    }

    #[test]
    fn what_does_not_fit_is_added_up() {
        let chart = draw(&bars(&[1; 100]), 30, true);
        assert_eq!(chart.values_per_column, 4);
        assert!(chart.lines[0].starts_with(" 4 |") || chart.lines[0].starts_with("4 |"), "{:?}", chart.lines);
        assert!(chart.lines[9].trim_start().starts_with("d0") && chart.lines[9].ends_with("d99"), "{:?}", chart.lines);
    }

    #[test]
    fn axes_end_at_numbers_that_can_be_halved() {
        for (value, end) in [(0, 2), (1, 2), (3, 4), (9, 10), (13, 16), (17, 20), (999, 1_000), (u64::MAX, u64::MAX)] {
            assert_eq!(ceiling(value), end, "{value}");
        }
    }

    proptest! {
        #[test]
        fn every_chart_fits_its_width(
            values in proptest::collection::vec(any::<u64>(), 0..300),
            width in 0usize..250,
            is_plain: bool,
        ) {
            let chart = draw(&bars(&values), width, is_plain);
            prop_assert_eq!(chart.lines.len(), LINES + 2);
            // 26 characters are the longest number.
            let most = width.max(COLUMNS_MIN + 28);
            prop_assert!(chart.lines.iter().all(|line| line.chars().count() <= most), "{:?}", chart.lines);
            prop_assert!(!is_plain || chart.lines.iter().all(|line| line.is_ascii()));
        }
    }
}
