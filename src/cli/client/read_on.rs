//! Reads on where nothing can be written any more.

use std::io::{self, ErrorKind, IoSlice};
use std::pin::Pin;
use std::task::{Context, Poll};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// A stream whose other end may have answered before it had read all, and closed. What is written to it then fails, but
/// the answer can still be read (RFC 9112 §9.5 asks clients to look out for it). The HTTP client gives up at the first
/// write that fails, so from there on, writing waits for ever: what becomes of the request is what reading says. The
/// kernel has ended the connection by then, so that reading gives the answer, an end or an error, but never waits.
pub(super) struct ReadOn<S> {
    stream: S,
    is_deaf: bool,
}

impl<S> ReadOn<S> {
    pub(super) fn new(stream: S) -> Self {
        ReadOn { stream, is_deaf: false }
    }

    /// What is said of a write or a flush.
    fn written<T>(&mut self, result: Poll<io::Result<T>>, context: &Context<'_>) -> Poll<io::Result<T>> {
        match result {
            Poll::Ready(Err(error)) if is_hang_up(&error) => {
                self.is_deaf = true;
                // To read what there is, which nothing may announce once more.
                context.waker().wake_by_ref();
                Poll::Pending
            }
            result => result,
        }
    }
}

fn is_hang_up(error: &io::Error) -> bool {
    matches!(error.kind(), ErrorKind::BrokenPipe | ErrorKind::ConnectionReset)
}

impl<S: AsyncRead + Unpin> AsyncRead for ReadOn<S> {
    fn poll_read(self: Pin<&mut Self>, context: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().stream).poll_read(context, buffer)
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for ReadOn<S> {
    fn poll_write(self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        if this.is_deaf {
            return Poll::Pending;
        }
        let result = Pin::new(&mut this.stream).poll_write(context, bytes);
        this.written(result, context)
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        if this.is_deaf {
            return Poll::Pending;
        }
        let result = Pin::new(&mut this.stream).poll_write_vectored(context, slices);
        this.written(result, context)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        if this.is_deaf {
            return Poll::Pending;
        }
        let result = Pin::new(&mut this.stream).poll_flush(context);
        this.written(result, context)
    }

    fn poll_shutdown(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        if this.is_deaf {
            // There is nothing left to shut down.
            return Poll::Ready(Ok(()));
        }
        match Pin::new(&mut this.stream).poll_shutdown(context) {
            Poll::Ready(Err(error)) if is_hang_up(&error) => Poll::Ready(Ok(())),
            result => result,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;
    use std::task::Waker;

    use super::super::{Client, NO_HOST, Problem, Request, runtime};
    use super::*;

    const ANSWER: &str = "HTTP/1.1 403 Forbidden\r\nContent-Length: 54\r\nConnection: close\r\n\r\n\
        {\"type\":\"about:blank\",\"title\":\"Forbidden\",\"status\":403}";

    /// A server that takes the head of a request, answers, and closes; the client notices when it writes more, and not
    /// sooner.
    #[derive(Default)]
    struct Refusing {
        has_head: bool,
        has_closed: bool,
        answer: &'static [u8],
        reader: Option<Waker>,
    }

    impl AsyncRead for Refusing {
        fn poll_read(
            mut self: Pin<&mut Self>,
            context: &mut Context<'_>,
            buffer: &mut ReadBuf<'_>,
        ) -> Poll<io::Result<()>> {
            if !self.has_closed {
                self.reader = Some(context.waker().clone());
                return Poll::Pending;
            }
            // And then its end.
            buffer.put_slice(std::mem::take(&mut self.answer));
            Poll::Ready(Ok(()))
        }
    }

    impl AsyncWrite for Refusing {
        fn poll_write(mut self: Pin<&mut Self>, _: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
            if !std::mem::replace(&mut self.has_head, true) {
                return Poll::Ready(Ok(bytes.len()));
            }
            self.has_closed = true;
            self.reader.take().into_iter().for_each(Waker::wake);
            Poll::Ready(Err(ErrorKind::BrokenPipe.into()))
        }

        fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
            Poll::Ready(Ok(()))
        }

        fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
            Poll::Ready(Err(ErrorKind::BrokenPipe.into()))
        }
    }

    fn send_lines_to(server: Refusing) -> anyhow::Error {
        let stream = || Ok(server);
        let name = "the server".to_owned();
        let mut client = Client::over(runtime().unwrap(), name, NO_HOST.to_owned(), None, None, stream).unwrap();
        let produce =
            |upload: &mut super::super::Upload| Ok((0..100).try_for_each(|_| upload.write_all(&[b'x'; 64 << 10]))?);
        client.send_lines(&Request::post_lines(&["import"]), &mut Some(produce), |_| Ok(())).unwrap_err()
    }

    #[test]
    fn an_answer_that_came_before_the_end_of_the_request_is_read() {
        let error = send_lines_to(Refusing { answer: ANSWER.as_bytes(), ..Refusing::default() });
        assert!(error.downcast_ref::<Problem>().is_some(), "{error:#}");
    }

    #[test]
    fn an_answer_before_the_end_of_the_request_does_not_mean_that_all_was_taken() {
        let answer = b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: close\r\n\r\n";
        let error = send_lines_to(Refusing { answer, ..Refusing::default() });
        assert!(error.downcast_ref::<Problem>().is_none(), "{error:#}");
    }

    #[test]
    fn without_an_answer_it_is_said_that_there_was_none() {
        let error = send_lines_to(Refusing::default());
        assert!(error.to_string().starts_with("the server did not answer to the end"), "{error:#}");
    }
}
