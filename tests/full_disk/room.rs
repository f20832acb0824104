//! What takes the room of a disk away, and gives it back.

use std::fs::File;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

/// How many bytes may still be written.
pub(crate) fn free_bytes(disk: &Path) -> u64 {
    let status = rustix::fs::statvfs(disk).unwrap();
    status.f_bavail * status.f_frsize
}

/// Takes what is left of a disk, and also what becomes free, until it is dropped.
pub(crate) struct Filler {
    path: PathBuf,
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Filler {
    /// Takes all room but so many bytes.
    pub(crate) fn leave(disk: &Path, left: u64) -> Self {
        Self::leave_too(disk, "filler", left)
    }

    /// The same beside another one, under this name.
    pub(crate) fn leave_too(disk: &Path, name: &str, left: u64) -> Self {
        let path = disk.join(name);
        let mut file = File::create(&path).unwrap();
        fill(disk, &mut file, left);
        let stop = Arc::new(AtomicBool::new(false));
        let thread = (left == 0).then(|| {
            let (disk, stop) = (disk.to_owned(), Arc::clone(&stop));
            std::thread::spawn(move || {
                while !stop.load(Ordering::Relaxed) {
                    fill(&disk, &mut file, left);
                    std::thread::sleep(Duration::from_millis(2));
                }
            })
        });
        Filler { path, stop, thread }
    }
}

impl Drop for Filler {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        self.thread.take().map(JoinHandle::join);
        std::fs::remove_file(&self.path).unwrap();
    }
}

fn fill(disk: &Path, file: &mut File, left: u64) {
    let block = vec![0; 1 << 20];
    let mut length = block.len();
    while left == 0 || free_bytes(disk) > left {
        match file.write(&block[..length]) {
            Ok(_) => {}
            // To the last byte.
            Err(_) if length > 1 => length /= 16,
            Err(_) => break,
        }
    }
}
