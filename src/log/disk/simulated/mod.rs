//! A disk in memory that loses, tears, fills up and fails, and all that again from the same seed.
//!
//! What it may do is what POSIX allows and Linux does on a file system with a journal:
//!
//! - **Loss of power** leaves any part of what was not synced, sector by sector: a later write without an earlier one, a
//!   length without the data. A name that was not synced may be gone, and one that is there says nothing of the
//!   content. How: `content` for files, `names` for directories.
//! - **A failed sync** leaves what it was to write in doubt, and no later sync tells (Linux counts the pages as clean).
//! - **A full disk** ends a write at any byte.
//! - **A crash in any call**: the call is done, partly or not at all, and none comes through after it.
//!
//! What it does not do: lose what was synced. For that, [`SimulatedDisk::flip_bit`].

mod content;
mod faults;
mod names;
mod ranges;
mod state;
mod tests;

use std::ffi::OsString;
use std::fmt;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use fastrand::Rng;
use parking_lot::Mutex;
use rustix::io::Errno;

use super::{Access, Disk, DiskFile};
use state::State;

pub(crate) use content::SECTOR_BYTES;
pub(crate) use state::ENTRY_BYTES;

/// A file system in memory. Clones are the same disk.
///
/// Paths begin at its root, which is always there, also if they are relative. The same seed and the same calls in the
/// same order give the same results.
#[derive(Clone)]
pub(crate) struct SimulatedDisk {
    state: Arc<Mutex<State>>,
}

impl fmt::Debug for SimulatedDisk {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("SimulatedDisk").finish_non_exhaustive()
    }
}

impl SimulatedDisk {
    /// An empty disk without limits and faults.
    pub(crate) fn new(seed: u64) -> Self {
        SimulatedDisk { state: Arc::new(Mutex::new(State::new(seed))) }
    }

    /// The power is lost and comes back. What is left is durable, and open files are of no more use: they fail with
    /// EIO. Faults that still wait for their time are taken back; capacity and short I/O stay.
    pub(crate) fn crash(&self) {
        self.state.lock().crash();
    }

    /// The process is killed and another one begins. Nothing is lost, and nothing more is durable than before; all else
    /// is as in [`SimulatedDisk::crash`].
    pub(crate) fn crash_keeping_everything(&self) {
        self.state.lock().restart();
    }

    /// Goes down in the `calls`-th call from now; 1 is the next. That call is done, or partly, or not at all, and fails
    /// with EIO as all after it do, until one of the two methods above.
    pub(crate) fn crash_in(&self, calls: u64) {
        self.state.lock().faults.crash.set(calls);
    }

    /// Whether it went down by [`SimulatedDisk::crash_in`] and has not come back.
    pub(crate) fn is_down(&self) -> bool {
        self.state.lock().is_down
    }

    /// How many calls there were of the methods of [`Disk`] and [`DiskFile`], those on handles from before a crash
    /// apart.
    pub(crate) fn calls(&self) -> u64 {
        self.state.lock().calls
    }

    /// Gives it room for this many bytes, or any number. What is there already stays, also if it is more.
    ///
    /// Counted are the bytes that were written or allocated, once each, and [`ENTRY_BYTES`] for each file and
    /// directory. A file that is removed gives them back when nobody has it open any more.
    pub(crate) fn set_capacity(&self, bytes: Option<u64>) {
        self.state.lock().faults.capacity = bytes;
    }

    /// Has the `syncs`-th sync from now, of a file or directory, fail with EIO; 1 is the next. What it was to make
    /// durable is still seen, but no later sync makes it so. Only what is changed again is written by the next.
    pub(crate) fn fail_sync_in(&self, syncs: u64) {
        self.state.lock().faults.sync.set(syncs);
    }

    /// The same with ENOSPC.
    pub(crate) fn fill_sync_in(&self, syncs: u64) {
        self.state.lock().faults.full_sync.set(syncs);
    }

    /// Has the `changes`-th change from now fail with EIO; 1 is the next. A change is every write, allocation and
    /// setting of a length, and every creation, renaming and removal that could be done. Part of a write may be done, of
    /// the others nothing.
    pub(crate) fn fail_write_in(&self, changes: u64) {
        self.state.lock().faults.write.set(changes);
    }

    /// Has the `writes`-th write from now end at any byte for want of room, also where there is some: a file system that
    /// writes everything to new places keeps none. 1 is the next.
    pub(crate) fn fill_in(&self, writes: u64) {
        self.state.lock().faults.full.set(writes);
    }

    /// Has the `reads`-th read from now fail with EIO; 1 is the next.
    pub(crate) fn fail_read_in(&self, reads: u64) {
        self.state.lock().faults.read.set(reads);
    }

    /// Whether reads and writes do only a part, at random but at least a byte, or are interrupted.
    pub(crate) fn short_io(&self, is_short: bool) {
        self.state.lock().faults.short_io = is_short;
    }

