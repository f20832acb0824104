//! What the kernel knows about processes and the machine.

use anyhow::{Context, Result};
use std::fs;
use std::path::Path;

/// CPU time of all threads of a process, in seconds: user and system.
pub(crate) fn cpu_seconds(pid: u32) -> Result<f64> {
    let fields = stat(pid)?;
    let ticks = |index: usize| -> Result<u64> {
        let field = fields.get(index).with_context(|| format!("/proc/{pid}/stat is too short"))?;
        field.parse().with_context(|| format!("/proc/{pid}/stat: {field:?} is no number"))
    };
    // proc(5) counts from 1 and has utime as 14 and stime as 15; the list starts at 3.
    Ok((ticks(11)? + ticks(12)?) as f64 / rustix::param::clock_ticks_per_second() as f64)
}

/// Resident memory of a process, in bytes.
pub(crate) fn resident_bytes(pid: u32) -> Result<u64> {
    let file = format!("/proc/{pid}/status");
    let text = fs::read_to_string(&file).with_context(|| format!("reading {file}"))?;
    let line =
        text.lines().find_map(|line| line.strip_prefix("VmRSS:")).with_context(|| format!("no VmRSS in {file}"))?;
    let kib: u64 =
        line.trim().trim_end_matches("kB").trim().parse().with_context(|| format!("VmRSS in {file}: {line:?}"))?;
    Ok(kib * 1024)
}

/// The child processes of a process.
pub(crate) fn children(parent: u32) -> Vec<u32> {
    let Ok(folder) = fs::read_dir("/proc") else { return Vec::new() };
    let pids = folder.flatten().filter_map(|entry| entry.file_name().to_str()?.parse::<u32>().ok());
    pids.filter(|&pid| stat(pid).is_ok_and(|fields| fields.get(1).is_some_and(|ppid| *ppid == parent.to_string())))
        .collect()
}

/// `/proc/PID/stat` from its third field on: the second is a name, which may hold anything.
fn stat(pid: u32) -> Result<Vec<String>> {
    let file = format!("/proc/{pid}/stat");
    let text = fs::read_to_string(&file).with_context(|| format!("reading {file}"))?;
    let (_, rest) = text.rsplit_once(')').with_context(|| format!("{file} has no name"))?;
    Ok(rest.split_whitespace().map(str::to_owned).collect())
}

pub(crate) fn cpu_model() -> String {
    let text = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let model = text.lines().find_map(|line| line.strip_prefix("model name")?.split_once(':'));
    model.map_or_else(|| std::env::consts::ARCH.to_owned(), |(_, model)| model.trim().to_owned())
}

pub(crate) fn kernel() -> String {
    rustix::system::uname().release().to_string_lossy().into_owned()
}

/// True for a file system in memory, where Carom's store would not be measured as it is used.
pub(crate) fn in_memory(folder: &Path) -> bool {
    const TMPFS_MAGIC: u64 = 0x0102_1994;
    rustix::fs::statfs(folder).is_ok_and(|fs| fs.f_type as u64 == TMPFS_MAGIC)
}
