//! A load generator for the benchmarks: many connections on one thread, as fast as they are answered or at a pace of
//! its own.
//!
//! At a pace, a request is due at its time whether those before it were answered or not, goes out on the connection that
//! has been free for longest, and is timed from when it was due. So what waits behind a slow answer, or for a free
//! connection, counts as slow: there is no coordinated omission
//! (<https://www.scylladb.com/2021/04/22/on-coordinated-omission/>).

mod answer;
mod latencies;

use anyhow::{Context, Result, bail, ensure};
use rustix::event::{PollFd, PollFlags, Timespec, epoll, poll};
use rustix::fd::OwnedFd;
use rustix::io::Errno;
use std::collections::VecDeque;
use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

pub(crate) use answer::Answer;
pub(crate) use latencies::Latencies;

const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
/// How long answers are waited for after the last request was due.
const GRACE: Duration = Duration::from_secs(2);
/// How often it looks whether it should stop while nothing happens.
const IDLE_WAIT: Timespec = Timespec { tv_sec: 0, tv_nsec: 50_000_000 };
const NO_WAIT: Timespec = Timespec { tv_sec: 0, tv_nsec: 0 };
/// Few, so that what becomes due while answers are read does not wait long for its turn.
const EVENTS: usize = 32;
const READ_BYTES: usize = 64 * 1024;

/// What is asked for, and what has to come.
pub(crate) trait Traffic {
    /// Appends the next request; gives back what its answer will be told by.
    fn next(&mut self, out: &mut Vec<u8>) -> u64;

    /// Whether this is the answer to that request.
    fn is_right(&mut self, request: u64, answer: &Answer<'_>) -> bool;

    /// Whether there is nothing more to ask for.
    fn is_through(&self) -> bool {
        false
    }
}

/// When requests are sent.
#[derive(Clone, Copy)]
pub(crate) enum Pace {
    /// The next one as soon as the one before is answered, on each connection.
    Saturating,
    /// So many per second. Without sleeping in between it needs a core of its own, and sends at the right time.
    PerSecond { rate: f64, sleeping: bool },
}

impl Pace {
    /// Time between two requests.
    fn interval(self) -> Option<Duration> {
        match self {
            Self::Saturating => None,
            Self::PerSecond { rate, .. } => Some(Duration::from_secs_f64(1.0 / rate)),
        }
    }
}

/// What came of a load.
#[derive(Default)]
pub(crate) struct Outcome {
    pub(crate) answers: u64,
    /// Answers that were not the right ones.
    pub(crate) wrong: u64,
    /// The first of them, for people.
    pub(crate) first_wrong: Option<String>,
    /// Requests that were due and not answered in time, which their latencies say, too.
    pub(crate) late: u64,
    pub(crate) elapsed: Duration,
    /// Of what had a time at which it was due.
    pub(crate) latencies: Latencies,
}

impl Outcome {
    pub(crate) fn per_second(&self) -> f64 {
        self.answers as f64 / self.elapsed.as_secs_f64()
    }
}

/// Connections that are kept from one load to the next.
pub(crate) struct Connections {
    epoll: OwnedFd,
    all: Vec<Connection>,
    request: Vec<u8>,
    buffer: Vec<u8>,
}

struct Connection {
    stream: TcpStream,
    /// The beginning of an answer whose end has not come.
    begun: Vec<u8>,
    asked: Option<Asked>,
}

#[derive(Clone, Copy)]
struct Asked {
    request: u64,
    due: Instant,
}

impl Connections {
    pub(crate) fn open(address: SocketAddr, count: usize) -> Result<Self> {
        let epoll = epoll::create(epoll::CreateFlags::CLOEXEC)?;
        let mut all = Vec::with_capacity(count);
        for number in 0..count {
            let stream = TcpStream::connect_timeout(&address, CONNECT_TIMEOUT)
                .with_context(|| format!("opening connection {} of {count}", number + 1))?;
            stream.set_nodelay(true)?;
            stream.set_nonblocking(true)?;
            epoll::add(&epoll, &stream, epoll::EventData::new_u64(number as u64), epoll::EventFlags::IN)?;
            all.push(Connection { stream, begun: Vec::new(), asked: None });
        }
        Ok(Self { epoll, all, request: Vec::new(), buffer: vec![0; READ_BYTES] })
    }

    /// Sends requests for so long, or until told to stop, and waits for their answers.
    ///
    /// # Errors
    /// If a connection fails or is closed, or what comes is not HTTP.
    pub(crate) fn run(
        &mut self,
        traffic: &mut impl Traffic,
        pace: Pace,
        length: Duration,
        stop: &AtomicBool,
    ) -> Result<Outcome> {
        let mut outcome = Outcome::default();
        let mut free: VecDeque<usize> = (0..self.all.len()).collect();
        let mut events = Vec::with_capacity(EVENTS);
        let start = Instant::now();
        let end = start + length;
        let mut schedule = Schedule { next: start, interval: pace.interval() };
        // Since when nothing more is asked.
        let mut done = None;
        loop {
            let mut now = Instant::now();
            let is_stopped = stop.load(Ordering::Relaxed);
            while !is_stopped
                && !traffic.is_through()
                && let Some(&number) = free.front()
                && let Some(due) = schedule.take_due(now, end)
            {
                free.pop_front();
                self.send(number, traffic, due)?;
                now = Instant::now();
            }
            let is_over = schedule.is_over(end) || (schedule.interval.is_none() && now >= end);
            let is_done = is_over || is_stopped || traffic.is_through();
            let has_waited = is_done && now >= *done.get_or_insert(now) + GRACE;
            if (is_done && free.len() == self.all.len()) || has_waited || now >= end + GRACE {
                outcome.elapsed = now - start;
                break;
            }
            let until_due = match pace {
                Pace::Saturating => IDLE_WAIT,
                Pace::PerSecond { sleeping: false, .. } => NO_WAIT,
                // With no connection free the next thing that can happen is an answer.
                Pace::PerSecond { .. } if free.is_empty() || is_done => IDLE_WAIT,
                Pace::PerSecond { .. } => schedule.next.saturating_duration_since(now).try_into()?,
            };
            self.wait(&mut events, until_due)?;
            for event in events.drain(..) {
                let number = event.data.u64() as usize;
                if self.receive(number, traffic, pace, &mut outcome)? {
                    free.push_back(number);
                }
            }
        }
        // When it was told to stop, what would have been due later is nobody's.
        self.give_up_late(&mut schedule, end.min(Instant::now()), &mut outcome)?;
        Ok(outcome)
    }

