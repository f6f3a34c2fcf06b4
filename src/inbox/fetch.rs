//! Orders that are fetched one by one.

use std::sync::Arc;

use futures_util::{StreamExt, stream};

use super::Inbox;
use super::record::{CaseObservation, Target, What, record_one};
use super::report::{PollReport, Problem};
use super::store::CaseKey;
use super::trace;
use crate::error::Result;

/// So many orders are fetched at the same time.
const TOGETHER: usize = 4;

/// Fetches what was hinted at.
pub(super) async fn fetch_hinted(inbox: &Inbox) -> Result<PollReport> {
    let mut report = PollReport::default();
    let targets = hinted(inbox, inbox.settings.max_fetches_per_poll).await?;
    if !targets.is_empty() {
        fetch(inbox, targets, &mut report).await?;
        inbox.counters().fetched(&report);
        trace::fetched(&report);
    }
    Ok(report)
}

/// What was hinted at and may be fetched now, at most `limit`; the rest waits. All hints are
/// tried: those that are false must not stand before those that are not.
pub(super) async fn hinted(inbox: &Inbox, limit: usize) -> Result<Vec<Target>> {
    let now = inbox.local_now();
    let mut targets = Vec::new();
    loop {
        let missing = limit.saturating_sub(targets.len());
        let taken = inbox.hints().take(now, missing);
        if taken.is_empty() {
            return Ok(targets);
        }
        for rx_id in taken {
            let key = CaseKey::Rx(&rx_id);
            let found = inbox.store().find(inbox.account(), key).await?;
            let order_id = found.map(|stored| stored.case.order_id().clone());
            if inbox.hints().allows(&rx_id, order_id.is_some(), now) {
                targets.push(Target {
                    rx_id,
                    order_id,
                    hinted: true,
                });
            }
        }
    }
}

/// Fetches orders by their Rx ids, a few at a time, and records each.
pub(super) async fn fetch(
    inbox: &Inbox,
    targets: Vec<Target>,
    report: &mut PollReport,
) -> Result<()> {
    let fetches = targets.into_iter().map(|target| fetch_one(inbox, target));
    // Built first: a closure that borrows would not be general enough for the stream.
    let fetches: Vec<_> = fetches.collect();
    let mut fetches = stream::iter(fetches).buffer_unordered(TOGETHER);
    while let Some(brought) = fetches.next().await {
        report.add(brought?);
    }
    Ok(())
}

/// Fetches one order.
///
/// # Errors
///
/// The store failed. An order that cannot be fetched is a [`Problem`].
async fn fetch_one(inbox: &Inbox, target: Target) -> Result<PollReport> {
    let mut report = PollReport::default();
    let begun = inbox.now().await?;
    let answer = inbox.lab.orders().by_rx_unchecked(&target.rx_id).await;
    let completed = inbox.now().await?;
    report.fetched = 1;
    let (order_id, what) = match answer {
        Ok(order) => (order.id().clone(), What::Fetched(Arc::new(order))),
        Err(error) if error.is_not_found() => match target.order_id {
            Some(order_id) => (order_id, What::Gone),
            // The hint was false.
            None => return Ok(report),
        },
        Err(error) => {
            if target.hinted {
                inbox.hints().add(&target.rx_id, inbox.local_now());
            }
            let problem = Problem::NotFetched(target.order_id, error);
            report.problems.push(problem);
            return Ok(report);
        }
    };
    let observation = CaseObservation {
        order_id,
        what,
        begun,
        completed,
    };
    record_one(inbox, observation, &mut report).await?;
    Ok(report)
}
