//! What goes wrong, and when.

/// The faults that are set.
#[derive(Debug, Default)]
pub(super) struct Faults {
    /// How many bytes there is room for.
    pub(super) capacity: Option<u64>,
    /// Reads and writes do a part of what they could.
    pub(super) short_io: bool,
    /// A sync that fails.
    pub(super) sync: Countdown,
    /// A sync that fails for want of room, as it may where room is only looked for then.
    pub(super) full_sync: Countdown,
    /// A change that fails.
    pub(super) write: Countdown,
    /// A write that finds the disk full, room or not.
    pub(super) full: Countdown,
    /// A read that fails.
    pub(super) read: Countdown,
    /// The call in which the machine goes down.
    pub(super) crash: Countdown,
}

impl Faults {
    /// Takes back what waits for its time: a crash came first. What lasts stays.
    pub(super) fn after_crash(&mut self) {
        *self = Faults { capacity: self.capacity, short_io: self.short_io, ..Faults::default() };
    }
}

/// Something that happens once, some calls from now.
#[derive(Debug, Default)]
pub(super) struct Countdown(Option<u64>);

impl Countdown {
    /// It happens in the `calls`-th call from now; 1 is the next.
    ///
    /// # Panics
    /// If that is 0: it would never happen, and the test would show nothing.
    pub(super) fn set(&mut self, calls: u64) {
        assert!(calls > 0, "calls are counted from 1");
        self.0 = Some(calls);
    }

    /// Counts a call; whether it happens in this one.
    pub(super) fn strikes(&mut self) -> bool {
        self.0 = self.0.map(|calls| calls - 1);
        self.0.take_if(|calls| *calls == 0).is_some()
    }
}
