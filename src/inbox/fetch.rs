//! Orders that are fetched one by one.
//!
//! *Problem.* What happens to an order between two listings is shown by fetching it only, and a
//! service that is down or has lost orders must not be asked for each of them.
//!
//! *Approach.* A budget for each poll, a few requests at a time, and what comes is committed as it
//! comes. An answer about another order may be another patient's: nothing of it must be recorded.

use std::collections::HashSet;

use futures_util::{StreamExt, stream};

use super::Inbox;
use super::plan::Evidence;
use super::plan::identity::{FetchTarget, Subject, is_same_rx, present};
use super::plan::queue::share;
use super::problem::{Problem, ProblemKind};
use super::record::{
    CaseObservation, Cases, Moment, ObservedOrder, by_key, note_other_accounts, record,
};
use super::report::PollReport;
use super::store::Case;
use super::trace;
use crate::error::{Error, Result};
use crate::model::{Order, OrderId, RxId};

/// How many orders are fetched at the same time.
// A convention, as Align documents no limit: one slow answer must not hold up two hundred, and one
// poll must not take every place of the client.
const TOGETHER: usize = 4;

/// A service that lacks this many known orders, and has none of those that were fetched, has a problem
/// of its own.
// One or two may really be deleted. Several without a single answer point to a wrong path or
// region.
const ALL_LOST: u64 = 3;

/// An order to fetch.
struct Target {
    rx_id: RxId,
    /// None if the order is not known.
    case: Option<Case>,
}

impl Target {
    fn of(case: Case) -> Option<Self> {
        Some(Target {
            rx_id: case.rx_id()?.clone(),
            case: Some(case),
        })
    }

    fn unknown(rx_id: RxId) -> Self {
        Target { rx_id, case: None }
    }
}

/// Fetches what has been due longest, and what was hinted at.
///
/// `is_listed`: the orders could be listed just now. Where they could not, a service that answers
/// nothing at all is not asked for each order.
pub(super) async fn due(inbox: &Inbox, is_listed: bool, report: &mut PollReport) -> Result<()> {
    let moment = inbox.moment().await?;
    let budget = inbox.settings.max_fetches_per_poll;
    // Hints first: recording one makes its case due, so that it is among the cases that are read
    // next.
    let (_, mut unknown) = hinted(inbox, &moment, report).await?;
    let cases = inbox
        .store()
        .due(inbox.account(), moment.now, budget)
        .await?;
    let (known, most) = share(cases.len(), unknown.len(), budget);
    // Beyond its share a hint is not lost: it comes first the next time.
    for rx_id in unknown.drain(most..) {
        inbox
            .lock_hints()
            .put_back(rx_id.as_str().into(), inbox.elapsed());
    }
    let cases = cases.into_iter().take(known).filter_map(Target::of);
    let unknown = unknown.into_iter().map(Target::unknown);
    let targets = unknown.chain(cases).collect();
    fetch(inbox, &moment, targets, is_listed, report).await
}

/// Fetches what was hinted at and may be fetched now.
pub(super) async fn fetch_hinted(inbox: &Inbox) -> Result<()> {
    let now = inbox.elapsed();
    if inbox
        .lock_hints()
        .wait(now)
        .is_none_or(|wait| !wait.is_zero())
    {
        return Ok(());
    }
    let mut report = PollReport::default();
    let fetched = fetch_now(inbox, &mut report).await;
    if fetched.is_err() {
        // What was taken out and came to nothing is listed.
        inbox.lock_hints().overflow();
    }
    inbox.counters().add(&report);
    trace::fetched(&report);
    fetched
}

async fn fetch_now(inbox: &Inbox, report: &mut PollReport) -> Result<()> {
    let moment = inbox.moment().await?;
    let (known, unknown) = hinted(inbox, &moment, report).await?;
    // As they are now: what was recorded says when they are due.
    let known = match known.is_empty() {
        true => Vec::new(),
        false => inbox.store().find_all(inbox.account(), &known, &[]).await?,
    };
    let is_due = |case: &Case| {
        case.due_time()
            .is_some_and(|due| due.has_passed(moment.now))
    };
    let known = known.into_iter().filter(is_due).filter_map(Target::of);
    let unknown = unknown.into_iter().map(Target::unknown);
    let targets = known.chain(unknown).collect();
    // `true`: no listing has failed just now, so nothing says that the service is down.
    fetch(inbox, &moment, targets, true, report).await
}

