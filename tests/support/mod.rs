//! The real binary under test, and a client that says exactly what is on the wire.
#![allow(dead_code, reason = "every test file uses its own part of this")]

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal};

/// The drivers that every test of the wire runs on.
pub(crate) const DRIVERS: [&str; 2] = ["uring", "epoll"];

/// The User-Agent of a person's browser.
pub(crate) const BROWSER: &str = "Mozilla/5.0 (X11; Linux x86_64; rv:128.0) Gecko/20100101 Firefox/128.0";

/// Longest that anything here waits for an answer.
pub(crate) const PATIENCE: Duration = Duration::from_secs(20);

/// A running server, ended when it is dropped.
pub(crate) struct Server {
    child: Child,
    /// Where it listens.
    pub(crate) address: SocketAddr,
    /// Where its admin API listens.
    pub(crate) admin: Option<SocketAddr>,
    data: tempfile::TempDir,
    said: Arc<Mutex<String>>,
}

/// Says on the real stderr, which the test runner does not swallow, that something was not run; where everything
/// must run, that is a failure.
pub(crate) fn not_run(what: &str) {
    assert!(std::env::var_os("CAROM_TEST_ALL").is_none(), "not run, though CAROM_TEST_ALL is set: {what}");
    let _ = writeln!(std::io::stderr(), "not run: {what}");
}

/// Whether the kernel lets this process have an io_uring; says so if not.
pub(crate) fn has_driver(driver: &str) -> bool {
    if driver != "uring" {
        return true;
    }
    match io_uring::IoUring::new(8) {
        Ok(_) => true,
        Err(error) => {
            not_run(&format!("the tests on io_uring, which this machine does not allow ({error})"));
            false
        }
    }
}

impl Server {
    /// Starts a server on a fresh data directory and a free port.
    pub(crate) fn start(arguments: &[&str]) -> Self {
        Self::start_on(tempfile::tempdir().unwrap(), arguments)
    }

    /// Starts a server that imports these rows of `source,target,status`.
    pub(crate) fn with_links(rows: &str, arguments: &[&str]) -> Self {
        let data = tempfile::tempdir().unwrap();
        let file = data.path().join("links.csv");
        std::fs::write(&file, format!("source,target,status\n{rows}")).unwrap();
        let import = ["--import", file.to_str().unwrap()];
        Self::start_on(data, &[&import, arguments].concat())
    }

    /// Starts a server on this data directory.
    pub(crate) fn start_on(data: tempfile::TempDir, arguments: &[&str]) -> Self {
        let mut child = Command::new(env!("CARGO_BIN_EXE_carom"))
            .args(["serve", "--listen", "127.0.0.1:0"])
            // A free port, unless the test has one of its own, or none.
            .args(if arguments.contains(&"--admin") { &[][..] } else { &["--admin", "127.0.0.1:0"] })
            .arg("--data")
            .arg(data.path().join("data"))
            .args(arguments)
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(child.stderr.take().unwrap()).lines();
        let mut seen = Vec::new();
        let mut admin = None;
        let address = loop {
            let Some(line) = lines.next() else { panic!("the server ended: {seen:?}") };
            let line = line.unwrap();
            if let Some(rest) = line.strip_prefix("carom: listening on ") {
                break rest.split(' ').next().unwrap().parse().unwrap();
            }
            if let Some(rest) = line.strip_prefix("carom: admin API on http://") {
                admin = Some(rest.split(',').next().unwrap().parse().unwrap());
            }
            seen.push(line);
        };
        // Its later words go on to this test's own output.
        let said = Arc::new(Mutex::new(seen.join("\n")));
        let words = Arc::clone(&said);
        std::thread::spawn(move || {
            for line in lines.map_while(Result::ok) {
                eprintln!("{line}");
                *words.lock().unwrap() += &format!("\n{line}");
            }
        });
        Server { child, address, admin, data, said }
    }

    /// Connects.
    pub(crate) fn connect(&self) -> Client {
        Client::connect(self.address)
    }

    /// Sends a signal.
    pub(crate) fn signal(&self, signal: Signal) {
        rustix::process::kill_process(Pid::from_child(&self.child), signal).unwrap();
    }

    /// Its number among the processes of the machine.
    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Whether the process is still there.
    pub(crate) fn is_running(&mut self) -> bool {
        self.child.try_wait().unwrap().is_none()
    }

