//! What was observed becomes what is kept: the planner decides, the store keeps.
//!
//! *Problem.* Two processes may observe one order at the same time, and an answer may be older than
//! what is recorded by the time it arrives.
//!
//! *Approach.* No lock is held while the planner works. A case is replaced only in the version that
//! was read; where another process was quicker, all is read and planned anew. Nothing must be
//! reported or announced before it is durable.

use std::collections::HashMap;
use std::sync::{Arc, OnceLock};
use std::time::SystemTime;

use super::Inbox;
use super::digest::digest;
use super::files::{self, described, fingerprint};
use super::plan::identity::present;
use super::plan::{
    CaseRecord, Evidence, Files, ListingCoverage, NewArrival, Observation, OrderState, Policy,
    observe,
};
use super::problem::{Problem, ProblemKind};
use super::report::PollReport;
use super::store::{Case, Commit, Save, fits};
use super::trace;
use crate::error::{Error, Result};
use crate::flow::Arrival;
use crate::model::{Order, OrderId, RxId};

/// How many cases are committed at a time. More at once are faster, fewer are less to do again
/// when another process was quicker.
const AT_ONCE: usize = 2_000;

/// How often a commit is tried while other processes are quicker.
// Each lost try is another process's commit, so the account's work goes on. Twenty in a row are no
// accident.
const TRIES: usize = 20;

/// What was known when a request was begun, or an action done.
#[derive(Clone, Copy, Debug)]
pub(super) struct Moment {
    /// The account's revision.
    pub(super) revision: u64,
    pub(super) coverage: ListingCoverage,
    pub(super) now: SystemTime,
}

/// An order as an answer showed it, in the planner's words where it asks for them.
pub(super) struct ObservedOrder {
    pub(super) order: Order,
    // Made when the planner asks: for an order that is kept as it is, it never does.
    files: OnceLock<Files>,
    /// What the service itself says of the time before.
    history: OnceLock<Vec<Arrival>>,
}

impl ObservedOrder {
    pub(super) fn new(order: Order) -> Self {
        ObservedOrder {
            order,
            files: OnceLock::new(),
            history: OnceLock::new(),
        }
    }

    pub(super) fn state(&self) -> OrderState<'_> {
        let history = || self.order.history().unwrap_or_default();
        OrderState {
            status: self.order.status(),
            files: self.files.get_or_init(|| fingerprint(&self.order)),
            history: self.history.get_or_init(history),
            created: self.order.created(),
        }
    }

    /// Whether a listing that shows it says nothing that is not kept.
    pub(super) fn is_kept(&self, case: &Case) -> bool {
        let order = &self.order;
        case.record().is_unchanged(order.status(), described(order))
            && order.history_texts().next().is_none()
            && case.digest() == digest(order)
    }
}

/// Something that was observed of one case.
pub(super) struct CaseObservation<'a> {
    /// The order id; where there is none the Rx id stands in.
    pub(super) case: OrderId,
    /// An Rx id that is to be recorded.
    pub(super) rx_id: Option<RxId>,
    pub(super) evidence: Evidence<'a>,
    /// The orders that the evidence is made of.
    pub(super) shown: Vec<&'a ObservedOrder>,
}

impl<'a> CaseObservation<'a> {
    pub(super) fn new(case: OrderId, evidence: Evidence<'a>) -> Self {
        CaseObservation {
            case,
            rx_id: None,
            evidence,
            shown: Vec::new(),
        }
    }

    pub(super) fn fetched(case: OrderId, shown: &'a ObservedOrder) -> Self {
        CaseObservation {
            shown: vec![shown],
            ..CaseObservation::new(case, Evidence::Fetched(shown.state()))
        }
    }
}

/// Cases by their keys.
pub(super) type Cases = HashMap<OrderId, Case>;

pub(super) fn by_key(cases: Vec<Case>) -> Cases {
    let cases = cases.into_iter();
    cases.map(|case| (case.order_id().clone(), case)).collect()
}

/// Orders that name another account than ours are a problem, and recorded all the same.
pub(super) fn note_other_accounts<'a>(
    inbox: &Inbox,
    shown: impl IntoIterator<Item = &'a ObservedOrder>,
    report: &mut PollReport,
) {
    let ours = inbox.account().as_str();
    let is_other = |shown: &&ObservedOrder| {
        let named = shown.order.account_id().and_then(|id| present(id.as_str()));
        named.is_some_and(|named| named != ours)
    };
    let others = shown.into_iter().filter(is_other);
    report.problems.extend(others.map(|shown| {
        let order = Some(shown.order.id().clone());
        Problem::new(ProblemKind::OtherAccount, order, None)
    }));
}

