//! Answers of the API for people.

use serde::Deserialize;

use crate::cli::table::table;
use crate::cli::text::{count_of, grouped};
use crate::link::shown;

/// How long the longest bar beside a share is, in characters.
const BAR_COLUMNS: f64 = 24.0;

/// How often.
#[derive(Debug, Deserialize)]
pub(super) struct TotalsView {
    pub(super) from: String,
    pub(super) to: String,
    pub(super) human: u64,
    pub(super) bot: u64,
    pub(super) preview: u64,
    pub(super) head: u64,
    pub(super) total: u64,
}

/// How often over time.
#[derive(Debug, Deserialize)]
pub(super) struct SeriesView {
    pub(super) step: String,
    pub(super) points: Vec<PointView>,
}

/// How often in one step.
#[derive(Debug, Deserialize)]
pub(super) struct PointView {
    pub(super) start: String,
    pub(super) human: u64,
}

/// How many people.
#[derive(Debug, Deserialize)]
pub(super) struct UniquesView {
    pub(super) estimate: u64,
    pub(super) lower: u64,
    pub(super) upper: u64,
    pub(super) from: String,
    pub(super) to: String,
}

impl UniquesView {
    /// In words.
    pub(super) fn shown(&self) -> String {
        let UniquesView { estimate, lower, upper, .. } = self;
        if lower == upper {
            return count_of(*estimate, "person", "people");
        }
        format!("about {} people ({} to {})", grouped(*estimate), grouped(*lower), grouped(*upper))
    }
}

/// By what clicks differ.
#[derive(Debug, Deserialize)]
pub(super) struct BreakdownView {
    pub(super) from: String,
    pub(super) to: String,
    pub(super) by: String,
    pub(super) shares: Vec<ShareView>,
    pub(super) total: u64,
    pub(super) error: u64,
    pub(super) details: u64,
}

#[derive(Debug, Deserialize)]
pub(super) struct ShareView {
    value: Option<String>,
    clicks: u64,
    share: f64,
    sampling_error: f64,
}

impl BreakdownView {
    /// How wide its values are, in characters.
    pub(super) fn value_columns(&self) -> usize {
        self.shares.iter().map(|share| share.value().chars().count()).max().unwrap_or(0)
    }

    /// As a table, with what has to be known of it. Its values take at least so many characters, so that tables below each
    /// other have the same columns.
    pub(super) fn shown(&self, is_plain: bool, value_columns: usize) -> String {
        let BreakdownView { by, shares, total, error, details, .. } = self;
        if shares.is_empty() {
            return format!("no clicks by people of which the {by} could be known");
        }
        let largest = shares.iter().map(|share| share.share).fold(0.0, f64::max);
        let mut rows: Vec<Vec<String>> = shares.iter().map(|share| share.row(largest, is_plain)).collect();
        // Numbers stand with their last digits below each other.
        for column in 1..=2 {
            let width = rows.iter().map(|row| row[column].chars().count()).max().unwrap_or(0);
            rows.iter_mut().for_each(|row| row[column] = format!("{:>width$}", row[column]));
        }
        let mut text = table(&[&format!("{by:<value_columns$}"), "clicks", "share", ""], rows);
        if details < total {
            text += &format!("\nFrom the details of {} of {} clicks.", grouped(*details), grouped(*total));
        }
        if *error > 0 {
            text += &format!("\nEach number may be off by {}, as only frequent values are kept.", grouped(*error));
        }
        text
    }
}

impl ShareView {
    fn value(&self) -> String {
        self.value.as_deref().map_or_else(|| "(not known)".to_owned(), |value| shown(value).to_string())
    }

    fn row(&self, largest: f64, is_plain: bool) -> Vec<String> {
        let ShareView { clicks, share, sampling_error, .. } = self;
        let off = if *sampling_error > 0.0 { format!(" ± {:>4.1}", sampling_error * 100.0) } else { String::new() };
        let off = if is_plain { off.replace('±', "+-") } else { off };
        let bar = if largest > 0.0 { (share / largest * BAR_COLUMNS).round().max(1.0) } else { 0.0 };
        let bar = (if is_plain { "#" } else { "█" }).repeat(bar.min(BAR_COLUMNS) as usize);
        vec![self.value(), grouped(*clicks).to_string(), format!("{:.1}{off} %", share * 100.0), bar]
    }
}

