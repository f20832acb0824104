//! The links that are there.

use std::io::{BufWriter, Write};
use std::path::Path;
use std::process::Command;

use anyhow::{Result, ensure};
use carom::store::StoreKind;
use serde_json::{Value, json};

use crate::client::Client;

/// Links of one host.
pub(crate) const PER_HOST: u64 = 100_000;

/// Links that have the tag `rare`.
pub(crate) const RARE: u64 = 1_000;

pub(crate) fn host(number: u64) -> String {
    format!("host{number:03}.example")
}

pub(crate) fn path(number: u64) -> String {
    format!("/section-{}/page-{number:06}", number / 10_000)
}

/// Imports links, which are made up from their numbers.
pub(crate) fn import(data: &Path, store: StoreKind, links: u64) -> Result<()> {
    let file = data.with_extension("csv");
    let mut out = BufWriter::new(std::fs::File::create(&file)?);
    writeln!(out, "source,target,status")?;
    for number in 0..links {
        let (host, path) = (host(number / PER_HOST), path(number % PER_HOST));
        writeln!(out, "http://{host}{path},https://www.example.org/archive/{number:08x}/the-new-place,301")?;
    }
    out.into_inner()?.sync_all()?;
    let imported = Command::new(env!("CARGO_BIN_EXE_carom"))
        .args(["import", "--store", store.name(), "--data"])
        .arg(data)
        .arg(&file)
        .output()?;
    ensure!(imported.status.success(), "the import failed: {}", String::from_utf8_lossy(&imported.stderr));
    std::fs::remove_file(file)?;
    Ok(())
}

/// Gives some links, spread over all, a tag and a title.
pub(crate) fn tag_some(client: &mut Client, links: u64) -> Result<()> {
    let rare = RARE.min(links / 10);
    let numbers: Vec<u64> = (0..rare).map(|number| number * (links / rare)).collect();
    for some in numbers.chunks(500) {
        let command = |&number: &u64| -> Value {
            let key = format!("{}{}", host(number / PER_HOST), path(number % PER_HOST));
            json!({"op": "patch", "key": key, "link": {"tags": ["rare"], "title": format!("Number {number}")}})
        };
        let commands: Vec<Value> = some.iter().map(command).collect();
        client.post("/v1/batch", &json!({ "commands": commands }).to_string())?.expect(200)?;
    }
    Ok(())
}
