//! One round: list, fetch what dropped out and what is due, record.

use std::time::SystemTime;

use super::delivery::{Change, Delivery, Problem, Round};
use super::{Case, Inbox, State};
use crate::error::Result;
use crate::flow::plan::{Next, Observation, Record, Step, observe};
use crate::flow::{Arrival, History};
use crate::model::{Order, OrderId, WireTime};

pub(super) async fn round(inbox: &Inbox, state: &mut State, round: &mut Round) -> Result<()> {
    let begun = inbox.now();
    let listing = inbox.lab.orders().list().await?;
    let completed = inbox.now();

    let mut due = Vec::new();
    let complete = listing.is_complete();
    let problem = listing.problem().cloned().map(Problem::Listing);
    round.problems.extend(problem);
    let (orders, unreadable) = listing.into_parts();
    round
        .problems
        .extend(unreadable.into_iter().map(Problem::Unreadable));
    let listed: std::collections::HashSet<OrderId> =
        orders.iter().map(|order| order.id().clone()).collect();
    for order in orders {
        let id = order.id().clone();
        if order.rx_id().is_none() && !state.cases.contains_key(&id) {
            round.problems.push(Problem::NoRxId(id.clone()));
        }
        let files = order.fingerprint();
        let status = order.status().clone();
        let seen = Observation::listed(&status, &files, begun).completed(completed);
        let next = record(inbox, state, round, order, begun, &seen);
        due.extend(fetch_now(next, &id));
    }
    if complete {
        let missing = Observation::missing(begun).completed(completed);
        for (id, case) in &mut state.cases {
            if !listed.contains(id) {
                let step = observe(&case.record, &missing, &inbox.policy, &state.epoch);
                due.extend(fetch_now(step.next(), id));
                keep(&mut case.record, step);
            }
        }
        state.epoch = state.epoch.listed(begun, &inbox.policy);
    }
    let watched = state.cases.iter().filter(|(id, case)| {
        let look = case.record.next_look();
        look.is_some_and(|look| look <= completed) && !listed.contains(*id)
    });
    due.extend(watched.map(|(id, _)| id.clone()));
    // Each order once, in an order that does not depend on chance.
    due.sort();
    due.dedup();
    for id in due {
        look(inbox, state, round, &id).await;
    }
    Ok(())
}

/// Fetches an order that is known.
async fn look(inbox: &Inbox, state: &mut State, round: &mut Round, id: &OrderId) {
    let rx_id = state.cases.get(id).and_then(|case| case.order.rx_id());
    let Some(rx_id) = rx_id.cloned() else {
        return;
    };
    let begun = inbox.now();
    match inbox.lab.orders().by_rx(&rx_id).await {
        Ok(order) => fetched(inbox, state, round, order, begun),
        Err(error) if error.is_not_found() => {
            let gone = Observation::gone(begun).completed(inbox.now());
            if let Some(case) = state.cases.get_mut(id) {
                let step = observe(&case.record, &gone, &inbox.policy, &state.epoch);
                keep(&mut case.record, step);
            }
        }
        Err(error) => round.problems.push(Problem::NotFetched(id.clone(), error)),
    }
}

/// Records an order that was fetched.
pub(super) fn fetched(
    inbox: &Inbox,
    state: &mut State,
    round: &mut Round,
    order: Order,
    begun: SystemTime,
) {
    let files = order.fingerprint();
    let status = order.status().clone();
    let seen = Observation::fetched(&status, &files, begun).completed(inbox.now());
    // A fetch that was asked for has happened: nothing is asked next but to look again later.
    let _ = record(inbox, state, round, order, begun, &seen);
}

/// Records an own action.
pub(super) fn note(
    inbox: &Inbox,
    state: &mut State,
    round: &mut Round,
    order: &Order,
    action: &Observation<'_>,
) {
    if let Some(case) = state.cases.get_mut(order.id()) {
        let step = observe(&case.record, action, &inbox.policy, &state.epoch);
        report(round, &case.order, &step);
        keep(&mut case.record, step);
    }
}

/// Records what was seen of an order, and reports what is new.
fn record(
    inbox: &Inbox,
    state: &mut State,
    round: &mut Round,
    order: Order,
    begun: SystemTime,
    seen: &Observation<'_>,
) -> Next {
    let created = order.created().and_then(WireTime::time);
    let seen = seen.created(created).jitter(fastrand::u32(..));
    let told = told(&order);
    let case = state
        .cases
        .entry(order.id().clone())
        .or_insert_with(|| Case {
            order: order.clone(),
            record: Record::new(),
        });
    case.order = order;
    if let Some(told) = told {
        let told = Observation::told(&told, begun).created(created);
        let step = observe(&case.record, &told, &inbox.policy, &state.epoch);
        report(round, &case.order, &step);
        keep(&mut case.record, step);
    }
    let step = observe(&case.record, &seen, &inbox.policy, &state.epoch);
    report(round, &case.order, &step);
    let next = step.next();
    keep(&mut case.record, step);
    next
}

/// The history that the service itself gave, if it did.
fn told(order: &Order) -> Option<Vec<Arrival>> {
    let entries = order.history()?.iter().map(|entry| {
        let arrival = Arrival::new(entry.status());
        match entry.time().and_then(WireTime::time) {
            Some(time) => arrival.at(time),
            None => arrival,
        }
    });
    Some(entries.collect())
}

fn report(round: &mut Round, order: &Order, step: &Step) {
    let Some(record) = step.record() else { return };
    for arrived in step.arrivals() {
        let change = Change {
            order: order.clone(),
            status: arrived.arrival().status().clone(),
            history: until(record.history(), arrived.index()),
        };
        match arrived.ordinal() {
            Some(ordinal) => round.deliveries.push(Delivery { ordinal, change }),
            None => round.changes.push(change),
        }
    }
}

/// The history up to the arrival with this index.
fn until(history: &History, index: usize) -> History {
    let arrivals = history.arrivals().iter().take(index + 1).cloned();
    if history.is_complete() {
        History::complete(arrivals)
    } else {
        History::partial(arrivals)
    }
}

fn keep(record: &mut Record, step: Step) {
    if let Some(new) = step.into_record() {
        *record = new;
    }
}

fn fetch_now(next: Next, id: &OrderId) -> Option<OrderId> {
    matches!(next, Next::Fetch).then(|| id.clone())
}