/// The links that were clicked most.
#[derive(Debug, Deserialize)]
pub(super) struct TopView {
    pub(super) from: String,
    pub(super) to: String,
    pub(super) links: Vec<TopLinkView>,
}

#[derive(Debug, Deserialize)]
pub(super) struct TopLinkView {
    key: String,
    clicks: u64,
    error: u64,
}

impl TopView {
    /// As a table, with what has to be known of it.
    pub(super) fn shown(&self) -> String {
        if self.links.is_empty() {
            return "no clicks".to_owned();
        }
        let has_error = self.links.iter().any(|link| link.error > 0);
        let columns = ["key", "clicks", "at most too high by"];
        let rows = self.links.iter().map(|TopLinkView { key, clicks, error }| {
            let mut row = vec![shown(key).to_string(), grouped(*clicks).to_string()];
            row.extend(has_error.then(|| grouped(*error).to_string()));
            row
        });
        table(if has_error { &columns } else { &columns[..2] }, rows)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn breakdown(json: &str) -> BreakdownView {
        serde_json::from_str(json).unwrap()
    }

    #[test]
    fn shares_have_bars_and_say_how_far_they_are_off() {
        let sampled = breakdown(
            r#"{"by":"country","total":1000,"error":3,"details":100,"from":"","to":"","shares":[
            {"value":"DE","clicks":600,"share":0.6,"sampling_error":0.0911},
            {"value":null,"clicks":70,"share":0.07,"sampling_error":0.1052}]}"#,
        );
        let lines = sampled.shown(true, 0);
        let lines: Vec<&str> = lines.lines().collect();
        assert_eq!(
            lines,
            [
                "country      clicks  share",
                "DE           600     60.0 +-  9.1 %  ########################",
                "(not known)   70      7.0 +- 10.5 %  ###",
                "From the details of 100 of 1,000 clicks.",
                "Each number may be off by 3, as only frequent values are kept.",
            ]
        );
        let whole = breakdown(
            r#"{"by":"device","total":2,"error":0,"details":2,"from":"","to":"",
            "shares":[{"value":"phone","clicks":2,"share":1.0,"sampling_error":0.0}]}"#,
        );
        assert_eq!(whole.shown(false, 0), "device  clicks  share\nphone   2       100.0 %  ████████████████████████");
        // Below one with longer values, columns are the same.
        assert_eq!(
            whole.shown(true, sampled.value_columns()),
            "device       clicks  share\nphone        2       100.0 %  ########################"
        );
        let none = breakdown(r#"{"by":"device","total":0,"error":0,"details":0,"from":"","to":"","shares":[]}"#);
        assert!(none.shown(true, 0).starts_with("no clicks"));
    }

    #[test]
    fn what_comes_from_elsewhere_moves_no_cursor() {
        let evil = breakdown(
            r#"{"by":"referrer","total":1,"error":0,"details":1,"from":"","to":"",
            "shares":[{"value":"a\u001b[2Jb","clicks":1,"share":1.0,"sampling_error":0.0}]}"#,
        );
        assert!(!evil.shown(true, 0).contains('\u{1b}'));
    }

    #[test]
    fn the_error_of_links_is_shown_where_there_is_one() {
        let top: TopView =
            serde_json::from_str(r#"{"from":"","to":"","links":[{"key":"go.example/a","clicks":1200,"error":0}]}"#)
                .unwrap();
        assert_eq!(top.shown(), "key           clicks\ngo.example/a  1,200");
        let top: TopView =
            serde_json::from_str(r#"{"from":"","to":"","links":[{"key":"go.example/a","clicks":1200,"error":7}]}"#)
                .unwrap();
        assert!(top.shown().lines().next().unwrap().ends_with("at most too high by"), "{}", top.shown());
        let none = TopView { from: String::new(), to: String::new(), links: Vec::new() };
        assert_eq!(none.shown(), "no clicks");
    }

    #[test]
    fn people_are_about_so_many_unless_they_are_known() {
        let view = |estimate, lower, upper| {
            UniquesView { estimate, lower, upper, from: String::new(), to: String::new() }.shown()
        };
        assert_eq!(view(3_210, 3_150, 3_270), "about 3,210 people (3,150 to 3,270)");
        assert_eq!((view(7, 7, 7), view(1, 1, 1)), ("7 people".to_owned(), "1 person".to_owned()));
    }
}
