//! How far a download has come.
//!
//! *Problem.* Whatever shows progress may be slow or gone, and must not hold up the download.
//!
//! *Approach.* The download calls a function with each chunk. The stream made of it keeps only the
//! latest report, so it needs no queue and never waits.

use std::collections::VecDeque;
use std::fmt;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use futures_core::Stream;

/// How far a download has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Progress {
    /// Bytes that are there, those of an earlier attempt among them. Falls back where a file had
    /// to be begun anew.
    pub bytes: u64,
    /// Bytes in all, if the service says.
    pub total: Option<u64>,
    /// Bytes a second over the last five seconds; none for the first quarter of a second.
    pub rate: Option<u64>,
}

impl Progress {
    /// A report to pass to [`Download::progress`](crate::client::Download::progress) or
    /// [`DownloadAll::progress`](crate::client::DownloadAll::progress), and the stream of what it
    /// receives.
    ///
    /// The stream yields the latest progress: one that is polled seldom skips what was in between
    /// and holds nothing up. It ends when the download is over, however it ended, or was dropped.
    ///
    /// ```no_run
    /// # async fn example(lab: lab_connector::Lab, order: lab_connector::Order) -> lab_connector::Result<()> {
    /// use futures_util::StreamExt;
    /// use lab_connector::download::Progress;
    ///
    /// let (report, mut progress) = Progress::stream();
    /// let download = lab.download(&order, &order.assets()[0]).progress(report);
    /// let show = async {
    ///     while let Some(at) = progress.next().await {
    ///         println!("{} of {:?} bytes, {:?} a second", at.bytes, at.total, at.rate);
    ///     }
    /// };
    /// let (file, ()) = futures_util::join!(download.to_file("case.zip"), show);
    /// file?;
    /// # Ok(())
    /// # }
    /// ```
    pub fn stream() -> (
        impl FnMut(Progress) + Send + 'static,
        impl Stream<Item = Progress> + Send + Unpin + 'static,
    ) {
        let shared = Arc::<Mutex<ProgressState>>::default();
        // Moved into the closure: when the download drops its report, the stream ends.
        let sender = ProgressSender(Arc::clone(&shared));
        let report = move |progress| sender.update(|shared| shared.latest = Some(progress));
        (report, ProgressStream(shared))
    }
}

/// How far a download has come, as it goes: see [`Progress::stream`].
#[must_use = "streams do nothing unless polled"]
struct ProgressStream(Arc<Mutex<ProgressState>>);

#[derive(Default)]
struct ProgressState {
    /// What was not yet given.
    latest: Option<Progress>,
    over: bool,
    waker: Option<Waker>,
}

/// Ends the stream when it is dropped.
struct ProgressSender(Arc<Mutex<ProgressState>>);

fn lock(shared: &Mutex<ProgressState>) -> MutexGuard<'_, ProgressState> {
    // Guards the latest report and the waker, for a few assignments; never across an await. Only a
    // waker that panics could poison it, and the state is sound then.
    shared.lock().unwrap_or_else(PoisonError::into_inner)
}

impl ProgressSender {
    fn update(&self, change: impl FnOnce(&mut ProgressState)) {
        let waker = {
            let mut shared = lock(&self.0);
            change(&mut shared);
            shared.waker.take()
        };
        // Unlocked: the task that it wakes may poll at once.
        if let Some(waker) = waker {
            waker.wake();
        }
    }
}

impl Drop for ProgressSender {
    fn drop(&mut self) {
        self.update(|shared| shared.over = true);
    }
}

impl Stream for ProgressStream {
    type Item = Progress;

    fn poll_next(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Progress>> {
        let mut shared = lock(&self.0);
        match shared.latest.take() {
            // The last report comes before the end, even if both came since the last poll.
            Some(progress) => Poll::Ready(Some(progress)),
            None if shared.over => Poll::Ready(None),
            None => {
                // Under the same lock as the look at `latest`: no report can come in between and
                // wake nobody.
                shared.waker = Some(cx.waker().clone());
                Poll::Pending
            }
        }
    }
}

/// The function that is called with it.
pub(crate) struct Report(pub(crate) Box<dyn FnMut(Progress) + Send>);

impl fmt::Debug for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Report")
    }
}

/// Measures the rate.
#[derive(Debug, Default)]
pub(crate) struct Meter {
    /// When so many bytes had come in all, in elapsed time, oldest first.
    samples: VecDeque<(Duration, u64)>,
    came: u64,
}

// Samples closer together would make the queue long and the rate jump with each chunk.
const BETWEEN: Duration = Duration::from_millis(250);
// As the docs of `Progress::rate` promise.
const OVER: Duration = Duration::from_secs(5);

impl Meter {
    /// Notes bytes that came, and returns the rate.
    pub(crate) fn note(&mut self, bytes: u64, now: Duration) -> Option<u64> {
        let age = |then| now.saturating_sub(then);
        if self
            .samples
            .back()
            .is_none_or(|last| age(last.0) >= BETWEEN)
        {
            self.samples.push_back((now, self.came));
        }
        self.came += bytes;
        // One stays, even an old one: after a long pause the rate is of the whole pause, not
        // unknown.
        while self.samples.len() > 1 && age(self.samples[0].0) > OVER {
            self.samples.pop_front();
        }
        let (then, had) = *self.samples.front()?;
        let age = age(then);
        // Divides by zero at the first sample: infinite or not a number, and then not returned, as
        // `age` is too short.
        let rate = (self.came - had) as f64 / age.as_secs_f64();
        // The cast saturates. A rate needs no exact bytes.
        (age >= BETWEEN).then_some(rate as u64)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures_util::{FutureExt, StreamExt};

    #[tokio::test]
    async fn a_stream_gives_the_latest_and_ends_with_the_download() {
        let at = |bytes| Progress {
            bytes,
            total: None,
            rate: None,
        };
        let (mut report, mut stream) = Progress::stream();
        assert_eq!(stream.next().now_or_never(), None);
        report(at(1));
        report(at(2));
        assert_eq!(stream.next().now_or_never(), Some(Some(at(2))));
        assert_eq!(stream.next().now_or_never(), None);
        // Progress wakes the waiting task, and so does the end.
        let waiting = tokio::spawn(async move { (stream.next().await, stream) });
        tokio::task::yield_now().await;
        report(at(3));
        let (next, mut stream) = waiting.await.unwrap();
        assert_eq!(next, Some(at(3)));
        let waiting = tokio::spawn(async move { (stream.next().await, stream) });
        tokio::task::yield_now().await;
        drop(report);
        let (next, mut stream) = waiting.await.unwrap();
        assert_eq!(next, None);
        assert_eq!(stream.next().await, None);

        // The end does not lose the last report, and nobody need listen.
        let (mut report, mut stream) = Progress::stream();
        report(at(4));
        drop(report);
        assert_eq!(stream.next().await, Some(at(4)));
        assert_eq!(stream.next().await, None);
        let (mut report, stream) = Progress::stream();
        drop(stream);
        report(at(5));
    }

    #[test]
    fn the_rate_is_that_of_the_last_seconds() {
        let start = Duration::from_secs(1000);
        let mut meter = Meter::default();
        let mut at = |millis, bytes| meter.note(bytes, start + Duration::from_millis(millis));
        assert_eq!(at(0, 1000), None);
        assert_eq!(at(249, 1000), None);
        assert_eq!(at(500, 1000), Some(6000));
        // A pause, and slower after it.
        for second in 100..=120 {
            at(second * 1000, 10);
        }
        assert_eq!(at(121_000, 10), Some(12));
    }
}
