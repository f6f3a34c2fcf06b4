//! One poll: list, record, fetch what has been due longest.
//!
//! *Problem.* A listing shows what waits for the lab and nothing else. An order that it lacks has
//! gone on, or the listing is wrong.
//!
//! *Approach.* The listing is compared with the cases that it should have; what it says goes to the
//! planner as observations, and orders that are in doubt are fetched. An error, or a record that
//! cannot be read, must never count as an absence.

use std::collections::{HashMap, HashSet};

use super::Inbox;
use super::fetch;
use super::plan::listing::{KnownCase, KnownIds, ListedOrder, ListedRecord, Listing};
use super::plan::{Evidence, ListingCoverage};
use super::problem::{Problem, ProblemKind};
use super::record::{
    CaseObservation, Cases, Moment, ObservedOrder, by_key, note_other_accounts, record,
};
use super::report::PollReport;
use super::store::{Case, fits};
use crate::client::{self, Unreadable};
use crate::error::{Error, Result};
use crate::model::lenient::UNREADABLE_LIMIT;
use crate::model::{OrderId, RxId};

pub(super) async fn poll(inbox: &Inbox) -> Result<PollReport> {
    let mut report = PollReport::default();
    let listed = list(inbox, &mut report).await;
    let goes_on = match &listed {
        Ok(()) => true,
        // Where listings alone fail, fetches show what they would.
        Err(error) => error.is_transient() && !error.is_store(),
    };
    if goes_on {
        fetch::due(inbox, listed.is_ok(), &mut report).await?;
    }
    listed.map(|()| report)
}

/// Lists and records.
async fn list(inbox: &Inbox, report: &mut PollReport) -> Result<()> {
    // Read before the listing is asked for: whatever is recorded after this revision may be newer
    // than what the answer shows.
    let moment = inbox.moment().await?;
    let listing = match inbox.lab.orders().list().await {
        Ok(listing) => listing,
        Err(error) => {
            // A store that fails as well takes the place of the listing's error: nothing can be
            // recorded.
            unlisted(inbox, moment, report).await?;
            return Err(error);
        }
    };
    // Of very many that cannot be read only the first are there.
    let is_readable = listing.problem().is_none() && listing.unreadable().len() < UNREADABLE_LIMIT;
    take_problems(&listing, report);
    let (orders, unreadable) = listing.into_parts();
    let shown: Vec<ObservedOrder> = orders.into_iter().map(ObservedOrder::new).collect();
    report.listed = u64::try_from(shown.len()).unwrap_or(u64::MAX);
    note_other_accounts(inbox, &shown, report);
    note_unknown_statuses(&shown, report);

    let known = KnownCases::read(inbox, &shown).await?;
    // Records with nothing but a readable id come last: the listing names the others by their places
    // among `shown`.
    let records = shown.iter().map(listed_record);
    let records: Vec<_> = records
        .chain(unreadable.iter().map(present_record))
        .collect();
    let read = Listing::read(&records, &known);
    let mut coverage = moment.coverage;
    let policy = inbox.plan_policy();
    if is_readable && read.is_readable {
        let expected = known.cases.values().any(Case::is_expected);
        report.complete = coverage.take_listing(records.is_empty(), expected, moment.now, policy);
    } else {
        coverage.take_incomplete(moment.now, policy);
    }
    let mut changed = Vec::new();
    let mut listed = 0;
    for order in &read.orders {
        let found = known.cases.get(order.case);
        listed += usize::from(found.is_some());
        note_ids(order, found, report);
        let rx_id = new_rx_id(order, found, report.complete);
        // Most orders in most polls are as they are kept: they cost no copy, no plan and no write.
        let is_kept = |case| {
            order
                .only_record()
                .is_some_and(|at| shown[at].is_kept(case))
        };
        if rx_id.is_some() || !found.is_some_and(is_kept) {
            let states = order.states(|place| shown[place].state());
            changed.push((order.case, rx_id, states));
        }
    }
    let observed = changed.iter().filter_map(|(case, rx_id, states)| {
        Some(CaseObservation {
            rx_id: rx_id.map(RxId::new),
            shown: states.places().filter_map(|at| shown.get(at)).collect(),
            ..CaseObservation::new(OrderId::new(*case), states.evidence()?)
        })
    });
    // A listing that is not complete proves no absence: it asks for a fetch, later.
    let lacking = if report.complete {
        Evidence::Absent
    } else {
        Evidence::Unlisted
    };
    let mut observations: Vec<_> = observed.collect();
    // In most polls there are no others.
    if listed < known.cases.len() {
        observations.extend(missing(&known.cases, Some(&read), lacking));
    }
    record(inbox, &moment, &known.cases, &observations, report).await?;
    // Behind what it listed, so that nothing of it can later be taken for newer than the account.
    inbox.listed(coverage).await
}

