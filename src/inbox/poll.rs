//! One poll: list, record, fetch what dropped out, what was hinted at and what is due.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use super::Inbox;
use super::fetch::{fetch, hinted};
use super::files::fingerprint;
use super::plan::ListingCoverage;
use super::record::{CaseObservation, Known, Target, What, is_unchanged, record};
use super::report::{PollReport, Problem};
use super::store::{Commit, fits};
use crate::error::Result;
use crate::model::{Order, OrderId};

/// The time of the last good listing is written once in so long.
const HOUR: Duration = Duration::from_secs(60 * 60);

pub(super) async fn poll(inbox: &Inbox) -> Result<PollReport> {
    let mut report = PollReport::default();
    let budget = inbox.settings.max_fetches_per_poll;
    let owed = listing(inbox, budget, &mut report).await?;
    let spent = usize::try_from(report.fetched).unwrap_or(usize::MAX);
    let budget = budget.saturating_sub(spent);
    // What there is budget is left is not taken out, and waits for the next poll.
    let hinted = hinted(inbox, budget.saturating_sub(owed.len())).await?;
    let due = inbox
        .store()
        .due(inbox.account(), inbox.now().await?, budget)
        .await?;
    // Owed first: what dropped out of the listing, then hints, then what is merely watched.
    let all = owed
        .into_iter()
        .chain(hinted)
        .chain(due.iter().filter_map(Target::of));
    let mut targets: Vec<Target> = Vec::new();
    let mut chosen = HashSet::new();
    for target in all {
        if targets.len() < budget && chosen.insert(target.rx_id.clone()) {
            targets.push(target);
        }
    }
    fetch(inbox, targets, &mut report).await?;
    Ok(report)
}

/// Lists and records, with at most `budget` fetches. Gives what has to be fetched.
async fn listing(inbox: &Inbox, budget: usize, report: &mut PollReport) -> Result<Vec<Target>> {
    let begun = inbox.now().await?;
    let listing = inbox.lab.orders().list().await?;
    let completed = inbox.now().await?;

    let complete = listing.is_complete();
    let problem = listing.problem().cloned().map(Problem::Listing);
    report.problems.extend(problem);
    let (mut orders, unreadable) = listing.into_parts();
    let unreadable = unreadable.into_iter().map(Problem::Unreadable);
    report.problems.extend(unreadable);
    report.listed = u64::try_from(orders.len()).unwrap_or(u64::MAX);
    report.complete = complete;
    orders.retain(|order| {
        let kept = fits(order.id().as_str());
        if !kept {
            report.problems.push(Problem::IdTooLong(order.id().clone()));
        }
        kept
    });

    let ids: Vec<OrderId> = orders.iter().map(|order| order.id().clone()).collect();
    let listed: HashSet<&OrderId> = ids.iter().collect();
    let mut contradicted = if listed.len() < ids.len() {
        take_contradicted(&mut orders)
    } else {
        Vec::new()
    };
    let coverage = inbox.coverage().await?;
    let expected = inbox.store().expected(inbox.account(), &ids).await?;
    let known = Known::new(expected);
    let follows = |order: &&Order| order.rx_id().is_some_and(|rx_id| fits(rx_id.as_str()));
    let nameless = orders.iter().filter(|order| !follows(order));
    let nameless = nameless.filter(|order| known.find(order.id()).is_none());
    report
        .problems
        .extend(nameless.map(|order| Problem::NoRxId(order.id().clone())));

    let observation = |order_id, what| CaseObservation {
        order_id,
        what,
        begun,
        completed,
    };
    let changed = orders.into_iter().filter(|order| {
        let case = known.find(order.id());
        !case.is_some_and(|case| is_unchanged(case, order))
    });
    let mut observations: Vec<CaseObservation> = changed
        .map(|order| observation(order.id().clone(), What::Listed(Arc::new(order))))
        .collect();
    if complete {
        // In an order that does not depend on chance.
        let mut missing: Vec<_> = known
            .cases()
            .filter(|case| case.is_listed() && !listed.contains(case.order_id()))
            .map(|case| case.order_id().clone())
            .collect();
        missing.sort_unstable();
        observations.extend(missing.into_iter().map(|id| observation(id, What::Missing)));
    }
    let owed = record(inbox, known, &coverage, observations, report).await?;
    let all = contradicted.len() <= budget;
    contradicted.truncate(budget);
    let problems = report.problems.len();
    fetch(inbox, contradicted, report).await?;
    let settled = all && report.problems.len() == problems;
    if complete && settled {
        listed_well(
            inbox,
            &coverage,
            coverage.listed(begun, inbox.plan_policy()),
        )
        .await?;
    }
    Ok(owed)
}

