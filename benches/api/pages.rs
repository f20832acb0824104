//! Pages of links, by each kind of filter.

use std::time::Instant;

use anyhow::Result;
use serde_json::Value;

use crate::client::Client;
use crate::latency::Measured;
use crate::links;

/// What is asked for.
pub(crate) struct Filter {
    pub(crate) name: &'static str,
    query: String,
}

/// What came.
#[derive(Default)]
pub(crate) struct Pages {
    pub(crate) latencies: Measured,
    pub(crate) links: u64,
}

pub(crate) fn filters(links: u64) -> Vec<Filter> {
    let filter = |name, query: String| Filter { name, query };
    let host = links::host((links / links::PER_HOST).saturating_sub(1));
    let last = links - 1;
    vec![
        filter("all", String::new()),
        filter("a host", format!("host={host}")),
        filter("a host and a prefix of the path", format!("host={host}&path_prefix=/section-5/")),
        filter("a tag that one in a thousand has", "tag=rare".to_owned()),
        filter("a tag that none has", "tag=none".to_owned()),
        filter("text that many targets hold", "text=archive".to_owned()),
        filter("text that one target holds", format!("text={last:08x}")),
        filter("text that none holds", "text=nowhere-to-be-found".to_owned()),
        filter("disabled ones, of which there are none", "state=disabled".to_owned()),
        filter("created in the future, as none was", "created_from=2100-01-01T00:00:00Z".to_owned()),
    ]
}

/// Reads pages one after the other, from the first again when there are no more.
pub(crate) fn read(client: &mut Client, filter: &Filter, pages: usize) -> Result<Pages> {
    let mut read = Pages::default();
    let mut cursor = None::<String>;
    for _ in 0..pages {
        let next = cursor.as_ref().map_or(String::new(), |cursor| format!("&cursor={cursor}"));
        let target = format!("/v1/links?limit=100&{}{next}", filter.query);
        let started = Instant::now();
        let answer = client.get(target.trim_end_matches('&'))?;
        read.latencies.add(started.elapsed());
        let page = answer.expect(200)?;
        read.links += page["links"].as_array().map_or(0, |links| links.len() as u64);
        cursor = match &page["next_cursor"] {
            Value::String(cursor) => Some(cursor.clone()),
            _ => None,
        };
    }
    Ok(read)
}
