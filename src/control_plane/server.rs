//! Answers those who look after the server.

use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::Shutdown;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use rustix::event::{PollFd, PollFlags, poll};

use super::admin::{AdminPlane, Door};
use super::frames::FrameWriter;
use super::refusals::{Refusals, Refused};
use super::{REQUEST_BYTES, socket};
use crate::cache::FilterStatus;
use crate::clicks::{ClicksStatus, Keep, UsesStatus};
use crate::engine::{Engine, Status};

/// Most connections at a time. One more is told so.
const CONNECTIONS: usize = 4;

/// How long a request may take to arrive.
const READ_TIMEOUT: Duration = Duration::from_secs(5);

/// How long a client may take none of an answer. Then a backup that nobody writes away is given up, so that the next
/// one can be taken.
const WRITE_TIMEOUT: Duration = Duration::from_secs(60);

/// The control socket of a running server, and the thread that listens there. Stopping it ends both.
pub struct ControlPlane {
    data: PathBuf,
    /// Closing it tells the thread to end.
    stop: UnixStream,
    listener: JoinHandle<()>,
}

impl ControlPlane {
    /// Listens in the data directory of an engine; requests for the API go on to the admin plane.
    ///
    /// # Errors
    /// If there can't be a socket, as on some file systems.
    pub fn start(engine: &Arc<Engine>, admin: &AdminPlane) -> io::Result<Self> {
        let data = engine.data().to_owned();
        let socket = socket::listen(&data)?;
        socket.set_nonblocking(true)?;
        let (stop, stopped) = UnixStream::pair()?;
        let desk = Arc::new(Desk {
            engine: Arc::clone(engine),
            door: admin.door(),
            refusals: admin.refusals(),
            since: Instant::now(),
            connections: Mutex::default(),
        });
        let body = move || {
            let threads = listen(&socket, &stopped, &desk);
            desk.close();
            threads.into_iter().for_each(|thread| drop(thread.join()));
        };
        let listener = std::thread::Builder::new().name("carom-control".to_owned()).spawn(body);
        let listener = listener.inspect_err(|_| socket::remove(&data))?;
        Ok(ControlPlane { data, stop, listener })
    }

    /// Ends it: takes no more requests, and cuts what is under way.
    pub fn stop(self) {
        let ControlPlane { data, stop, listener } = self;
        socket::remove(&data);
        drop(stop);
        // It has nothing to say that is not said already.
        let _ = listener.join();
    }
}

/// What the threads of the connections share.
struct Desk {
    engine: Arc<Engine>,
    door: Door,
    refusals: Arc<Refusals>,
    since: Instant,
    connections: Mutex<Connections>,
}

#[derive(Default)]
struct Connections {
    open: Vec<(u64, UnixStream)>,
    is_closed: bool,
}

/// Accepts until it is told to stop; the threads that may still be answering.
fn listen(socket: &UnixListener, stopped: &UnixStream, desk: &Arc<Desk>) -> Vec<JoinHandle<()>> {
    static NUMBER: AtomicU64 = AtomicU64::new(0);
    let mut threads: Vec<JoinHandle<()>> = Vec::new();
    loop {
        let mut ready = [PollFd::new(socket, PollFlags::IN), PollFd::new(stopped, PollFlags::IN)];
        // An interruption is as good as nothing.
        let _ = poll(&mut ready, None);
        if !ready[1].revents().is_empty() {
            return threads;
        }
        let stream = match socket.accept() {
            Ok((stream, _)) => stream,
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => continue,
            Err(_) => {
                // Out of files, most likely: that passes, and must not be waited for in a circle.
                std::thread::sleep(Duration::from_millis(100));
                continue;
            }
        };
        threads.retain(|thread| !thread.is_finished());
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let desk = Arc::clone(desk);
        let spawned = std::thread::Builder::new().name("carom-control".to_owned()).spawn(move || {
            // Whoever does not listen to the answer can't be told so.
            let _ = desk.serve(number, stream);
        });
        threads.extend(spawned);
    }
}

impl Desk {
    /// Cuts what is under way, and lets nothing more in.
    fn close(&self) {
        let mut connections = self.connections.lock();
        connections.is_closed = true;
        for (_, stream) in &connections.open {
            // Whoever has hung up need not be hung up on.
            let _ = stream.shutdown(Shutdown::Both);
        }
    }

