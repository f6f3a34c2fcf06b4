//! What was seen becomes what is kept: the planner decides, the store keeps.

use std::borrow::Borrow;
use std::collections::HashSet;
use std::hash::{Hash, Hasher};
use std::sync::Arc;
use std::time::SystemTime;

use super::Inbox;
use super::digest::digest;
use super::files::{self, fingerprint};
use super::plan::{ListingCoverage, Next, Observation, Policy, Record, Step, observe};
use super::report::{PollReport, Problem};
use super::store::{Case, CaseKey, Commit, NewArrival, Save, fits};
use super::trace;
use crate::error::{Error, Result};
use crate::flow::{Arrival, Origin, Symbol};
use crate::model::{Order, OrderId, RxId, WireTime};

/// So many cases are committed at a time. More at once are faster, fewer are less to do again
/// when another process was quicker.
const AT_ONCE: usize = 2_000;

/// A commit that other processes have been in the way of so often is given up.
const TRIES: usize = 20;

/// Something that was seen of one order, or done with it.
#[derive(Clone, Debug)]
pub(super) struct CaseObservation {
    pub(super) order_id: OrderId,
    pub(super) what: What,
    /// When the request was begun; of an action, when it was complete.
    pub(super) begun: SystemTime,
    pub(super) completed: SystemTime,
}

#[derive(Clone, Debug)]
pub(super) enum What {
    Listed(Arc<Order>),
    Fetched(Arc<Order>),
    Missing,
    Gone,
    Returned,
    Downloaded(u32),
}

/// Cases by their orders, as they were read.
#[derive(Debug)]
pub(super) struct Known(HashSet<ByOrder>);

/// A case that is found by its order.
#[derive(Debug)]
struct ByOrder(Case);

impl Known {
    pub(super) fn new(cases: Vec<Case>) -> Self {
        Known(cases.into_iter().map(ByOrder).collect())
    }

    pub(super) fn find(&self, order: &OrderId) -> Option<&Case> {
        self.0.get(order).map(|ByOrder(case)| case)
    }

    pub(super) fn cases(&self) -> impl Iterator<Item = &Case> {
        self.0.iter().map(|ByOrder(case)| case)
    }

    fn renew(&mut self, cases: Vec<Case>) {
        for case in cases {
            self.0.replace(ByOrder(case));
        }
    }
}

impl Borrow<OrderId> for ByOrder {
    fn borrow(&self) -> &OrderId {
        self.0.order_id()
    }
}

impl PartialEq for ByOrder {
    fn eq(&self, other: &Self) -> bool {
        self.0.order_id() == other.0.order_id()
    }
}

impl Eq for ByOrder {}

impl Hash for ByOrder {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.0.order_id().hash(state);
    }
}

/// Whether a listing shows of a case what is recorded of it, so that nothing would follow: of
/// most orders, in most polls.
pub(super) fn is_unchanged(case: &Case, order: &Order) -> bool {
    case.still_shows(order.status()) && case.digest() == digest(order)
}

/// Records what was seen. Gives the cases that have to be fetched now.
pub(super) async fn record(
    inbox: &Inbox,
    mut known: Known,
    coverage: &ListingCoverage,
    observations: Vec<CaseObservation>,
    report: &mut PollReport,
) -> Result<Vec<Target>> {
    let mut owed = Vec::new();
    // A case is in a commit once. What a listing has of one order more than once is dealt with one
    // by one; where it contradicts itself the order was taken out, if it could be.
    let (mut now, mut rest) = once(observations);
    loop {
        for chunk in now.chunks(AT_ONCE) {
            commit(inbox, &mut known, coverage, chunk, report, &mut owed).await?;
        }
        if rest.is_empty() {
            return Ok(owed);
        }
        (now, rest) = once(rest);
        let ids: Vec<_> = now
            .iter()
            .map(|observation| observation.order_id.clone())
            .collect();
        known = Known::new(inbox.store().expected(inbox.account(), &ids).await?);
    }
}

