//! Connections that are idle, slow to ask or slow to take.
//!
//! A timer for each request would cost more than the request. Instead each connection notes in which phase it
//! is and since when, and once a second a sweep shuts down the sockets of those that are late: the read or
//! write that is under way then ends by itself.

use std::cell::RefCell;
use std::os::fd::RawFd;
use std::rc::Rc;

use rustix::net::Shutdown;

use super::socket;
use crate::config::ServeConfig;
use crate::limits::LINGER_TICKS;

/// What a connection is doing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Phase {
    /// Waiting for a request to begin.
    Idle,
    /// Waiting for the rest of a request head.
    Header,
    /// Waiting for the store. The reader threads answer; nothing to hurry.
    Fetch,
    /// Waiting for the client to take the answers.
    Write,
    /// Waiting for the client to close, after the last answer.
    Linger,
}

/// How long each phase may last, in ticks of one second.
#[derive(Debug, Clone, Copy)]
pub(super) struct Limits {
    idle_ticks: u64,
    header_ticks: u64,
    write_ticks: u64,
}

impl Limits {
    pub(super) fn of(config: &ServeConfig) -> Self {
        // One more than the seconds: the second in which a phase begins does not count in full.
        let ticks = |duration: std::time::Duration| duration.as_secs() + 1;
        Limits {
            idle_ticks: ticks(config.idle_timeout),
            header_ticks: ticks(config.header_timeout),
            write_ticks: ticks(config.write_timeout),
        }
    }

    fn of_phase(&self, phase: Phase) -> u64 {
        match phase {
            Phase::Idle => self.idle_ticks,
            Phase::Header => self.header_ticks,
            Phase::Fetch => u64::MAX,
            Phase::Write => self.write_ticks,
            Phase::Linger => LINGER_TICKS,
        }
    }
}

struct Slot {
    fd: RawFd,
    phase: Phase,
    since: u64,
    late: bool,
}

/// The connections of one worker.
pub(super) struct Timeouts {
    state: RefCell<State>,
    limits: Limits,
}

#[derive(Default)]
struct State {
    slots: Vec<Option<Slot>>,
    free: Vec<usize>,
    now: u64,
}

/// A connection's place among them. It must be dropped before the socket is closed.
pub(super) struct Tracked {
    timeouts: Rc<Timeouts>,
    index: usize,
}

impl Timeouts {
    pub(super) fn new(limits: Limits) -> Self {
        Timeouts { state: RefCell::default(), limits }
    }

    /// Takes note of a connection, idle as yet.
    pub(super) fn track(self: &Rc<Self>, fd: RawFd) -> Tracked {
        let mut state = self.state.borrow_mut();
        let slot = Some(Slot { fd, phase: Phase::Idle, since: state.now, late: false });
        let index = match state.free.pop() {
            Some(index) => {
                state.slots[index] = slot;
                index
            }
            None => {
                state.slots.push(slot);
                state.slots.len() - 1
            }
        };
        Tracked { timeouts: Rc::clone(self), index }
    }

    /// How many connections there are.
    pub(super) fn len(&self) -> usize {
        let state = self.state.borrow();
        state.slots.len() - state.free.len()
    }

    /// One more second has passed: shuts down who is late, and names the phase of each.
    pub(super) fn sweep(&self, mut is_late: impl FnMut(Phase)) {
        let mut state = self.state.borrow_mut();
        state.now += 1;
        let now = state.now;
        for slot in state.slots.iter_mut().flatten() {
            if !slot.late && now - slot.since >= self.limits.of_phase(slot.phase) {
                slot.late = true;
                is_late(slot.phase);
                shut_down(slot);
            }
        }
    }

    /// Shuts down the connections that wait for a request to begin, and have since before the last tick: the
    /// request of a new one may be on its way. One that is in the socket's buffer already is still read and
    /// answered.
    pub(super) fn end_idle(&self) {
        let mut state = self.state.borrow_mut();
        let now = state.now;
        for slot in state.slots.iter_mut().flatten() {
            if slot.phase == Phase::Idle && slot.since < now {
                shut_down(slot);
            }
        }
    }