    fn serve(&self, number: u64, mut stream: UnixStream) -> io::Result<()> {
        // What is accepted may be as its listener is.
        stream.set_nonblocking(false)?;
        stream.set_read_timeout(Some(READ_TIMEOUT))?;
        stream.set_write_timeout(Some(WRITE_TIMEOUT))?;
        let refused = {
            let mut connections = self.connections.lock();
            if connections.is_closed {
                Some("the server is stopping".to_owned())
            } else if connections.open.len() >= CONNECTIONS {
                Some(format!("{CONNECTIONS} requests are being answered already; ask again later"))
            } else {
                connections.open.push((number, stream.try_clone()?));
                None
            }
        };
        if let Some(reason) = refused {
            return writeln!(stream, "error {reason}");
        }
        let answered = self.answer(stream);
        self.connections.lock().open.retain(|(open, _)| *open != number);
        answered
    }

    fn answer(&self, mut stream: UnixStream) -> io::Result<()> {
        let mut request = String::new();
        // Reading ends at the limit, and then the line has no end.
        BufReader::new((&stream).take(REQUEST_BYTES as u64)).read_line(&mut request)?;
        match request.strip_suffix('\n') {
            Some("status") => {
                let status = self.status();
                stream.write_all(format!("ok\n{status}").as_bytes())
            }
            Some("backup") => self.backup(stream),
            Some("api") => self.hand_over(stream),
            Some(_) => writeln!(stream, "error there is no such request; is the server another version of carom?"),
            None => writeln!(stream, "error a request is a line of at most {REQUEST_BYTES} bytes"),
        }
    }

    fn status(&self) -> String {
        let Status { health, log_id, record, durability, store, free_bytes, disk_reserve_bytes, filter, clicks, uses } =
            self.engine.status();
        let known = |number: Option<u64>| number.map_or("unknown".to_owned(), |number| number.to_string());
        let lines = [
            ("changes", line(&health.to_string())),
            ("pid", std::process::id().to_string()),
            ("version", env!("CARGO_PKG_VERSION").to_owned()),
            ("uptime seconds", self.since.elapsed().as_secs().to_string()),
            ("log", log_id.to_string()),
            ("last record", known(record)),
            ("durability", durability.name().to_owned()),
            ("store", store.name().to_owned()),
            ("free bytes", known(free_bytes)),
            ("reserved bytes", disk_reserve_bytes.to_string()),
        ];
        let filter = filter_lines(&filter);
        let clicks = clicks.map_or_else(Vec::new, |(keep, status)| click_lines(keep, &status));
        let uses = uses_lines(uses);
        let refused = refused_lines(self.refusals.get());
        lines
            .iter()
            .chain(&filter)
            .chain(&clicks)
            .chain(&uses)
            .chain(&refused)
            .map(|(key, value)| format!("{key}: {value}\n"))
            .collect()
    }

    fn hand_over(&self, mut stream: UnixStream) -> io::Result<()> {
        // The admin plane has timeouts of its own, and these would go with the socket.
        stream.set_read_timeout(None)?;
        stream.set_write_timeout(None)?;
        stream.write_all(b"ok\n")?;
        // If it can't be taken just now, it is closed, which the client sees.
        let _ = self.door.take(stream);
        Ok(())
    }

    fn backup(&self, mut stream: UnixStream) -> io::Result<()> {
        stream.write_all(b"ok\n")?;
        let mut frames = FrameWriter::new(stream);
        let taken = self.engine.backup(&mut frames);
        // If it was the connection that failed, nobody hears this.
        let mut stream = frames.end()?;
        match taken {
            Ok(_) => stream.write_all(b"ok\n"),
            Err(error) => writeln!(stream, "error {}", line(&error.to_string())),
        }
    }
}

/// The text as one line.
fn line(text: &str) -> String {
    text.replace(char::is_control, " ")
}

