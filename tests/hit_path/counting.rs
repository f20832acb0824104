//! An allocator that counts for each thread how often it was asked for memory.
#![expect(unsafe_code, reason = "an allocator is `unsafe` to implement; this one only counts and passes on")]

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::sync::atomic::{AtomicI32, AtomicU64, AtomicUsize, Ordering};

/// Most threads that are told apart; those after them are not counted.
const THREADS: usize = 512;

struct Slot {
    thread: AtomicI32,
    allocations: AtomicU64,
}

static SLOTS: [Slot; THREADS] = [const { Slot { thread: AtomicI32::new(0), allocations: AtomicU64::new(0) } }; THREADS];
static TAKEN: AtomicUsize = AtomicUsize::new(0);

thread_local! {
    // Neither computed nor dropped, so that it is there whenever memory is asked for.
    static SLOT: Cell<usize> = const { Cell::new(usize::MAX) };
}

pub(crate) struct Counting;

// SAFETY: everything is passed on to the system's allocator as it came. Counting asks for no memory.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        count();
        // SAFETY: as the caller promised.
        unsafe { System.alloc(layout) }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        count();
        // SAFETY: as the caller promised.
        unsafe { System.alloc_zeroed(layout) }
    }

    unsafe fn realloc(&self, memory: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        count();
        // SAFETY: as the caller promised.
        unsafe { System.realloc(memory, layout, size) }
    }

    unsafe fn dealloc(&self, memory: *mut u8, layout: Layout) {
        // SAFETY: as the caller promised.
        unsafe { System.dealloc(memory, layout) }
    }
}

fn count() {
    let mut slot = SLOT.get();
    if slot == usize::MAX {
        slot = TAKEN.fetch_add(1, Ordering::Relaxed);
        SLOT.set(slot);
        if let Some(slot) = SLOTS.get(slot) {
            slot.thread.store(rustix::thread::gettid().as_raw_nonzero().get(), Ordering::Relaxed);
        }
    }
    if let Some(slot) = SLOTS.get(slot) {
        slot.allocations.fetch_add(1, Ordering::Relaxed);
    }
}

/// The number of the thread of this name that runs in this process.
pub(crate) fn thread(name: &str) -> i32 {
    let threads = std::fs::read_dir("/proc/self/task").unwrap().map(|entry| entry.unwrap());
    let mut named = threads
        .filter(|thread| std::fs::read_to_string(thread.path().join("comm")).is_ok_and(|comm| comm.trim_end() == name));
    let found = named.next().unwrap_or_else(|| panic!("no thread is called {name}"));
    found.file_name().to_str().unwrap().parse().unwrap()
}

/// How often this thread has asked for memory.
pub(crate) fn allocations(thread: i32) -> u64 {
    let slot = SLOTS.iter().find(|slot| slot.thread.load(Ordering::Relaxed) == thread);
    slot.expect("the thread is among those that are counted").allocations.load(Ordering::Relaxed)
}
