//! Connections that can break: what HTTP does not let a server say on purpose.
//!
//! A server library sends whole answers with right lengths. So the faults of the wire are played
//! one layer below it, on the bytes that it writes: an answer's plan is left on the connection
//! before the answer is, and the connection cuts, slows or corrects what then goes out.

use std::io::{self, ErrorKind, IoSlice};
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use axum::extract::connect_info::Connected;
use axum::serve::{IncomingStream, Listener};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::{Instant, Sleep};

use super::head_limit::HeadLimit;

/// What is to happen to one answer.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct FaultPlan {
    pub(super) cut: Option<Cut>,
    /// How much more the head says than there is.
    pub(super) length_by: Option<i64>,
    pub(super) bytes_per_second: Option<u32>,
    /// A number to choose a place by.
    pub(super) choice: u64,
}

/// Where an answer ends too early, and how.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Cut {
    pub(super) at: CutPoint,
    /// Otherwise the connection ends in an orderly way.
    pub(super) reset: bool,
}

#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum CutPoint {
    Start,
    InsideHead,
    AfterHead,
    InsideBody,
    AfterBody,
}

impl FaultPlan {
    pub(super) fn is_none(&self) -> bool {
        !self.breaks() && self.bytes_per_second.is_none()
    }

    /// Whether the answer does not arrive whole. A slow one does.
    pub(super) fn breaks(&self) -> bool {
        self.cut.is_some() || self.length_by.is_some()
    }
}

/// The way from a handler to its connection.
#[derive(Clone, Debug, Default)]
pub(super) struct FaultSlot(Arc<Mutex<Option<FaultPlan>>>);

impl FaultSlot {
    /// For the answer that goes out next.
    pub(super) fn plan(&self, plan: FaultPlan) {
        // Guards one plan, for one assignment. A later plan replaces one that was not taken: the
        // answer that it was for never came.
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(plan);
    }

    pub(super) fn take(&self) -> Option<FaultPlan> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).take()
    }
}

/// Accepts connections that can break.
#[derive(Debug)]
pub(super) struct FaultyListener {
    pub(super) listener: TcpListener,
    /// How long the head of a request may take.
    pub(super) head_limit: Duration,
}

impl Listener for FaultyListener {
    type Io = FaultyConnection;
    type Addr = SocketAddr;

    async fn accept(&mut self) -> (FaultyConnection, SocketAddr) {
        let (stream, address) = Listener::accept(&mut self.listener).await;
        // Small answers are not held back for more. It is only slower where it fails.
        let _ = stream.set_nodelay(true);
        let wire = FaultyConnection {
            stream,
            line: FaultSlot::default(),
            answer: None,
            head_limit: HeadLimit::new(self.head_limit),
        };
        (wire, address)
    }

    fn local_addr(&self) -> io::Result<SocketAddr> {
        self.listener.local_addr()
    }
}

impl Connected<IncomingStream<'_, FaultyListener>> for FaultSlot {
    fn connect_info(stream: IncomingStream<'_, FaultyListener>) -> Self {
        stream.io().line.clone()
    }
}

/// A connection.
#[derive(Debug)]
pub(super) struct FaultyConnection {
    stream: TcpStream,
    line: FaultSlot,
    /// An answer that has a plan, while it goes out.
    answer: Option<Answer>,
    head_limit: HeadLimit,
}

#[derive(Debug)]
struct Answer {
    script: Script,
    pace: Option<Pace>,
    /// What is still to go out.
    out: Vec<u8>,
    /// How it goes on when that is out.
    ended: Option<NextAction>,
}

/// What becomes of the bytes of an answer.
#[derive(Debug)]
struct Script {
    plan: FaultPlan,
    /// The head, for as long as it is not whole.
    head: Vec<u8>,
    /// How much of the body is still to come and to go out, once the head is whole.
    body: Option<Body>,
}

