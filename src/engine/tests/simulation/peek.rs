//! Ways to look at a simulated disk without a call that a fault could strike.

use std::ffi::OsString;
use std::io;
use std::path::Path;

use crate::log::disk::simulated::SimulatedDisk;
use crate::log::disk::{Access, Disk, DiskFile};

/// A disk as it is seen now, to read only.
#[derive(Debug)]
pub(super) struct Peek(pub(super) SimulatedDisk);

#[derive(Debug)]
struct PeekFile(Vec<u8>);

fn refused<T>() -> io::Result<T> {
    Err(io::ErrorKind::ReadOnlyFilesystem.into())
}

impl Disk for Peek {
    fn open(&self, path: &Path, access: Access) -> io::Result<Box<dyn DiskFile>> {
        match (access, self.0.content(path)) {
            (Access::Read, Some(content)) => Ok(Box::new(PeekFile(content))),
            (Access::Read, None) => Err(io::ErrorKind::NotFound.into()),
            (Access::Write | Access::Create, _) => refused(),
        }
    }

    fn list(&self, dir: &Path) -> io::Result<Vec<OsString>> {
        let files = self.0.files();
        Ok(files.iter().filter_map(|path| path.strip_prefix(dir).ok()).map(|name| name.as_os_str().into()).collect())
    }

    fn create_dir(&self, _: &Path) -> io::Result<()> {
        refused()
    }

    fn rename(&self, _: &Path, _: &Path) -> io::Result<()> {
        refused()
    }

    fn remove(&self, _: &Path) -> io::Result<()> {
        refused()
    }

    fn sync_dir(&self, _: &Path) -> io::Result<()> {
        refused()
    }

    fn free_bytes(&self, _: &Path) -> io::Result<u64> {
        Ok(0)
    }
}

impl DiskFile for PeekFile {
    fn bytes(&self) -> io::Result<u64> {
        Ok(self.0.len() as u64)
    }

    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
        let behind = self.0.get(offset as usize..).unwrap_or_default();
        let length = buffer.len().min(behind.len());
        buffer[..length].copy_from_slice(&behind[..length]);
        Ok(length)
    }

    fn write_at(&self, _: &[u8], _: u64) -> io::Result<usize> {
        refused()
    }

    fn set_bytes(&self, _: u64) -> io::Result<()> {
        refused()
    }

    fn allocate(&self, _: u64) -> io::Result<()> {
        refused()
    }

    fn sync(&self) -> io::Result<()> {
        refused()
    }
}

/// Another disk with the same files as this one has now.
pub(super) fn copy(disk: &SimulatedDisk) -> SimulatedDisk {
    let other = SimulatedDisk::new(0);
    for path in disk.files() {
        let content = disk.content(&path).expect("it was listed");
        other.create_dir(path.parent().expect("a file lies in a directory")).expect("there is room");
        let file = other.open(&path, Access::Create).expect("there is room");
        file.write_all_at(&content, 0).expect("there is room");
    }
    other
}
