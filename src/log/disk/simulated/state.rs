//! The tree of files and directories behind the simulated disk.

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::{OsStr, OsString};
use std::io;
use std::path::{Component, Path, PathBuf};

use fastrand::Rng;
use rustix::io::Errno;

use super::super::Access;
use super::content::Content;
use super::faults::Faults;
use super::names::{Entry, Names};

/// The directory that is always there.
const ROOT: u64 = 0;

/// Room that a file or directory takes, apart from its content.
pub(crate) const ENTRY_BYTES: u64 = 512;

/// A file: what is in it, and what keeps it.
#[derive(Debug, Default)]
pub(super) struct File {
    pub(super) content: Content,
    names: u32,
    pub(super) handles: u32,
}

impl File {
    /// Whether it takes room: it has a name, or somebody still has it open.
    fn is_used(&self) -> bool {
        self.names > 0 || self.handles > 0
    }
}

/// Everything there is on the disk, by number.
#[derive(Debug)]
pub(super) struct State {
    pub(super) rng: Rng,
    pub(super) faults: Faults,
    /// How often the machine or the process was started. Handles are of one start.
    pub(super) boot: u64,
    /// The machine went down and has not come back.
    pub(super) is_down: bool,
    pub(super) calls: u64,
    files: BTreeMap<u64, File>,
    directories: BTreeMap<u64, Names>,
    next: u64,
}

impl State {
    pub(super) fn new(seed: u64) -> Self {
        State {
            rng: Rng::with_seed(seed),
            faults: Faults::default(),
            boot: 0,
            is_down: false,
            calls: 0,
            files: BTreeMap::new(),
            directories: BTreeMap::from([(ROOT, Names::default())]),
            next: ROOT + 1,
        }
    }

    pub(super) fn file(&mut self, number: u64) -> io::Result<&mut File> {
        Ok(self.files.get_mut(&number).ok_or(Errno::IO)?)
    }

    /// A file by its name, if it has one.
    pub(super) fn file_at(&mut self, path: &Path) -> Option<&mut File> {
        match self.find(path).ok()? {
            Entry::File(number) => self.files.get_mut(&number),
            Entry::Directory(_) => None,
        }
    }

    fn names(&mut self, directory: u64) -> io::Result<&mut Names> {
        Ok(self.directories.get_mut(&directory).ok_or(Errno::NOENT)?)
    }

    fn find(&mut self, path: &Path) -> io::Result<Entry> {
        let mut entry = Entry::Directory(ROOT);
        for name in steps(path)? {
            let Entry::Directory(directory) = entry else { return Err(Errno::NOTDIR.into()) };
            entry = self.names(directory)?.get(name).ok_or(Errno::NOENT)?;
        }
        Ok(entry)
    }

    pub(super) fn find_directory(&mut self, path: &Path) -> io::Result<u64> {
        match self.find(path)? {
            Entry::Directory(directory) => Ok(directory),
            Entry::File(_) => Err(Errno::NOTDIR.into()),
        }
    }

    /// The directory that a path lies in, and its name there.
    fn split(&mut self, path: &Path) -> io::Result<(u64, OsString)> {
        let mut steps = steps(path)?;
        let name = steps.pop().ok_or(Errno::ISDIR)?.to_owned();
        let parent: PathBuf = std::iter::once(OsStr::new("/")).chain(steps).collect();
        Ok((self.find_directory(&parent)?, name))
    }

    pub(super) fn open(&mut self, path: &Path, access: Access) -> io::Result<u64> {
        let (directory, name) = self.split(path)?;
        let number = match (self.names(directory)?.get(&name), access) {
            (Some(Entry::Directory(_)), _) => return Err(Errno::ISDIR.into()),
            (None, Access::Read | Access::Write) => return Err(Errno::NOENT.into()),
            (Some(Entry::File(number)), Access::Read | Access::Write) => number,
            (Some(Entry::File(number)), Access::Create) => {
                self.begin_change()?;
                self.file(number)?.content.set_bytes(0);
                number
            }
            (None, Access::Create) => {
                self.begin_change()?;
                let number = self.number()?;
                self.files.insert(number, File { names: 1, ..File::default() });
                self.names(directory)?.insert(&name, Entry::File(number));
                number
            }
        };
        self.file(number)?.handles += 1;
        Ok(number)
    }

    /// A number for something new, if there is room for it.
    fn number(&mut self) -> io::Result<u64> {
        if self.free_bytes() < ENTRY_BYTES {
            return Err(Errno::NOSPC.into());
        }
        self.next += 1;
        Ok(self.next - 1)
    }

