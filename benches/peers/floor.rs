//! The floor: a server that parses nothing and always gives the same answer.
//!
//! It makes the system calls that a readiness-based server cannot do without, and no more: what it needs per
//! request is what the kernel takes, and the distance to it is what a server's own work costs.

use anyhow::Result;
use memchr::memmem::Finder;
use rustix::buffer::spare_capacity;
use rustix::event::epoll;
use rustix::io::Errno;
use rustix::net::SocketFlags;
use std::io::{ErrorKind, Read, Write};
use std::net::{Ipv4Addr, TcpListener, TcpStream};

const END: &[u8; 4] = b"\r\n\r\n";
/// As long as the answer of a real redirect with the usual headers.
pub(crate) const ANSWER: &[u8] = b"HTTP/1.1 302 Found\r\n\
    Location: https://www.example.com/products/spring-sale-a7Kd2fQ0Zx9P\r\n\
    Cache-Control: private, max-age=90\r\n\
    Date: Thu, 01 Jan 2026 00:00:00 GMT\r\n\
    Content-Length: 0\r\n\r\n";
/// The last answer on a connection.
pub(crate) const LAST_ANSWER: &[u8] = b"HTTP/1.1 302 Found\r\n\
    Location: https://www.example.com/products/spring-sale-a7Kd2fQ0Zx9P\r\n\
    Cache-Control: private, max-age=90\r\n\
    Date: Thu, 01 Jan 2026 00:00:00 GMT\r\n\
    Connection: close\r\n\
    Content-Length: 0\r\n\r\n";
/// With what a request ends after which the connection is closed.
const LAST_END: &[u8] = b"Connection: close\r\n\r\n";
/// Answers that one write can carry.
const ANSWERS_PER_WRITE: usize = 64;
const READ_BYTES: usize = 16 * 1024;
const EVENTS: usize = 512;
const LISTENER: u64 = u64::MAX;

/// Serves until the process is ended.
pub(crate) fn serve(port: u16) -> Result<()> {
    // The benchmark sends SIGTERM when it ends; should it be killed, nobody else would.
    rustix::process::set_parent_process_death_signal(Some(rustix::process::Signal::TERM))?;
    let listener = TcpListener::from(listen(port)?);
    let epoll = epoll::create(epoll::CreateFlags::CLOEXEC)?;
    epoll::add(&epoll, &listener, epoll::EventData::new_u64(LISTENER), epoll::EventFlags::IN)?;

    let answers = ANSWER.repeat(ANSWERS_PER_WRITE);
    let finder = finder();
    let mut connections: Vec<Option<Connection>> = Vec::new();
    let mut free: Vec<usize> = Vec::new();
    let mut buffer = vec![0; READ_BYTES];
    let mut events = Vec::with_capacity(EVENTS);
    loop {
        match epoll::wait(&epoll, spare_capacity(&mut events), None) {
            Ok(_) => {}
            Err(Errno::INTR) => continue,
            Err(error) => return Err(error.into()),
        }
        for event in events.drain(..) {
            let token = event.data.u64();
            if token == LISTENER {
                accept(&listener, &epoll, &mut connections, &mut free)?;
                continue;
            }
            let slot = token as usize;
            // A slot freed earlier in this batch may have an event left, or may already be somebody else's: the
            // first finds nothing, the second reads from a socket that has nothing to say.
            let Some(connection) = &mut connections[slot] else { continue };
            let was_blocked = connection.owed > 0;
            if !connection.turn(&finder, &answers, &mut buffer) {
                connections[slot] = None;
                free.push(slot);
            } else if was_blocked != (connection.owed > 0) {
                let wanted = if was_blocked { epoll::EventFlags::IN } else { epoll::EventFlags::OUT };
                epoll::modify(&epoll, &connection.stream, epoll::EventData::new_u64(token), wanted)?;
            }
        }
    }
}