/// Records what was observed, each case at most once. `known` are the cases as they were read: those
/// that are missing are new.
pub(super) async fn record(
    inbox: &Inbox,
    moment: &Moment,
    known: &Cases,
    observations: &[CaseObservation<'_>],
    report: &mut PollReport,
) -> Result<()> {
    let (fitting, too_long): (Vec<_>, Vec<_>) = observations
        .iter()
        .partition(|observation| fits(observation.case.as_str()));
    // Reported and passed over: one id that a database refuses would fail the commit of all others.
    // Tests `odd_orders_hold_up_nobody_…`.
    for observation in too_long {
        let case = Some(observation.case.clone());
        report
            .problems
            .push(Problem::new(ProblemKind::IdTooLong, case, None));
    }
    for chunk in fitting.chunks(AT_ONCE) {
        commit(inbox, moment, known, chunk, report).await?;
    }
    Ok(())
}

/// Records something about a single case, read anew.
pub(super) async fn record_one(
    inbox: &Inbox,
    moment: &Moment,
    observation: CaseObservation<'_>,
    report: &mut PollReport,
) -> Result<()> {
    let store = inbox.store();
    let found = store.find(inbox.account(), &observation.case).await?;
    let known = by_key(found.map(|stored| stored.case).into_iter().collect());
    record(inbox, moment, &known, &[observation], report).await
}

async fn commit(
    inbox: &Inbox,
    moment: &Moment,
    known: &Cases,
    observations: &[&CaseObservation<'_>],
    report: &mut PollReport,
) -> Result<()> {
    let (store, account) = (inbox.store(), inbox.account());
    let mut renewed = Cases::new();
    for _ in 0..TRIES {
        let mut commit = Commit::default();
        let mut news = News::default();
        for observation in observations {
            let case = &observation.case;
            let found = renewed.get(case).or_else(|| known.get(case));
            // `moment` stays the same on each try: the answer is as old as it was, and what others
            // have recorded since outdates it.
            let mut planned = plan(inbox.plan_policy(), moment, found, observation);
            if let Some(save) = &mut planned.save {
                files::keep(inbox, save).await?;
            }
            news.add(&planned);
            commit.saves.extend(planned.save);
        }
        if commit.saves.is_empty() || store.commit(account, &commit, inbox.local_now()).await? {
            news.report(inbox, report);
            return Ok(());
        }
        // Nothing was kept, of no case. All of them are read: which one was in the way is not
        // known.
        let orders: Vec<_> = observations.iter().map(|one| one.case.clone()).collect();
        renewed = by_key(store.find_all(account, &orders, &[]).await?);
    }
    Err(Error::store_unavailable(
        "other processes were quicker again and again; try again",
    ))
}

/// What an observation makes of a case.
#[derive(Default)]
struct CasePlan {
    save: Option<Save>,
    deviations: u64,
    problems: Vec<Problem>,
}

fn plan(
    policy: &Policy,
    moment: &Moment,
    found: Option<&Case>,
    observation: &CaseObservation<'_>,
) -> CasePlan {
    let nothing = CaseRecord::new();
    let before = found.map_or(&nothing, Case::record);
    // A case of the very revision that was read was known when the request was begun.
    let is_outdated = found.is_some_and(|case| moment.revision < case.revision());
    let observed = Observation {
        evidence: observation.evidence,
        is_outdated,
        begun: moment.now,
        now: moment.now,
        // Chance is passed in: the planner is a pure function, whose runs can be repeated.
        jitter: fastrand::u32(..),
    };
    let transition = observe(before, &observed, policy, &moment.coverage);
    let problems = transition.problems().iter().map(|kind| {
        let case = Some(observation.case.clone());
        Problem::new(*kind, case, None)
    });
    let problems = problems.collect();
    let arrivals: Vec<NewArrival> = transition.arrivals().collect();
    let raises_revision = transition.raises_revision();
    let after = transition.into_record();

    // An answer that is outdated, contradicts itself, or is in another state than the current one, says
    // nothing of the order's data either. A case whose data were forgotten gets them again with its next arrival.
    let contradicts =
        matches!(observation.evidence, Evidence::Unsettled(states) if states.len() > 1);
    let in_doubt = after.as_ref().unwrap_or(before).has_files_in_doubt();
    let is_clear = !arrivals.is_empty() || !(contradicts || in_doubt);
    let current = after.as_ref().unwrap_or(before).history().last();
    let is_current =
        |shown: &&&ObservedOrder| current.is_some_and(|one| one.status() == shown.order.status());
    // Of several states only the one that was recorded has data that fit the history.
    let order = observation.shown.iter().rev().find(is_current);
    let order = order.map(|shown| (&shown.order, digest(&shown.order)));
    let order = order
        .filter(|_| is_clear && !is_outdated)
        .filter(|(_, digest)| {
            !arrivals.is_empty() || found.is_none_or(|case| case.digest() != *digest)
        });
    let rx_id = observation.rx_id.as_ref();
    // Unchanged, it would be a write in every poll.
    let rx_id = rx_id.filter(|rx_id| found.and_then(Case::rx_id) != Some(*rx_id));
    let is_known = found.is_some() || after.is_some();
    if !is_known || (after.is_none() && order.is_none() && rx_id.is_none()) {
        return CasePlan {
            problems,
            ..CasePlan::default()
        };
    }
    let deviations = after.as_ref().map_or(0, |after| {
        let (after, before) = (after.reading(), before.reading());
        u64::from(after.deviations().saturating_sub(before.deviations()))
    });
    let mut case = match found {
        Some(case) => case.clone(),
        None => Case::new(observation.case.clone()),
    };
    if let Some(record) = after {
        case.set_record(record);
    }
    if let Some(rx_id) = rx_id {
        case.set_rx_id(Some(rx_id.clone()));
    }
    if let Some((_, digest)) = order {
        case.set_digest(digest);
    }
    let save = Save {
        case,
        order: order.map(|(order, _)| Arc::new(order.clone())),
        arrivals,
        // A due time alone outdates no answer: otherwise two workers that poll at once would
        // outdate each other for ever. Test
        // `_23_two_workers_that_poll_at_once_outdate_nothing_while_nothing_changes`.
        changes_record: raises_revision || rx_id.is_some(),
    };
    CasePlan {
        save: Some(save),
        deviations,
        problems,
    }
}

/// What is new, reported once it is durable.
#[derive(Default)]
struct News {
    deliveries: u64,
    changes: u64,
    deviations: u64,
    /// What each case shows that deviates.
    deviating: Vec<Option<crate::flow::Symbol>>,
    problems: Vec<Problem>,
}

impl News {
    fn add(&mut self, planned: &CasePlan) {
        let arrivals = planned.save.iter().flat_map(|save| &save.arrivals);
        for arrival in arrivals {
            match arrival.ordinal {
                Some(_) => self.deliveries += 1,
                None => self.changes += 1,
            }
        }
        self.deviations += planned.deviations;
        self.problems.extend(planned.problems.iter().cloned());
        if let Some(save) = planned.save.as_ref().filter(|_| planned.deviations > 0) {
            let last = save.case.history().last();
            self.deviating
                .push(last.and_then(|last| last.status().symbol()));
        }
    }

    fn report(self, inbox: &Inbox, report: &mut PollReport) {
        report.deliveries += self.deliveries;
        report.changes += self.changes;
        report.deviations += self.deviations;
        report.problems.extend(self.problems);
        self.deviating.into_iter().for_each(trace::deviates);
        if self.deliveries + self.changes > 0 {
            inbox.announce();
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn shown(status: &str, note: &str) -> ObservedOrder {
        let order = serde_json::json!({ "orderId": 1, "rxId": 2, "status": status, "note": note });
        ObservedOrder::new(serde_json::from_value(order).unwrap())
    }

    fn moment(revision: u64) -> Moment {
        Moment {
            revision,
            coverage: ListingCoverage::default(),
            now: SystemTime::UNIX_EPOCH + Duration::from_secs(1_000_000),
        }
    }

    fn listed(shown: &ObservedOrder) -> CaseObservation<'_> {
        CaseObservation {
            shown: vec![shown],
            ..CaseObservation::new("1".into(), Evidence::Listed(shown.state()))
        }
    }

    fn planned(revision: u64, found: Option<&Case>, one: &CaseObservation<'_>) -> Option<Save> {
        plan(&Policy::default(), &moment(revision), found, one).save
    }

    #[test]
    fn what_was_asked_for_too_early_does_not_replace_newer_data() {
        let newer = shown("Lab Review", "new");
        let first = CaseObservation {
            rx_id: Some("2".into()),
            ..CaseObservation::fetched("1".into(), &newer)
        };
        let case = planned(0, None, &first);
        let case = case.unwrap().case.saved(1);
        let older = shown("Ready for Download", "old");
        // It would have been news, so the order is fetched, and nothing else follows.
        let save = planned(0, Some(&case), &listed(&older)).unwrap();
        assert!(save.arrivals.is_empty() && save.order.is_none() && !save.changes_record);
        assert!(save.case.fetch_due().is_some());
        let save = planned(1, Some(&case), &listed(&older)).unwrap();
        assert_eq!((save.arrivals.len(), save.order.is_some()), (1, true));
    }

    #[test]
    fn data_alone_are_kept_without_an_arrival_and_outdate_nothing() {
        let first = shown("Lab Review", "one");
        let case = planned(0, None, &listed(&first)).unwrap().case.saved(1);
        assert!(planned(1, Some(&case), &listed(&first)).is_none());
        let other = shown("Lab Review", "two");
        let save = planned(1, Some(&case), &listed(&other)).unwrap();
        assert!(save.arrivals.is_empty() && save.order.is_some() && !save.changes_record);
        assert_ne!(save.case.digest(), case.digest());
    }

    #[test]
    fn nothing_is_kept_of_an_order_that_was_never_seen() {
        for evidence in [
            Evidence::Absent,
            Evidence::Unlisted,
            Evidence::NotFound,
            Evidence::FetchFailed,
            Evidence::Hinted,
            Evidence::Returned,
            Evidence::Downloaded(1),
        ] {
            let observation = CaseObservation::new("1".into(), evidence);
            assert!(planned(0, None, &observation).is_none(), "{evidence:?}");
        }
    }
}