/// Takes out the hints whose time has come. Of cases that are known it is recorded; they are named,
/// beside the Rx ids that nobody knows.
async fn hinted(
    inbox: &Inbox,
    moment: &Moment,
    report: &mut PollReport,
) -> Result<(Vec<OrderId>, Vec<RxId>)> {
    let hints = inbox.lock_hints().take(inbox.elapsed());
    let hints: Vec<RxId> = hints.iter().map(|rx_id| RxId::new(&**rx_id)).collect();
    if hints.is_empty() {
        return Ok((Vec::new(), Vec::new()));
    }
    let (store, account) = (inbox.store(), inbox.account());
    let known = store.find_all(account, &[], &hints).await?;
    let rx_ids: HashSet<RxId> = known.iter().filter_map(Case::rx_id).cloned().collect();
    let unknown = hints.into_iter().filter(|rx_id| !rx_ids.contains(rx_id));
    let unknown = unknown.collect();
    // Of a case that is known the hint is recorded before the fetch: a process that dies in between
    // leaves the case due.
    let order_ids: Vec<OrderId> = known.iter().map(|case| case.order_id().clone()).collect();
    let observed = order_ids.iter().cloned();
    let observed = observed.map(|case| CaseObservation::new(case, Evidence::Hinted));
    let observed: Vec<_> = observed.collect();
    record(inbox, moment, &by_key(known), &observed, report).await?;
    Ok((order_ids, unknown))
}

/// Fetches orders by their Rx ids, a few at a time, and records them as they come.
async fn fetch(
    inbox: &Inbox,
    moment: &Moment,
    targets: Vec<Target>,
    is_listed: bool,
    report: &mut PollReport,
) -> Result<()> {
    let fetches = targets.into_iter().map(|target| async move {
        let answer = inbox.lab.orders().by_rx_unchecked(&target.rx_id).await;
        (target, answer)
    });
    // Built first: a closure that borrows would not be general enough for the stream.
    let fetches: Vec<_> = fetches.collect();
    let answers = stream::iter(fetches).buffer_unordered(TOGETHER);
    // Answers that are there at the same time share a commit; none waits for a slower one.
    let mut answers = answers.ready_chunks(TOGETHER);
    let (mut answered, mut lost) = (0_u64, 0_u64);
    while let Some(some) = answers.next().await {
        for (target, answer) in &some {
            report.fetched += 1;
            match answer {
                // Neither an answer nor a loss: the network or the service failed.
                Err(error) if !error.is_not_found() => {}
                Err(_) => lost += u64::from(target.case.is_some()),
                Ok(_) => answered += 1,
            }
        }
        take_in(inbox, moment, some, report).await?;
        // Neither the listing nor one of the first fetches was answered: a service that is down
        // must not be asked two hundred times in a poll.
        let is_dead = !is_listed && answered == 0 && report.fetched >= TOGETHER as u64;
        if is_dead {
            break;
        }
    }
    if lost >= ALL_LOST && answered == 0 {
        let problem = Problem::new(ProblemKind::NothingFound, None, None);
        report.problems.push(problem);
    }
    Ok(())
}

