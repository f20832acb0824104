//! What to do about an error of the operating system.

use std::io;

use rustix::io::Errno;

/// A way out of an error, to stand behind its text; empty if there is none to give.
pub(crate) fn hint(error: &io::Error) -> &'static str {
    match error.raw_os_error().map(Errno::from_raw_os_error) {
        Some(Errno::NOSPC) => ". Free some space on the disk",
        Some(Errno::DQUOT) => ". Free some space, or have the quota raised",
        Some(Errno::MFILE) => ". Raise the limit of open files (`ulimit -n`, or `LimitNOFILE=` of a systemd service)",
        Some(Errno::NFILE) => ". Raise the system's limit of open files (`sysctl fs.file-max`)",
        Some(Errno::ACCESS | Errno::PERM) => ". Look at owner and permissions of the data directory",
        Some(Errno::ROFS) => ". Mount the file system so that it can be written",
        Some(Errno::IO) => ". Have the disk looked at",
        // The kind is all that is left of an error that a library has passed on.
        _ => match error.kind() {
            io::ErrorKind::StorageFull => ". Free some space on the disk",
            io::ErrorKind::QuotaExceeded => ". Free some space, or have the quota raised",
            io::ErrorKind::PermissionDenied => ". Look at owner and permissions of the data directory",
            io::ErrorKind::ReadOnlyFilesystem => ". Mount the file system so that it can be written",
            _ => "",
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_an_administrator_can_mend_has_a_hint() {
        for errno in [Errno::NOSPC, Errno::MFILE, Errno::ACCESS, Errno::ROFS] {
            let hint = hint(&errno.into());
            assert!(hint.starts_with(". ") && !hint.ends_with('.'), "{errno}: {hint}");
        }
        assert_eq!(hint(&io::Error::new(io::ErrorKind::PermissionDenied, "passed on")), hint(&Errno::ACCESS.into()));
        assert_eq!(hint(&io::Error::other("whatever")), "");
    }
}
