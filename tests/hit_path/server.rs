//! The data plane in this process, and a client that asks for no memory of its own while it is counted.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::thread::JoinHandle;
use std::time::Duration;

use carom::clicks::ClicksConfig;
use carom::config::{DriverChoice, ServeConfig};
use carom::data_plane::{self, Served};
use carom::engine::{EngineConfig, FilterKeeper, OwnedEngine};
use carom::link::{Action, Command, Destination, LinkKey, Precondition, Status, Target};
use rustix::process::{Signal, getpid, kill_process};

/// How many links there are.
pub(crate) const LINKS: usize = 128;

/// The host of all links.
pub(crate) const HOST: &str = "go.example.com";

/// The path of a link.
pub(crate) fn path(number: usize) -> String {
    format!("/spring-{number}")
}

/// A server with one worker.
pub(crate) struct InProcess {
    address: SocketAddr,
    /// Before the engine, which waits for it.
    keeper: FilterKeeper,
    engine: OwnedEngine,
    thread: JoinHandle<Served>,
    _data: tempfile::TempDir,
}

impl InProcess {
    pub(crate) fn start(driver: DriverChoice) -> Self {
        let data = tempfile::tempdir().unwrap();
        let usual = EngineConfig::new(data.path().join("data"));
        let clicks = Some(ClicksConfig::new(usual.clicks_dir()));
        let config = EngineConfig { cache_bytes: 16 << 20, clicks, ..usual };
        let (engine, _) = OwnedEngine::open(&config).unwrap();
        let put = |number| {
            let target = Target::parse(&format!("https://www.example.com/articles/{number}")).unwrap();
            let destination = Destination::new(Status::Found, Some(target)).unwrap();
            let key = LinkKey::parse(&format!("{HOST}{}", path(number))).unwrap();
            Command { key, action: Action::Put(destination), precondition: Precondition::None }
        };
        engine.engine().submit(None, (0..LINKS).map(put).collect()).unwrap();
        let keeper = engine.engine().keep_filter().unwrap();
        while !engine.engine().status().filter.is_ready {
            std::thread::sleep(Duration::from_millis(1));
        }
        let minute = Duration::from_secs(60);
        let config = ServeConfig {
            listen: "127.0.0.1:0".parse().unwrap(),
            workers: 1,
            driver,
            max_connections: 1_000,
            idle_timeout: minute,
            header_timeout: minute,
            write_timeout: minute,
            drain_timeout: minute,
        };
        let (listening, listens) = std::sync::mpsc::channel();
        let shared = std::sync::Arc::clone(engine.engine());
        let thread = std::thread::spawn(move || {
            data_plane::serve(&shared, &config, |address, _| listening.send(address).unwrap()).unwrap()
        });
        InProcess { address: listens.recv().unwrap(), keeper, engine, thread, _data: data }
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    /// Stops it as it is stopped in use, by a signal.
    pub(crate) fn stop(self) -> Served {
        kill_process(getpid(), Signal::TERM).unwrap();
        let served = self.thread.join().unwrap();
        drop(self.keeper);
        self.engine.close().unwrap();
        served
    }
}

/// One connection.
pub(crate) struct Client {
    stream: TcpStream,
    buffer: Vec<u8>,
    filled: usize,
}

impl Client {
    /// Connects, and has one request answered, so that the connection is served by then.
    pub(crate) fn connect(address: SocketAddr) -> Self {
        let stream = TcpStream::connect(address).unwrap();
        stream.set_nodelay(true).unwrap();
        stream.set_read_timeout(Some(super::support::PATIENCE)).unwrap();
        let mut client = Client { stream, buffer: vec![0; 16 << 10], filled: 0 };
        client.send(&format!("GET /first HTTP/1.1\r\nHost: {HOST}\r\n\r\n"));
        client.take_answer("HTTP/1.1 404");
        client
    }

    pub(crate) fn send(&mut self, request: &str) {
        self.stream.write_all(request.as_bytes()).unwrap();
    }

    /// Takes one answer, which must begin like this.
    pub(crate) fn take_answer(&mut self, begins: &str) {
        loop {
            let filled = &self.buffer[..self.filled];
            if let Some(end) = filled.windows(4).position(|bytes| bytes == b"\r\n\r\n") {
                let head = std::str::from_utf8(&filled[..end]).unwrap();
                assert!(head.starts_with(begins), "{head}");
                let length = head.lines().find_map(|line| line.strip_prefix("Content-Length: ")).unwrap();
                let end = end + 4 + length.parse::<usize>().unwrap();
                assert!(end <= self.filled, "an answer comes in one piece");
                self.buffer.copy_within(end..self.filled, 0);
                self.filled -= end;
                return;
            }
            let read = self.stream.read(&mut self.buffer[self.filled..]).unwrap();
            assert!(read > 0, "the server has closed the connection");
            self.filled += read;
        }
    }
}