    pub(super) fn list(&mut self, dir: &Path) -> io::Result<Vec<OsString>> {
        let directory = self.find_directory(dir)?;
        let mut names: Vec<OsString> = self.names(directory)?.iter().map(|(name, _)| name.clone()).collect();
        // Nobody may rely on an order.
        self.rng.shuffle(&mut names);
        Ok(names)
    }

    pub(super) fn create_dir(&mut self, dir: &Path) -> io::Result<()> {
        let mut directory = ROOT;
        for name in steps(dir)? {
            directory = match self.names(directory)?.get(name) {
                Some(Entry::Directory(inner)) => inner,
                Some(Entry::File(_)) => return Err(Errno::NOTDIR.into()),
                None => {
                    self.begin_change()?;
                    let number = self.number()?;
                    self.directories.insert(number, Names::default());
                    self.names(directory)?.insert(name, Entry::Directory(number));
                    number
                }
            };
        }
        Ok(())
    }

    pub(super) fn rename(&mut self, from: &Path, to: &Path) -> io::Result<()> {
        let (directory, from_name) = self.split(from)?;
        let (to_directory, to_name) = self.split(to)?;
        if directory != to_directory {
            return Err(Errno::XDEV.into());
        }
        let names = self.names(directory)?;
        let renamed = names.get(&from_name).ok_or(Errno::NOENT)?;
        let replaced = names.get(&to_name);
        if [Some(renamed), replaced].iter().any(|entry| matches!(entry, Some(Entry::Directory(_)))) {
            return Err(Errno::ISDIR.into());
        }
        self.begin_change()?;
        if replaced != Some(renamed) {
            self.names(directory)?.rename(&from_name, &to_name);
            self.count_names();
        }
        Ok(())
    }

    pub(super) fn remove(&mut self, path: &Path) -> io::Result<()> {
        let (directory, name) = self.split(path)?;
        match self.names(directory)?.get(&name) {
            None => Err(Errno::NOENT.into()),
            Some(Entry::Directory(_)) => Err(Errno::ISDIR.into()),
            Some(Entry::File(_)) => {
                self.begin_change()?;
                self.names(directory)?.remove(&name);
                self.count_names();
                Ok(())
            }
        }
    }

    pub(super) fn sync_dir(&mut self, dir: &Path) -> io::Result<()> {
        let directory = self.find_directory(dir)?;
        if let Some(errno) = self.failing_sync() {
            self.names(directory)?.fail_sync();
            return Err(errno.into());
        }
        self.names(directory)?.sync();
        self.forget_unreachable();
        Ok(())
    }

    pub(super) fn read(&mut self, number: u64, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
        if self.faults.read.strikes() {
            return Err(Errno::IO.into());
        }
        let length = self.shorten(buffer.len())?;
        Ok(self.file(number)?.content.read(&mut buffer[..length], offset))
    }

    pub(super) fn write(&mut self, number: u64, bytes: &[u8], offset: u64) -> io::Result<usize> {
        let mut length = bytes.len();
        let fails = self.faults.write.strikes();
        let is_full = self.faults.full.strikes();
        if fails || is_full || self.is_down {
            // Some of it came through.
            length = self.rng.usize(0..=length);
        } else {
            length = self.shorten(length)?;
        }
        let free = self.free_bytes();
        let content = &mut self.file(number)?.content;
        let wanted = offset..offset.checked_add(length as u64).ok_or(Errno::FBIG)?;
        let fits = (content.room().reach(wanted, free) - offset) as usize;
        content.write(&bytes[..fits], offset);
        match fits {
            _ if fails => Err(Errno::IO.into()),
            _ if is_full => Err(Errno::NOSPC.into()),
            0 if length > 0 => Err(Errno::NOSPC.into()),
            _ => Ok(fits),
        }
    }

    /// How much of this many bytes a call does.
    fn shorten(&mut self, bytes: usize) -> io::Result<usize> {
        if !self.faults.short_io || bytes == 0 {
            return Ok(bytes);
        }
        if self.rng.u8(0..8) == 0 {
            return Err(Errno::INTR.into());
        }
        Ok(if self.rng.bool() { bytes } else { self.rng.usize(1..=bytes) })
    }

    pub(super) fn set_bytes(&mut self, number: u64, bytes: u64) -> io::Result<()> {
        self.begin_change()?;
        self.file(number)?.content.set_bytes(bytes);
        Ok(())
    }

