//! A client that says exactly what is on the wire.

use std::io::{Read, Write};
use std::net::TcpStream;

use serde_json::Value;

use crate::support::{Client, PATIENCE, Server};

/// An answer.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) fields: Vec<(String, String)>,
    pub(crate) text: String,
}

impl Answer {
    /// The value of a field.
    pub(crate) fn field(&self, name: &str) -> Option<&str> {
        self.fields.iter().find(|(field, _)| field == name).map(|(_, value)| value.as_str())
    }

    /// The content, which must be JSON.
    pub(crate) fn json(&self) -> Value {
        assert_eq!(self.field("content-type"), Some("application/json"), "{self:?}");
        serde_json::from_str(&self.text).unwrap()
    }

    /// Asserts that it is this status.
    #[track_caller]
    pub(crate) fn is(self, status: u16) -> Self {
        assert_eq!(self.status, status, "{self:?}");
        self
    }

    /// Asserts that it is this problem, and gives it.
    #[track_caller]
    pub(crate) fn problem(self, status: u16, kind: &str) -> Value {
        assert_eq!(self.field("content-type"), Some("application/problem+json"), "{self:?}");
        let problem: Value = serde_json::from_str(&self.text).unwrap();
        assert_eq!((self.status, problem["type"].as_str()), (status, Some(&*format!("/problems/{kind}"))), "{self:?}");
        assert_eq!(problem["status"], status);
        problem
    }
}

/// Sends a head and a body on a stream of its own, and reads the answer.
pub(crate) fn exchange(stream: &mut (impl Read + Write), request: &str) -> Answer {
    // The server may answer and close before it has read all of it.
    let _ = stream.write_all(request.as_bytes());
    let mut bytes = Vec::new();
    let _ = stream.read_to_end(&mut bytes);
    let text = String::from_utf8(bytes).unwrap();
    let (head, text) = text.split_once("\r\n\r\n").unwrap_or_else(|| panic!("no answer: {text:?}"));
    let mut lines = head.lines();
    let status = lines.next().unwrap().split(' ').nth(1).unwrap().parse().unwrap();
    let fields = lines.map(|line| line.split_once(": ").unwrap());
    let fields = fields.map(|(name, value)| (name.to_ascii_lowercase(), value.to_owned())).collect();
    Answer { status, fields, text: text.to_owned() }
}

/// A request in the making.
pub(crate) struct Request<'a> {
    server: &'a Server,
    head: String,
    body: String,
}

impl<'a> Request<'a> {
    pub(crate) fn new(server: &'a Server, method: &str, path: &str) -> Self {
        let head = format!("{method} {path} HTTP/1.1\r\nHost: admin\r\nConnection: close\r\n");
        Request { server, head, body: String::new() }
    }

    pub(crate) fn field(mut self, name: &str, value: &str) -> Self {
        self.head += &format!("{name}: {value}\r\n");
        self
    }

    pub(crate) fn token(self, token: &str) -> Self {
        self.field("Authorization", &format!("Bearer {token}"))
    }

    pub(crate) fn body(mut self, kind: &str, body: impl Into<String>) -> Self {
        self.body = body.into();
        let length = self.body.len().to_string();
        self.field("Content-Type", kind).field("Content-Length", &length)
    }

    pub(crate) fn json(self, body: Value) -> Self {
        self.body("application/json", body.to_string())
    }

    pub(crate) fn text(&self) -> String {
        format!("{}\r\n{}", self.head, self.body)
    }

    pub(crate) fn send(self) -> Answer {
        let mut stream = TcpStream::connect(self.server.admin.unwrap()).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        stream.set_write_timeout(Some(PATIENCE)).unwrap();
        exchange(&mut stream, &self.text())
    }
}

/// The first token of a server.
pub(crate) fn first_token(server: &Server) -> String {
    std::fs::read_to_string(server.data().join("admin.token")).unwrap().trim().to_owned()
}

/// A server, and somebody who may do all.
pub(crate) struct Admin {
    pub(crate) server: Server,
    pub(crate) token: String,
}

impl Admin {
    pub(crate) fn start(arguments: &[&str]) -> Self {
        let server = Server::start(arguments);
        let token = first_token(&server);
        Admin { server, token }
    }

    /// A request with the first token.
    pub(crate) fn ask(&self, method: &str, path: &str) -> Request<'_> {
        self.ask_as(&self.token, method, path)
    }

    /// A request with another token.
    pub(crate) fn ask_as(&self, token: &str, method: &str, path: &str) -> Request<'_> {
        Request::new(&self.server, method, path).token(token)
    }

    /// Creates a token; gives it and its id.
    pub(crate) fn create(&self, token: Value) -> (String, String) {
        let created = self.ask("POST", "/v1/tokens").json(token).send().is(201).json();
        let text = |field: &str| created[field].as_str().unwrap().to_owned();
        (text("token"), text("id"))
    }
}

/// A connection to the API that stays open from one request to the next.
pub(crate) struct Session {
    connection: Client,
    token: String,
}

impl Session {
    pub(crate) fn open(admin: &Admin) -> Self {
        Session { connection: Client::connect(admin.server.admin.unwrap()), token: admin.token.clone() }
    }

    pub(crate) fn ask(&mut self, method: &str, path: &str, body: &Value) -> Answer {
        self.ask_with(method, path, "", body)
    }

    /// Asks only for this version to be changed.
    pub(crate) fn ask_if(&mut self, version: u64, method: &str, path: &str, body: &Value) -> Answer {
        self.ask_with(method, path, &format!("If-Match: \"{version}\"\r\n"), body)
    }

    fn ask_with(&mut self, method: &str, path: &str, fields: &str, body: &Value) -> Answer {
        let body = if body.is_null() { String::new() } else { body.to_string() };
        let (token, length) = (&self.token, body.len());
        self.connection.send(format!(
            "{method} {path} HTTP/1.1\r\nHost: admin\r\nAuthorization: Bearer {token}\r\n{fields}\
             Content-Type: application/json\r\nContent-Length: {length}\r\n\r\n{body}"
        ));
        let answer = self.connection.answer(false);
        Answer { status: answer.status, fields: answer.fields, text: String::from_utf8(answer.content).unwrap() }
    }
}
