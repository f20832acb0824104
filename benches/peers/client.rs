//! A small pipelining client: it warms servers up and checks what they answer, where wrk only counts.

use crate::links::{HOST, Links};
use crate::servers::Peer;
use anyhow::{Context, Result, bail, ensure};
use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

/// Small enough that neither side's socket buffer fills while the other is still writing.
const WARM_UP_DEPTH: usize = 100;
const TIMEOUT: Duration = Duration::from_secs(10);
/// Longer than a write takes to arrive over loopback, so that most halves are read apart.
const SPLIT_PAUSE: Duration = Duration::from_micros(300);

struct Client {
    stream: TcpStream,
    buffer: Vec<u8>,
}

impl Client {
    fn connect(address: SocketAddr) -> Result<Self> {
        let stream = TcpStream::connect_timeout(&address, TIMEOUT)?;
        stream.set_read_timeout(Some(TIMEOUT))?;
        stream.set_write_timeout(Some(TIMEOUT))?;
        stream.set_nodelay(true)?;
        Ok(Self { stream, buffer: Vec::new() })
    }

    /// Reads `count` answers and hands each one's number, status and Location on.
    fn read_answers(
        &mut self,
        count: usize,
        mut each: impl FnMut(usize, u16, Option<&[u8]>) -> Result<()>,
    ) -> Result<()> {
        let mut answered = 0;
        let mut start = 0;
        let mut chunk = [0; 64 * 1024];
        while answered < count {
            if let Some(length) = parse(&self.buffer[start..], |status, location| each(answered, status, location))? {
                start += length;
                answered += 1;
                continue;
            }
            self.buffer.drain(..start);
            start = 0;
            match self.stream.read(&mut chunk) {
                Ok(0) => bail!("the connection was closed after {answered} of {count} answers"),
                Ok(length) => self.buffer.extend_from_slice(&chunk[..length]),
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => {
                    return Err(error).with_context(|| format!("reading answer {} of {count}", answered + 1));
                }
            }
        }
        self.buffer.drain(..start);
        ensure!(self.buffer.is_empty(), "{} bytes came after the last of {count} answers", self.buffer.len());
        Ok(())
    }
}

/// The length of the answer at the start of `bytes`, once all of it is there.
fn parse(bytes: &[u8], each: impl FnOnce(u16, Option<&[u8]>) -> Result<()>) -> Result<Option<usize>> {
    let mut headers = [httparse::EMPTY_HEADER; 32];
    let mut answer = httparse::Response::new(&mut headers);
    let httparse::Status::Complete(head) = answer.parse(bytes).context("an answer is not HTTP")? else {
        return Ok(None);
    };
    let header = |name: &str| answer.headers.iter().find(|h| h.name.eq_ignore_ascii_case(name)).map(|h| h.value);
    let length = header("content-length").context("an answer has no Content-Length")?;
    let body: usize = std::str::from_utf8(length)?.trim().parse().context("Content-Length is no number")?;
    if bytes.len() < head + body {
        return Ok(None);
    }
    each(answer.code.unwrap_or_default(), header("location"))?;
    Ok(Some(head + body))
}

fn push_request(out: &mut Vec<u8>, path: &str) {
    out.extend_from_slice(format!("GET {path} HTTP/1.1\r\nHost: {HOST}\r\n\r\n").as_bytes());
}

fn expect_redirect(peer: Peer, (path, target): (&str, &str), status: u16, location: Option<&[u8]>) -> Result<()> {
    ensure!(status == 302, "{path} was answered with {status}, not 302");
    let right = peer.is_floor() || location == Some(target.as_bytes());
    ensure!(right, "{path} was sent to {:?}, not {target}", location.map(String::from_utf8_lossy));
    Ok(())
}

/// One request on a connection of its own, rightly answered.
pub(crate) fn probe(peer: Peer, address: SocketAddr, links: &Links) -> Result<()> {
    let mut client = Client::connect(address)?;
    let link = links.get(links.len() / 2);
    let mut request = Vec::new();
    push_request(&mut request, link.0);
    client.stream.write_all(&request)?;
    client.read_answers(1, |_, status, location| expect_redirect(peer, link, status, location))
}

/// Checks that a server finds what is there, does not find what is not, and answers pipelined requests wherever
/// their bytes are torn apart.
pub(crate) fn verify(peer: Peer, address: SocketAddr, links: &Links) -> Result<()> {
    let mut client = Client::connect(address)?;
    let mut request = Vec::new();
    if !peer.is_floor() {
        push_request(&mut request, "/there-is/no-such-link");
        client.stream.write_all(&request)?;
        client.read_answers(1, |_, status, _| {
            ensure!(status == 404, "an unknown path was answered with {status}, not 404");
            Ok(())
        })?;
    }
    let asked = [0, links.len() / 2, links.len() - 1].map(|index| links.get(index));
    request.clear();
    for (path, _) in asked {
        push_request(&mut request, path);
    }
    for split in 0..request.len() {
        client.stream.write_all(&request[..split])?;
        std::thread::sleep(SPLIT_PAUSE);
        client.stream.write_all(&request[split..])?;
        client
            .read_answers(asked.len(), |n, status, location| expect_redirect(peer, asked[n], status, location))
            .with_context(|| format!("three pipelined requests, torn after byte {split}"))?;
    }
    Ok(())
}

/// Asks for every link once and checks every answer, so that caches hold all of them.
pub(crate) fn warm_up(peer: Peer, address: SocketAddr, links: &Links) -> Result<()> {
    let mut client = Client::connect(address)?;
    let mut request = Vec::new();
    for first in (0..links.len()).step_by(WARM_UP_DEPTH) {
        crate::launch::check_interrupt()?;
        let count = WARM_UP_DEPTH.min(links.len() - first);
        request.clear();
        for index in first..first + count {
            push_request(&mut request, links.get(index).0);
        }
        client.stream.write_all(&request)?;
        client
            .read_answers(count, |n, status, location| expect_redirect(peer, links.get(first + n), status, location))?;
    }
    Ok(())
}
