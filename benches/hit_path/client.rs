//! Asks a server an exact number of times, on many connections at a time.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use anyhow::{Context, Result, ensure};

/// How long an answer may take: under a profiler everything is slow.
const PATIENCE: Duration = Duration::from_secs(60);

/// Asks for all in turn: on each connection once, then takes all answers, and so on, until so many are answered. Each must
/// be a redirect.
pub(crate) fn ask(address: SocketAddr, connections: usize, requests: usize, inputs: &[String]) -> Result<()> {
    let connect = || -> Result<TcpStream> {
        let stream = TcpStream::connect(address).with_context(|| address.to_string())?;
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        Ok(stream)
    };
    let mut streams = (0..connections).map(|_| connect()).collect::<Result<Vec<_>>>()?;
    let mut numbers = 0..requests;
    let mut answer = Vec::new();
    while !numbers.is_empty() {
        let asked: Vec<usize> = numbers.by_ref().take(connections).collect();
        for (stream, number) in streams.iter_mut().zip(&asked) {
            stream.write_all(inputs[number % inputs.len()].as_bytes())?;
        }
        for stream in &mut streams[..asked.len()] {
            take_answer(stream, &mut answer)?;
        }
    }
    Ok(())
}

/// Takes a redirect, which has no content.
fn take_answer(stream: &mut TcpStream, answer: &mut Vec<u8>) -> Result<()> {
    answer.clear();
    let mut piece = [0; 2048];
    while !answer.ends_with(b"\r\n\r\n") {
        let bytes = stream.read(&mut piece).context("waiting for an answer")?;
        ensure!(bytes > 0, "the server has closed the connection");
        answer.extend_from_slice(&piece[..bytes]);
    }
    ensure!(answer.starts_with(b"HTTP/1.1 302 "), "no redirect: {}", String::from_utf8_lossy(answer));
    Ok(())
}