/// No listing came. If that goes on for a day, orders that should be listed are fetched instead.
async fn unlisted(inbox: &Inbox, moment: Moment, report: &mut PollReport) -> Result<()> {
    let mut coverage = moment.coverage;
    coverage.take_incomplete(moment.now, inbox.plan_policy());
    if coverage.is_stale(moment.now) {
        let expected = inbox.store().expected(inbox.account()).await?;
        let moment = Moment { coverage, ..moment };
        let cases = by_key(expected);
        let observations: Vec<_> = missing(&cases, None, Evidence::Unlisted).collect();
        record(inbox, &moment, &cases, &observations, report).await?;
    }
    inbox.listed(coverage).await
}

fn take_problems(listing: &client::Listing, report: &mut PollReport) {
    let mut add = |kind, order_id: Option<&OrderId>, error: &Error| {
        let problem = Problem::new(kind, order_id.cloned(), Some(error.clone()));
        report.problems.push(problem);
    };
    if let Some(error) = listing.problem() {
        add(ProblemKind::ListingIncomplete, None, error);
    }
    for record in listing.unreadable() {
        add(ProblemKind::Unreadable, record.order_id(), record.error());
    }
}

/// A record that is there and cannot be read: of its order no absence is concluded.
fn present_record(unreadable: &Unreadable) -> ListedRecord<'_> {
    ListedRecord {
        order_id: unreadable.order_id().map(OrderId::as_str),
        rx_id: unreadable.rx_id().map(RxId::as_str),
        is_readable: false,
    }
}

fn listed_record(shown: &ObservedOrder) -> ListedRecord<'_> {
    ListedRecord {
        order_id: shown.order.own_id().map(OrderId::as_str),
        rx_id: rx_id_of(shown),
        is_readable: true,
    }
}

/// An Rx id by which an order can be fetched and found.
fn rx_id_of(shown: &ObservedOrder) -> Option<&str> {
    let rx_id = shown.order.rx_id()?.as_str();
    Some(rx_id).filter(|rx_id| fits(rx_id))
}

/// The cases that a listing is compared with.
struct KnownCases {
    cases: Cases,
    /// Of those that are not known by the order id of a record.
    by_rx_id: HashMap<RxId, OrderId>,
}

impl KnownCases {
    async fn read(inbox: &Inbox, shown: &[ObservedOrder]) -> Result<Self> {
        let (store, account) = (inbox.store(), inbox.account());
        // Nearly all that are listed.
        let mut cases = by_key(store.expected(account).await?);
        // What is not among them may be known all the same, by its order id or by its Rx id alone.
        let is_unknown = |shown: &&ObservedOrder| {
            let own_id = shown.order.own_id();
            own_id.is_none_or(|id| !cases.contains_key(id))
        };
        let unknown = || shown.iter().filter(is_unknown);
        let own_ids = unknown().filter_map(|shown| shown.order.own_id());
        let mut order_ids: Vec<OrderId> = own_ids.filter(|id| fits(id.as_str())).cloned().collect();
        order_ids.sort_unstable();
        order_ids.dedup();
        let mut rx_ids: Vec<RxId> = unknown().filter_map(rx_id_of).map(RxId::new).collect();
        rx_ids.sort_unstable();
        rx_ids.dedup();
        let mut by_rx_id = HashMap::new();
        if !order_ids.is_empty() || !rx_ids.is_empty() {
            let found = store.find_all(account, &order_ids, &rx_ids).await?;
            let ids = |case: &Case| Some((case.rx_id()?.clone(), case.order_id().clone()));
            by_rx_id.extend(found.iter().filter_map(ids));
            cases.extend(by_key(found));
        }
        Ok(KnownCases { cases, by_rx_id })
    }
}

fn known_case(case: &Case) -> KnownCase<'_> {
    KnownCase {
        key: case.order_id().as_str(),
        rx_id: case.rx_id().map(RxId::as_str),
        has_arrived: !case.history().is_empty(),
    }
}

impl KnownIds for KnownCases {
    fn by_key(&self, key: &str) -> Option<KnownCase<'_>> {
        self.cases.get(key).map(known_case)
    }

    fn by_rx_id(&self, rx_id: &str) -> Option<KnownCase<'_>> {
        let key = self.by_rx_id.get(rx_id)?;
        self.cases.get(key).map(known_case)
    }
}

