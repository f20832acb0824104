//! What an import did, for programs.

use std::fmt::Display;

use anyhow::Result;
use serde::Serialize;
use serde_json::json;

use crate::cli::text;

/// How many failed lines are named to programs. All of them are listed on stderr.
const FAILURES: usize = 100;

/// What an import did, or would do.
pub(super) struct Report<'a> {
    pub(super) created: u64,
    pub(super) replaced: u64,
    pub(super) unchanged: u64,
    pub(super) failed: u64,
    /// How many rows say what an earlier one says; None where that is not looked at.
    pub(super) repeated: Option<u64>,
    /// How many rows lead to the link of another one; None where that is not looked at.
    pub(super) chained: Option<u64>,
    pub(super) failures: &'a Failures,
}

impl Report<'_> {
    /// Prints it as one line of JSON.
    pub(super) fn print(&self) -> Result<()> {
        let &Report { created, replaced, unchanged, failed, repeated, chained, failures } = self;
        let mut report = json!({"created": created, "replaced": replaced, "unchanged": unchanged, "failed": failed});
        for (name, count) in [("repeated", repeated), ("chained", chained)] {
            if let Some(count) = count {
                report[name] = count.into();
            }
        }
        report["failures"] = serde_json::to_value(&failures.0)?;
        text::line(&report.to_string())
    }
}

/// The first failed lines.
#[derive(Clone, Default)]
pub(super) struct Failures(Vec<Failure>);

#[derive(Clone, Serialize)]
struct Failure {
    line: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    field: Option<String>,
    reason: String,
}

impl Failures {
    /// Says on stderr that a line failed, and takes note of it.
    pub(super) fn tell(&mut self, line: u64, reason: &impl Display, field: Option<&str>) {
        let reason = reason.to_string();
        text::tell!("line {line}: {reason}");
        if self.0.len() < FAILURES {
            self.0.push(Failure { line, field: field.map(str::to_owned), reason });
        }
    }
}
