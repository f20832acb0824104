//! What a hit must not cost: a write to memory that other workers use (I4). No lock, no count of references and no shared
//! counter can be without one.
//!
//! Each thread gets its memory in pages of its own. A worker's responder then answers tens of thousands of requests of a
//! browser, from parsing to the count of the click with its details, as in use, while all that other threads have asked for
//! can only be read: the engine, the shared cache, the tables of hosts, the stamps, what counts clicks. A single write to
//! it ends the process, so that this is done in another one. That such a write is found shows a request that only the
//! shared cache can answer, which takes a lock there.
//!
//! Not seen are writes to statics, to what the worker's thread itself has made to be shared (the way into the journal), and
//! what surrounds the responder: the sockets and the runtime, which are the worker's own. Handing over clicks, twice a second, is no part of a hit, and takes a lock.

mod arena;
#[path = "../../benches/hit_path/hit.rs"]
#[allow(dead_code, reason = "the parts by themselves are the benchmark's")]
mod hit;

use std::os::unix::process::ExitStatusExt;
use std::process::Command;

use hit::Hits;
use rustix::process::Signal;

#[global_allocator]
static ALLOCATOR: arena::Arenas = arena::Arenas;

/// Says to a process of this binary what it is to do.
const TASK: &str = "CAROM_SHARED_WRITES";

/// Times that each link is asked for before.
const WARM_UP: usize = 40;

/// Times that each link is asked for.
const ROUNDS: usize = 200;

#[test]
fn a_hit_in_the_workers_own_cache_writes_to_nothing_shared() {
    let status = run("own");
    assert_ne!(status.signal(), Some(Signal::SEGV.as_raw()), "a hit has written to memory that is not its worker's");
    assert!(status.success(), "{status}");
}

/// That such a write is found: what is only in the shared cache takes its lock.
#[test]
fn a_hit_in_the_shared_cache_does() {
    let status = run("shared");
    assert_eq!(status.signal(), Some(Signal::SEGV.as_raw()), "{status}");
}

/// Not a test by itself: what the other processes do.
#[test]
fn task() {
    let Ok(task) = std::env::var(TASK) else { return };
    let data = tempfile::tempdir().unwrap();
    let opened = hit::engine(data.path());
    let engine = std::sync::Arc::clone(opened.engine());
    let inputs: Vec<String> = (0..hit::LINKS).map(hit::browser_request).collect();
    Hits::new(&engine).fill(&engine, &inputs);
    // Its threads end with it, so that none of them writes to its own memory by chance.
    opened.close().unwrap();
    // Those of the store stay, and go to sleep when they have nothing more to write out or merge.
    std::thread::sleep(std::time::Duration::from_millis(500));
    let inputs = &inputs;
    let worker = move || {
        let mut hits = Hits::new(&engine);
        let mut output = Vec::with_capacity(1 << 10);
        if task == "own" {
            let mut answer = |input: &String| assert!(hits.answer(input.as_bytes(), &mut Vec::new()));
            // Until the worker's own cache keeps them all, which it does by chance once they are asked for again.
            (0..WARM_UP).for_each(|_| inputs.iter().for_each(&mut answer));
        }
        // Once before, so that the buffers are as large as they become.
        assert!(hits.answer(inputs[0].as_bytes(), &mut output));
        arena::with_others_read_only(|| {
            for _ in 0..ROUNDS {
                for input in inputs {
                    output.clear();
                    let answered = hits.answer(input.as_bytes(), &mut output);
                    if !answered {
                        std::process::exit(3);
                    }
                }
            }
        });
        assert!(hits.redirects() >= (ROUNDS * inputs.len()) as u64);
    };
    std::thread::scope(|scope| scope.spawn(worker).join()).unwrap();
}

fn run(task: &str) -> std::process::ExitStatus {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.args(["--exact", "task", "--nocapture", "--test-threads=1"]).env(TASK, task);
    command.status().unwrap()
}
