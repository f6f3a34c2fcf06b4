//! No order waits for ever behind others.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use super::super::*;
use crate::flow::History;
use crate::status::OrderStatus;

fn minute(n: u32) -> SystemTime {
    UNIX_EPOCH + Duration::from_secs(60) * (n + 30_000_000)
}

/// Sequence 28, and a day of it.
#[test]
fn each_order_that_answers_is_fetched_behind_those_that_fail_and_a_flood_of_hints() {
    let (policy, coverage) = (Policy::default(), ListingCoverage::default());
    let milling = History::partial(["Lab Review", "iTero Milling"]);
    let start = minute(0);
    let imported = CaseRecord::imported(&milling, start, &policy, 0);
    let mut cases = vec![imported; 40];
    for case in &mut cases {
        let hint = observation(Evidence::Hinted, start);
        *case = observe(case, &hint, &policy, &coverage)
            .into_record()
            .unwrap();
    }
    let mut hints = queue::Hints::default();
    let mut answered = vec![Vec::new(); 40];
    let mut unknown = 0;
    for round in 0..288 {
        let now = minute(round * 5);
        for forged in 0..20 {
            hints.add(
                &format!("{round} {forged}"),
                Duration::from_secs(300) * round,
            );
        }
        let due = cases.iter().enumerate();
        let due = due.filter_map(|(id, case)| Some((case.schedule().due()?, id)));
        let due = due.filter(|(due, _)| due.has_passed(now));
        let mut due: Vec<_> = due.map(|(due, id)| (due.at, id)).collect();
        due.sort_unstable();
        let hinted = hints.take(Duration::from_secs(300) * round).len();
        let (chosen, hinted) = queue::share(due.len(), hinted, 5);
        unknown += hinted;
        for (_, id) in due.into_iter().take(chosen) {
            let (status, files) = (OrderStatus::IteroMilling, Files::none());
            let evidence = if id < 30 {
                Evidence::FetchFailed
            } else {
                answered[id].push(round);
                Evidence::Fetched(OrderState::new(&status, &files))
            };
            let transition = observe(&cases[id], &observation(evidence, now), &policy, &coverage);
            cases[id] = transition.into_record().unwrap();
        }
    }
    for rounds in &answered[30..] {
        assert!(rounds[0] < 20, "{rounds:?}");
        // Then at the slow interval: hourly for four hours, then ever more seldom.
        assert!(rounds.len() >= 8, "{rounds:?}");
    }
    assert!(unknown >= 288 * 2);
}

fn observation(evidence: Evidence<'_>, now: SystemTime) -> Observation<'_> {
    Observation {
        evidence,
        is_outdated: false,
        begun: now,
        now,
        jitter: 0,
    }
}
