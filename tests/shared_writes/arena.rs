//! An allocator that gives each thread memory of its own, which can be made read-only.
#![expect(unsafe_code, reason = "an allocator is `unsafe` to implement, and so is protecting memory")]

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::ptr::null_mut;
use std::sync::atomic::{AtomicPtr, AtomicUsize, Ordering};

use rustix::mm::{MprotectFlags, mprotect};

/// Most threads. One after them gets no memory, and the test fails.
const THREADS: usize = 128;

/// What one thread can have in all, in bytes: nothing is given back. Untouched, it takes no memory.
const ARENA_BYTES: usize = 512 << 20;

const PAGE_BYTES: usize = 4096;

struct Arena {
    start: AtomicPtr<u8>,
    used_bytes: AtomicUsize,
}

static ARENAS: [Arena; THREADS] =
    [const { Arena { start: AtomicPtr::new(null_mut()), used_bytes: AtomicUsize::new(0) } }; THREADS];
static TAKEN: AtomicUsize = AtomicUsize::new(0);

thread_local! {
    // Neither computed nor dropped, so that it is there whenever memory is asked for.
    static ARENA: Cell<usize> = const { Cell::new(usize::MAX) };
}

pub(crate) struct Arenas;

// SAFETY: every piece lies inside of one arena, aligned as asked, and behind all that the arena gave before: no two
// overlap. What is given back is not used again.
unsafe impl GlobalAlloc for Arenas {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        let Some(arena) = ARENAS.get(own_arena()) else { return null_mut() };
        let used_bytes = arena.used_bytes.load(Ordering::Relaxed);
        let begin = used_bytes.next_multiple_of(layout.align());
        let end = begin + layout.size();
        if layout.align() > PAGE_BYTES || end > ARENA_BYTES {
            return null_mut();
        }
        arena.used_bytes.store(end, Ordering::Relaxed);
        // SAFETY: `begin` is inside of the arena.
        unsafe { arena.start.load(Ordering::Relaxed).add(begin) }
    }

    unsafe fn dealloc(&self, _: *mut u8, _: Layout) {}
}

/// The number of this thread's arena.
fn own_arena() -> usize {
    let mut number = ARENA.get();
    if number == usize::MAX {
        number = TAKEN.fetch_add(1, Ordering::Relaxed);
        if let Some(arena) = ARENAS.get(number) {
            let layout = Layout::from_size_align(ARENA_BYTES, PAGE_BYTES).expect("a page is a power of two");
            // SAFETY: the size is not 0.
            arena.start.store(unsafe { System.alloc(layout) }, Ordering::Relaxed);
            assert!(!arena.start.load(Ordering::Relaxed).is_null());
        }
        ARENA.set(number);
    }
    number
}

/// Runs this while everything that other threads have asked for can only be read: a write to it ends the process with
/// SIGSEGV. The caller sees to it that no other thread writes to its own meanwhile.
pub(crate) fn with_others_read_only(run: impl FnOnce()) {
    let protect = |flags| {
        for arena in ARENAS[..TAKEN.load(Ordering::Relaxed).min(THREADS)].iter().enumerate() {
            let (number, Arena { start, used_bytes }) = arena;
            if number != own_arena() {
                let bytes = used_bytes.load(Ordering::Relaxed).next_multiple_of(PAGE_BYTES);
                // SAFETY: these pages are the arena's alone.
                unsafe { mprotect(start.load(Ordering::Relaxed).cast(), bytes, flags) }.unwrap();
            }
        }
    };
    protect(MprotectFlags::READ);
    run();
    protect(MprotectFlags::READ | MprotectFlags::WRITE);
}
