//! What a worker records of the clicks that it answers.

use std::net::IpAddr;
use std::sync::Arc;

use super::batch::{Batch, Country, LinkCount, Visit, VisitClass, Visitor};
use super::intake::Source;
use super::names::NewNames;
use super::sampler::Sampler;
use super::samples::{Sample, Samples};
use super::visit::{
    AgentCache, AgentEntry, AgentLists, DayKey, REFERRER_BYTES, ReferrerBuffer, language, referrer_host,
};
use super::visiting::Visiting;
use crate::cache::{CachedLink, Counted, Tally};
use crate::clock::unix_time_ms;
use crate::http1::Client;
use crate::limits::{CLICK_DETAILS, CLICKS_PER_BATCH};

/// Within so long only so many new User-Agents are judged in full.
const HALF_SECOND_MS: u64 = 500;

/// Seconds of an hour.
const HOUR_S: u64 = 60 * 60;

/// A worker's record of clicks. It belongs to one thread; once in half a second it hands over what it has.
///
/// The exact counts stand in the worker's own cache beside the links ([`LocalCache::count`](crate::cache::LocalCache));
/// here is everything else, and nothing of it waits for anybody.
pub struct Recorder {
    visiting: Arc<Visiting>,
    lists: Arc<AgentLists>,
    lists_generation: u64,
    agents: AgentCache,
    /// None where clicks are not counted.
    source: Option<Source>,
    /// The key of the day. None where only counts are kept.
    key: Option<DayKey>,
    sampler: Sampler,
    referrer: ReferrerBuffer,
    /// When the next batch began, in seconds since 1970.
    time_s: u64,
    // What comes together of it. Handed over are copies: this memory stays, so that to record a click asks for none.
    names: NewNames,
    counts: Vec<LinkCount>,
    samples: Samples,
    visits: Vec<Visit>,
    /// In which hour names are told: anew in each, should they have been lost on the way.
    told_hour: u64,
    /// In which half of a second the last batch was handed over.
    half_second: u64,
}

/// Who is at the other end of a connection. It holds the address for as long as the connection lasts, and gives it to
/// nobody.
pub struct Guest {
    peer: IpAddr,
    /// What was found out last, for the connection's requests mostly come from one.
    known: Option<Known>,
}

struct Known {
    address: IpAddr,
    agent: u32,
    day: u64,
    visitor: Visitor,
    country: Option<Country>,
}

impl Guest {
    /// The other end of a connection.
    pub fn new(peer: IpAddr) -> Self {
        Guest { peer, known: None }
    }
}

impl Recorder {
    /// A recorder that hands over to `source`, if clicks are counted at all.
    pub(super) fn new(visiting: Arc<Visiting>, source: Option<Source>) -> Self {
        let now_s = unix_time_ms() / 1_000;
        let (lists_generation, lists) = visiting.agents.current();
        // Memory that is never written to takes none.
        let room = |things| if source.is_some() { things } else { 0 };
        Recorder {
            lists,
            lists_generation,
            agents: AgentCache::new(),
            key: visiting.keys.as_ref().map(|keys| keys.current(now_s)),
            visiting,
            sampler: Sampler::new(CLICK_DETAILS),
            referrer: [0; REFERRER_BYTES],
            time_s: now_s,
            names: NewNames::with_room(room(CLICKS_PER_BATCH)),
            counts: Vec::with_capacity(room(CLICKS_PER_BATCH)),
            samples: Samples::with_room(room(CLICK_DETAILS)),
            visits: Vec::with_capacity(room(CLICKS_PER_BATCH)),
            told_hour: now_s / HOUR_S,
            half_second: 0,
            source,
        }
    }

    /// A recorder that only tells who asks, by the lists that carom brings.
    pub fn not_counting() -> Self {
        Recorder::new(Arc::new(Visiting::not_counting()), None)
    }

    /// Whether clicks are counted.
    pub fn is_counting(&self) -> bool {
        self.source.is_some()
    }

    /// Who asks.
    pub fn agent(&mut self, client: &Client<'_>) -> AgentEntry {
        self.agents.get(&self.lists, client.user_agent)
    }

    /// By whom a click is that may be kept with its details; None where the visitor does not want that, or no details are
    /// kept at all.
    pub fn visitor(&self, guest: &mut Guest, client: &Client<'_>, agent: AgentEntry) -> Option<Visitor> {
        let key = self.key.as_ref()?;
        if client.opts_out && self.visiting.honors_opt_out {
            return None;
        }
        let address = self.visiting.proxies.client_address(guest.peer, &client.forwarded_for);
        let is_same =
            |known: &&Known| known.agent == agent.fingerprint && known.day == key.day && known.address == address;
        Some(match guest.known.as_ref().filter(is_same) {
            Some(known) => known.visitor,
            None => {
                let visitor = key.visitor(address, agent.fingerprint);
                let known = Known { address, agent: agent.fingerprint, day: key.day, visitor, country: None };
                guest.known.insert(known).visitor
            }
        })
    }