/// How the filter of keys stands.
fn filter_lines(status: &FilterStatus) -> [(&'static str, String); 4] {
    let stands = match (&status.trouble, status.is_ready) {
        (Some(trouble), true) => format!("ready; could not be built anew: {}", line(trouble)),
        (Some(trouble), false) => line(trouble),
        (None, true) => "ready".to_owned(),
        (None, false) => "not built yet; every key is looked up".to_owned(),
    };
    [
        ("key filter", stands),
        ("key filter keys", status.keys.to_string()),
        ("key filter bytes", status.bytes.to_string()),
        ("lookups answered by the key filter", status.answered.to_string()),
    ]
}

/// How counting clicks stands.
fn click_lines(keep: Keep, status: &ClicksStatus) -> Vec<(&'static str, String)> {
    let stands = match (&status.trouble, keep) {
        (Some(trouble), _) => line(trouble),
        (None, Keep::Nothing | Keep::Untouched) => "clicks are not counted".to_owned(),
        (None, Keep::Counts) => "clicks are counted, without details".to_owned(),
        (None, Keep::Details) => "clicks are counted".to_owned(),
    };
    let share = status.kept_share().map_or_else(String::new, |share| format!(" ({:.1} %)", share * 100.0));
    vec![
        ("clicks", stands),
        ("counted clicks", status.clicks.to_string()),
        ("kept click details", format!("{}{share}", status.details)),
        ("lost clicks", status.lost_clicks().to_string()),
        ("lost click details", status.details_dropped.to_string()),
        ("click batches not durable yet", status.waiting.to_string()),
        ("click batches not in the statistics yet", status.lag_windows.to_string()),
        ("click journal bytes", status.journal_bytes.to_string()),
    ]
}

/// How counting the clicks of links with a limit stands.
fn uses_lines(status: UsesStatus) -> [(&'static str, String); 2] {
    let UsesStatus { links, links_max, refused } = status;
    [
        ("links whose max_clicks are counted", format!("{links} of at most {links_max}")),
        ("clicks refused because no more links are counted", refused.to_string()),
    ]
}

/// What the admin API did not do as it was asked.
fn refused_lines(refused: Refused) -> [(&'static str, String); 6] {
    let Refused { unauthorized, forbidden, rate_limited, unavailable, closed, refused } = refused;
    [
        ("admin requests without a valid token", unauthorized.to_string()),
        ("admin requests not allowed", forbidden.to_string()),
        ("admin requests over a rate", rate_limited.to_string()),
        ("admin requests not possible", unavailable.to_string()),
        ("admin connections closed to make room", closed.to_string()),
        ("admin connections refused", refused.to_string()),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_said_how_the_filter_of_keys_stands() {
        let ready = FilterStatus { is_ready: true, keys: 5, bytes: 64, answered: 7, trouble: None };
        let lines = filter_lines(&ready).map(|(key, value)| format!("{key}: {value}"));
        let answered = "lookups answered by the key filter: 7";
        assert_eq!(lines, ["key filter: ready", "key filter keys: 5", "key filter bytes: 64", answered]);
        let broken = FilterStatus { trouble: Some("the disk\nis gone".to_owned()), ..FilterStatus::default() };
        assert_eq!(filter_lines(&broken)[0].1, "the disk is gone");
        let old = FilterStatus { is_ready: true, ..broken };
        assert_eq!(filter_lines(&old)[0].1, "ready; could not be built anew: the disk is gone");
    }

    #[test]
    fn it_is_said_how_counting_clicks_stands() {
        let text = |keep, status: &ClicksStatus| -> Vec<String> {
            click_lines(keep, status).iter().map(|(key, value)| format!("{key}: {value}")).collect()
        };
        let some =
            ClicksStatus { clicks: 1_000, details: 200, detailed_clicks: 800, lag_windows: 3, ..Default::default() };
        let lines = text(Keep::Details, &some);
        assert_eq!(
            lines[..3],
            ["clicks: clicks are counted", "counted clicks: 1000", "kept click details: 200 (25.0 %)"]
        );
        assert!(lines.contains(&"click batches not in the statistics yet: 3".to_owned()), "{lines:?}");
        assert_eq!(text(Keep::Nothing, &ClicksStatus::default())[2], "kept click details: 0");
        let trouble = ClicksStatus { trouble: Some("the disk\nis full".to_owned()), ..Default::default() };
        assert_eq!(text(Keep::Counts, &trouble)[0], "clicks: the disk is full");
    }
}
