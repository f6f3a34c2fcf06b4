//! Every setting of the inbox that is a duration or a number, set to nothing, to next to nothing and to as
//! much as there is.

use std::time::Duration;

use futures_util::FutureExt;
use lab_connector::inbox::{Delivery, Inbox};
use tokio::sync::{mpsc, oneshot};

use super::Service;

type Set = fn(Inbox, Duration) -> Inbox;

fn count(value: Duration) -> usize {
    usize::try_from(value.as_nanos()).unwrap_or(usize::MAX)
}

pub(crate) const SETTERS: &[(&str, Set)] = &[
    ("Inbox::interval", |i, v| i.interval(v)),
    ("Inbox::initial_jitter", |i, v| i.initial_jitter(v)),
    ("Inbox::claim_lease", |i, v| i.claim_lease(v)),
    ("Inbox::concurrency", |i, v| i.concurrency(count(v))),
    ("Inbox::grace", |i, v| i.grace(v)),
    ("Inbox::failure_delays, first", |i, v| {
        i.failure_delays(v, Duration::ZERO)
    }),
    ("Inbox::failure_delays, longest", |i, v| {
        i.failure_delays(Duration::ZERO, v)
    }),
    ("Inbox::failure_delays", |i, v| i.failure_delays(v, v)),
    ("Inbox::max_fetches_per_poll", |i, v| {
        i.max_fetches_per_poll(count(v))
    }),
];

/// It polls, delivers, notes a failure, and stops when it is to.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_setter_takes_any_value() {
    for (name, set) in SETTERS {
        for value in [Duration::ZERO, Duration::from_nanos(1), Duration::MAX] {
            // Whose waits do not end by themselves: those of an interval of nothing would at once.
            let service = Service::new();
            let inbox = set(service.inbox().await, value);
            for number in 1..=3 {
                service.show(number, "Ready for Download");
            }
            // The first poll of the loop may be a thousand years away.
            inbox.poll().await.unwrap();
            // An order that is not listed any more is fetched.
            service.remove(3);
            inbox.poll().await.unwrap();
            let (tell, mut told) = mpsc::unbounded_channel();
            let (stop, stopped) = oneshot::channel::<()>();
            let handler = move |_: Delivery| {
                let tell = tell.clone();
                async move {
                    tell.send(())?;
                    Err(std::io::Error::other("the disk is full").into())
                }
            };
            let running = tokio::spawn({
                let inbox = inbox.clone();
                async move { inbox.for_each_until(stopped.map(drop), handler).await }
            });
            let limit = Duration::from_secs(60);
            // Of two orders, or twice of one.
            for _ in 0..2 {
                let told = tokio::time::timeout(limit, told.recv()).await;
                told.unwrap_or_else(|_| panic!("{name} {value:?}")).unwrap();
            }
            stop.send(()).unwrap();
            let ended = tokio::time::timeout(limit, running).await;
            let ended = ended.unwrap_or_else(|_| panic!("{name} {value:?}"));
            ended.unwrap().unwrap();
        }
    }
}