    /// Waits until the process has ended.
    pub(crate) fn wait(&mut self, patience: Duration) -> ExitStatus {
        let start = Instant::now();
        loop {
            if let Some(status) = self.child.try_wait().unwrap() {
                return status;
            }
            assert!(start.elapsed() < patience, "the server did not end within {patience:?}");
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    /// Stops the server and gives its data directory for another one.
    pub(crate) fn stop(mut self) -> tempfile::TempDir {
        self.signal(Signal::TERM);
        assert!(self.wait(PATIENCE).success());
        std::mem::replace(&mut self.data, tempfile::tempdir().unwrap())
    }

    /// Kills the server, so that it can't do anything more, and gives its data directory for another one.
    pub(crate) fn kill(mut self) -> tempfile::TempDir {
        self.signal(Signal::KILL);
        self.wait(PATIENCE);
        std::mem::replace(&mut self.data, tempfile::tempdir().unwrap())
    }

    /// What it has said on stderr until now, but for where it listens. It can be kept and read when the server has ended.
    pub(crate) fn said(&self) -> Arc<Mutex<String>> {
        Arc::clone(&self.said)
    }

    /// The data directory.
    pub(crate) fn data(&self) -> PathBuf {
        self.data.path().join("data")
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// An answer from the wire.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Answer {
    /// The status.
    pub(crate) status: u16,
    /// The fields, in order, names in lower case.
    pub(crate) fields: Vec<(String, String)>,
    /// The content.
    pub(crate) content: Vec<u8>,
}

impl Answer {
    /// The value of a field that must be there at most once.
    pub(crate) fn field(&self, name: &str) -> Option<&str> {
        let mut values = self.fields.iter().filter(|(field, _)| field == name).map(|(_, value)| value.as_str());
        let value = values.next();
        assert_eq!(values.next(), None, "{name} twice in {self:?}");
        value
    }
}

/// A connection.
pub(crate) struct Client {
    stream: TcpStream,
    unread: Vec<u8>,
    read: usize,
    was_reset: bool,
}

impl Client {
    /// Connects to a server.
    pub(crate) fn connect(address: SocketAddr) -> Self {
        let stream = TcpStream::connect(address).unwrap();
        stream.set_nodelay(true).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        stream.set_write_timeout(Some(PATIENCE)).unwrap();
        Client { stream, unread: Vec::new(), read: 0, was_reset: false }
    }

    /// Sends bytes. The server may have closed already: then what it said can still be read.
    pub(crate) fn send(&mut self, bytes: impl AsRef<[u8]>) -> &mut Self {
        let _ = self.stream.write_all(bytes.as_ref());
        self
    }

    /// Sends a GET, as a person's browser does, and reads its answer.
    pub(crate) fn get(&mut self, host: &str, target: &str) -> Answer {
        self.send(format!("GET {target} HTTP/1.1\r\nHost: {host}\r\nUser-Agent: {BROWSER}\r\n\r\n")).answer(false)
    }

    /// Reads one answer; to HEAD it has no content.
    pub(crate) fn answer(&mut self, to_head: bool) -> Answer {
        self.try_answer(to_head).expect("the connection ended before an answer")
    }

    /// Reads one answer; None if the connection ends instead.
    pub(crate) fn try_answer(&mut self, to_head: bool) -> Option<Answer> {
        loop {
            let mut fields = [httparse::EMPTY_HEADER; 32];
            let mut response = httparse::Response::new(&mut fields);
            let unread = &self.unread[self.read..];
            if let httparse::Status::Complete(head) = response.parse(unread).unwrap() {
                let fields: Vec<(String, String)> = response
                    .headers
                    .iter()
                    .map(|field| (field.name.to_ascii_lowercase(), String::from_utf8(field.value.to_vec()).unwrap()))
                    .collect();
                let length = fields.iter().find(|(name, _)| name == "content-length");
                let length: usize = match length {
                    Some((_, length)) => length.parse().unwrap(),
                    None if response.code == Some(204) => 0,
                    None => panic!("every answer that may have content has a Content-Length"),
                };
                let length = if to_head { 0 } else { length };
                if unread.len() >= head + length {
                    let content = unread[head..head + length].to_vec();
                    let status = response.code.unwrap();
                    self.read += head + length;
                    return Some(Answer { status, fields, content });
                }
            }
            if !self.fill() {
                assert!(self.read == self.unread.len(), "the connection ended within an answer");
                return None;
            }
        }
    }

    fn fill(&mut self) -> bool {
        self.unread.drain(..self.read);
        self.read = 0;
        let mut buffer = [0; 64 * 1024];
        match self.stream.read(&mut buffer) {
            Ok(0) => false,
            Ok(bytes) => {
                self.unread.extend_from_slice(&buffer[..bytes]);
                true
            }
            Err(error) if error.kind() == std::io::ErrorKind::ConnectionReset => {
                self.was_reset = true;
                false
            }
            Err(error) => panic!("no answer: {error}"),
        }
    }

    /// Whether the server closes the connection in an orderly way, with nothing more to read.
    pub(crate) fn is_closed(&mut self) -> bool {
        self.read == self.unread.len() && !self.fill() && !self.was_reset
    }

    /// The socket.
    pub(crate) fn stream(&mut self) -> &mut TcpStream {
        &mut self.stream
    }
}

/// The real file of redirects beside the project, if it is there; says so if not.
pub(crate) fn govuk_mappings() -> Option<PathBuf> {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("../shared/data/govuk-mappings.csv");
    if file.exists() {
        return Some(file);
    }
    not_run(&format!("the test of the real map, {}, which is not there", file.display()));
    None
}
