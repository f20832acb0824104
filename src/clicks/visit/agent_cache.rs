//! What User-Agents say, remembered by one worker.

use ahash::RandomState;

use super::agents::{Agent, AgentLists, looked_at};

/// Sets, and the places of each: room for 1,024 User-Agents. There are many more in the world, and a few hundred make up
/// nearly all requests of a second; with eight places, hardly ever more of those meet in a set than it has.
const SETS: usize = 128;
const WAYS: usize = 8;

/// What is known of a User-Agent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AgentEntry {
    /// What it says.
    pub agent: Agent,
    /// 32 bits of its BLAKE3 hash: the same in all workers and runs. For [`DayKey::visitor`](super::DayKey::visitor).
    pub fingerprint: u32,
}

/// What User-Agents say, by the whole of what is looked at of them: at most
/// [`USER_AGENT_BYTES`](super::USER_AGENT_BYTES), so all of it stays below 640 KiB.
///
/// For one worker. A hit is a comparison of all bytes, before that a hash if another one was found last, and no allocation. After other lists came into use,
/// [`AgentCache::clear`] must be called.
pub struct AgentCache {
    hasher: RandomState,
    sets: Box<[Set]>,
    /// How many may still be judged in full.
    allowed: u32,
    /// The set and the place of the one that was found last: requests of one client often follow each other.
    last: (usize, usize),
}

/// User-Agents that are judged in full at a time: some milliseconds of work.
pub(super) const JUDGED: u32 = 512;

/// The places for the User-Agents of the same lower bits of the hash.
#[derive(Default)]
struct Set {
    /// The upper half of the hash of each, in one cache line: it tells nearly all others apart without their bytes.
    tags: [u32; WAYS],
    /// A bit for each that was used since the hand passed it.
    used: u8,
    /// Where the next one to be replaced is looked for (the CLOCK algorithm).
    hand: u8,
    slots: [Option<Slot>; WAYS],
}

struct Slot {
    entry: AgentEntry,
    user_agent: Vec<u8>,
}

impl AgentCache {
    /// An empty one.
    pub fn new() -> Self {
        AgentCache {
            hasher: RandomState::new(),
            sets: (0..SETS).map(|_| Set::default()).collect(),
            allowed: JUDGED,
            last: (0, 0),
        }
    }

    /// What a User-Agent says, by these lists if it is not remembered.
    pub fn get(&mut self, lists: &AgentLists, user_agent: Option<&[u8]>) -> AgentEntry {
        let user_agent = looked_at(user_agent);
        let (index, way) = self.last;
        let set = &mut self.sets[index];
        if let Some(slot) = &set.slots[way]
            && is_same(&slot.user_agent, user_agent)
        {
            set.used |= 1 << way;
            return slot.entry;
        }
        let hash = self.hasher.hash_one(user_agent);
        let index = hash as usize % SETS;
        let set = &mut self.sets[index];
        let tag = (hash >> u32::BITS) as u32;
        for (way, known) in set.tags.iter().enumerate() {
            if *known == tag
                && let Some(slot) = &set.slots[way]
                && is_same(&slot.user_agent, user_agent)
            {
                set.used |= 1 << way;
                self.last = (index, way);
                return slot.entry;
            }
        }
        if self.allowed == 0 {
            return AgentEntry { agent: lists.judge_quickly(user_agent), fingerprint: fingerprint(user_agent) };
        }
        self.allowed -= 1;
        set.fill(lists, tag, user_agent)
    }

    /// Allows 512 User-Agents more to be judged in full. Whoever sends ever new ones would keep the worker busy with
    /// them: past that, new ones are judged by the lists alone until this is called again.
    pub fn allow_more(&mut self) {
        self.allowed = JUDGED;
    }

    /// Forgets everything.
    pub fn clear(&mut self) {
        self.sets.fill_with(Set::default);
    }
}

/// Whether two User-Agents are the same. Comparing nothing with nothing takes the C library's vector instructions a tenth of a
/// microsecond where an empty slice points to no memory, as most do.
fn is_same(one: &[u8], other: &[u8]) -> bool {
    one.len() == other.len() && (one.is_empty() || one == other)
}

impl Default for AgentCache {
    fn default() -> Self {
        AgentCache::new()
    }
}

impl Set {
    #[cold]
    #[inline(never)]
    fn fill(&mut self, lists: &AgentLists, tag: u32, user_agent: &[u8]) -> AgentEntry {
        let entry = AgentEntry { agent: lists.judge(Some(user_agent)), fingerprint: fingerprint(user_agent) };
        let way = self.next();
        self.tags[way] = tag;
        let place = &mut self.slots[way];
        // The memory of the one that goes is used again.
        let mut kept = place.take().map(|slot| slot.user_agent).unwrap_or_default();
        kept.clear();
        kept.extend_from_slice(user_agent);
        *place = Some(Slot { entry, user_agent: kept });
        entry
    }

    /// The place to be used for another. A new one counts as used only when it is met again, so User-Agents that come
    /// once do not push out those that come often.
    fn next(&mut self) -> usize {
        loop {
            let way = usize::from(self.hand) % WAYS;
            self.hand = self.hand.wrapping_add(1);
            let bit = 1 << way;
            if self.used & bit == 0 {
                return way;
            }
            self.used &= !bit;
        }
    }
}

