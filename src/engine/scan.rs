//! Reads all entries of a store, with several threads: each takes one part of the keys after the other.

use std::collections::VecDeque;
use std::ops::ControlFlow;
use std::panic::resume_unwind;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::Relaxed};

use crate::store::{Store, StoreError, keyspace};

/// Parts that the threads share: so many that it does not matter much if some are larger than others, or somebody is
/// slower. One thread alone takes them one by one, too: what a visitor knows of the time before its part is not old then.
const PARTS: usize = 256;

/// After so many halvings without a key in the upper half a part is left whole. A byte that all its keys begin with takes
/// eight.
const HALVINGS_MAX: usize = 512;

/// The typed key behind all entries.
const END: u8 = keyspace::ENTRY + 1;

/// Gives every entry that is in the store before the call, and stays there, to what `begin` makes for each part: its
/// canonical key, and its value. What is changed meanwhile may be given as it was, as it is, or not at all.
///
/// Ends early, without an error, once `is_stopped` is set.
///
/// # Errors
/// If the store can't be read; then all threads stop.
///
/// # Panics
/// If the store or a visitor panics.
pub(super) fn scan_entries<V>(
    store: &dyn Store,
    threads: usize,
    is_stopped: &AtomicBool,
    begin: impl Fn() -> V + Sync,
) -> Result<(), StoreError>
where
    V: FnMut(&[u8], &[u8]),
{
    let bounds = cut(store, PARTS, is_stopped)?;
    let (next, has_failed) = (AtomicUsize::new(0), AtomicBool::new(false));
    let work = || {
        while let Some(part) = bounds.get(next.fetch_add(1, Relaxed)..).and_then(|rest| rest.get(..2)) {
            if is_stopped.load(Relaxed) {
                break;
            }
            let scanned = scan_part(store, &part[0], &part[1], &[is_stopped, &has_failed], begin());
            if scanned.is_err() {
                has_failed.store(true, Relaxed);
                return scanned;
            }
        }
        Ok(())
    };
    std::thread::scope(|scope| {
        let others: Vec<_> = (1..threads).map(|_| scope.spawn(work)).collect();
        let mut scanned = work();
        for other in others {
            let other = other.join().unwrap_or_else(|panic| resume_unwind(panic));
            scanned = scanned.and(other);
        }
        scanned
    })
}

fn scan_part(
    store: &dyn Store,
    from: &[u8],
    to: &[u8],
    stops: &[&AtomicBool],
    mut visit: impl FnMut(&[u8], &[u8]),
) -> Result<(), StoreError> {
    store.scan(from, &mut |typed, value| {
        if typed >= to || stops.iter().any(|stop| stop.load(Relaxed)) {
            return ControlFlow::Break(());
        }
        visit(&typed[1..], value);
        ControlFlow::Continue(())
    })
}

/// Typed keys, in order, between which all entries lie, in `parts` parts or fewer; none of these is empty.
///
/// How many keys lie between two others no store knows. So a part is cut where its keys, as numbers, have their middle;
/// and each is cut once before any is cut twice. Many keys that are near to each other get fewer cuts than they
/// deserve, and still as many as each of the others. Once it is stopped, there are as few parts as there are until then.
fn cut(store: &dyn Store, parts: usize, is_stopped: &AtomicBool) -> Result<Vec<Vec<u8>>, StoreError> {
    let end = vec![END];
    let Some(first) = first_key(store, &[keyspace::ENTRY], &end)? else { return Ok(Vec::new()) };
    let mut whole = VecDeque::from([(first, end.clone())]);
    let mut starts = Vec::new();
    while let Some((from, to)) = whole.pop_front() {
        match whole.len() + starts.len() + 1 < parts {
            true => match cut_in_two(store, &from, &to, is_stopped)? {
                Some(middle) => whole.extend([(from, middle.clone()), (middle, to)]),
                None => starts.push(from),
            },
            false => starts.push(from),
        }
    }
    starts.sort_unstable();
    starts.push(end);
    Ok(starts)
}

/// A key in the store between these, near the middle. The first of these is in the store.
fn cut_in_two(
    store: &dyn Store,
    from: &[u8],
    to: &[u8],
    is_stopped: &AtomicBool,
) -> Result<Option<Vec<u8>>, StoreError> {
    // A part with one key is not worth the halvings.
    if is_stopped.load(Relaxed) || first_key(store, &[from, &[0]].concat(), to)?.is_none() {
        return Ok(None);
    }
    let mut to = to.to_vec();
    for _ in 0..HALVINGS_MAX {
        let Some(middle) = middle(from, &to).filter(|_| !is_stopped.load(Relaxed)) else { break };
        match first_key(store, &middle, &to)? {
            Some(key) => return Ok(Some(key)),
            // All keys are in the lower half.
            None => to = middle,
        }
    }
    Ok(None)
}

/// What lies in the middle of two byte strings, as numbers behind a point, and behind the first. None if they are so near to
/// each other that it would not be worth it.
fn middle(from: &[u8], to: &[u8]) -> Option<Vec<u8>> {
    let common = from.iter().zip(to).take_while(|(a, b)| a == b).count();
    let number = |bytes: &[u8]| {
        let mut number = [0; 8];
        let taken = bytes[common..].len().min(8);
        number[..taken].copy_from_slice(&bytes[common..common + taken]);
        u64::from_be_bytes(number)
    };
    let (low, high) = (number(from), number(to));
    let middle = low + high.checked_sub(low)? / 2;
    (middle > low).then(|| [&from[..common], &middle.to_be_bytes()].concat())
}

