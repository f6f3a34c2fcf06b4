//! How long a connection may take over the head of a request: one that never ends would hold its
//! place for ever, and two hundred of them all places.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::time::{Instant, Sleep};

/// From the beginning of the connection, or from the first byte of a later request.
const LIMIT: Duration = Duration::from_secs(30);

/// Watches what is read and written. A connection that rests between two requests may do so.
#[derive(Debug)]
pub(super) struct HeadLimit {
    /// While a head is due: until when, and how many line ends have come in a row.
    due: Option<(Pin<Box<Sleep>>, u8)>,
    /// Something was written since: what is read next begins another request.
    answered: bool,
}

impl HeadLimit {
    pub(super) fn new() -> Self {
        HeadLimit {
            due: Some((Box::pin(tokio::time::sleep(LIMIT)), 0)),
            answered: false,
        }
    }

    pub(super) fn wrote(&mut self) {
        self.answered = true;
    }

    /// Takes note of what was read; fails where it came too late.
    pub(super) fn read(&mut self, bytes: &[u8]) -> io::Result<()> {
        if self.answered && !bytes.is_empty() {
            *self = HeadLimit::new();
        }
        let Some((due, ends)) = &mut self.due else {
            return Ok(());
        };
        for byte in bytes {
            match byte {
                b'\n' => *ends += 1,
                b'\r' => {}
                _ => *ends = 0,
            }
            if *ends == 2 {
                self.due = None;
                return Ok(());
            }
        }
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
    use super::*;

    async fn waits(limit: &mut HeadLimit) -> bool {
        let waiting = std::future::poll_fn(|context| limit.poll(context));
        tokio::time::timeout(LIMIT * 10, waiting).await.is_err()
    }

    #[tokio::test(start_paused = true)]
    async fn a_head_that_does_not_end_is_given_up_and_nothing_else() {
        // Nothing comes, or half a head.
        assert!(!waits(&mut HeadLimit::new()).await);
        let mut limit = HeadLimit::new();
        limit.read(b"GET / HTTP/1.1\r\nhost: a\r\n").unwrap();
        assert!(!waits(&mut limit).await);

        // A byte now and then.
        let mut limit = HeadLimit::new();
        let mut taken = 0;
        while limit.read(b"x").is_ok() {
            taken += 1;
            tokio::time::advance(Duration::from_secs(1)).await;
        }
        assert_eq!(taken, 30);

        // Whole heads, in pieces; then the handler and the peer may take their time.
        let mut limit = HeadLimit::new();
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
}