fn fingerprint(user_agent: &[u8]) -> u32 {
    let hash = blake3::hash(user_agent);
    let first = hash.as_bytes().first_chunk().expect("a hash has 32 bytes");
    u32::from_le_bytes(*first)
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use proptest::prelude::*;

    use super::*;
    use crate::clicks::batch::{Device, VisitClass};
    use crate::clicks::visit::USER_AGENT_BYTES;

    fn lists(text: &str) -> AgentLists {
        AgentLists::parse(text.as_bytes(), Path::new("test")).unwrap()
    }

    #[test]
    fn a_flood_of_new_ones_is_judged_by_the_lists_alone() {
        let lists = lists("bot agent");
        let mut cache = AgentCache::new();
        let phone = |number: u32| format!("Mozilla/5.0 (iPhone; CPU iPhone OS 17_0 like Mac OS X) {number}");
        let device = |cache: &mut AgentCache, number| cache.get(&lists, Some(phone(number).as_bytes())).agent.device;
        (0..JUDGED).for_each(|number| assert_eq!(device(&mut cache, number), Device::Phone, "{number}"));
        assert_eq!(device(&mut cache, JUDGED), Device::Unknown);
        assert_eq!(cache.get(&lists, Some(b"an agent")).agent.class, VisitClass::Bot);
        assert_eq!(device(&mut cache, JUDGED - 1), Device::Phone, "what is known stays known");
        cache.allow_more();
        assert_eq!(device(&mut cache, JUDGED), Device::Phone, "nothing was remembered of the quick look");
    }

    #[test]
    fn what_is_remembered_stays_until_it_is_cleared() {
        let mut cache = AgentCache::new();
        let agent = Some(&b"Some Agent"[..]);
        assert_eq!(cache.get(&lists("bot agent"), agent).agent.class, VisitClass::Bot);
        let previews = lists("preview agent");
        assert_eq!(cache.get(&previews, agent).agent.class, VisitClass::Bot, "it was remembered");
        cache.clear();
        assert_eq!(cache.get(&previews, agent).agent.class, VisitClass::Preview);
    }

    #[test]
    fn more_than_there_is_room_for_are_told_apart() {
        let (lists, mut cache) = (lists("bot |even"), AgentCache::new());
        let mut fingerprints = std::collections::HashSet::new();
        for _ in 0..2 {
            for number in 0..5_000 {
                cache.allow_more();
                let agent = format!("{} {number}", if number % 2 == 0 { "even" } else { "odd" });
                let entry = cache.get(&lists, Some(agent.as_bytes()));
                assert_eq!(entry.agent.class == VisitClass::Bot, number % 2 == 0, "{agent}");
                fingerprints.insert(entry.fingerprint);
            }
        }
        assert_eq!(fingerprints.len(), 5_000);
        let kept: usize = cache.sets.iter().flat_map(|set| &set.slots).flatten().count();
        assert_eq!(kept, WAYS * SETS);
    }

    #[test]
    fn one_that_is_used_outlives_those_that_are_not() {
        let (bots, humans, mut cache) = (lists("bot agent"), lists("human agent"), AgentCache::new());
        let used = Some(&b"agent in use"[..]);
        cache.get(&bots, used);
        for number in 0..20_000 {
            cache.get(&bots, Some(format!("agent {number}").as_bytes()));
            cache.allow_more();
            // It would be judged by these if it were gone.
            assert_eq!(cache.get(&humans, used).agent.class, VisitClass::Bot, "gone after {number}");
        }
    }

    #[test]
    fn as_many_as_are_usual_find_room_together() {
        let (bots, humans, mut cache) = (lists("bot agent"), lists("human agent"), AgentCache::new());
        let agents: Vec<_> = (0..300).map(|number| format!("agent {number}")).collect();
        let mut judged_again = 0;
        for lists in [&bots, &humans] {
            for agent in &agents {
                let judged = cache.get(lists, Some(agent.as_bytes())).agent.class;
                judged_again += usize::from(judged == VisitClass::Human);
            }
        }
        // Where nine or more of them meet in a set, they may push each other out.
        assert!(judged_again < 60, "{judged_again}");
    }

    #[test]
    fn what_is_behind_the_bound_makes_no_difference() {
        let (lists, mut cache) = (lists("bot needle"), AgentCache::new());
        let mut long = vec![b'x'; USER_AGENT_BYTES - 6];
        long.extend_from_slice(b"needle and more");
        let entry = cache.get(&lists, Some(&long));
        assert_eq!(entry.agent.class, VisitClass::Bot);
        assert_eq!(cache.get(&lists, Some(&long[..USER_AGENT_BYTES])), entry);
        let cut = cache.get(&lists, Some(&[b"x", &long[..]].concat()));
        assert_eq!(cut.agent.class, VisitClass::Human);
        assert_ne!(cut.fingerprint, entry.fingerprint);
    }

    #[test]
    fn fingerprints_stay_the_same_from_run_to_run() {
        // Of the empty input, from the test vectors of BLAKE3: af 13 49 b9 …
        assert_eq!(AgentCache::new().get(&lists("bot x1"), None).fingerprint, 0xb949_13af);
    }

    proptest! {
        #[test]
        fn the_cache_says_what_the_lists_say(agents: Vec<Vec<u8>>) {
            let (lists, mut cache) = (lists("bot aa\npreview bb\nhuman cc"), AgentCache::new());
            for agent in agents.iter().chain(&agents) {
                prop_assert_eq!(cache.get(&lists, Some(agent)).agent, lists.judge(Some(agent)));
            }
        }
    }
}
