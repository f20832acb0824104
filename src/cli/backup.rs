//! `carom backup`: the whole state in one file.

use std::path::PathBuf;
use std::time::Instant;

use anyhow::Result;
use clap::{Args, ValueHint};

use super::open::{self, DEFAULT_DATA};
use super::{Exit, report, text};
use crate::control_plane::Connection;
use crate::engine::{BackupTarget, EngineConfig, Manifest};

/// Write a backup of all links, while they are being served or not
///
/// A server that runs on the data directory takes it, and goes on answering. The backup is read back and found whole
/// before it gets its name. `carom restore` makes a data directory of it.
#[derive(Args)]
pub(super) struct Arguments {
    /// A directory, which gets a file `carom-TIME-RECORD.snapshot`, and which is created if it is missing and this
    /// ends in `/`; or the file
    #[arg(value_name = "DIR|FILE", value_hint = ValueHint::AnyPath)]
    target: PathBuf,
    /// Where the links are kept
    #[arg(long, value_name = "DIR", default_value = DEFAULT_DATA, value_hint = ValueHint::DirPath)]
    data: PathBuf,
    /// Replace the file if it is there already
    #[arg(long)]
    force: bool,
}

impl Arguments {
    fn target(&self) -> BackupTarget {
        let path = self.target.clone();
        if path.is_dir() || path.as_os_str().as_encoded_bytes().ends_with(b"/") {
            BackupTarget::Directory(path)
        } else {
            BackupTarget::File { path, replace: self.force }
        }
    }
}

/// Takes the backup, and says what is in it.
pub(super) fn run(arguments: &Arguments) -> Result<Exit> {
    let Arguments { data, .. } = arguments;
    let started = Instant::now();
    open::check_is_data(data)?;
    let target = arguments.target();
    let backup = loop {
        if let Some(server) = Connection::open(data)? {
            break target.write(name, |out| Ok::<_, anyhow::Error>(server.backup(out)?))?;
        }
        // Nothing is changed, so little room is no reason to refuse; it may be why a backup is wanted.
        let config = EngineConfig { cache_bytes: 0, disk_reserve_bytes: 0, ..EngineConfig::new(data.clone()) };
        // A server that has begun to answer meanwhile is asked.
        let Some(engine) = open::unless_served(&config)? else { continue };
        let backup = target.write(name, |out| {
            engine.engine().backup(out)?;
            Ok::<_, anyhow::Error>(())
        });
        let closed = engine.close();
        let backup = backup?;
        closed?;
        break backup;
    };
    text::say!(
        "Backup:   {}, {} in {:.1} s, read back and whole\n{}",
        backup.path.display(),
        text::count(backup.bytes, "byte"),
        started.elapsed().as_secs_f64(),
        report::snapshot(&backup.manifest)
    );
    Ok(Exit::Done)
}

/// `carom-20260131T235959.123Z-42.snapshot`: names stand in the order of time, and no two backups get the same.
fn name(manifest: &Manifest) -> String {
    let taken_at_ms = manifest.header.taken_at_ms;
    let time = text::timestamp(taken_at_ms).replace(['-', ':', 'Z'], "");
    format!("carom-{time}.{:03}Z-{}.snapshot", taken_at_ms % 1_000, manifest.header.sequence)
}
