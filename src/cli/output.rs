//! Where exports go: to stdout, or to a file that gets its name when all of it is there.

use std::cell::Cell;
use std::fs::{File, OpenOptions, Permissions};
use std::io::{self, BufWriter, ErrorKind, Write};
use std::os::fd::AsRawFd;
use std::os::unix::fs::{MetadataExt, OpenOptionsExt, PermissionsExt, fchown};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use rustix::fs::{AtFlags, CWD, Mode, OFlags, PROC_SUPER_MAGIC, linkat, statfs};

use super::text::Unread;

/// Links that are followed to the file that is meant, as the kernel does (path_resolution(7)).
const SYMLINKS: usize = 40;

/// Has `write` write to a file, or to stdout. Who reads it may have enough before the end, as `head`: that is [`Unread`].
///
/// # Errors
/// What `write` gives, or why the output can't be written. A regular file is then as it was.
pub(super) fn write_to(output: Option<&Path>, write: impl FnOnce(&mut dyn Write) -> Result<()>) -> Result<()> {
    let Some(path) = output else { return fill(io::stdout().lock(), "stdout", write) };
    let name = path.display().to_string();
    match destination(path).with_context(|| format!("{name} can't be written"))? {
        Destination::Stream(file) => fill(file, &name, write),
        Destination::File(target) => replace(&target, &name, write),
    }
}

/// What a path stands for.
enum Destination {
    /// What is written straight into: a device, a pipe, what the process has open already.
    Stream(File),
    /// A regular file, or none yet, without links before it.
    File(PathBuf),
}

fn destination(path: &Path) -> Result<Destination> {
    match std::fs::metadata(path) {
        Ok(found) if found.is_dir() => bail!("it is a directory; name a file in it"),
        Ok(found) if !found.is_file() => {
            let file = OpenOptions::new().write(true).open(path)?;
            return Ok(Destination::Stream(file));
        }
        Err(error) if error.kind() != ErrorKind::NotFound => return Err(error.into()),
        _ => {}
    }
    let mut target = path.to_owned();
    for _ in 0..SYMLINKS {
        let Ok(next) = std::fs::read_link(&target) else {
            if target.file_name().is_none() {
                bail!("it is no file");
            }
            return Ok(Destination::File(target));
        };
        let directory = directory_of(&target);
        // `/dev/stdout`, `/dev/fd/3`: another file in its place would not be the one that is open.
        if statfs(directory)?.f_type == PROC_SUPER_MAGIC {
            return Ok(Destination::Stream(OpenOptions::new().append(true).open(path)?));
        }
        target = directory.join(next);
    }
    bail!("more than {SYMLINKS} symbolic links lead on from there")
}

fn directory_of(path: &Path) -> &Path {
    path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

/// Has it written, all of it.
fn fill<W: Write>(out: W, name: &str, write: impl FnOnce(&mut dyn Write) -> Result<()>) -> Result<()> {
    let failure = Cell::new(None);
    let mut out = BufWriter::new(Noting { out, failure: &failure });
    let written = write(&mut out).and_then(|()| Ok(out.flush()?));
    written.map_err(|error| match failure.get() {
        Some(ErrorKind::BrokenPipe) => Unread.into(),
        Some(_) => error.context(format!("{name} can't be written")),
        None => error,
    })
}

/// Takes note of why nothing can be written any more: what wraps it hides that.
struct Noting<'a, W> {
    out: W,
    failure: &'a Cell<Option<ErrorKind>>,
}

impl<W: Write> Write for Noting<'_, W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.out.write(bytes).inspect_err(|error| {
            if error.kind() != ErrorKind::Interrupted {
                self.failure.set(Some(error.kind()));
            }
        })
    }

    fn flush(&mut self) -> io::Result<()> {
        self.out.flush().inspect_err(|error| self.failure.set(Some(error.kind())))
    }
}

