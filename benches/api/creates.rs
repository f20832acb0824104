//! Durable creates by many clients at once.

use std::time::{Duration, Instant};

use anyhow::Result;

use crate::client::Client;
use crate::latency::Measured;
use crate::server::Server;

/// What came of it.
pub(crate) struct Created {
    pub(crate) latencies: Measured,
    pub(crate) elapsed: Duration,
}

/// Has each client create one link after the other, all together so many per second; 0 is as many as they can.
pub(crate) fn run(server: &Server, clients: usize, per_second: u64, length: Duration, round: usize) -> Result<Created> {
    let pause =
        if per_second == 0 { Duration::ZERO } else { Duration::from_secs(clients as u64).div_f64(per_second as f64) };
    let started = Instant::now();
    let mut latencies = Measured::default();
    std::thread::scope(|scope| {
        let clients: Vec<_> = (0..clients)
            .map(|client| scope.spawn(move || one_client(server, round, client, pause, started, length)))
            .collect();
        for client in clients {
            latencies.join(client.join().expect("it does not panic")?);
        }
        Ok(Created { latencies, elapsed: started.elapsed() })
    })
}

fn one_client(
    server: &Server,
    round: usize,
    client: usize,
    pause: Duration,
    started: Instant,
    length: Duration,
) -> Result<Measured> {
    let mut connection = Client::connect(server)?;
    let mut latencies = Measured::default();
    for number in 0_u32.. {
        std::thread::sleep((pause * number).saturating_sub(started.elapsed()));
        if started.elapsed() >= length {
            break;
        }
        let json = format!(
            r#"{{"key":"new.example/{round}/{client}/{number}","target":"https://www.example.org/new/{client}/{number}"}}"#
        );
        let sent = Instant::now();
        connection.post("/v1/links", &json)?.expect(201)?;
        latencies.add(sent.elapsed());
    }
    Ok(latencies)
}
