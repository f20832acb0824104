//! The floor on Carom's own runtime: monoio on io_uring, and the same constant answer.
//!
//! Against the other floor it shows what the runtime and the ring cost or save; Carom's distance to it is what Carom does.

use crate::floor::{ANSWER, LAST_ANSWER, count_ends, ends_connection, finder, listen};
use anyhow::Result;
use monoio::io::{AsyncReadRent, AsyncWriteRentExt};
use monoio::net::{TcpListener, TcpStream};
use monoio::{IoUringDriver, RuntimeBuilder};
use std::rc::Rc;

/// As in Carom's workers, like the next two.
const RING_ENTRIES: u32 = 1_024;
const ACCEPTS: usize = 8;
const READ_BYTES: usize = 2 * 1_024;

/// Serves until the process is ended.
pub(crate) fn serve(port: u16) -> Result<()> {
    rustix::process::set_parent_process_death_signal(Some(rustix::process::Signal::TERM))?;
    let socket = listen(port)?;
    // The ring waits by itself.
    socket.set_nonblocking(false)?;
    let mut ring = io_uring::IoUring::builder();
    ring.setup_single_issuer().setup_defer_taskrun();
    let builder = RuntimeBuilder::<IoUringDriver>::new().with_entries(RING_ENTRIES).uring_builder(ring);
    builder.build()?.block_on(async {
        let listener = Rc::new(TcpListener::from_std(socket.into())?);
        let accepts: Vec<_> = (0..ACCEPTS).map(|_| monoio::spawn(accept(Rc::clone(&listener)))).collect();
        for accept in accepts {
            accept.await?;
        }
        Ok(())
    })
}

async fn accept(listener: Rc<TcpListener>) -> Result<()> {
    loop {
        let (stream, _) = listener.accept().await?;
        monoio::spawn(answer(stream));
    }
}

/// Answers until the connection ends.
async fn answer(mut stream: TcpStream) {
    let finder = finder();
    let (mut input, mut output, mut matched) = (Vec::with_capacity(READ_BYTES), Vec::new(), 0);
    loop {
        let read;
        (read, input) = stream.read(input).await;
        let Ok(1..) = read else { return };
        if ends_connection(&input) {
            let _ = stream.write_all(LAST_ANSWER).await;
            return;
        }
        for _ in 0..count_ends(&mut matched, &input, &finder) {
            output.extend_from_slice(ANSWER);
        }
        let written;
        (written, output) = stream.write_all(output).await;
        if written.is_err() {
            return;
        }
        output.clear();
    }
}
