//! Where commands are run, and what they say.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use tempfile::TempDir;

use crate::support::Server;

/// The ways to the API.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Way {
    /// `--server`, with a token.
    Network,
    /// `--data`, where a server runs.
    Control,
    /// `--data`, where none runs.
    Process,
}

pub(crate) const WAYS: [Way; 3] = [Way::Network, Way::Control, Way::Process];

/// A data directory, a way to it, and a directory to run commands in.
pub(crate) struct Place {
    pub(crate) way: Way,
    pub(crate) server: Option<Server>,
    dir: TempDir,
}

/// What a command said, and how it ended.
#[derive(Debug)]
pub(crate) struct Said {
    pub(crate) code: i32,
    pub(crate) out: String,
    pub(crate) err: String,
}

impl Said {
    /// Ends well, without a word on stderr.
    #[track_caller]
    pub(crate) fn done(self) -> String {
        assert_eq!((self.code, self.err.as_str()), (0, ""), "{}", self.out);
        self.out.trim_end().to_owned()
    }

    /// Ends with this code, and says all of these on stderr.
    #[track_caller]
    pub(crate) fn lists(self, code: i32, parts: &[&str]) -> String {
        assert_eq!(self.code, code, "{}{}", self.out, self.err);
        for part in parts {
            assert!(self.err.contains(part), "no `{part}` in: {}", self.err);
        }
        self.out.trim_end().to_owned()
    }

    /// Ends with this code, says nothing on stdout, and all of these on stderr.
    #[track_caller]
    pub(crate) fn fails(self, code: i32, parts: &[&str]) {
        assert_eq!((self.code, self.out.as_str()), (code, ""), "{}", self.err);
        assert!(self.err.starts_with("carom: "), "{}", self.err);
        for part in parts {
            assert!(self.err.contains(part), "no `{part}` in: {}", self.err);
        }
    }
}

/// Runs the binary.
pub(crate) fn carom(dir: &Path, arguments: &[&str]) -> Said {
    carom_into(dir, arguments, Stdio::piped())
}

fn carom_into(dir: &Path, arguments: &[&str], stdout: Stdio) -> Said {
    said(command(dir, arguments).stdout(stdout).output().unwrap())
}

fn command(dir: &Path, arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_carom"));
    command.args(arguments).current_dir(dir).env_remove("CAROM_TOKEN_FILE");
    command
}

fn said(output: Output) -> Said {
    let text = |bytes| String::from_utf8(bytes).unwrap();
    Said { code: output.status.code().unwrap(), out: text(output.stdout), err: text(output.stderr) }
}

impl Place {
    pub(crate) fn new(way: Way) -> Self {
        let server = (way != Way::Process).then(|| Server::start(&[]));
        Place { way, server, dir: TempDir::new().unwrap() }
    }

    pub(crate) fn dir(&self) -> &Path {
        self.dir.path()
    }

    fn data(&self) -> PathBuf {
        self.server.as_ref().map_or_else(|| self.dir().join("carom-data"), Server::data)
    }

    /// The arguments that lead to the API.
    pub(crate) fn arguments(&self) -> Vec<String> {
        let data = self.data().to_str().unwrap().to_owned();
        match self.way {
            Way::Network => {
                let server = format!("http://{}", self.server.as_ref().unwrap().admin.unwrap());
                vec!["--server".to_owned(), server, "--token-file".to_owned(), format!("{data}/admin.token")]
            }
            Way::Control => vec!["--data".to_owned(), data],
            // The default.
            Way::Process => Vec::new(),
        }
    }

    /// Runs a command over this way.
    pub(crate) fn carom(&self, arguments: &[&str]) -> Said {
        self.carom_into(arguments, Stdio::piped())
    }

    /// Runs a command that is written as one text, with something on its stdin.
    pub(crate) fn fed(&self, line: &str, content: &str) -> Said {
        let place = self.arguments();
        let all: Vec<&str> = line.split_whitespace().chain(place.iter().map(String::as_str)).collect();
        let mut command = command(self.dir(), &all);
        let piped = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = piped.spawn().unwrap();
        // What does not read it all ends before.
        let _ = child.stdin.take().unwrap().write_all(content.as_bytes());
        said(child.wait_with_output().unwrap())
    }

    fn carom_into(&self, arguments: &[&str], stdout: Stdio) -> Said {
        let place = self.arguments();
        let all: Vec<&str> = arguments.iter().copied().chain(place.iter().map(String::as_str)).collect();
        carom_into(self.dir(), &all, stdout)
    }

    /// Runs a command whose stdout nobody reads.
    pub(crate) fn unread(&self, line: &str) -> Said {
        let (reader, writer) = std::io::pipe().unwrap();
        drop(reader);
        self.say_into(line, writer.into())
    }

    /// Runs a command that is written as one text, whose stdout goes elsewhere.
    pub(crate) fn say_into(&self, line: &str, stdout: Stdio) -> Said {
        self.carom_into(&line.split_whitespace().collect::<Vec<_>>(), stdout)
    }

    /// Runs a command that is written as one text.
    pub(crate) fn say(&self, line: &str) -> Said {
        self.carom(&line.split_whitespace().collect::<Vec<_>>())
    }

    pub(crate) fn file(&self, name: &str, content: &str) {
        std::fs::write(self.dir().join(name), content).unwrap();
    }
}