/// Writes a new file and gives it the name, and the mode of the one that had it.
fn replace(target: &Path, name: &str, write: impl FnOnce(&mut dyn Write) -> Result<()>) -> Result<()> {
    let directory = directory_of(target);
    let before = std::fs::metadata(target).ok();
    let not_written = || format!("{name} can't be written");
    let part = Part::create(directory, if before.is_some() { 0o600 } else { 0o666 }).with_context(not_written)?;
    fill(&part.file, name, write)?;
    if let Some(before) = before {
        keep(&part.file, &before).with_context(not_written)?;
    }
    part.file.sync_all().with_context(not_written)?;
    part.rename(target).with_context(not_written)?;
    // The name, too, is to outlast the power.
    let synced = File::open(directory).and_then(|directory| directory.sync_all());
    synced.with_context(|| format!("{name} is written, but its directory can't be synced"))
}

/// Gives a file the owner, as far as this user may, and the mode of another.
fn keep(file: &File, before: &std::fs::Metadata) -> io::Result<()> {
    let mode = mode_kept(before, |uid, gid| fchown(file, uid, gid));
    file.set_permissions(Permissions::from_mode(mode))
}

/// Gives a file the owner and the group of another as far as `give` can, and gives the mode that it may have then.
fn mode_kept(before: &std::fs::Metadata, give: impl Fn(Option<u32>, Option<u32>) -> io::Result<()>) -> u32 {
    let (mode, uid, gid) = (before.mode() & 0o777, Some(before.uid()), Some(before.gid()));
    // Who may not give a file away may still give it to a group of their own.
    let has_group = give(uid, gid).or_else(|_| give(None, gid)).is_ok();
    // What its group might do, another group may only if everybody may.
    if has_group { mode } else { mode & !0o070 | (mode & 0o007) << 3 }
}

/// A file that is not whole yet. Without a name, as far as the file system knows such: then nothing is left of it,
/// however the process ends.
struct Part {
    file: File,
    path: PathBuf,
    has_name: Cell<bool>,
}

impl Part {
    fn create(directory: &Path, mode: u32) -> io::Result<Self> {
        // A name of its own, so that what an interrupted export left is in nobody's way.
        let path = directory.join(format!(".carom-{}.part", uuid::Uuid::new_v4().simple()));
        let flags = OFlags::TMPFILE | OFlags::WRONLY | OFlags::CLOEXEC;
        // It gets its name by way of `/proc`.
        let can_be_named = Path::new("/proc/self/fd").exists();
        match rustix::fs::open(directory, flags, Mode::from_raw_mode(mode)) {
            Ok(file) if can_be_named => Ok(Part { file: file.into(), path, has_name: Cell::new(false) }),
            // Of a directory that is missing or closed, this says the same as that would.
            _ => {
                let file = OpenOptions::new().write(true).create_new(true).mode(mode).open(&path)?;
                Ok(Part { file, path, has_name: Cell::new(true) })
            }
        }
    }

    /// Gives it its place, in which another file may be.
    fn rename(self, target: &Path) -> io::Result<()> {
        if !self.has_name.get() {
            // A file can't be linked to a name that is taken, so it gets another one for a moment.
            let open = format!("/proc/self/fd/{}", self.file.as_raw_fd());
            linkat(CWD, open, CWD, &self.path, AtFlags::SYMLINK_FOLLOW)?;
            self.has_name.set(true);
        }
        std::fs::rename(&self.path, target)?;
        self.has_name.set(false);
        Ok(())
    }
}