#[derive(Clone, Copy, Debug)]
struct Body {
    /// How long it still is.
    left: u64,
    /// How much of that goes out.
    pass: u64,
}

/// How it goes on after some bytes.
#[derive(Clone, Copy, Debug, PartialEq)]
enum NextAction {
    More,
    /// The answer is whole, and the connection stays.
    Done,
    Close,
    Reset,
}

impl Script {
    fn new(plan: FaultPlan) -> Self {
        Script {
            plan,
            head: Vec::new(),
            body: None,
        }
    }

    /// Takes what the server writes, and adds to `out` what is sent of it.
    fn take(&mut self, bytes: &[u8], out: &mut Vec<u8>) -> NextAction {
        if let Some(body) = &mut self.body {
            let length = bytes.len() as u64;
            let pass = usize::try_from(body.pass.min(length)).unwrap_or(bytes.len());
            out.extend_from_slice(&bytes[..pass]);
            body.left = body.left.saturating_sub(length);
            body.pass = body.pass.saturating_sub(length);
            return self.then();
        }
        if self.place() == Some(CutPoint::Start) {
            return self.ended();
        }
        self.head.extend_from_slice(bytes);
        // The server may write the head in pieces: nothing goes out before it is whole.
        let Some(end) = find(&self.head, b"\r\n\r\n").map(|at| at + 4) else {
            return NextAction::More;
        };
        let rest = self.head.split_off(end);
        let head = std::mem::take(&mut self.head);
        if self.place() == Some(CutPoint::InsideHead) {
            out.extend_from_slice(&head[..head.len() / 2]);
            return self.ended();
        }
        // An answer without a length counts as empty: a place within its body cannot be chosen.
        let length = content_length(&head);
        match self.plan.length_by.filter(|_| length.is_some()) {
            Some(by) => out.extend(with_length(
                &head,
                length.unwrap_or(0).saturating_add_signed(by),
            )),
            None => out.extend_from_slice(&head),
        }
        let left = length.unwrap_or(0);
        let pass = match self.place() {
            Some(CutPoint::AfterHead) => 0,
            // At least one byte short, and where it can be not empty.
            Some(CutPoint::InsideBody) if left > 1 => 1 + self.plan.choice % (left - 1),
            Some(CutPoint::InsideBody) => 0,
            _ => left,
        };
        self.body = Some(Body { left, pass });
        if rest.is_empty() {
            return self.then();
        }
        // Recurses once: the head is whole now.
        self.take(&rest, out)
    }

    fn then(&self) -> NextAction {
        match self.body {
            Some(body) if body.pass > 0 => NextAction::More,
            Some(body) if self.plan.cut.is_none() && body.left > 0 => NextAction::More,
            _ => self.ended(),
        }
    }

    fn place(&self) -> Option<CutPoint> {
        self.plan.cut.map(|cut| cut.at)
    }

    fn ended(&self) -> NextAction {
        match self.plan.cut {
            Some(cut) if cut.reset => NextAction::Reset,
            Some(_) => NextAction::Close,
            // What follows would be taken for the rest of this answer.
            None if self.plan.length_by.is_some() => NextAction::Close,
            None => NextAction::Done,
        }
    }
}

fn find(text: &[u8], wanted: &[u8]) -> Option<usize> {
    text.windows(wanted.len())
        .position(|window| window == wanted)
}

const LENGTH: &[u8] = b"\r\ncontent-length:";

/// Where the number stands.
fn length_value(head: &[u8]) -> Option<std::ops::Range<usize>> {
    let start = find(&head.to_ascii_lowercase(), LENGTH)? + LENGTH.len();
    let end = start + find(&head[start..], b"\r\n")?;
    Some(start..end)
}

fn content_length(head: &[u8]) -> Option<u64> {
    let value = std::str::from_utf8(&head[length_value(head)?]).ok()?;
    value.trim().parse().ok()
}

