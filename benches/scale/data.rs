//! The data directory, made once by `carom import` and used again.

use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Instant;

use anyhow::{Context, Result, ensure};
use carom::store::StoreKind;
use serde_json::{Value, json};

use crate::links;

/// Changes with how links are made up, so that no directory of others is taken for theirs.
const MADE: u64 = 1;

/// A data directory with its links.
pub(crate) struct Data {
    pub(crate) dir: PathBuf,
    pub(crate) links: u64,
    /// Of all keys, in bytes.
    pub(crate) key_bytes: u64,
    /// Of all targets, in bytes.
    pub(crate) target_bytes: u64,
    /// What says that `dir` is whole, and what is in it.
    stamp: PathBuf,
    made: Value,
}

impl Data {
    /// Takes what is there, or makes it.
    pub(crate) fn prepare(program: &Path, dir: &Path, store: StoreKind, links: u64) -> Result<Self> {
        ensure!((1_000..=links::MOST / 2).contains(&links), "--links {links}: from 1,000 to {}", links::MOST / 2);
        std::fs::create_dir_all(dir).with_context(|| format!("creating {}", dir.display()))?;
        let dir = dir.canonicalize()?.join(format!("{}-{links}", store.name()));
        let stamp = dir.with_extension("json");
        let read = || serde_json::from_slice::<Value>(&std::fs::read(&stamp).ok()?).ok();
        let made = match read().filter(|made| made["made"] == MADE && dir.is_dir()) {
            Some(made) => made,
            None => make(program, &dir, &stamp, store, links)?,
        };
        let number = |field: &str| made[field].as_u64().with_context(|| format!("{field} in {}", stamp.display()));
        Ok(Self { links, key_bytes: number("key_bytes")?, target_bytes: number("target_bytes")?, dir, stamp, made })
    }

    pub(crate) fn url_bytes(&self) -> u64 {
        self.key_bytes + self.target_bytes
    }

    /// Says that links may not be as they were made: should the run end now, the next one makes them anew.
    pub(crate) fn begin_changes(&self) -> Result<()> {
        std::fs::remove_file(&self.stamp).context("removing the stamp of the data directory")
    }

    /// Says that all links are as they were made.
    pub(crate) fn end_changes(&self) -> Result<()> {
        write_stamp(&self.stamp, &self.made)
    }
}

fn make(program: &Path, dir: &Path, stamp: &Path, store: StoreKind, links: u64) -> Result<Value> {
    let started = Instant::now();
    eprintln!("making {links} links in {}", dir.display());
    if dir.exists() {
        std::fs::remove_dir_all(dir).with_context(|| format!("removing {}", dir.display()))?;
    }
    let csv = dir.with_extension("csv");
    let (key_bytes, target_bytes) = write_csv(&csv, links).with_context(|| format!("writing {}", csv.display()))?;
    let written_s = started.elapsed().as_secs_f64();
    eprintln!("written in {written_s:.1} s; importing");
    let mut import = Command::new(program);
    import.args(["import", "--store", store.name(), "--data"]).arg(dir).arg(&csv);
    let imported = import.output().context("starting carom import")?;
    std::fs::remove_file(&csv)?;
    ensure!(imported.status.success(), "the import failed: {}", String::from_utf8_lossy(&imported.stderr));
    let import_s = started.elapsed().as_secs_f64() - written_s;
    eprintln!("imported in {import_s:.1} s");
    let made = json!({"made": MADE, "links": links, "key_bytes": key_bytes, "target_bytes": target_bytes, "import_s": import_s});
    write_stamp(stamp, &made)?;
    Ok(made)
}

/// Bytes of keys, and of targets.
fn write_csv(file: &Path, links: u64) -> Result<(u64, u64)> {
    let mut out = BufWriter::with_capacity(1 << 20, File::create(file)?);
    writeln!(out, "source,target,status")?;
    let (mut key_bytes, mut target_bytes) = (0, 0);
    let (mut key, mut target) = (String::new(), String::new());
    for number in 0..links {
        key.clear();
        target.clear();
        links::push_key(number, &mut key);
        links::push_target(number, &mut target);
        writeln!(out, "http://{key},{target},302")?;
        key_bytes += key.len() as u64;
        target_bytes += target.len() as u64;
    }
    out.flush()?;
    Ok((key_bytes, target_bytes))
}

fn write_stamp(stamp: &Path, made: &Value) -> Result<()> {
    std::fs::write(stamp, format!("{made:#}\n")).with_context(|| format!("writing {}", stamp.display()))
}