/// What the answer to a fetch is about.
enum FetchAnswer {
    Case(OrderId, RxId, Box<ObservedOrder>),
    /// The order asked for is not there, could not be fetched, or the answer is about another.
    Nothing(OrderId, Evidence<'static>),
}

async fn take_in(
    inbox: &Inbox,
    moment: &Moment,
    answers: Vec<(Target, Result<Order>)>,
    report: &mut PollReport,
) -> Result<()> {
    let mut known = Cases::new();
    let mut about = Vec::with_capacity(answers.len());
    for (target, answer) in answers {
        about.extend(judge(inbox, &target, answer, report));
        known.extend(target.case.map(|case| (case.order_id().clone(), case)));
    }
    // What was not known by its Rx id may be by its order id, and by either of them since it was asked
    // for: another process hears of an order at the same time.
    let new = about.iter().filter_map(|one| match one {
        FetchAnswer::Case(case, rx_id, _) if !known.contains_key(case) => {
            Some((case.clone(), rx_id.clone()))
        }
        _ => None,
    });
    let (new, rx_ids): (Vec<_>, Vec<_>) = new.unzip();
    if !new.is_empty() {
        let found = inbox.store().find_all(inbox.account(), &new, &rx_ids);
        known.extend(by_key(found.await?));
    }
    for one in &mut about {
        if let FetchAnswer::Case(case, rx_id, _) = one
            && case.as_str() == rx_id.as_str()
            && !known.contains_key(case)
            && let Some(found) = known.values().find(|case| case.rx_id() == Some(rx_id))
        {
            // Without an order id the answer is about the order that has its Rx id.
            case.clone_from(found.order_id());
        }
    }
    about.retain(|one| match one {
        FetchAnswer::Case(case, rx_id, _) => is_of_case(inbox, &known, case, rx_id, report),
        FetchAnswer::Nothing(..) => true,
    });
    let mut seen = HashSet::new();
    let observations = about.iter().map(|one| match one {
        FetchAnswer::Case(case, rx_id, shown) => {
            // The first recorded stays.
            let has_one = known.get(case).is_some_and(|case| case.rx_id().is_some());
            CaseObservation {
                rx_id: (!has_one).then(|| rx_id.clone()),
                ..CaseObservation::fetched(case.clone(), shown)
            }
        }
        FetchAnswer::Nothing(case, evidence) => CaseObservation::new(case.clone(), *evidence),
    });
    // Two hints may lead to one order: a case is in a commit once.
    let observations = observations.filter(|one| seen.insert(one.case.clone()));
    let observations: Vec<_> = observations.collect();
    record(inbox, moment, &known, &observations, report).await
}

/// Whether an order that was fetched by this Rx id is the case of its order id. Under another Rx id than
/// the recorded one it may be another patient's.
fn is_of_case(
    inbox: &Inbox,
    known: &Cases,
    case: &OrderId,
    rx_id: &RxId,
    report: &mut PollReport,
) -> bool {
    let recorded = known.get(case).and_then(Case::rx_id);
    let is_same = |recorded: &RxId| is_same_rx(recorded.as_str(), rx_id.as_str());
    if recorded.is_none_or(is_same) {
        return true;
    }
    let problem = Problem::new(ProblemKind::OtherRxId, Some(case.clone()), None);
    report.problems.push(problem);
    // Where the order has a new Rx id, a listing shows it with that alone.
    inbox.lock_hints().overflow();
    false
}

/// Whether the answer to a fetch is about the order that was asked for.
pub(super) fn subject<'a>(case: Option<&OrderId>, rx_id: &RxId, order: &'a Order) -> Subject<'a> {
    let rx_id = rx_id.as_str();
    let asked = FetchTarget::new(case.map_or(rx_id, OrderId::as_str), rx_id);
    let own_id = order.own_id().map(OrderId::as_str);
    asked.subject(own_id, order.rx_id().map(RxId::as_str))
}

fn judge(
    inbox: &Inbox,
    target: &Target,
    answer: Result<Order>,
    report: &mut PollReport,
) -> Option<FetchAnswer> {
    let case = target.case.as_ref().map(Case::order_id);
    let mut problem = |kind, error: Option<Error>| {
        report
            .problems
            .push(Problem::new(kind, case.cloned(), error));
    };
    match answer {
        Ok(order) => match subject(case, &target.rx_id, &order) {
            Subject::Asked => {
                let own_id = order.own_id().filter(|id| present(id.as_str()).is_some());
                let new = || OrderId::new(own_id.map_or(target.rx_id.as_str(), OrderId::as_str));
                // A case that is known keeps its key, also where the answer has an order id and it
                // is under its Rx id.
                let case = case.cloned().unwrap_or_else(new);
                let shown = ObservedOrder::new(order);
                note_other_accounts(inbox, [&shown], report);
                Some(FetchAnswer::Case(
                    case,
                    target.rx_id.clone(),
                    Box::new(shown),
                ))
            }
            // Nothing of it is recorded. The Rx id that it names is fetched in its own right.
            Subject::Other { hint } => {
                if let Some(rx_id) = hint {
                    inbox.add_hint(rx_id);
                }
                problem(ProblemKind::OtherOrder, None);
                case.map(|case| FetchAnswer::Nothing(case.clone(), Evidence::FetchFailed))
            }
        },
        Err(error) if error.is_not_found() => {
            // An order that nobody knows and that is not there leaves no trace: a forged
            // notification names some.
            case.map(|case| FetchAnswer::Nothing(case.clone(), Evidence::NotFound))
        }
        Err(error) => {
            if case.is_none() {
                // Whatever is notified is listed.
                inbox.lock_hints().overflow();
            }
            problem(ProblemKind::NotFetched, Some(error));
            case.map(|case| FetchAnswer::Nothing(case.clone(), Evidence::FetchFailed))
        }
    }
}