/// A case that is to be fetched.
#[derive(Clone, Debug)]
pub(super) struct Target {
    pub(super) rx_id: RxId,
    /// None of an order that is not known.
    pub(super) order_id: Option<OrderId>,
    /// Something hinted at it, and nothing else may ask for it again.
    pub(super) hinted: bool,
}

impl Target {
    pub(super) fn of(case: &Case) -> Option<Self> {
        Some(Target {
            rx_id: case.rx_id()?.clone(),
            order_id: Some(case.order_id().clone()),
            hinted: false,
        })
    }
}

fn once(observations: Vec<CaseObservation>) -> (Vec<CaseObservation>, Vec<CaseObservation>) {
    let mut seen = HashSet::with_capacity(observations.len());
    let firsts: Vec<bool> = observations
        .iter()
        .map(|observation| seen.insert(&observation.order_id))
        .collect();
    if firsts.iter().all(|first| *first) {
        return (observations, Vec::new());
    }
    let mut first = firsts.into_iter();
    observations
        .into_iter()
        .partition(|_| first.next().unwrap_or_default())
}

async fn commit(
    inbox: &Inbox,
    known: &mut Known,
    coverage: &ListingCoverage,
    observations: &[CaseObservation],
    report: &mut PollReport,
    owed: &mut Vec<Target>,
) -> Result<()> {
    let account = inbox.account();
    for _ in 0..TRIES {
        let mut commit = Commit::default();
        let mut fetch = Vec::new();
        let mut news = News::default();
        for observation in observations {
            let found = known.find(&observation.order_id);
            let mut planned = plan(found, observation, inbox.plan_policy(), coverage);
            if let Some(save) = &mut planned.save {
                files::keep(inbox, save).await?;
            }
            let case = planned.save.as_ref().map(|save| &save.case).or(found);
            if planned.fetch {
                fetch.extend(case.and_then(Target::of));
            }
            news.add(&planned);
            commit.saves.extend(planned.save);
        }
        let done = commit.saves.is_empty()
            || inbox
                .store()
                .commit(account, &commit, inbox.local_now())
                .await?;
        if done {
            news.report(inbox, report);
            owed.append(&mut fetch);
            return Ok(());
        }
        let ids: Vec<_> = observations
            .iter()
            .map(|observation| observation.order_id.clone())
            .collect();
        known.renew(inbox.store().expected(account, &ids).await?);
    }
    Err(Error::store_unavailable(
        "other processes were quicker again and again; try again",
    ))
}

/// Records something about a single case, read anew. Asks for no fetch: this was one.
pub(super) async fn record_one(
    inbox: &Inbox,
    observation: CaseObservation,
    report: &mut PollReport,
) -> Result<()> {
    if !fits(observation.order_id.as_str()) {
        report
            .problems
            .push(Problem::IdTooLong(observation.order_id));
        return Ok(());
    }
    let (store, account) = (inbox.store(), inbox.account());
    let found = store
        .find(account, CaseKey::Order(&observation.order_id))
        .await?
        .map(|stored| stored.case);
    let coverage = inbox.coverage().await?;
    let known = Known::new(found.into_iter().collect());
    record(inbox, known, &coverage, vec![observation], report)
        .await
        .map(drop)
}

/// What a observation makes of a case.
#[derive(Debug, Default)]
struct Planned {
    save: Option<Save>,
    fetch: bool,
    deviations: u64,
}