    /// Shuts down all connections, whatever they are doing.
    pub(super) fn end_all(&self) {
        for slot in self.state.borrow_mut().slots.iter_mut().flatten() {
            socket::shut_down(slot.fd, Shutdown::Both);
        }
    }
}

fn shut_down(slot: &Slot) {
    let how = match slot.phase {
        // What was written still has to go out, a 408 among it.
        Phase::Idle | Phase::Header => Shutdown::Read,
        Phase::Fetch | Phase::Write | Phase::Linger => Shutdown::Both,
    };
    socket::shut_down(slot.fd, how);
}

impl Tracked {
    /// The connection goes on with this phase, if it is not in it already.
    pub(super) fn enter(&self, phase: Phase) {
        let mut state = self.timeouts.state.borrow_mut();
        let now = state.now;
        let slot = state.slots[self.index].as_mut().expect("it is freed only when this is dropped");
        if slot.phase != phase {
            (slot.phase, slot.since) = (phase, now);
        }
    }

    /// The connection goes on with this phase anew.
    pub(super) fn enter_anew(&self, phase: Phase) {
        let mut state = self.timeouts.state.borrow_mut();
        let now = state.now;
        let slot = state.slots[self.index].as_mut().expect("it is freed only when this is dropped");
        // Who was late once can be late again, with the 408 say.
        (slot.phase, slot.since, slot.late) = (phase, now, false);
    }

    /// Whether the connection was shut down because it was late.
    pub(super) fn is_late(&self) -> bool {
        self.timeouts.state.borrow().slots[self.index].as_ref().is_some_and(|slot| slot.late)
    }
}

impl Drop for Tracked {
    fn drop(&mut self) {
        let mut state = self.timeouts.state.borrow_mut();
        state.slots[self.index] = None;
        state.free.push(self.index);
    }
}

#[cfg(test)]
mod tests {
    use std::io::Read;
    use std::net::{TcpListener, TcpStream};
    use std::os::fd::AsRawFd;

    use super::*;

    fn pair() -> (TcpStream, TcpStream) {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let client = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        (client, listener.accept().unwrap().0)
    }

    fn timeouts() -> Rc<Timeouts> {
        Rc::new(Timeouts::new(Limits { idle_ticks: 3, header_ticks: 2, write_ticks: 2 }))
    }

    fn late(timeouts: &Timeouts) -> Vec<Phase> {
        let mut late = Vec::new();
        timeouts.sweep(|phase| late.push(phase));
        late
    }

    #[test]
    fn who_is_late_is_shut_down_once() {
        let timeouts = timeouts();
        let (_client, mut server) = pair();
        let tracked = timeouts.track(server.as_raw_fd());
        assert_eq!(late(&timeouts), []);
        tracked.enter(Phase::Header);
        assert_eq!(late(&timeouts), []);
        // A phase that goes on has no new beginning: a client can't win time byte by byte.
        tracked.enter(Phase::Header);
        assert_eq!(late(&timeouts), [Phase::Header]);
        assert!(tracked.is_late());
        assert_eq!(server.read(&mut [0; 8]).unwrap(), 0);
        assert_eq!(late(&timeouts), []);
        // What it is told then has its own time.
        tracked.enter_anew(Phase::Write);
        assert_eq!([late(&timeouts), late(&timeouts)], [vec![], vec![Phase::Write]]);
    }

    #[test]
    fn who_asks_again_in_time_is_never_late() {
        let timeouts = timeouts();
        let (_client, server) = pair();
        let tracked = timeouts.track(server.as_raw_fd());
        for _ in 0..10 {
            tracked.enter_anew(Phase::Idle);
            assert_eq!(late(&timeouts), []);
        }
        tracked.enter(Phase::Fetch);
        for _ in 0..10 {
            assert_eq!(late(&timeouts), []);
        }
    }

    #[test]
    fn a_place_is_given_again() {
        let timeouts = timeouts();
        let (_client, server) = pair();
        let first = timeouts.track(server.as_raw_fd());
        let _second = timeouts.track(server.as_raw_fd());
        drop(first);
        assert_eq!(timeouts.len(), 1);
        let _third = timeouts.track(server.as_raw_fd());
        assert_eq!((timeouts.len(), timeouts.state.borrow().slots.len()), (2, 2));
    }
}
