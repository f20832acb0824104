//! Clients that ask much and know what became of each request.

use std::io::{ErrorKind, Read, Write};
use std::net::{IpAddr, SocketAddr, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use memchr::memmem;

use crate::support::PATIENCE;

/// Under what clicks are counted.
pub(crate) const CLASSES: [&str; 4] = ["human", "bot", "preview", "head"];

pub(crate) const HUMAN: u8 = 0;
pub(crate) const BOT: u8 = 1;
pub(crate) const PREVIEW: u8 = 2;
pub(crate) const HEAD: u8 = 3;

/// Browsers: of a computer, a phone and a tablet.
pub(crate) const HUMANS: [&str; 3] = [
    "Mozilla/5.0 (X11; Linux x86_64; rv:133.0) Gecko/20100101 Firefox/133.0",
    "Mozilla/5.0 (iPhone; CPU iPhone OS 18_1 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/18.1 \
     Mobile/15E148 Safari/604.1",
    "Mozilla/5.0 (Linux; Android 14; SM-X910) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/131.0.0.0 Safari/537.36",
];

/// Programs. Who does not say what it is, is one.
pub(crate) const BOTS: [&str; 3] =
    ["Mozilla/5.0 (compatible; Googlebot/2.1; +http://www.google.com/bot.html)", "curl/8.11.0", ""];

/// Programs that show what is behind a link.
pub(crate) const PREVIEWS: [&str; 3] = [
    "facebookexternalhit/1.1 (+http://www.facebook.com/externalhit_uatext.php)",
    "WhatsApp/2.24.20.89 A",
    "Slackbot-LinkExpanding 1.0 (+https://api.slack.com/robots)",
];

/// A User-Agent of a class.
pub(crate) fn user_agent(class: u8, random: &mut fastrand::Rng) -> &'static str {
    let some = match class {
        HUMAN => &HUMANS,
        BOT => &BOTS,
        PREVIEW => &PREVIEWS,
        _ => [&HUMANS, &BOTS, &PREVIEWS][random.usize(..3)],
    };
    some[random.usize(..some.len())]
}

/// A request in the making.
pub(crate) struct Head(String);

impl Head {
    pub(crate) fn new(class: u8, host: &str, path: &str) -> Self {
        let method = if class == HEAD { "HEAD" } else { "GET" };
        Head(format!("{method} {path} HTTP/1.1\r\nHost: {host}\r\n"))
    }

    /// Adds a field, unless it is empty.
    pub(crate) fn field(mut self, name: &str, value: &str) -> Self {
        if !value.is_empty() {
            self.0 += &format!("{name}: {value}\r\n");
        }
        self
    }

    pub(crate) fn end(self) -> String {
        self.0 + "\r\n"
    }
}

/// One request: which link it asks for, and under what it is counted.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Asked {
    pub(crate) link: u32,
    pub(crate) class: u8,
}

/// Requests that are sent at once.
#[derive(Default)]
pub(crate) struct Batch {
    bytes: Vec<u8>,
    asked: Vec<Asked>,
}

impl Batch {
    pub(crate) fn push(&mut self, asked: Asked, request: &str) {
        self.bytes.extend_from_slice(request.as_bytes());
        self.asked.push(asked);
    }
}

/// The head of an answer.
pub(crate) struct Answer<'a> {
    pub(crate) status: u16,
    head: &'a [u8],
}

impl<'a> Answer<'a> {
    fn field(&self, name: &str) -> Option<&'a [u8]> {
        let start = memmem::find(self.head, format!("\r\n{name}: ").as_bytes())? + name.len() + 4;
        let end = memchr::memchr(b'\r', &self.head[start..])?;
        Some(&self.head[start..start + end])
    }

    /// Where it leads to.
    pub(crate) fn location(&self) -> &'a [u8] {
        let Some(start) = memmem::find(self.head, b"\r\nLocation: ") else { return b"" };
        let value = &self.head[start + 12..];
        &value[..memchr::memchr(b'\r', value).unwrap_or(value.len())]
    }

    /// Whether no other follows on its connection.
    fn is_last(&self) -> bool {
        memmem::find(self.head, b"\r\nConnection: close").is_some()
    }

    fn content_bytes(&self, class: u8) -> usize {
        // A redirect has no content, nor has what answers HEAD.
        if class == HEAD || (300..400).contains(&self.status) {
            return 0;
        }
        let length = self.field("Content-Length").expect("every answer that may have content has its length");
        std::str::from_utf8(length).unwrap().parse().unwrap()
    }
}

/// How a connection ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum End {
    /// The server said so with its last answer, and has not looked at what was sent behind it.
    Told,
    /// It may have looked at requests that were not answered.
    Broken,
}

/// A connection.
pub(crate) struct Asker {
    stream: TcpStream,
    unread: Vec<u8>,
    filled: usize,
    read: usize,
}

const BUFFER_BYTES: usize = 128 * 1024;

impl Asker {
    /// Connects.
    pub(crate) fn connect(address: SocketAddr) -> std::io::Result<Self> {
        Self::over(TcpStream::connect(address)?)
    }