fn with_length(head: &[u8], length: u64) -> Vec<u8> {
    let Some(value) = length_value(head) else {
        return head.to_vec();
    };
    let mut changed = head[..value.start].to_vec();
    changed.extend_from_slice(format!(" {length}").as_bytes());
    changed.extend_from_slice(&head[value.end..]);
    changed
}

/// So many bytes a second.
#[derive(Debug)]
struct Pace {
    bytes_per_second: u32,
    started: Instant,
    sent: u64,
    sleep: Pin<Box<Sleep>>,
}

impl Pace {
    fn new(bytes_per_second: u32) -> Self {
        Pace {
            bytes_per_second,
            started: Instant::now(),
            sent: 0,
            sleep: Box::pin(tokio::time::sleep(Duration::ZERO)),
        }
    }

    /// How many bytes may go out now; at least one.
    fn poll_due(&mut self, context: &mut Context<'_>) -> Poll<usize> {
        loop {
            let rate = f64::from(self.bytes_per_second);
            let due = self.started.elapsed().as_secs_f64() * rate - self.sent as f64;
            // Whole bytes only: to write none would look like a connection that is closed.
            if due >= 1.0 {
                // The cast saturates.
                return Poll::Ready(due as usize);
            }
            // Not shorter than a millisecond, the resolution of the timer.
            let wait = Duration::from_secs_f64(((1.0 - due) / rate).max(0.001));
            self.sleep.as_mut().reset(Instant::now() + wait);
            ready!(self.sleep.as_mut().poll(context));
        }
    }
}

impl FaultyConnection {
    /// Sends what is still to go out.
    fn poll_drain(&mut self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let Some(answer) = &mut self.answer else {
            return Poll::Ready(Ok(()));
        };
        while !answer.out.is_empty() {
            let due = match &mut answer.pace {
                Some(pace) => ready!(pace.poll_due(context)).min(answer.out.len()),
                None => answer.out.len(),
            };
            let stream = Pin::new(&mut self.stream);
            let sent = ready!(stream.poll_write(context, &answer.out[..due]))?;
            if let Some(pace) = &mut answer.pace {
                pace.sent += sent as u64;
            }
            // Linear each time, over one write of the server at most.
            answer.out.drain(..sent);
        }
        Poll::Ready(Ok(()))
    }

    /// Sends what is still to go out, and ends the answer if it is to end. An error makes the
    /// server give the connection up.
    fn poll_ended(&mut self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(self.poll_drain(context))?;
        match self.answer.as_ref().and_then(|answer| answer.ended) {
            None | Some(NextAction::More) => return Poll::Ready(Ok(())),
            Some(NextAction::Done) => {
                self.answer = None;
                return Poll::Ready(Ok(()));
            }
            // Dropped with this option, a connection is reset.
            Some(NextAction::Reset) => self.stream.set_zero_linger()?,
            Some(NextAction::Close) => ready!(Pin::new(&mut self.stream).poll_shutdown(context))?,
        }
        Poll::Ready(Err(ErrorKind::ConnectionReset.into()))
    }
}

impl AsyncRead for FaultyConnection {
    fn poll_read(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        let before = buffer.filled().len();
        match Pin::new(&mut this.stream).poll_read(context, buffer) {
            Poll::Ready(Ok(())) => Poll::Ready(this.head_limit.read(&buffer.filled()[before..])),
            Poll::Ready(Err(error)) => Poll::Ready(Err(error)),
            // The limit must be polled here, or nothing would wake the task when it is over.
            Poll::Pending => this.head_limit.poll(context),
        }
    }
}