/// Nothing is allocated for a case that is unchanged.
fn plan(
    found: Option<&Case>,
    observation: &CaseObservation,
    policy: &Policy,
    coverage: &ListingCoverage,
) -> Planned {
    let observed = Observed::of(observation);
    let nothing = Record::new();
    let before = found.map_or(&nothing, Case::record);
    let mut arrivals = Vec::new();
    let mut after: Option<Record> = None;
    let mut next = Next::Nothing;
    observed.each(|observation| {
        let step = observe(
            after.as_ref().unwrap_or(before),
            observation,
            policy,
            coverage,
        );
        next = step.next();
        arrivals.extend(logged(&step));
        if let Some(record) = step.into_record() {
            after = Some(record);
        }
    });
    // What came too late to count says nothing about the order's data either.
    let counts = |order: &Arc<Order>| {
        let record = after.as_ref().unwrap_or(before);
        let files = || {
            record
                .files()
                .map(|files| files.differs(&fingerprint(order)))
        };
        record.shown() == Some(order.status()) && !files().unwrap_or_default()
    };
    let order = observed
        .order
        .map(|order| (order, digest(order)))
        .filter(|(_, digest)| found.is_none_or(|case| case.digest() != *digest))
        .filter(|(order, _)| counts(order));
    let unknown = found.is_none() && observed.order.is_none();
    let save = (after.is_some() || order.is_some()) && !unknown;
    let deviations = after.as_ref().map_or(0, |after| {
        let (after, before) = (after.reading(), before.reading());
        u64::from(after.deviations().saturating_sub(before.deviations()))
    });
    let changes_record =
        order.is_some() || after.as_ref().is_some_and(|after| after.differs(before));
    let save = save.then(|| {
        let mut case = match found {
            Some(case) => case.clone(),
            None => Case::new(observation.order_id.clone()),
        };
        if let Some(record) = after {
            case.set_record(record);
        }
        if let Some((order, digest)) = order {
            case.saw(order, digest);
        }
        Save {
            case,
            order: order.map(|(order, _)| Arc::clone(order)),
            arrivals,
            changes_record,
        }
    });
    Planned {
        save,
        fetch: next == Next::Fetch,
        deviations,
    }
}

/// A observation in the planner's words.
struct Observed<'a> {
    observation: &'a CaseObservation,
    order: Option<&'a Arc<Order>>,
    history: Option<Vec<Arrival>>,
}

impl<'a> Observed<'a> {
    fn of(observation: &'a CaseObservation) -> Self {
        let order = match &observation.what {
            What::Listed(order) | What::Fetched(order) => Some(order),
            What::Missing | What::Gone | What::Returned | What::Downloaded(_) => None,
        };
        Observed {
            observation,
            order,
            history: order.and_then(|order| reported_history(order)),
        }
    }

    fn each(&self, mut observe: impl FnMut(&Observation<'_>)) {
        let CaseObservation {
            what,
            begun,
            completed,
            ..
        } = self.observation;
        let created = self.order.and_then(|order| order.created()?.time());
        if let Some(history) = &self.history {
            observe(&Observation::reported_history(history, *begun).created(created));
        }
        let order = self.order.map(|order| (order.status(), fingerprint(order)));
        let observation = match (what, &order) {
            (What::Listed(_), Some((status, files))) => Observation::listed(status, files, *begun),
            (What::Fetched(_), Some((status, files))) => {
                Observation::fetched(status, files, *begun)
            }
            (What::Missing, _) => Observation::missing(*begun),
            (What::Returned, _) => Observation::returned(*begun),
            (What::Downloaded(ordinal), _) => Observation::downloaded(*ordinal, *begun),
            (What::Gone | What::Listed(_) | What::Fetched(_), _) => Observation::gone(*begun),
        };
        let observation = observation.completed(*completed).created(created);
        observe(&observation.jitter(fastrand::u32(..)));
    }
}

/// The history that the service itself gave, if it did.
fn reported_history(order: &Order) -> Option<Vec<Arrival>> {
    let entries = order.history()?.iter().map(|entry| {
        let arrival = Arrival::new(entry.status());
        match entry.time().and_then(WireTime::time) {
            Some(time) => arrival.at(time),
            None => arrival,
        }
    });
    Some(entries.collect())
}

fn logged(step: &Step) -> impl Iterator<Item = NewArrival> + '_ {
    // What was dealt with before the integration keeps its ordinal, and is no delivery.
    let is_work = |arrival: &Arrival| arrival.origin() != Some(Origin::Imported);
    step.arrivals().map(move |arrived| NewArrival {
        index: u32::try_from(arrived.index()).unwrap_or(u32::MAX),
        ordinal: arrived.ordinal().filter(|_| is_work(arrived.arrival())),
    })
}

