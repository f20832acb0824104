//! Lists, which the API gives page by page.

use std::collections::HashMap;

use anyhow::{Context, Result};
use serde::de::DeserializeOwned;
use serde_json::value::RawValue;

use super::{Client, Request};

/// A list of the API.
pub(in crate::cli) struct List {
    /// Its name in the answers.
    pub(in crate::cli) name: &'static str,
    /// Most entries of a page.
    pub(in crate::cli) page_entries: u64,
}

impl List {
    /// A list with pages of the usual length.
    pub(in crate::cli) fn new(name: &'static str) -> Self {
        List { name, page_entries: 1_000 }
    }
}

/// A page of a list.
pub(in crate::cli) struct Page {
    entries: Vec<Box<RawValue>>,
    rest: HashMap<String, Box<RawValue>>,
}

impl Page {
    /// A number that stands beside the list.
    pub(in crate::cli) fn number(&self, name: &str) -> Option<u64> {
        self.rest.get(name).and_then(|raw| raw.get().parse().ok())
    }

    /// What it holds.
    pub(in crate::cli) fn read<T: DeserializeOwned>(&self) -> Result<Vec<T>> {
        let read = self.entries.iter().map(|entry| serde_json::from_str(entry.get()));
        read.collect::<Result<_, _>>().context("the server's answer can't be read; is it another version of carom?")
    }

    /// What it holds, as the API wrote it: a line each.
    pub(in crate::cli) fn lines(&self) -> impl Iterator<Item = &str> {
        self.entries.iter().map(|entry| entry.get())
    }
}

impl Client {
    /// Asks for a list page by page, until there are `limit` entries or there is no more. `request` gives the request
    /// for the first page, or, without what a cursor says already, for a further one.
    pub(in crate::cli) fn pages(
        &mut self,
        list: &List,
        request: impl Fn(bool) -> Request,
        limit: Option<u64>,
        mut each: impl FnMut(&Page) -> Result<()>,
    ) -> Result<()> {
        let List { name, page_entries } = *list;
        let mut left = limit.unwrap_or(u64::MAX);
        let mut cursor: Option<String> = None;
        while left > 0 {
            let request = request(cursor.is_none())
                .parameter("limit", &left.min(page_entries).to_string())
                .parameter_if("cursor", cursor.as_deref());
            let mut answer: HashMap<String, Box<RawValue>> = self.ask(request)?.read()?;
            let read = |raw: Option<Box<RawValue>>| raw.filter(|raw| raw.get() != "null");
            let next = read(answer.remove("next_cursor"));
            let list = read(answer.remove(name)).with_context(|| format!("the server's answer has no `{name}`"))?;
            let mut entries: Vec<Box<RawValue>> = serde_json::from_str(list.get())?;
            entries.truncate(usize::try_from(left).unwrap_or(usize::MAX));
            left -= entries.len() as u64;
            each(&Page { entries, rest: answer })?;
            match next {
                Some(next) => cursor = Some(serde_json::from_str(next.get())?),
                None => break,
            }
        }
        Ok(())
    }
}