    /// Connects from an address of this machine.
    pub(crate) fn connect_from(from: IpAddr, address: SocketAddr) -> std::io::Result<Self> {
        let socket = socket2::Socket::new(socket2::Domain::for_address(address), socket2::Type::STREAM, None)?;
        socket.bind(&SocketAddr::new(from, 0).into())?;
        socket.connect(&address.into())?;
        Self::over(socket.into())
    }

    fn over(stream: TcpStream) -> std::io::Result<Self> {
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        stream.set_write_timeout(Some(PATIENCE))?;
        Ok(Asker { stream, unread: vec![0; BUFFER_BYTES], filled: 0, read: 0 })
    }

    /// Sends requests and hands over the answer to each. How many were answered; and how the connection ended, if it did.
    pub(crate) fn exchange(
        &mut self,
        batch: &Batch,
        mut answered: impl FnMut(Asked, &Answer<'_>),
    ) -> (usize, Option<End>) {
        // If this fails, there may still be an answer to some.
        let _ = self.stream.write_all(&batch.bytes);
        for (number, asked) in batch.asked.iter().enumerate() {
            loop {
                let unread = &self.unread[self.read..self.filled];
                if let Some(end) = memmem::find(unread, b"\r\n\r\n") {
                    let head = &unread[..end + 4];
                    let status = std::str::from_utf8(&head[9..12]).unwrap().parse().unwrap();
                    let answer = Answer { status, head };
                    let whole = end + 4 + answer.content_bytes(asked.class);
                    if unread.len() >= whole {
                        answered(*asked, &answer);
                        let is_last = answer.is_last();
                        self.read += whole;
                        if is_last {
                            return (number + 1, Some(End::Told));
                        }
                        break;
                    }
                }
                if !self.fill() {
                    return (number, Some(End::Broken));
                }
            }
        }
        (batch.asked.len(), None)
    }

    fn fill(&mut self) -> bool {
        self.unread.copy_within(self.read..self.filled, 0);
        self.filled -= self.read;
        self.read = 0;
        match self.stream.read(&mut self.unread[self.filled..]) {
            Ok(0) => false,
            Ok(bytes) => {
                self.filled += bytes;
                true
            }
            Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => {
                panic!("no answer within {PATIENCE:?}")
            }
            Err(_) => false,
        }
    }
}

/// What clients that ask at the same time have in common.
pub(crate) struct Load {
    address: SocketAddr,
    is_over: AtomicBool,
    answered: AtomicU64,
}

/// Ends the clients when it is dropped, also by a panic: they would ask for ever.
pub(crate) struct Ends<'a>(&'a Load);

impl Drop for Ends<'_> {
    fn drop(&mut self) {
        self.0.is_over.store(true, Ordering::Relaxed);
    }
}

impl Load {
    pub(crate) fn on(address: SocketAddr) -> Self {
        Load { address, is_over: AtomicBool::new(false), answered: AtomicU64::new(0) }
    }

    pub(crate) fn ends(&self) -> Ends<'_> {
        Ends(self)
    }

    /// Waits until so many requests were answered.
    pub(crate) fn wait_for(&self, answers: u64) {
        let (mut seen, mut since) = (0, std::time::Instant::now());
        loop {
            let answered = self.answered.load(Ordering::Relaxed);
            if answered >= answers {
                return;
            }
            if answered != seen {
                (seen, since) = (answered, std::time::Instant::now());
            }
            assert!(since.elapsed() < 2 * PATIENCE, "only {answered} of {answers} requests were answered");
            std::thread::sleep(Duration::from_millis(2));
        }
    }

    /// Asks, one batch after the other and then from the first again, until it is over. What is not answered although the
    /// server may have looked at it, `unanswered` is told.
    pub(crate) fn ask(
        &self,
        batches: &[Batch],
        mut answered: impl FnMut(Asked, &Answer<'_>),
        mut unanswered: impl FnMut(Asked),
    ) {
        let mut batches = batches.iter().cycle();
        while !self.is_over.load(Ordering::Relaxed) {
            let Ok(mut asker) = Asker::connect(self.address) else {
                // The server is ending.
                std::thread::sleep(Duration::from_millis(1));
                continue;
            };
            while !self.is_over.load(Ordering::Relaxed) {
                let batch = batches.next().expect("it goes round");
                let (answers, end) = asker.exchange(batch, &mut answered);
                self.answered.fetch_add(answers as u64, Ordering::Relaxed);
                if end == Some(End::Broken) {
                    batch.asked[answers..].iter().for_each(|asked| unanswered(*asked));
                }
                if end.is_some() {
                    // Whoever comes again and again leaves ports to others.
                    std::thread::sleep(Duration::from_millis(2));
                    break;
                }
            }
        }
    }
}

/// Sends requests of a class one after the other, and gives the statuses.
pub(crate) fn one_by_one(asker: &mut Asker, class: u8, requests: &[String]) -> Vec<u16> {
    let mut statuses = Vec::new();
    for request in requests {
        let mut batch = Batch::default();
        batch.push(Asked { link: 0, class }, request);
        let outcome = asker.exchange(&batch, |_, answer| statuses.push(answer.status));
        assert_eq!(outcome, (1, None), "{request}");
    }
    statuses
}