/// Takes out the orders that the listing shows in several states: at least one of them is over, and
/// and nobody knows which. They are fetched; until then nothing of them is recorded, or each listing
/// would bring them anew.
///
/// Records that have not the one Rx id stay: what to fetch would be a guess.
fn take_contradicted(orders: &mut Vec<Order>) -> Vec<Target> {
    let mut records: HashMap<&OrderId, Vec<&Order>> = HashMap::with_capacity(orders.len());
    for order in &*orders {
        records.entry(order.id()).or_default().push(order);
    }
    let target = |order: &Order| {
        let records = records.get(order.id())?;
        // Each order once.
        records
            .first()
            .filter(|first| std::ptr::eq(**first, order))?;
        let fingerprints = || records.iter().map(|record| fingerprint(record));
        let files = fingerprints().find(|files| !files.is_none());
        let files = files.unwrap_or_default();
        let differ = records
            .iter()
            .any(|record| record.status() != order.status())
            || fingerprints().any(|other| files.differs(&other));
        let mut rx_ids = records.iter().filter_map(|record| record.rx_id());
        let rx_id = rx_ids.next().filter(|_| differ)?;
        rx_ids.all(|other| other == rx_id).then(|| Target {
            rx_id: rx_id.clone(),
            order_id: Some(order.id().clone()),
            hinted: false,
        })
    };
    let targets: Vec<Target> = orders.iter().filter_map(target).collect();
    let taken: HashSet<_> = targets
        .iter()
        .filter_map(|one| one.order_id.as_ref())
        .collect();
    orders.retain(|order| !taken.contains(order.id()));
    targets
}

/// Notes a good listing: after what it listed, so that nothing of it can later be taken for
/// newer than the account. It is written where it says more than that time went by, or when
/// what is written has become old: a poll in which nothing changed writes nothing.
///
/// What is written is read anew: recording takes long, and another process may have been first.
async fn listed_well(inbox: &Inbox, before: &ListingCoverage, now: ListingCoverage) -> Result<()> {
    let policy = inbox.plan_policy();
    let stored = inbox.stored_coverage().await?;
    let age = now
        .last_listing()
        .zip(stored.last_listing())
        .and_then(|(now, stored)| now.duration_since(stored).ok());
    let longest = (policy.longest_gap / 24).min(HOUR);
    let is_old = age.is_none_or(|age| age > longest);
    let resumed = before
        .last_listing()
        .zip(now.last_listing())
        .and_then(|(before, now)| now.duration_since(before).ok())
        .is_some_and(|gap| gap > policy.longest_gap);
    if stored.first_listing().is_none() || is_old || resumed {
        keep_coverage(inbox, now).await?;
    }
    inbox.remember(now);
    Ok(())
}

/// Writes the time of the last good listing, if that is later than what is written: at an orderly end,
/// so that the gap until the next beginning is not taken for a longer one.
pub(super) async fn note_coverage(inbox: &Inbox) -> Result<()> {
    let known = inbox.known_coverage();
    if known.last_listing() > inbox.stored_coverage().await?.last_listing() {
        keep_coverage(inbox, known).await?;
    }
    Ok(())
}

async fn keep_coverage(inbox: &Inbox, coverage: ListingCoverage) -> Result<()> {
    let commit = Commit {
        saves: Vec::new(),
        coverage: Some(coverage),
    };
    let (store, account) = (inbox.store(), inbox.account());
    let kept = store.commit(account, &commit, inbox.local_now()).await;
    kept.map(drop)
}

/// The later of two coverages of one account: what is stored may lag behind what this process
/// knows, or be ahead of it where another one polls.
pub(super) fn later(one: ListingCoverage, other: ListingCoverage) -> ListingCoverage {
    if one.last_listing() > other.last_listing() {
        one
    } else {
        other
    }
}
