//! The links all servers are given, and the files each of them reads them from.

use crate::random::{Random, Zipf};
use anyhow::{Context, Result, ensure};
use std::collections::HashSet;
use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::Path;

/// All links are on one host, because nginx and HAProxy maps are looked up by path alone.
pub(crate) const HOST: &str = "bench.example";

const BASE62: &[u8] = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";
const WORDS: [&str; 24] = [
    "spring", "sale", "guide", "new", "event", "team", "news", "launch", "winter", "jobs", "report", "summer", "docs",
    "offer", "talk", "video", "music", "city", "green", "blue", "garden", "travel", "coffee", "open",
];
const SECTIONS: [&str; 8] =
    ["products", "articles", "campaigns", "events", "support", "library", "catalogue", "people"];

/// Paths and targets in one string: a million small strings would cost more than what they hold.
pub(crate) struct Links {
    text: String,
    ends: Vec<(u32, u32)>,
}

impl Links {
    pub(crate) fn generate(count: usize, seed: u64) -> Result<Self> {
        ensure!((1..=10_000_000).contains(&count), "--links {count}: from 1 to 10,000,000");
        let mut random = Random::new(seed);
        let mut links = Self { text: String::with_capacity(count * 80), ends: Vec::with_capacity(count) };
        let mut seen = HashSet::with_capacity(count);
        while links.ends.len() < count {
            let path = path(&mut random);
            // nginx's map ignores case: paths that differ only in it would be one key there, and refused.
            if !seen.insert(path.to_ascii_lowercase()) {
                continue;
            }
            links.text.push_str(&path);
            let path_end = links.text.len() as u32;
            push_target(&mut links.text, &mut random);
            links.ends.push((path_end, links.text.len() as u32));
        }
        Ok(links)
    }

    pub(crate) fn len(&self) -> usize {
        self.ends.len()
    }

    /// Path and target of one link.
    pub(crate) fn get(&self, index: usize) -> (&str, &str) {
        let start = if index == 0 { 0 } else { self.ends[index - 1].1 as usize };
        let (path_end, end) = self.ends[index];
        (&self.text[start..path_end as usize], &self.text[path_end as usize..end as usize])
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        (0..self.len()).map(|index| self.get(index))
    }

    /// What `carom import` reads.
    pub(crate) fn write_csv(&self, file: &Path) -> Result<()> {
        write_file(file, |out| {
            writeln!(out, "source,target,status")?;
            self.iter().try_for_each(|(path, target)| writeln!(out, "http://{HOST}{path},{target},302"))
        })
    }

    /// The inside of an nginx `map` block.
    pub(crate) fn write_nginx_map(&self, file: &Path) -> Result<()> {
        write_file(file, |out| self.iter().try_for_each(|(path, target)| writeln!(out, "{path} {target};")))
    }

    /// A HAProxy map file.
    pub(crate) fn write_haproxy_map(&self, file: &Path) -> Result<()> {
        write_file(file, |out| self.iter().try_for_each(|(path, target)| writeln!(out, "{path} {target}")))
    }

    /// Paths to ask for, one a line, drawn by popularity.
    pub(crate) fn write_sample(&self, file: &Path, zipf: &Zipf, count: usize, random: &mut Random) -> Result<Sample> {
        let mut asked = vec![false; self.len()];
        write_file(file, |out| {
            (0..count).try_for_each(|_| {
                let index = zipf.draw(random);
                asked[index] = true;
                writeln!(out, "{}", self.get(index).0)
            })
        })?;
        Ok(Sample { requests: count, links: asked.iter().filter(|&&asked| asked).count() })
    }
}

/// How much of the links a slice touches.
#[derive(Clone, Copy)]
pub(crate) struct Sample {
    pub(crate) requests: usize,
    /// Different ones among them.
    pub(crate) links: usize,
}

/// Three in four are short codes, the rest slugs somebody typed.
fn path(random: &mut Random) -> String {
    let mut path = String::from("/");
    if random.below(4) > 0 {
        push_code(&mut path, 7, random);
    } else {
        for _ in 0..2 + random.below(2) {
            path.push_str(random.pick(&WORDS));
            path.push('-');
        }
        path.push_str(&random.below(100_000).to_string());
    }
    path
}

/// About 60 bytes.
fn push_target(text: &mut String, random: &mut Random) {
    text.push_str("https://www.example.com/");
    text.push_str(random.pick(&SECTIONS));
    text.push('/');
    for _ in 0..2 {
        text.push_str(random.pick(&WORDS));
        text.push('-');
    }
    push_code(text, 12, random);
}

fn push_code(text: &mut String, length: usize, random: &mut Random) {
    for _ in 0..length {
        text.push(char::from(BASE62[random.below(BASE62.len())]));
    }
}

fn write_file(file: &Path, fill: impl FnOnce(&mut BufWriter<File>) -> std::io::Result<()>) -> Result<()> {
    let write = || {
        let mut out = BufWriter::new(File::create(file)?);
        fill(&mut out)?;
        out.flush()
    };
    write().with_context(|| format!("writing {}", file.display()))
}