    /// Flips a bit in one of the files that `is_wanted` says yes to, as the disk may do while nobody looks. Which file,
    /// offset and bit (0 is the lowest); none if these files are all empty.
    pub(crate) fn flip_bit(&self, rng: &mut Rng, is_wanted: impl Fn(&Path) -> bool) -> Option<(PathBuf, u64, u8)> {
        let mut state = self.state.lock();
        let files = state.paths().into_iter().filter(|path| is_wanted(path));
        let files: Vec<(PathBuf, u64)> = files
            .filter_map(|path| state.file_at(&path).map(|file| file.content.bytes()).map(|bytes| (path, bytes)))
            .filter(|(_, bytes)| *bytes > 0)
            .collect();
        let (path, bytes) = rng.choice(files)?;
        let (offset, bit) = (rng.u64(0..bytes), rng.u8(0..8));
        state.file_at(&path)?.content.flip(offset, bit);
        Some((path, offset, bit))
    }

    /// Flips this bit, both in what is seen and in what a crash may leave.
    ///
    /// # Panics
    /// If there is no such bit.
    pub(crate) fn flip_bit_at(&self, path: &Path, offset: u64, bit: u8) {
        let mut state = self.state.lock();
        let file = state.file_at(path).unwrap_or_else(|| panic!("there is no file {}", path.display()));
        assert!(offset < file.content.bytes() && bit < 8, "{} has no bit {bit} at {offset}", path.display());
        file.content.flip(offset, bit);
    }

    /// What is seen in a file; none if there is no such file. It is no call, and no fault concerns it.
    pub(crate) fn content(&self, path: &Path) -> Option<Vec<u8>> {
        let mut state = self.state.lock();
        let content = &state.file_at(path)?.content;
        let mut bytes = vec![0; content.bytes() as usize];
        content.read(&mut bytes, 0);
        Some(bytes)
    }

    /// The paths of all files, from the root on and in order. It is no call, and no fault concerns it.
    pub(crate) fn files(&self) -> Vec<PathBuf> {
        self.state.lock().paths()
    }

    /// Does what every call does, around its effect. `boot` is the start that a handle is of.
    fn call<T>(&self, boot: Option<u64>, effect: impl FnOnce(&mut State) -> io::Result<T>) -> io::Result<T> {
        let mut state = self.state.lock();
        if boot.is_some_and(|boot| boot != state.boot) {
            return Err(Errno::IO.into());
        }
        state.calls += 1;
        if state.is_down {
            return Err(Errno::IO.into());
        }
        if state.faults.crash.strikes() {
            state.is_down = true;
            if state.rng.bool() {
                // Nobody learns how it went.
                drop(effect(&mut state));
            }
            return Err(Errno::IO.into());
        }
        effect(&mut state)
    }
}

impl Disk for SimulatedDisk {
    fn open(&self, path: &Path, access: Access) -> io::Result<Box<dyn DiskFile>> {
        let (number, boot) = self.call(None, |state| Ok((state.open(path, access)?, state.boot)))?;
        Ok(Box::new(SimulatedFile { disk: self.clone(), number, boot, is_writable: access != Access::Read }))
    }

    fn list(&self, dir: &Path) -> io::Result<Vec<OsString>> {
        self.call(None, |state| state.list(dir))
    }

    fn create_dir(&self, dir: &Path) -> io::Result<()> {
        self.call(None, |state| state.create_dir(dir))
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.call(None, |state| state.rename(from, to))
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        self.call(None, |state| state.remove(path))
    }

    fn sync_dir(&self, dir: &Path) -> io::Result<()> {
        self.call(None, |state| state.sync_dir(dir))
    }

    fn free_bytes(&self, dir: &Path) -> io::Result<u64> {
        self.call(None, |state| state.find_directory(dir).map(|_| state.free_bytes()))
    }
}

/// An open file.
#[derive(Debug)]
struct SimulatedFile {
    disk: SimulatedDisk,
    number: u64,
    boot: u64,
    is_writable: bool,
}

impl SimulatedFile {
    fn call<T>(&self, effect: impl FnOnce(&mut State) -> io::Result<T>) -> io::Result<T> {
        self.disk.call(Some(self.boot), effect)
    }

    fn change<T>(&self, effect: impl FnOnce(&mut State) -> io::Result<T>) -> io::Result<T> {
        self.call(|state| if self.is_writable { effect(state) } else { Err(Errno::BADF.into()) })
    }
}

impl DiskFile for SimulatedFile {
    fn bytes(&self) -> io::Result<u64> {
        self.call(|state| Ok(state.file(self.number)?.content.bytes()))
    }

    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
        self.call(|state| state.read(self.number, buffer, offset))
    }

    fn write_at(&self, bytes: &[u8], offset: u64) -> io::Result<usize> {
        self.change(|state| state.write(self.number, bytes, offset))
    }

    fn set_bytes(&self, bytes: u64) -> io::Result<()> {
        self.change(|state| state.set_bytes(self.number, bytes))
    }

    fn allocate(&self, bytes: u64) -> io::Result<()> {
        self.change(|state| state.allocate(self.number, bytes))
    }

    fn sync(&self) -> io::Result<()> {
        self.call(|state| state.sync(self.number))
    }
}

impl Drop for SimulatedFile {
    fn drop(&mut self) {
        let mut state = self.disk.state.lock();
        if state.boot == self.boot
            && let Ok(file) = state.file(self.number)
        {
            file.handles -= 1;
        }
    }
}