    /// What has not been answered by now counts with the time that it has waited.
    fn give_up_late(&mut self, schedule: &mut Schedule, end: Instant, outcome: &mut Outcome) -> Result<()> {
        let now = Instant::now();
        let waiting: Vec<Asked> = self.all.iter_mut().filter_map(|connection| connection.asked.take()).collect();
        ensure!(
            schedule.interval.is_some() || waiting.is_empty(),
            "{} of {} connections had no answer {GRACE:?} after the end",
            waiting.len(),
            self.all.len()
        );
        for asked in &waiting {
            outcome.latencies.add(now - asked.due);
        }
        outcome.late += waiting.len() as u64;
        if schedule.interval.is_some() {
            while let Some(due) = schedule.take_due(now, end) {
                outcome.latencies.add(now - due);
                outcome.late += 1;
            }
        }
        if !waiting.is_empty() {
            // Their answers may still come, and must not be taken for those of the next load.
            let address = self.all[0].stream.peer_addr()?;
            *self = Self::open(address, self.all.len())?;
        }
        Ok(())
    }

    /// Takes what has happened, and waits for it if that is nothing.
    fn wait(&self, events: &mut Vec<epoll::Event>, timeout: Timespec) -> Result<()> {
        let take = |events: &mut Vec<epoll::Event>| match epoll::wait(
            &self.epoll,
            rustix::buffer::spare_capacity(events),
            Some(&NO_WAIT),
        ) {
            Ok(_) | Err(Errno::INTR) => Ok(()),
            Err(error) => Err(error),
        };
        take(events)?;
        if !events.is_empty() || timeout == NO_WAIT {
            return Ok(());
        }
        // epoll_wait counts in milliseconds.
        match poll(&mut [PollFd::new(&self.epoll, PollFlags::IN)], Some(&timeout)) {
            Ok(_) | Err(Errno::INTR) => Ok(take(events)?),
            Err(error) => Err(error.into()),
        }
    }

    fn send(&mut self, number: usize, traffic: &mut impl Traffic, due: Instant) -> Result<()> {
        self.request.clear();
        let request = traffic.next(&mut self.request);
        let connection = &mut self.all[number];
        connection.asked = Some(Asked { request, due });
        let written = connection.stream.write(&self.request).context("sending a request")?;
        ensure!(written == self.request.len(), "a request of {} bytes did not fit into a socket", self.request.len());
        Ok(())
    }

    /// Reads what has come. True if the connection is free now.
    fn receive(
        &mut self,
        number: usize,
        traffic: &mut impl Traffic,
        pace: Pace,
        outcome: &mut Outcome,
    ) -> Result<bool> {
        let Connection { stream, begun, asked } = &mut self.all[number];
        let length = match stream.read(&mut self.buffer) {
            Ok(0) => bail!("the server closed a connection after {} answers", outcome.answers),
            Ok(length) => length,
            Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::Interrupted) => return Ok(false),
            Err(error) => return Err(error).context("reading an answer"),
        };
        let bytes = if begun.is_empty() {
            &self.buffer[..length]
        } else {
            begun.extend_from_slice(&self.buffer[..length]);
            &begun[..]
        };
        let Some(answer) = Answer::parse(bytes)? else {
            if begun.is_empty() {
                begun.extend_from_slice(&self.buffer[..length]);
            }
            return Ok(false);
        };
        ensure!(answer.length == bytes.len(), "{} bytes came after an answer", bytes.len() - answer.length);
        let asked = asked.take().context("an answer came that nobody had asked for")?;
        outcome.answers += 1;
        if !matches!(pace, Pace::Saturating) {
            outcome.latencies.add(asked.due.elapsed());
        }
        if !traffic.is_right(asked.request, &answer) {
            outcome.wrong += 1;
            outcome.first_wrong.get_or_insert_with(|| String::from_utf8_lossy(answer.head).into_owned());
        }
        begun.clear();
        Ok(true)
    }
}

/// When the next request is due.
struct Schedule {
    next: Instant,
    /// None where one is always due.
    interval: Option<Duration>,
}

impl Schedule {
    fn take_due(&mut self, now: Instant, end: Instant) -> Option<Instant> {
        match self.interval {
            None => (now < end).then_some(now),
            Some(interval) => (self.next <= now && self.next < end).then(|| {
                let due = self.next;
                self.next += interval;
                due
            }),
        }
    }

    fn is_over(&self, end: Instant) -> bool {
        self.interval.is_some() && self.next >= end
    }
}