/// `TcpListener::bind` has a backlog of 128, and thousands of connections come at once.
pub(crate) fn listen(port: u16) -> Result<socket2::Socket> {
    let socket = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None)?;
    socket.set_reuse_address(true)?;
    // Accepted connections inherit it.
    socket.set_tcp_nodelay(true)?;
    socket.bind(&std::net::SocketAddr::from((Ipv4Addr::LOCALHOST, port)).into())?;
    socket.listen(16_384)?;
    socket.set_nonblocking(true)?;
    Ok(socket)
}

fn accept(
    listener: &TcpListener,
    epoll: &rustix::fd::OwnedFd,
    connections: &mut Vec<Option<Connection>>,
    free: &mut Vec<usize>,
) -> Result<()> {
    loop {
        let flags = SocketFlags::NONBLOCK | SocketFlags::CLOEXEC;
        let stream = match rustix::net::accept_with(listener, flags) {
            Ok(stream) => TcpStream::from(stream),
            Err(Errno::AGAIN) => return Ok(()),
            Err(Errno::INTR | Errno::CONNABORTED) => continue,
            Err(error) => return Err(error.into()),
        };
        let slot = free.pop().unwrap_or_else(|| {
            connections.push(None);
            connections.len() - 1
        });
        epoll::add(epoll, &stream, epoll::EventData::new_u64(slot as u64), epoll::EventFlags::IN)?;
        connections[slot] = Some(Connection { stream, matched: 0, owed: 0 });
    }
}

struct Connection {
    stream: TcpStream,
    /// How many bytes of a request's end the last read closed with.
    matched: u8,
    /// Bytes of answers not yet written. All answers are the same, so the number says where to go on.
    owed: usize,
}

impl Connection {
    /// Reads once and answers; or goes on writing where the socket was full. False when the connection is over.
    fn turn(&mut self, finder: &Finder<'_>, answers: &[u8], buffer: &mut [u8]) -> bool {
        if self.owed == 0 {
            match self.stream.read(buffer) {
                Ok(0) => return false,
                Ok(length) if ends_connection(&buffer[..length]) => {
                    // Short enough for a socket on which nothing was sent. Dropping it closes it.
                    let _ = self.stream.write(LAST_ANSWER);
                    return false;
                }
                Ok(length) => self.owed = count_ends(&mut self.matched, &buffer[..length], finder) * ANSWER.len(),
                Err(error) => return matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::Interrupted),
            }
        }
        while self.owed > 0 {
            let start = (ANSWER.len() - self.owed % ANSWER.len()) % ANSWER.len();
            let end = answers.len().min(start + self.owed);
            match self.stream.write(&answers[start..end]) {
                Ok(written) => self.owed -= written,
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return error.kind() == ErrorKind::WouldBlock,
            }
        }
        true
    }
}

/// What finds the ends of requests.
pub(crate) fn finder() -> Finder<'static> {
    Finder::new(END)
}

/// Whether the last request in `bytes` is the last on its connection.
pub(crate) fn ends_connection(bytes: &[u8]) -> bool {
    bytes.ends_with(LAST_END)
}

/// How many requests end in `bytes`, given how much of an end came before them; leaves how much of one they close with.
pub(crate) fn count_ends(matched: &mut u8, bytes: &[u8], finder: &Finder<'_>) -> usize {
    let mut count = 0;
    let mut rest = bytes;
    // Byte by byte only until what was carried over has matched or failed.
    while *matched > 0 {
        let Some((&byte, after)) = rest.split_first() else { return count };
        count += usize::from(step(matched, byte));
        rest = after;
    }
    while let Some(at) = finder.find(rest) {
        count += 1;
        rest = &rest[at + END.len()..];
    }
    for &byte in &rest[rest.len().saturating_sub(END.len() - 1)..] {
        step(matched, byte);
    }
    count
}

/// One byte further in `\r\n\r\n`. True when it is the last one of an end.
fn step(matched: &mut u8, byte: u8) -> bool {
    *matched = match (*matched, byte) {
        (3, b'\n') => {
            *matched = 0;
            return true;
        }
        (1, b'\n') => 2,
        (2, b'\r') => 3,
        (_, b'\r') => 1,
        _ => 0,
    };
    false
}
