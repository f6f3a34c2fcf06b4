//! A download as a stream: the transfer runs while the stream is polled, in the same task.
//!
//! No task is spawned, so that a stream which is dropped ends its download.

use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use futures_core::Stream;
use futures_util::future::BoxFuture;
use tokio::sync::mpsc;

use crate::error::Result;

/// The pieces of a file.
pub(super) struct Pieces<'a> {
    // `None` once it has ended: a future must not be polled after that.
    transfer: Option<BoxFuture<'a, Result<()>>>,
    pieces: mpsc::Receiver<Bytes>,
}

impl<'a> Pieces<'a> {
    pub(super) fn new(
        transfer: impl FnOnce(mpsc::Sender<Bytes>) -> BoxFuture<'a, Result<()>>,
    ) -> Self {
        // One piece waits at most: a slow reader holds up the transfer and not the memory.
        let (sender, pieces) = mpsc::channel(1);
        Pieces {
            transfer: Some(transfer(sender)),
            pieces,
        }
    }
}

impl Stream for Pieces<'_> {
    type Item = Result<Bytes>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let this = &mut *self;
        // Pieces come before the error of a transfer that has failed since.
        if let Poll::Ready(Some(piece)) = this.pieces.poll_recv(cx) {
            return Poll::Ready(Some(Ok(piece)));
        }
        let Some(transfer) = &mut this.transfer else {
            return Poll::Ready(None);
        };
        // The channel was empty: only the transfer can fill it.
        let ended = transfer.as_mut().poll(cx);
        if ended.is_ready() {
            this.transfer = None;
        }
        // Asked again: the transfer may have sent a piece just now, and ended with it.
        if let Poll::Ready(Some(piece)) = this.pieces.poll_recv(cx) {
            if let Poll::Ready(Err(error)) = ended {
                // Returned after the pieces that came before it.
                this.transfer = Some(Box::pin(std::future::ready(Err(error))));
            }
            return Poll::Ready(Some(Ok(piece)));
        }
        match ended {
            Poll::Ready(Ok(())) => Poll::Ready(None),
            Poll::Ready(Err(error)) => Poll::Ready(Some(Err(error))),
            Poll::Pending => Poll::Pending,
        }
    }
}
