//! The shared cache against `quick_cache` and `moka`: hit ratio and time on Zipf traces, and memory.
//!
//! `cargo bench --bench cache` runs for a minute or two; `-- --full` adds rounds, `-- --hits` leaves all but one thread's races out.
//!
//! All three hold the same links under the same weights, those of ours, and hash with the same function. A miss makes
//! a link of its own, as a read of the store does. The other two are used at their best: the key is the link itself,
//! so it costs no second allocation. They run in short alternating slices of one trace, and the figures are medians
//! of ratios: the machine may be noisy.

use std::{borrow::Borrow, fs, hash, process::Command, thread, time::Instant};

use ahash::RandomState;
use carom::cache::{CachedLink, LocalCache, SharedCache};

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

const KEYS: usize = 1_000_000;
const EXPONENTS: [f64; 3] = [0.8, 0.99, 1.2];
const CAPACITIES_PERCENT: [usize; 3] = [1, 10, 50];
const WARM_UP: usize = 2_000_000;
const SLICE: usize = 100_000;

/// A read through a cache.
trait Cache: Sync {
    /// Whether `key` was a hit; if not, `load` was called and its link kept.
    fn read(&self, key: &[u8], load: impl FnOnce() -> CachedLink) -> bool;
}

impl Cache for SharedCache {
    fn read(&self, key: &[u8], load: impl FnOnce() -> CachedLink) -> bool {
        let hash = self.hash(key);
        let stamp = self.stamp(hash);
        let hit = self.get(hash, key).is_some();
        if !hit {
            self.fill(hash, stamp, load());
        }
        hit
    }
}

/// A link as its own key.
#[derive(Clone)]
struct Keyed(CachedLink);

impl PartialEq for Keyed {
    fn eq(&self, other: &Self) -> bool {
        self.0.key() == other.0.key()
    }
}

impl Eq for Keyed {}

impl hash::Hash for Keyed {
    fn hash<H: hash::Hasher>(&self, state: &mut H) {
        self.0.key().hash(state);
    }
}

impl Borrow<[u8]> for Keyed {
    fn borrow(&self) -> &[u8] {
        self.0.key()
    }
}

#[derive(Clone)]
struct Weigher;

impl quick_cache::Weighter<Keyed, CachedLink> for Weigher {
    fn weight(&self, _: &Keyed, link: &CachedLink) -> u64 {
        link.weight() as u64
    }
}

type Quick = quick_cache::sync::Cache<Keyed, CachedLink, Weigher, RandomState>;
type Moka = moka::sync::Cache<Keyed, CachedLink, RandomState>;

impl Cache for Quick {
    fn read(&self, key: &[u8], load: impl FnOnce() -> CachedLink) -> bool {
        let hit = self.get(key).is_some();
        if !hit {
            let link = load();
            self.insert(Keyed(link.clone()), link);
        }
        hit
    }
}

impl Cache for Moka {
    fn read(&self, key: &[u8], load: impl FnOnce() -> CachedLink) -> bool {
        let hit = self.get(key).is_some();
        if !hit {
            let link = load();
            self.insert(Keyed(link.clone()), link);
        }
        hit
    }
}

fn quick(capacity_bytes: usize, entries: usize) -> Quick {
    Quick::with(entries, capacity_bytes as u64, Weigher, RandomState::new(), Default::default())
}

fn moka(capacity_bytes: usize) -> Moka {
    moka::sync::Cache::builder()
        .max_capacity(capacity_bytes as u64)
        .weigher(|_, link: &CachedLink| link.weight() as u32)
        .build_with_hasher(RandomState::new())
}

const KEY: &[u8; 45] = b"shop.example.com/catalogue/item-00000000/view";

fn write_key(key: &mut [u8; 45], number: u32) {
    for (i, digit) in key[32..40].iter_mut().enumerate() {
        *digit = b"0123456789abcdef"[(number >> (28 - 4 * i)) as usize & 15];
    }
}

fn link(number: u32) -> CachedLink {
    let mut key = *KEY;
    write_key(&mut key, number);
    let target = format!("https://www.example.com/en/catalogue/products/item/{number:09}");
    CachedLink::present(&key, u64::from(number), 301, target.as_bytes(), false)
}

/// SplitMix64 (Steele, Lea, Flood, 2014).
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let z = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }
}

