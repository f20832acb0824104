//! A connection to the API, kept alive: as little as can be, since it shares the cores with the server.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};

use anyhow::{Context, Result, ensure};

use crate::server::Server;

/// A connection.
pub(crate) struct Client {
    stream: TcpStream,
    head: String,
    buffer: Vec<u8>,
}

/// An answer.
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) content: Vec<u8>,
}

impl Client {
    pub(crate) fn connect(server: &Server) -> Result<Self> {
        let Server { admin, token, .. } = server;
        Self::to(*admin, format!("Host: {admin}\r\nAuthorization: Bearer {token}\r\n"))
    }

    /// A connection on which every request has these fields.
    pub(crate) fn to(address: SocketAddr, head: String) -> Result<Self> {
        let stream = TcpStream::connect(address)?;
        stream.set_nodelay(true)?;
        Ok(Client { stream, head, buffer: Vec::new() })
    }

    pub(crate) fn get(&mut self, target: &str) -> Result<Answer> {
        let head = format!("GET {target} HTTP/1.1\r\n{}\r\n", self.head);
        self.stream.write_all(head.as_bytes())?;
        self.answer()
    }

    pub(crate) fn post(&mut self, target: &str, json: &str) -> Result<Answer> {
        let head = format!(
            "POST {target} HTTP/1.1\r\n{}Content-Type: application/json\r\nContent-Length: {}\r\n\r\n{json}",
            self.head,
            json.len()
        );
        self.stream.write_all(head.as_bytes())?;
        self.answer()
    }

    fn answer(&mut self) -> Result<Answer> {
        self.buffer.clear();
        loop {
            let mut fields = [httparse::EMPTY_HEADER; 32];
            let mut response = httparse::Response::new(&mut fields);
            if let httparse::Status::Complete(head) = response.parse(&self.buffer)? {
                let is = |name: &&httparse::Header<'_>| name.name.eq_ignore_ascii_case("content-length");
                let length = response.headers.iter().find(is).context("an answer without Content-Length")?;
                let length: usize = std::str::from_utf8(length.value)?.parse()?;
                if self.buffer.len() == head + length {
                    let status = response.code.context("a status")?;
                    return Ok(Answer { status, content: self.buffer[head..].to_vec() });
                }
            }
            let mut read = [0; 64 * 1024];
            let bytes = self.stream.read(&mut read)?;
            ensure!(bytes > 0, "the connection ended");
            self.buffer.extend_from_slice(&read[..bytes]);
        }
    }
}

impl Answer {
    /// The content, if the status is this one.
    pub(crate) fn expect(self, status: u16) -> Result<serde_json::Value> {
        let content = String::from_utf8_lossy(&self.content);
        ensure!(self.status == status, "{} instead of {status}: {content}", self.status);
        Ok(serde_json::from_slice(&self.content)?)
    }
}
