//! How long a connection may take over the head of a request: one that never ends would hold its
//! place for ever, and two hundred of them all places.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::time::{Instant, Sleep};

/// The default, counted from the beginning of the connection, or from the first byte of a later
/// request. As long as a client waits for a head by default.
pub(super) const LIMIT: Duration = Duration::from_secs(30);

/// Watches what is read and written. A connection that rests between two requests may do so.
#[derive(Debug)]
pub(super) struct HeadLimit {
    limit: Duration,
    /// While a head is due: until when, and how many line ends have come in a row.
    // Boxed and pinned, since the connection itself moves.
    due: Option<(Pin<Box<Sleep>>, u8)>,
    /// Something was written since: what is read next begins another request.
    answered: bool,
}

impl HeadLimit {
    pub(super) fn new(limit: Duration) -> Self {
        HeadLimit {
            limit,
            due: Some((Box::pin(tokio::time::sleep(limit)), 0)),
            answered: false,
        }
    }

    pub(super) fn wrote(&mut self) {
        self.answered = true;
    }

    /// Takes note of what was read; fails where it came too late.
    pub(super) fn read(&mut self, bytes: &[u8]) -> io::Result<()> {
        // An empty read is the end of the connection, not a request.
        if self.answered && !bytes.is_empty() {
            *self = HeadLimit::new(self.limit);
        }
        let Some((due, ends)) = &mut self.due else {
            return Ok(());
        };
        for byte in bytes {
            match byte {
                b'\n' => *ends += 1,
                // A head ends with an empty line. Bare line feeds count, as hyper accepts them.
                b'\r' => {}
                _ => *ends = 0,
            }
            if *ends == 2 {
                self.due = None;
                return Ok(());
            }
        }
        // One byte now and then keeps the timer from being polled: the time is compared at each
        // read too.
        if Instant::now() >= due.deadline() {
            return Err(io::ErrorKind::TimedOut.into());
        }
        Ok(())
    }

    /// While nothing comes.
    pub(super) fn poll(&mut self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &mut self.due {
            Some((due, _)) => {
                let over = due.as_mut().poll(context);
                over.map(|()| Err(io::ErrorKind::TimedOut.into()))
            }
            None => Poll::Pending,
        }
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::TcpStream;

    use super::super::Simulator;
    use super::*;

    async fn waits(limit: &mut HeadLimit) -> bool {
        let waiting = std::future::poll_fn(|context| limit.poll(context));
        tokio::time::timeout(LIMIT * 10, waiting).await.is_err()
    }

    #[tokio::test(start_paused = true)]
    async fn a_head_that_does_not_end_is_given_up_and_nothing_else() {
        // Nothing comes, or half a head.
        assert!(!waits(&mut HeadLimit::new(LIMIT)).await);
        let mut limit = HeadLimit::new(LIMIT);
        limit.read(b"GET / HTTP/1.1\r\nhost: a\r\n").unwrap();
        assert!(!waits(&mut limit).await);

        // A byte now and then.
        let mut limit = HeadLimit::new(LIMIT);
        let mut taken = 0;
        while limit.read(b"x").is_ok() {
            taken += 1;
            tokio::time::advance(Duration::from_secs(1)).await;
        }
        assert_eq!(taken, 30);

        // Whole heads, in pieces; then the handler and the peer may take their time.
        let mut limit = HeadLimit::new(LIMIT);
        for _ in 0..2 {
            limit.read(b"GET / HTTP/1.1\r\nhost: a\r\n").unwrap();
            limit.read(b"\r\nbody").unwrap();
            assert!(waits(&mut limit).await);
            limit.read(b"more of it").unwrap();
            limit.wrote();
            assert!(waits(&mut limit).await);
        }
        limit.read(b"G").unwrap();
        assert!(!waits(&mut limit).await);
    }

    #[tokio::test]
    async fn two_hundred_slow_connections_are_closed_and_others_are_answered() {
        let limit = Duration::from_secs(1);
        let mut builder = Simulator::builder();
        builder.head_limit = limit;
        let service = builder.start().await.unwrap();
        let began = Instant::now();
        let mut slow = Vec::new();
        for _ in 0..200 {
            let mut stream = TcpStream::connect(service.address()).await.unwrap();
            let half = b"GET /openapi.yaml HTTP/1.1\r\nhost: 127.0.0.1\r\nx-half: ";
            stream.write_all(half).await.unwrap();
            slow.push(stream);
        }
        let answer = async || {
            let mut stream = TcpStream::connect(service.address()).await.unwrap();
            let whole =
                b"GET /openapi.yaml HTTP/1.1\r\nhost: 127.0.0.1\r\nconnection: close\r\n\r\n";
            stream.write_all(whole).await.unwrap();
            let mut answer = String::new();
            stream.read_to_string(&mut answer).await.unwrap();
            assert!(answer.starts_with("HTTP/1.1 200 "), "{answer}");
        };
        answer().await;
        for mut stream in slow {
            let mut rest = Vec::new();
            // Closed in good order or with a reset, and without an answer.
            let _ = stream.read_to_end(&mut rest).await;
            assert!(rest.is_empty(), "{}", String::from_utf8_lossy(&rest));
        }
        assert!(began.elapsed() >= limit);
        answer().await;
    }
}