/// What is new, reported once it is durable.
#[derive(Default)]
struct News {
    deliveries: u64,
    changes: u64,
    deviations: u64,
    /// What each case shows that deviates.
    deviating: Vec<Option<Symbol>>,
}

impl News {
    fn add(&mut self, planned: &Planned) {
        let arrivals = planned.save.iter().flat_map(|save| &save.arrivals);
        for arrival in arrivals {
            match arrival.ordinal {
                Some(_) => self.deliveries += 1,
                None => self.changes += 1,
            }
        }
        self.deviations += planned.deviations;
        if let Some(save) = planned.save.as_ref().filter(|_| planned.deviations > 0) {
            let last = save.case.record().history().last();
            self.deviating
                .push(last.and_then(|last| last.status().symbol()));
        }
    }

    fn report(self, inbox: &Inbox, report: &mut PollReport) {
        report.deliveries += self.deliveries;
        report.changes += self.changes;
        report.deviations += self.deviations;
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

    fn at(second: u64) -> SystemTime {
        SystemTime::UNIX_EPOCH + Duration::from_secs(1_000_000 + second)
    }

    fn order(status: &str, note: &str) -> Arc<Order> {
        let order = serde_json::json!({ "orderId": 1, "rxId": 2, "status": status, "note": note });
        Arc::new(serde_json::from_value(order).unwrap())
    }

    fn observation(what: What, begun: u64, completed: u64) -> CaseObservation {
        CaseObservation {
            order_id: "1".into(),
            what,
            begun: at(begun),
            completed: at(completed),
        }
    }

    fn planned(found: Option<&Case>, observation: &CaseObservation) -> Option<Save> {
        plan(
            found,
            observation,
            &Policy::default(),
            &ListingCoverage::new(),
        )
        .save
    }

    #[test]
    fn what_came_too_late_does_not_replace_newer_data() {
        let newer = order("Lab Review", "new");
        let first = observation(What::Fetched(newer), 10, 20);
        let case = planned(None, &first).unwrap().case;
        // Begun before, complete after.
        let older = observation(What::Listed(order("Ready for Download", "old")), 5, 30);
        assert!(planned(Some(&case), &older).is_none());
        let newest = observation(What::Listed(order("Ready for Download", "newest")), 40, 50);
        let save = planned(Some(&case), &newest).unwrap();
        assert_eq!((save.arrivals.len(), save.order.is_some()), (1, true));
    }

    #[test]
    fn data_alone_are_kept_without_an_arrival() {
        let first = observation(What::Listed(order("Lab Review", "one")), 10, 20);
        let case = planned(None, &first).unwrap().case;
        assert!(is_unchanged(&case, &order("Lab Review", "one")));
        assert!(planned(Some(&case), &first).is_none());
        let other = order("Lab Review", "two");
        assert!(!is_unchanged(&case, &other));
        let save = planned(Some(&case), &observation(What::Listed(other), 30, 40)).unwrap();
        assert_eq!((save.arrivals.len(), save.order.is_some()), (0, true));
    }

    #[test]
    fn a_case_that_was_missing_does_not_stand_still() {
        let first = observation(What::Listed(order("Lab Review", "one")), 10, 20);
        let case = planned(None, &first).unwrap().case;
        let missing = observation(What::Missing, 30, 40);
        let case = planned(Some(&case), &missing).unwrap().case;
        assert!(!is_unchanged(&case, &order("Lab Review", "one")));
    }

    #[test]
    fn nothing_is_kept_of_an_order_that_was_never_seen() {
        for what in [
            What::Missing,
            What::Gone,
            What::Returned,
            What::Downloaded(1),
        ] {
            assert!(planned(None, &observation(what, 10, 20)).is_none());
        }
    }
}