impl Drop for Part {
    fn drop(&mut self) {
        if self.has_name.get() {
            // What stands in it is not all.
            let _ = std::fs::remove_file(&self.path);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io::Read;
    use std::os::unix::fs::symlink;

    use super::*;

    fn say(path: &Path, text: &str) -> Result<()> {
        write_to(Some(path), |out| Ok(out.write_all(text.as_bytes())?))
    }

    fn names(dir: &Path) -> Vec<String> {
        let mut names: Vec<String> =
            dir.read_dir().unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        names
    }

    #[test]
    fn a_file_is_replaced_as_a_whole_and_keeps_its_mode() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("a");
        say(&file, "one").unwrap();
        std::fs::set_permissions(&file, Permissions::from_mode(0o640)).unwrap();
        let failed = write_to(Some(&file), |out| {
            out.write_all(b"two")?;
            bail!("it broke off")
        });
        assert_eq!(failed.unwrap_err().to_string(), "it broke off");
        assert_eq!(std::fs::read(&file).unwrap(), b"one");
        say(&file, "three").unwrap();
        assert_eq!(std::fs::read(&file).unwrap(), b"three");
        assert_eq!(std::fs::metadata(&file).unwrap().mode() & 0o777, 0o640);
        assert_eq!(names(dir.path()), ["a"]);
    }

    #[test]
    fn what_a_group_might_do_another_group_may_only_if_everybody_may() {
        let dir = tempfile::tempdir().unwrap();
        let kept = |mode, may_give: fn(Option<u32>) -> bool| {
            let path = dir.path().join("a");
            std::fs::write(&path, "").unwrap();
            std::fs::set_permissions(&path, Permissions::from_mode(mode)).unwrap();
            let give =
                |uid: Option<u32>, _| if may_give(uid) { Ok(()) } else { Err(ErrorKind::PermissionDenied.into()) };
            mode_kept(&std::fs::metadata(&path).unwrap(), give)
        };
        assert_eq!(kept(0o664, |_| true), 0o664);
        // The owner can't be kept, and the group can.
        assert_eq!(kept(0o664, |uid| uid.is_none()), 0o664);
        assert_eq!(kept(0o664, |_| false), 0o644);
        assert_eq!(kept(0o660, |_| false), 0o600);
    }

    #[test]
    fn links_lead_to_the_file_that_is_meant() {
        let dir = tempfile::tempdir().unwrap();
        let at = |name: &str| dir.path().join(name);
        std::fs::create_dir(at("sub")).unwrap();
        symlink("sub/next", at("link")).unwrap();
        symlink("file", at("sub/next")).unwrap();
        for text in ["new", "again"] {
            say(&at("link"), text).unwrap();
            assert_eq!(std::fs::read_to_string(at("sub/file")).unwrap(), text);
            assert!(at("link").is_symlink() && at("sub/next").is_symlink());
        }
        symlink("round", at("round")).unwrap();
        assert!(say(&at("round"), "").is_err());
        let error = format!("{:#}", say(&at("sub"), "").unwrap_err());
        assert!(error.contains("is a directory"), "{error}");
        let error = format!("{:#}", say(&at("missing/file"), "").unwrap_err());
        assert!(error.contains("missing/file can't be written") && error.contains("No such file"), "{error}");
    }

    #[test]
    fn what_is_no_file_is_written_into() {
        let dir = tempfile::tempdir().unwrap();
        let fifo = dir.path().join("fifo");
        rustix::fs::mknodat(CWD, &fifo, rustix::fs::FileType::Fifo, Mode::RUSR | Mode::WUSR, 0).unwrap();
        let read = std::thread::scope(|scope| {
            let reader = scope.spawn(|| std::fs::read_to_string(&fifo).unwrap());
            say(&fifo, "text").unwrap();
            reader.join().unwrap()
        });
        assert_eq!(read, "text");
        assert_eq!(names(dir.path()), ["fifo"]);

        let (mut reader, writer) = io::pipe().unwrap();
        say(Path::new(&format!("/dev/fd/{}", writer.as_raw_fd())), "text").unwrap();
        drop(writer);
        let mut read = String::new();
        reader.read_to_string(&mut read).unwrap();
        assert_eq!(read, "text");

        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), "before ").unwrap();
        say(Path::new(&format!("/proc/self/fd/{}", file.as_file().as_raw_fd())), "after").unwrap();
        assert_eq!(std::fs::read_to_string(file.path()).unwrap(), "before after");
    }

    #[test]
    fn who_has_enough_is_no_failure_and_a_full_disk_is() {
        let (reader, writer) = io::pipe().unwrap();
        drop(reader);
        let error = say(Path::new(&format!("/dev/fd/{}", writer.as_raw_fd())), "text").unwrap_err();
        assert!(error.is::<Unread>(), "{error:#}");
        let error = format!("{:#}", say(Path::new("/dev/full"), "text").unwrap_err());
        assert!(error.starts_with("/dev/full can't be written: No space left"), "{error}");
    }

    #[test]
    fn a_part_with_a_name_is_removed() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join(".carom-x.part");
        let part = || Part { file: File::create(&path).unwrap(), path: path.clone(), has_name: Cell::new(true) };
        drop(part());
        assert!(names(dir.path()).is_empty());
        part().rename(&dir.path().join("a")).unwrap();
        assert_eq!(names(dir.path()), ["a"]);
    }
}
