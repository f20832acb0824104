//! What the operating system knows of this process and of files.

use std::path::Path;

use anyhow::{Context, Result};

/// The most memory that this process had resident so far, in bytes.
pub(crate) fn peak_resident_bytes() -> Result<u64> {
    status_bytes("VmHWM:")
}

/// What this process has resident now, in bytes.
pub(crate) fn resident_bytes() -> Result<u64> {
    status_bytes("VmRSS:")
}

fn status_bytes(field: &str) -> Result<u64> {
    let status = std::fs::read_to_string("/proc/self/status")?;
    let line = status.lines().find_map(|line| line.strip_prefix(field)).context("a field of /proc/self/status")?;
    let kib: u64 = line.trim().trim_end_matches(" kB").parse()?;
    Ok(kib * 1024)
}

/// What the files under a directory take on the disk, in bytes.
pub(crate) fn disk_bytes(dir: &Path) -> Result<u64> {
    use std::os::unix::fs::MetadataExt;
    let mut bytes = 0;
    for entry in std::fs::read_dir(dir).with_context(|| format!("reading {}", dir.display()))? {
        let entry = entry?;
        let metadata = entry.metadata()?;
        bytes += if metadata.is_dir() { disk_bytes(&entry.path())? } else { metadata.blocks() * 512 };
    }
    Ok(bytes)
}