/// The first key in the store that is not less than the one and less than the other.
fn first_key(store: &dyn Store, from: &[u8], to: &[u8]) -> Result<Option<Vec<u8>>, StoreError> {
    let mut first = None;
    store.scan(from, &mut |typed, _| {
        first = (typed < to).then(|| typed.to_vec());
        ControlFlow::Break(())
    })?;
    Ok(first)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::sync::Mutex;

    use proptest::prelude::*;

    use super::*;
    use crate::store::{MemoryStore, Write};

    fn store_of(keys: &[&[u8]]) -> MemoryStore {
        let store = MemoryStore::default();
        let others = [keyspace::host_key("a"), keyspace::tag_key("t", "k"), vec![END], vec![1]];
        let writes = keys.iter().map(|key| keyspace::entry_key(key)).chain(others);
        for key in writes {
            store.load(&[Write { value: Some(key.clone()), key }]).unwrap();
        }
        store
    }

    fn scanned(store: &dyn Store, threads: usize) -> BTreeMap<Vec<u8>, usize> {
        let visits = Mutex::new(BTreeMap::new());
        scan_entries(store, threads, &AtomicBool::new(false), || {
            |key: &[u8], value: &[u8]| {
                assert_eq!(value, keyspace::entry_key(key));
                *visits.lock().unwrap().entry(key.to_vec()).or_default() += 1;
            }
        })
        .unwrap();
        visits.into_inner().unwrap()
    }

    #[test]
    fn keys_of_one_host_among_few_others_are_cut_into_many_parts() {
        let keys: Vec<String> = (0..5_000).map(|number| format!("short.example/{number:05}")).collect();
        let mut keys: Vec<&[u8]> = keys.iter().map(|key| key.as_bytes()).collect();
        keys.extend([&b"*/"[..], b"a.example/", b"zzz.example/\xff"]);
        let store = store_of(&keys);
        let bounds = cut(&store, PARTS, &AtomicBool::new(false)).unwrap();
        assert!(bounds.is_sorted() && bounds.len() == PARTS + 1, "{}", bounds.len());
        let largest = bounds
            .windows(2)
            .map(|part| keys.iter().filter(|key| (&part[0]..&part[1]).contains(&&keyspace::entry_key(key))).count());
        assert!(largest.max().unwrap() < 200);
        assert_eq!(scanned(&store, 3).len(), keys.len());
    }

    /// So that what a visitor takes with it from before its part is not as old as the whole scan.
    #[test]
    fn one_thread_takes_many_parts_as_well() {
        let keys: Vec<String> = (0..2_000).map(|number| format!("short.example/{number:05}")).collect();
        let store = store_of(&keys.iter().map(|key| key.as_bytes()).collect::<Vec<_>>());
        let (parts, visits) = (AtomicUsize::new(0), AtomicUsize::new(0));
        scan_entries(&store, 1, &AtomicBool::new(false), || {
            parts.fetch_add(1, Relaxed);
            |_: &[u8], _: &[u8]| {
                visits.fetch_add(1, Relaxed);
            }
        })
        .unwrap();
        assert_eq!((parts.into_inner(), visits.into_inner()), (PARTS, 2_000));
    }

    #[test]
    fn a_store_without_entries_has_no_parts() {
        let store = store_of(&[]);
        assert!(cut(&store, 8, &AtomicBool::new(false)).unwrap().is_empty());
        assert!(scanned(&store, 1).is_empty() && scanned(&store, 2).is_empty());
    }

    #[test]
    fn it_ends_when_it_is_stopped() {
        let keys: Vec<String> = (0..1_000).map(|number| format!("*/{number}")).collect();
        let store = store_of(&keys.iter().map(|key| key.as_bytes()).collect::<Vec<_>>());
        for threads in [1, 3] {
            let (is_stopped, visits) = (AtomicBool::new(false), AtomicUsize::new(0));
            let stopped = scan_entries(&store, threads, &is_stopped, || {
                |_: &[u8], _: &[u8]| {
                    visits.fetch_add(1, Relaxed);
                    is_stopped.store(true, Relaxed);
                }
            });
            assert!(stopped.is_ok() && visits.load(Relaxed) <= threads);
        }
    }

    proptest! {
        #[test]
        fn every_entry_is_visited_once(
            keys in prop::collection::btree_set(prop::collection::vec(0_u8..4, 0..4), 0..60),
            long in prop::collection::btree_set(prop::collection::vec(any::<u8>(), 0..20), 0..60),
        ) {
            let keys: std::collections::BTreeSet<&[u8]> = keys.iter().chain(&long).map(Vec::as_slice).collect();
            let store = store_of(&keys.iter().copied().collect::<Vec<_>>());
            for threads in [1, 2] {
                let visits = scanned(&store, threads);
                prop_assert!(visits.values().all(|&visits| visits == 1));
                prop_assert!(visits.keys().map(Vec::as_slice).eq(keys.iter().copied()));
            }
        }

        #[test]
        fn the_middle_lies_between(from in prop::collection::vec(any::<u8>(), 0..12), to in prop::collection::vec(any::<u8>(), 0..12)) {
            let (from, to) = if from < to { (from, to) } else { (to, from) };
            if let Some(middle) = middle(&from, &to) {
                prop_assert!(from < middle && middle < to, "{:?}", middle);
            }
        }
    }
}
