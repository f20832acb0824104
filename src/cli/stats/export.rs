//! The counts of links, as a file.

use std::io::Write;

use anyhow::Result;

use super::Arguments;
use crate::cli::client::Client;
use crate::cli::output::write_to;
use crate::cli::text::{self, count};

/// Writes them as the API gives them.
pub(super) fn write(client: &mut Client, arguments: &Arguments, format: &str) -> Result<()> {
    let request = arguments
        .ask("export")
        .parameter("format", format)
        .parameter_if("granularity", arguments.granularity.as_deref());
    let mut rows = 0u64;
    let copy = |out: &mut dyn Write| -> Result<()> {
        // The ends of the lines of CSV are those of lines of JSON with something before.
        client.lines(&request, |line| {
            rows += 1;
            Ok(out.write_all(line).and_then(|()| out.write_all(b"\n"))?)
        })?;
        Ok(())
    };
    write_to(arguments.output.as_deref(), copy)?;
    if let Some(file) = &arguments.output {
        // The first line of CSV is its header.
        let rows = rows.saturating_sub(u64::from(format == "csv"));
        text::tell!("carom: wrote {} to {}", count(rows, "row"), file.display());
    }
    Ok(())
}