/// Only what waits for the lab is listed, so that each of these is delivered: a status may have a new
/// name. It is a problem for as long as it is listed, once for each order.
fn note_unknown_statuses(shown: &[ObservedOrder], report: &mut PollReport) {
    let mut seen = HashSet::new();
    let unknown = shown.iter().map(|shown| &shown.order);
    let unknown = unknown.filter(|order| order.status().symbol().is_none());
    let once = unknown.filter(|order| seen.insert(order.id()));
    report.problems.extend(once.map(|order| {
        let order = Some(order.id().clone());
        Problem::new(ProblemKind::UnknownStatus, order, None)
    }));
}

fn note_ids(order: &ListedOrder<'_>, found: Option<&Case>, report: &mut PollReport) {
    let mut add = |kind| {
        let case = Some(OrderId::new(order.case));
        report.problems.push(Problem::new(kind, case, None));
    };
    if order.has_other_rx_id {
        add(ProblemKind::OtherRxId);
    }
    if order.is_shown() && order.rx_id.is_none() && found.and_then(Case::rx_id).is_none() {
        add(ProblemKind::NoRxId);
    }
}

/// An Rx id that is to be recorded.
fn new_rx_id<'a>(
    order: &ListedOrder<'a>,
    found: Option<&Case>,
    is_complete: bool,
) -> Option<&'a str> {
    order.new_rx_id(found.and_then(Case::rx_id).map(RxId::as_str), is_complete)
}

/// The cases that should be listed and are not, in an order that does not depend on chance.
fn missing<'a>(
    known: &'a Cases,
    listing: Option<&Listing<'_>>,
    evidence: Evidence<'a>,
) -> impl Iterator<Item = CaseObservation<'a>> + use<'a> {
    let is_listed = |case: &Case| listing.is_some_and(|it| it.contains(case.order_id().as_str()));
    let mut missing: Vec<_> = known
        .values()
        .filter(|case| case.is_expected() && !is_listed(case))
        .map(|case| case.order_id().clone())
        .collect();
    // A map has no order: sorted, a run can be repeated.
    missing.sort_unstable();
    let observed = missing.into_iter();
    observed.map(move |case| CaseObservation::new(case, evidence))
}

impl Inbox {
    /// What is known now of the account as a whole.
    pub(super) async fn moment(&self) -> Result<Moment> {
        let now = self.now().await?;
        let account = self.store().account(self.account(), now).await?;
        // Locked after the reads: the guard must not live across an await.
        let mut known = self.lock_coverage();
        if known.stored != Some(account.coverage) {
            // Another process has written it, or this one has just begun.
            known.stored = Some(account.coverage);
            known.latest = account.coverage;
        }
        Ok(Moment {
            revision: account.revision,
            coverage: known.latest,
            now,
        })
    }

    /// Takes over what a listing says of the account. It is written where it says more than that
    /// time went by, or when what is written has become old: a poll in which nothing changed
    /// writes nothing.
    async fn listed(&self, coverage: ListingCoverage) -> Result<()> {
        // The guard ends with the block, before the write waits.
        let stored = {
            let mut known = self.lock_coverage();
            known.latest = coverage;
            known.stored
        };
        // `moment` has set it before the listing was asked for.
        let stored = stored.unwrap_or_default();
        if coverage.is_worth_storing(&stored, self.plan_policy()) {
            self.store_coverage(coverage).await?;
        }
        Ok(())
    }

    /// Writes what is known, at an orderly end: so that the gap until the next beginning is not taken
    /// for a longer one.
    pub(super) async fn note_coverage(&self) -> Result<()> {
        let (latest, stored) = {
            let known = self.lock_coverage();
            (known.latest, known.stored)
        };
        match stored {
            // None: this process has never read the account, and has nothing to write.
            Some(stored) if stored != latest => self.store_coverage(latest).await,
            _ => Ok(()),
        }
    }

    async fn store_coverage(&self, coverage: ListingCoverage) -> Result<()> {
        let commit = super::store::Commit {
            saves: Vec::new(),
            coverage: Some(coverage),
        };
        let store = self.store();
        store
            // Its `bool` says nothing here: a commit without cases meets no other version.
            .commit(self.account(), &commit, self.local_now())
            .await?;
        // After the write: one that failed is tried again with the next listing.
        self.lock_coverage().stored = Some(coverage);
        Ok(())
    }
}

/// The account's coverage, as this process knows it and as the store has it: not every listing is
/// written.
#[derive(Debug, Default)]
pub(super) struct KnownCoverage {
    latest: ListingCoverage,
    stored: Option<ListingCoverage>,
}
