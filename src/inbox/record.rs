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
use super::round::{Problem, Round};
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
pub(super) struct Sight {
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
/// most orders, in most rounds.
pub(super) fn stands_still(case: &Case, order: &Order) -> bool {
    case.still_shows(order.status()) && case.digest() == digest(order)
}

/// Records what was seen. Gives the cases that have to be fetched now.
pub(super) async fn record(
    inbox: &Inbox,
    mut known: Known,
    epoch: &ListingCoverage,
    sights: Vec<Sight>,
    round: &mut Round,
) -> Result<Vec<Target>> {
    let mut owed = Vec::new();
    // A case is in a commit once. What a listing has of one order more than once is dealt with one
    // by one; where it contradicts itself the order was taken out, if it could be.
    let (mut now, mut rest) = once(sights);
    loop {
        for chunk in now.chunks(AT_ONCE) {
            commit(inbox, &mut known, epoch, chunk, round, &mut owed).await?;
        }
        if rest.is_empty() {
            return Ok(owed);
        }
        (now, rest) = once(rest);
        let ids: Vec<_> = now.iter().map(|sight| sight.order_id.clone()).collect();
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

fn once(sights: Vec<Sight>) -> (Vec<Sight>, Vec<Sight>) {
    let mut seen = HashSet::with_capacity(sights.len());
    let firsts: Vec<bool> = sights
        .iter()
        .map(|sight| seen.insert(&sight.order_id))
        .collect();
    if firsts.iter().all(|first| *first) {
        return (sights, Vec::new());
    }
    let mut first = firsts.into_iter();
    sights
        .into_iter()
        .partition(|_| first.next().unwrap_or_default())
}

async fn commit(
    inbox: &Inbox,
    known: &mut Known,
    epoch: &ListingCoverage,
    sights: &[Sight],
    round: &mut Round,
    owed: &mut Vec<Target>,
) -> Result<()> {
    let account = inbox.account();
    for _ in 0..TRIES {
        let mut commit = Commit::default();
        let mut fetch = Vec::new();
        let mut news = News::default();
        for sight in sights {
            let found = known.find(&sight.order_id);
            let mut planned = plan(found, sight, inbox.plan_policy(), epoch);
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
                .commit(account, &commit, inbox.callers_now())
                .await?;
        if done {
            news.report(inbox, round);
            owed.append(&mut fetch);
            return Ok(());
        }
        let ids: Vec<_> = sights.iter().map(|sight| sight.order_id.clone()).collect();
        known.renew(inbox.store().expected(account, &ids).await?);
    }
    Err(Error::store(
        "other processes were quicker again and again; try again",
    ))
}

/// Records something about a single case, read anew. A single look asks for nothing that it did
/// not bring.
pub(super) async fn record_one(inbox: &Inbox, sight: Sight, round: &mut Round) -> Result<()> {
    if !fits(sight.order_id.as_str()) {
        round.problems.push(Problem::IdTooLong(sight.order_id));
        return Ok(());
    }
    let (store, account) = (inbox.store(), inbox.account());
    let found = store
        .find(account, CaseKey::Order(&sight.order_id))
        .await?
        .map(|stored| stored.case);
    let epoch = inbox.epoch().await?;
    let known = Known::new(found.into_iter().collect());
    record(inbox, known, &epoch, vec![sight], round)
        .await
        .map(drop)
}

/// What a sight makes of a case.
#[derive(Debug, Default)]
struct Planned {
    save: Option<Save>,
    fetch: bool,
    deviations: u64,
}

/// Nothing is allocated for a case that stands still.
fn plan(found: Option<&Case>, sight: &Sight, policy: &Policy, epoch: &ListingCoverage) -> Planned {
    let observed = Observed::of(sight);
    let nothing = Record::new();
    let before = found.map_or(&nothing, Case::record);
    let mut arrivals = Vec::new();
    let mut after: Option<Record> = None;
    let mut next = Next::Nothing;
    observed.each(|observation| {
        let step = observe(after.as_ref().unwrap_or(before), observation, policy, epoch);
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
    let save = save.then(|| {
        let mut case = match found {
            Some(case) => case.clone(),
            None => Case::new(sight.order_id.clone()),
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
        }
    });
    Planned {
        save,
        fetch: next == Next::Fetch,
        deviations,
    }
}

/// A sight in the planner's words.
struct Observed<'a> {
    sight: &'a Sight,
    order: Option<&'a Arc<Order>>,
    told: Option<Vec<Arrival>>,
}

impl<'a> Observed<'a> {
    fn of(sight: &'a Sight) -> Self {
        let order = match &sight.what {
            What::Listed(order) | What::Fetched(order) => Some(order),
            What::Missing | What::Gone | What::Returned | What::Downloaded(_) => None,
        };
        Observed {
            sight,
            order,
            told: order.and_then(|order| told(order)),
        }
    }

    fn each(&self, mut observe: impl FnMut(&Observation<'_>)) {
        let Sight {
            what,
            begun,
            completed,
            ..
        } = self.sight;
        let created = self.order.and_then(|order| order.created()?.time());
        if let Some(told) = &self.told {
            observe(&Observation::told(told, *begun).created(created));
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

fn logged(step: &Step) -> impl Iterator<Item = NewArrival> + '_ {
    // What was dealt with before the integration keeps its ordinal, and is no delivery.
    let is_work = |arrival: &Arrival| arrival.origin() != Some(Origin::Imported);
    step.arrivals().map(move |arrived| NewArrival {
        index: u32::try_from(arrived.index()).unwrap_or(u32::MAX),
        ordinal: arrived.ordinal().filter(|_| is_work(arrived.arrival())),
    })
}

/// What is new, told once it is durable.
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

    fn report(self, inbox: &Inbox, round: &mut Round) {
        round.deliveries += self.deliveries;
        round.changes += self.changes;
        round.deviations += self.deviations;
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

    fn sight(what: What, begun: u64, completed: u64) -> Sight {
        Sight {
            order_id: "1".into(),
            what,
            begun: at(begun),
            completed: at(completed),
        }
    }

    fn planned(found: Option<&Case>, sight: &Sight) -> Option<Save> {
        plan(found, sight, &Policy::default(), &ListingCoverage::new()).save
    }

    #[test]
    fn what_came_too_late_does_not_replace_newer_data() {
        let newer = order("Lab Review", "new");
        let first = sight(What::Fetched(newer), 10, 20);
        let case = planned(None, &first).unwrap().case;
        // Begun before, complete after.
        let older = sight(What::Listed(order("Ready for Download", "old")), 5, 30);
        assert!(planned(Some(&case), &older).is_none());
        let newest = sight(What::Listed(order("Ready for Download", "newest")), 40, 50);
        let save = planned(Some(&case), &newest).unwrap();
        assert_eq!((save.arrivals.len(), save.order.is_some()), (1, true));
    }

    #[test]
    fn data_alone_are_kept_without_an_arrival() {
        let first = sight(What::Listed(order("Lab Review", "one")), 10, 20);
        let case = planned(None, &first).unwrap().case;
        assert!(stands_still(&case, &order("Lab Review", "one")));
        assert!(planned(Some(&case), &first).is_none());
        let other = order("Lab Review", "two");
        assert!(!stands_still(&case, &other));
        let save = planned(Some(&case), &sight(What::Listed(other), 30, 40)).unwrap();
        assert_eq!((save.arrivals.len(), save.order.is_some()), (0, true));
    }

    #[test]
    fn a_case_that_was_missing_does_not_stand_still() {
        let first = sight(What::Listed(order("Lab Review", "one")), 10, 20);
        let case = planned(None, &first).unwrap().case;
        let missing = sight(What::Missing, 30, 40);
        let case = planned(Some(&case), &missing).unwrap().case;
        assert!(!stands_still(&case, &order("Lab Review", "one")));
    }

    #[test]
    fn nothing_is_kept_of_an_order_that_was_never_seen() {
        for what in [
            What::Missing,
            What::Gone,
            What::Returned,
            What::Downloaded(1),
        ] {
            assert!(planned(None, &sight(what, 10, 20)).is_none());
        }
    }
}