    /// Records what is known of a click on a link, by a guest whose [`visitor`](Self::visitor) was asked for just before.
    /// When it is, in milliseconds since 1970, is asked if its details are kept.
    pub fn record(
        &mut self,
        link: &CachedLink,
        agent: AgentEntry,
        counted: Counted,
        guest: &mut Guest,
        client: &Client<'_>,
        now_ms: impl FnOnce() -> u64,
    ) {
        let Some(known) = &mut guest.known else { return };
        let is_visit = counted.is_new_mark && agent.agent.class == VisitClass::Human;
        let weight = self.sampler.weight(counted.nth, self.samples.len());
        if !is_visit && weight.is_none() {
            return;
        }
        // They may be handed over before its count is.
        let Some(link) = self.names.tell(link) else { return };
        if is_visit {
            self.visits.push(Visit { link, visitor: known.visitor });
        }
        let Some(weight) = weight else { return };
        let country = *known.country.get_or_insert_with(|| self.visiting.country(known.address));
        let sample = Sample {
            link,
            time_ms: now_ms(),
            visitor: known.visitor,
            weight,
            class: agent.agent.class,
            device: agent.agent.device,
            country,
            language: language(client.accept_language),
        };
        let referrer = client.referer.map_or("", |referer| referrer_host(referer, &mut self.referrer));
        self.sampler.keep(&mut self.samples, sample, referrer);
    }

    /// Takes over the exact count of a link.
    pub fn take(&mut self, link: &CachedLink, tally: Tally) {
        let Some(id) = self.names.tell(link) else { return };
        self.counts.push(LinkCount { link: id, counts: tally });
    }

    /// Whether so much has come together that it should not wait for the next [hand-over](Self::hand_over).
    pub fn is_full(&self) -> bool {
        self.counts.len() >= CLICKS_PER_BATCH || self.visits.len() >= CLICKS_PER_BATCH || self.names.is_full()
    }

    /// Hands over what has come together, and looks after what changes with time. Exact counts that were not yet
    /// [taken](Self::take) go with the next batch.
    pub fn hand_over(&mut self) {
        let now_ms = unix_time_ms();
        let now_s = now_ms / 1_000;
        let batch = Batch {
            time_s: std::mem::replace(&mut self.time_s, now_s),
            names: self.names.take(),
            counts: self.counts.as_slice().into(),
            details: self.samples.take(),
            visits: self.visits.as_slice().into(),
        };
        self.counts.clear();
        self.visits.clear();
        self.sampler.next_batch();
        if let Some(source) = self.source.as_ref().filter(|_| !batch.is_empty()) {
            source.put(batch);
        }
        // Batches that are handed over early do not count.
        if self.half_second != now_ms / HALF_SECOND_MS {
            self.half_second = now_ms / HALF_SECOND_MS;
            self.agents.allow_more();
        }
        if self.told_hour != now_s / HOUR_S {
            self.told_hour = now_s / HOUR_S;
            self.names.forget();
        }
        self.key = self.visiting.keys.as_ref().map(|keys| keys.current(now_s));
        if self.visiting.agents.generation() != self.lists_generation {
            (self.lists_generation, self.lists) = self.visiting.agents.current();
            self.agents.clear();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clicks::intake::Intake;
    use crate::clicks::visiting::{Keep, VisitConfig};
    use crate::http1::{Parse, parse};

    #[test]
    fn a_link_is_named_with_what_is_first_handed_over_of_it() {
        let dir = tempfile::tempdir().unwrap();
        let config = VisitConfig { keep: Keep::Details, ..VisitConfig::default() };
        let (visiting, _) = Visiting::open(&config, dir.path()).unwrap();
        let intake = Intake::default();
        let mut recorder = Recorder::new(Arc::new(visiting), Some(intake.source()));
        let link = CachedLink::present(b"a.example/known", 7, 302, b"https://x.example/", false);
        let asked =
            b"GET /known HTTP/1.1\r\nHost: a.example\r\nUser-Agent: Mozilla/5.0 (X11; Linux x86_64; rv:140.0)\r\n\r\n";
        let Parse::Request { request, .. } = parse(asked) else { panic!() };

        // A worker goes through its counts in parts. This one came behind the part that it is in.
        let mut guest = Guest::new([192, 0, 2, 7].into());
        let agent = recorder.agent(&request.client);
        recorder.visitor(&mut guest, &request.client, agent).unwrap();
        recorder.record(&link, agent, Counted { nth: 1, is_new_mark: true }, &mut guest, &request.client, || 5);
        recorder.hand_over();
        recorder.take(&link, [1, 0, 0, 0]);
        recorder.hand_over();

        let mut batches = Vec::new();
        intake.collect(|batch| batches.push(batch));
        let [first, second] = &batches[..] else { panic!("{batches:?}") };
        assert_eq!(first.names, [crate::clicks::LinkName { link: 7, key: (*b"a.example/known").into() }]);
        assert_eq!((first.details.len(), first.visits.len(), first.counts.len()), (1, 1, 0));
        assert_eq!((second.names.len(), second.details.len(), second.counts.len()), (0, 0, 1));
    }
}