/// Numbers of keys, the rank r drawn with a probability proportional to 1 / r^s.
fn zipf(s: f64, len: usize) -> Vec<u32> {
    let mut sum = 0.0;
    let cumulated: Vec<f64> = (1..=KEYS)
        .map(|rank| {
            sum += (rank as f64).powf(-s);
            sum
        })
        .collect();
    let mut random = Random(7);
    let draw = |_| {
        let u = (random.next() >> 11) as f64 / (1_u64 << 53) as f64 * sum;
        let rank = cumulated.partition_point(|&c| c < u).min(KEYS - 1);
        // Popular keys are not neighbours in memory: 3^18 has no factor in common with the number of keys.
        (rank * 387_420_489 % KEYS) as u32
    };
    (0..len).map(draw).collect()
}

#[derive(Clone, Copy)]
struct Run {
    hits: usize,
    ns: f64,
}

/// What a read of the store gives: a link of its own, just written.
fn copy(link: &CachedLink) -> CachedLink {
    let view = link.link().expect("it is present");
    CachedLink::present(link.key(), view.id, view.status, view.target, link.has_query_links())
}

fn drive<C: Cache>(cache: &C, trace: &[u32], store: &[CachedLink], threads: usize) -> Run {
    let one = |part: &[u32]| {
        let mut key = *KEY;
        let hit = |&&number: &&u32| {
            write_key(&mut key, number);
            cache.read(&key, || copy(&store[number as usize]))
        };
        part.iter().filter(hit).count()
    };
    let start = Instant::now();
    let hits = if threads == 1 {
        one(trace)
    } else {
        let parts = trace.chunks(trace.len() / threads);
        thread::scope(|scope| {
            let all: Vec<_> = parts.map(|part| scope.spawn(|| one(part))).collect();
            all.into_iter().map(|t| t.join().expect("a reader panicked")).sum()
        })
    };
    Run { hits, ns: start.elapsed().as_nanos() as f64 * threads as f64 / trace.len() as f64 }
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

fn races(rounds: usize, threads: &[usize]) {
    let store: Vec<CachedLink> = (0..KEYS as u32).map(link).collect();
    let total_bytes: usize = store.iter().map(CachedLink::weight).sum();
    println!("{KEYS} links, {} bytes each by weight, {rounds} rounds of {SLICE} reads", total_bytes / KEYS);
    println!("hit %: share of hits; ns: per read of ours; / x: time of ours to that of x, below 1 is faster");
    println!();
    println!("   s  room threads |  hit %   quick    moka |    ns  / quick  / moka");
    for s in EXPONENTS {
        let trace = zipf(s, WARM_UP + rounds * SLICE * threads.len());
        let (warm_up, slices) = trace.split_at(WARM_UP);
        for percent in CAPACITIES_PERCENT {
            let bytes = total_bytes / 100 * percent;
            let (ours, quick, moka) = (SharedCache::new(bytes), quick(bytes, KEYS / 100 * percent), moka(bytes));
            drive(&ours, warm_up, &store, 1);
            drive(&quick, warm_up, &store, 1);
            drive(&moka, warm_up, &store, 1);
            for (&threads, slices) in threads.iter().zip(slices.chunks(rounds * SLICE)) {
                let mut runs = [const { Vec::new() }; 3];
                for (round, slice) in slices.chunks(SLICE).enumerate() {
                    for turn in 0..3 {
                        let who = (round + turn) % 3;
                        runs[who].push(match who {
                            0 => drive(&ours, slice, &store, threads),
                            1 => drive(&quick, slice, &store, threads),
                            _ => drive(&moka, slice, &store, threads),
                        });
                    }
                }
                let hits = |who: usize| {
                    runs[who].iter().map(|r: &Run| r.hits).sum::<usize>() as f64 * 100.0 / slices.len() as f64
                };
                let ratio = |to: usize| median(runs[0].iter().zip(&runs[to]).map(|(a, b)| a.ns / b.ns).collect());
                println!(
                    "{s:4.2} {percent:3} % {threads:7} | {:6.2}  {:6.2}  {:6.2} | {:5.0}  {:7.2}  {:6.2}",
                    hits(0),
                    hits(1),
                    hits(2),
                    median(runs[0].iter().map(|r| r.ns).collect()),
                    ratio(1),
                    ratio(2),
                );
            }
        }
    }
}

/// A worker's reads: its own cache first. Every key is in the shared cache.
fn worker(rounds: usize) {
    println!();
    println!("A worker's cache of 32,768 entries before a shared cache that holds all {KEYS} links:");
    println!("   s | hit % | ns a read, both caches | ns a read, shared cache only | ratio");
    let shared = SharedCache::new(1 << 30);
    let store: Vec<CachedLink> = (0..KEYS as u32).map(link).collect();
    for link in &store {
        let hash = shared.hash(link.key());
        shared.fill(hash, shared.stamp(hash), link.clone());
    }
    for s in EXPONENTS {
        let trace = zipf(s, WARM_UP + rounds * SLICE);
        let mut local = LocalCache::new(32_768);
        let mut key = *KEY;
        let mut read = |number| {
            write_key(&mut key, number);
            let hash = shared.hash(&key);
            if local.get(&shared, hash, &key).is_some() {
                return true;
            }
            let stamp = shared.stamp(hash);
            let link = shared.get(hash, &key).expect("all links are cached");
            local.offer(hash, stamp, link);
            false
        };
        let (warm_up, slices) = trace.split_at(WARM_UP);
        warm_up.iter().for_each(|&number| _ = read(number));
        let (mut hits, mut both, mut alone) = (0, Vec::new(), Vec::new());
        for slice in slices.chunks(SLICE) {
            let start = Instant::now();
            hits += slice.iter().filter(|&&number| read(number)).count();
            both.push(start.elapsed().as_nanos() as f64 / slice.len() as f64);
            alone.push(drive(&shared, slice, &store, 1).ns);
        }
        let ratio = median(both.iter().zip(&alone).map(|(b, a)| b / a).collect());
        let hits = hits as f64 * 100.0 / slices.len() as f64;
        println!("{s:4.2} | {hits:5.2} | {:22.0} | {:28.0} | {ratio:5.2}", median(both), median(alone));
    }
}

fn resident_bytes() -> usize {
    let status = fs::read_to_string("/proc/self/status").expect("Linux says what a process holds");
    let line = status.lines().find_map(|l| l.strip_prefix("VmRSS:")).expect("VmRSS is in it");
    line.trim().trim_end_matches(" kB").parse::<usize>().expect("a number") * 1024
}

/// The lengths of keys whose links' memory is measured.
const KEY_BYTES: [usize; 2] = [45, 26];

/// A link with a key of `key_bytes`: the end of the usual one.
fn link_of(number: u32, key_bytes: usize) -> CachedLink {
    let whole = link(number);
    let key = &whole.key()[KEY.len() - key_bytes..];
    let view = whole.link().expect("it is present");
    CachedLink::present(key, view.id, view.status, view.target, false)
}

/// Fills one cache with all links, in a process of its own, and says what that made resident.
fn resident(who: &str, key_bytes: usize) {
    let before = resident_bytes();
    let weight = link_of(0, key_bytes).weight() * KEYS;
    let room = weight + weight / 20;
    let (bytes, missing) = match who {
        "carom" => fill(&SharedCache::new(room), key_bytes),
        "quick_cache" => fill(&quick(room, KEYS), key_bytes),
        _ => fill(&moka(room), key_bytes),
    };
    let bytes = bytes - before;
    println!(
        "{who:12} {key_bytes:2} bytes of key: {:4} MB, {:4} bytes a link; {missing} not kept",
        bytes / 1_000_000,
        bytes / KEYS
    );
}

/// What is resident once `cache` was filled, and how many links it did not keep.
fn fill<C: Cache>(cache: &C, key_bytes: usize) -> (usize, usize) {
    let mut key = *KEY;
    let mut misses = || {
        let read = |&number: &u32| {
            write_key(&mut key, number);
            !cache.read(&key[KEY.len() - key_bytes..], || link_of(number, key_bytes))
        };
        (0..KEYS as u32).filter(read).count()
    };
    misses();
    let bytes = resident_bytes();
    (bytes, misses())
}

fn main() {
    let arguments: Vec<String> = std::env::args().collect();
    let has = |flag: &str| arguments.iter().any(|a| a == flag);
    if let Some(at) = arguments.iter().position(|a| a == "--resident") {
        return resident(&arguments[at + 1], arguments[at + 2].parse().expect("a number"));
    }
    if has("--hits") {
        return races(10, &[1]);
    }
    let rounds = if has("--full") { 45 } else { 15 };
    races(rounds, &[1, 2]);
    worker(rounds);
    println!();
    println!("Resident with {KEYS} links of 60 bytes of target:");
    for (who, key_bytes) in ["carom", "quick_cache", "moka"].iter().flat_map(|who| KEY_BYTES.map(|bytes| (who, bytes)))
    {
        let this = std::env::current_exe().expect("the bench knows its own path");
        let status = Command::new(this).args(["--resident", who, &key_bytes.to_string()]).status();
        assert!(status.expect("it starts itself").success());
    }
}