impl AsyncWrite for FaultyConnection {
    fn poll_write(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        this.head_limit.wrote();
        // The last answer first, if it is not out yet.
        ready!(this.poll_ended(context))?;
        if this.answer.is_none()
            && let Some(plan) = this.line.take()
        {
            this.answer = Some(Answer {
                pace: plan.bytes_per_second.map(Pace::new),
                script: Script::new(plan),
                out: Vec::new(),
                ended: None,
            });
        }
        if this.answer.is_none() {
            return Pin::new(&mut this.stream).poll_write(context, bytes);
        }
        // Nothing is taken before the last bytes are out: so no more than that is kept.
        ready!(this.poll_drain(context))?;
        if let Some(answer) = &mut this.answer {
            let then = answer.script.take(bytes, &mut answer.out);
            answer.ended = (then != NextAction::More).then_some(then);
        }
        // What was taken is taken, whether it is out by now or not.
        match this.poll_ended(context) {
            Poll::Ready(Err(error)) => Poll::Ready(Err(error)),
            _ => Poll::Ready(Ok(bytes.len())),
        }
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        let planned = this.answer.is_some() || {
            let plan = this.line.0.lock();
            plan.unwrap_or_else(PoisonError::into_inner).is_some()
        };
        if !planned {
            this.head_limit.wrote();
            return Pin::new(&mut this.stream).poll_write_vectored(context, slices);
        }
        // One slice at a time: the server writes the others again.
        let first = slices.iter().find(|slice| !slice.is_empty());
        Pin::new(this).poll_write(context, first.map_or(&[], |slice| slice))
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        ready!(this.poll_ended(context))?;
        Pin::new(&mut this.stream).poll_flush(context)
    }

    fn poll_shutdown(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        ready!(this.poll_ended(context))?;
        Pin::new(&mut this.stream).poll_shutdown(context)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ANSWER: &[u8] = b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\nx: y\r\n\r\n0123456789";

    /// The same whatever the pieces in which it is written.
    fn play(plan: &FaultPlan) -> (String, NextAction) {
        let mut results = Vec::new();
        for size in [1, 7, ANSWER.len()] {
            let (mut script, mut out) = (Script::new(plan.clone()), Vec::new());
            let mut then = NextAction::More;
            for piece in ANSWER.chunks(size) {
                then = script.take(piece, &mut out);
                if then != NextAction::More {
                    break;
                }
            }
            results.push((String::from_utf8(out).unwrap(), then));
        }
        assert!(
            results.windows(2).all(|two| two[0] == two[1]),
            "{results:?}"
        );
        results.remove(0)
    }

    fn cut(at: CutPoint, reset: bool) -> FaultPlan {
        FaultPlan {
            cut: Some(Cut { at, reset }),
            choice: 3,
            ..FaultPlan::default()
        }
    }

    #[test]
    fn an_answer_is_cut_where_the_plan_says() {
        let whole = std::str::from_utf8(ANSWER).unwrap();
        let head = whole.len() - 10;
        for (at, sent) in [
            (CutPoint::Start, 0),
            (CutPoint::InsideHead, head / 2),
            (CutPoint::AfterHead, head),
            (CutPoint::InsideBody, head + 4),
            (CutPoint::AfterBody, whole.len()),
        ] {
            let (out, then) = play(&cut(at, true));
            assert_eq!(
                (out.as_str(), then),
                (&whole[..sent], NextAction::Reset),
                "{at:?}"
            );
            assert_eq!(play(&cut(at, false)).1, NextAction::Close);
        }
    }

    #[test]
    fn a_length_is_made_wrong() {
        for (by, said) in [(5, "15"), (-3, "7"), (-50, "0")] {
            let plan = FaultPlan {
                length_by: Some(by),
                ..FaultPlan::default()
            };
            let (out, then) = play(&plan);
            assert!(
                out.contains(&format!("Content-Length: {said}\r\nx: y")),
                "{out}"
            );
            assert!(out.ends_with("\r\n\r\n0123456789"), "{out}");
            assert_eq!(then, NextAction::Close);
        }
    }

    #[test]
    fn without_a_fault_an_answer_is_whole() {
        let (out, then) = play(&FaultPlan::default());
        assert_eq!((out.as_bytes(), then), (ANSWER, NextAction::Done));
    }
}