    pub(super) fn allocate(&mut self, number: u64, bytes: u64) -> io::Result<()> {
        self.begin_change()?;
        let free = self.free_bytes();
        let content = &mut self.file(number)?.content;
        if content.room().missing(0..bytes) > free {
            return Err(Errno::NOSPC.into());
        }
        content.allocate(bytes);
        Ok(())
    }

    pub(super) fn sync(&mut self, number: u64) -> io::Result<()> {
        let fails = self.failing_sync();
        let content = &mut self.file(number)?.content;
        if let Some(errno) = fails {
            content.fail_sync();
            return Err(errno.into());
        }
        content.sync();
        Ok(())
    }

    /// With which error this sync fails, if it is to.
    fn failing_sync(&mut self) -> Option<Errno> {
        let (fails, is_full) = (self.faults.sync.strikes(), self.faults.full_sync.strikes());
        if is_full { Some(Errno::NOSPC) } else { fails.then_some(Errno::IO) }
    }

    /// Fails if this change is the one that is to fail.
    fn begin_change(&mut self) -> io::Result<()> {
        if self.faults.write.strikes() { Err(Errno::IO.into()) } else { Ok(()) }
    }

    /// How much room is left. Without a limit, half of what there are numbers for, so that sums don't overflow.
    pub(super) fn free_bytes(&self) -> u64 {
        let Some(capacity) = self.faults.capacity else { return u64::MAX / 2 };
        let files = self.files.values().filter(|file| file.is_used());
        let files: u64 = files.map(|file| ENTRY_BYTES + file.content.room().bytes()).sum();
        capacity.saturating_sub(files + ENTRY_BYTES * (self.directories.len() as u64 - 1))
    }

    /// What a loss of power leaves.
    pub(super) fn crash(&mut self) {
        for names in self.directories.values_mut() {
            names.crash(&mut self.rng);
        }
        for file in self.files.values_mut() {
            file.content.crash(&mut self.rng);
        }
        self.restart();
    }

    /// Begins anew with what is there. Handles from before are of a process that is gone.
    pub(super) fn restart(&mut self) {
        self.boot += 1;
        self.is_down = false;
        self.faults.after_crash();
        self.files.values_mut().for_each(|file| file.handles = 0);
        self.count_names();
        self.forget_unreachable();
    }

    /// Counts anew how many names each file has.
    fn count_names(&mut self) {
        self.files.values_mut().for_each(|file| file.names = 0);
        for entry in self.directories.values().flat_map(Names::iter).map(|(_, entry)| entry) {
            if let Entry::File(number) = entry
                && let Some(file) = self.files.get_mut(&number)
            {
                file.names += 1;
            }
        }
    }

    /// Drops what no name leads to, not even after a crash, and nobody has open.
    fn forget_unreachable(&mut self) {
        let mut reachable = BTreeSet::from([Entry::Directory(ROOT)]);
        let mut open = vec![ROOT];
        while let Some(directory) = open.pop() {
            for entry in self.directories.get(&directory).into_iter().flat_map(Names::entries) {
                if reachable.insert(entry)
                    && let Entry::Directory(inner) = entry
                {
                    open.push(inner);
                }
            }
        }
        self.files.retain(|number, file| file.handles > 0 || reachable.contains(&Entry::File(*number)));
        self.directories.retain(|number, _| reachable.contains(&Entry::Directory(*number)));
    }

    /// The paths of all files, in order.
    pub(super) fn paths(&self) -> Vec<PathBuf> {
        let mut paths = Vec::new();
        let mut open = vec![(PathBuf::from("/"), ROOT)];
        while let Some((path, directory)) = open.pop() {
            for (name, entry) in self.directories.get(&directory).into_iter().flat_map(Names::iter) {
                match entry {
                    Entry::File(_) => paths.push(path.join(name)),
                    Entry::Directory(inner) => open.push((path.join(name), inner)),
                }
            }
        }
        paths.sort_unstable();
        paths
    }
}

/// The names along a path. It begins at the root, also if it is relative.
fn steps(path: &Path) -> io::Result<Vec<&OsStr>> {
    if path.as_os_str().is_empty() {
        return Err(Errno::NOENT.into());
    }
    let steps = path.components().filter(|step| !matches!(step, Component::RootDir | Component::CurDir));
    steps
        .map(|step| match step {
            Component::Normal(name) => Ok(name),
            _ => Err(Errno::INVAL.into()),
        })
        .collect()
}
