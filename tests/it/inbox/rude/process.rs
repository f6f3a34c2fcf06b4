//! A process of the lab, its time, and how its work is driven: a step at a time.

use std::pin::Pin;
use std::task::Poll;
use std::time::Duration;

use fastrand::Rng;
use lab_connector::inbox::Inbox;
use tokio::task::yield_now;

use super::super::hooked_store::{Call, Hook};
use super::Played;
use crate::support::TestClock;

/// Gives way at each call, so that a future can be dropped before it and behind it.
#[derive(Debug)]
pub(super) struct GivesWay;

impl Hook for GivesWay {
    fn before(&self, _: Call) -> lab_connector::Result<()> {
        Ok(())
    }

    fn gives_way(&self) -> bool {
        true
    }
}

/// How a process's time goes.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Pace {
    Right,
    /// Its machine is suspended: the time of day goes on, elapsed time does not.
    Suspended,
    /// The time of day stands still.
    Stopped,
}

pub(super) struct Process {
    pub(super) inbox: Inbox,
    pub(super) clock: TestClock,
    pub(super) pace: Pace,
}

impl Process {
    pub(super) fn pass(&self, time: Duration) {
        match self.pace {
            Pace::Right => self.clock.advance(time),
            Pace::Suspended => self.clock.set_ahead(time),
            Pace::Stopped => {
                self.clock.advance(time);
                self.clock.set_back(time);
            }
        }
    }
}

/// Polls a future to its end, or so often; time passes for its processes meanwhile.
pub(super) async fn drive<F: Future + ?Sized>(
    clocks: &[&TestClock],
    rng: &mut Rng,
    mut future: Pin<&mut F>,
    most: Option<usize>,
) -> Played<Option<F::Output>> {
    for step in 0..100_000 {
        if most == Some(step) {
            return Ok(None);
        }
        if let Poll::Ready(output) = futures_util::poll!(future.as_mut()) {
            return Ok(Some(output));
        }
        yield_now().await;
        // Waits before a repeat, for one.
        if step % 8 == 7 {
            let seconds = Duration::from_secs(rng.u64(1..6));
            clocks.iter().for_each(|clock| clock.advance(seconds));
        }
    }
    Err("it stands still".to_owned())
}
