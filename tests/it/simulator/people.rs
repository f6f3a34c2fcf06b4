//! What people do outside the API, and what the service shows of it.

use std::collections::BTreeSet;

use lab_connector::flow::Phase;
use lab_connector::simulator::{Refusal, Simulator};
use lab_connector::status::Symbol;
use lab_connector::{OrderId, OrderStatus, RxId};
use proptest::prelude::*;
use proptest::strategy::ValueTree;
use proptest::test_runner::TestRunner;

use super::{Result, download, listed, paired, rx_of};

/// What people do, one step after the other; what the service shows after each.
#[tokio::test]
async fn the_five_scenarios_show_what_the_table_says() -> Result {
    type Act = fn(&Simulator, &OrderId) -> std::result::Result<(), Refusal>;
    use OrderStatus::*;
    let scenarios: [&[(Act, OrderStatus)]; 6] = [
        &[],
        &[
            (Simulator::send_to_modeling, IteroModeling),
            (Simulator::finish_modeling, LabReview),
        ],
        &[
            (Simulator::return_to_doctor, Scanning),
            (Simulator::rescan, ReadyForDownload),
        ],
        &[
            (Simulator::request_milling, IteroModeling),
            (Simulator::finish_modeling, LabReview),
            (Simulator::proceed, IteroMilling),
            (Simulator::finish_milling, ReadyToShip),
            (Simulator::ship, Downloaded),
        ],
        &[
            (Simulator::request_milling, IteroModeling),
            (Simulator::finish_modeling, LabReview),
            (Simulator::begin_interpretation, IteroMilling),
            (Simulator::interpretation_to_milling, IteroMilling),
            (Simulator::finish_milling, ReadyToShip),
            (Simulator::ship, Downloaded),
        ],
        &[
            (Simulator::request_milling, IteroModeling),
            (Simulator::finish_modeling, LabReview),
            (Simulator::begin_interpretation, IteroMilling),
            (Simulator::interpretation_to_review, LabReview),
            (Simulator::proceed, IteroMilling),
            (Simulator::finish_milling, ReadyToShip),
            (Simulator::ship, Downloaded),
        ],
    ];
    let (service, lab) = paired().await?;
    for (number, steps) in scenarios.into_iter().enumerate() {
        let order = service.scan("L-1")?;
        assert_eq!(listed(&lab).await?, std::slice::from_ref(&order));
        let rx = rx_of(&lab, &order).await?;
        let mut history = lab_connector::History::complete(["Ready for Download"]);
        for (act, status) in steps {
            act(&service, &order)?;
            let shown = lab.orders().by_rx(&rx).await?;
            assert_eq!(shown.status(), status);
            assert_eq!(shown.id(), &order);
            let delivers = matches!(status, ReadyForDownload | LabReview);
            assert_eq!(!listed(&lab).await?.is_empty(), delivers, "{status}");
            history.push(status.clone());
        }
        // What was shown leads back to what was played.
        let scenario = service
            .path(&order)
            .unwrap()
            .last()
            .unwrap()
            .scenario()
            .unwrap();
        assert_eq!(scenario.number() as usize, (number + 1).min(5));
        assert!(history.read().candidates().contains(scenario));
        if !listed(&lab).await?.is_empty() {
            download(&lab, &rx, true).await?;
        }
        assert!(listed(&lab).await?.is_empty());
    }
    Ok(())
}

type Action = (
    &'static str,
    fn(&Simulator, &OrderId) -> std::result::Result<(), Refusal>,
);

const ACTIONS: [Action; 13] = [
    ("begin_scan", Simulator::begin_scan),
    ("finish_scan", Simulator::finish_scan),
    ("send_to_modeling", Simulator::send_to_modeling),
    ("request_milling", Simulator::request_milling),
    ("finish_modeling", Simulator::finish_modeling),
    ("proceed", Simulator::proceed),
    ("begin_interpretation", Simulator::begin_interpretation),
    (
        "interpretation_to_milling",
        Simulator::interpretation_to_milling,
    ),
    (
        "interpretation_to_review",
        Simulator::interpretation_to_review,
    ),
    ("finish_milling", Simulator::finish_milling),
    ("ship", Simulator::ship),
    ("return_to_doctor", Simulator::return_to_doctor),
    ("rescan", Simulator::rescan),
];

/// Every step of a path is one that the phase table knows, but for a remake after the end.
fn assert_follows(path: &[Phase], done: &[&str]) {
    for step in path.windows(2) {
        let (from, to) = (step[0], step[1]);
        let remake = matches!(from, Phase::FinishedM | Phase::FinishedG);
        let follows = from.may_be_followed_by().contains(to);
        assert!(follows || remake, "{from} to {to} in {path:?} by {done:?}");
    }
}

/// Walks of people's and the software's actions, most of them impossible.
#[tokio::test]
async fn no_walk_leads_where_the_phase_table_does_not() -> Result {
    let (service, lab) = paired().await?;
    let mut runner = TestRunner::deterministic();
    // The long ways through milling are rare; here they are not.
    let all = (0..ACTIONS.len() + 2).chain([3, 4, 4, 5, 5, 6, 6, 6, 7, 8, 8, 8, 9, 9, 10, 10, 14]);
    let choice = prop::sample::select(all.collect::<Vec<_>>());
    let walk = prop::collection::vec(choice, 60..80);
    let mut visited = BTreeSet::new();
    for _ in 0..24 {
        let walk = walk.new_tree(&mut runner).unwrap().current();
        let order = service.prescribe("L-1")?;
        let rx = RxId::new(format!("rx-{:x}", order.as_str().parse::<u64>()?));
        let mut done = Vec::new();
        for choice in walk {
            let before = service.path(&order).unwrap();
            let now = *before.last().unwrap();
            let by = ACTIONS.get(choice);
            let changed = match by {
                Some((name, act)) => match act(&service, &order) {
                    Ok(()) => {
                        done.push(*name);
                        true
                    }
                    Err(refused) => {
                        assert_eq!(refused.phase(), Some(now), "{refused}");
                        assert!(refused.to_string().contains(now.as_str()), "{refused}");
                        false
                    }
                },
                None if choice == ACTIONS.len() => {
                    let returned = lab.orders().return_to_doctor(&order).await;
                    if let Err(error) = &returned {
                        assert!(error.is_conflict(), "{error}");
                    }
                    done.extend(returned.is_ok().then_some("return scan"));
                    returned.is_ok()
                }
                None if matches!(now.shows(), Symbol::F | Symbol::R) => {
                    download(&lab, &rx, true).await?;
                    done.push("download");
                    true
                }
                None => false,
            };
            let path = service.path(&order).unwrap();
            assert_follows(&path, &done);
            if !changed {
                assert_eq!(path, before, "a refusal moved the case");
                continue;
            }
            visited.extend(path.iter().copied());
            let shown = *path.last().unwrap();
            let status = lab.orders().by_rx(&rx).await?.status().clone();
            assert_eq!(status.symbol(), Some(shown.shows()), "{done:?}");
        }
    }
    // Modeling and review on the way to interpretation 2 come by rewriting.
    let missed: Vec<_> = Phase::ALL
        .into_iter()
        .filter(|phase| !visited.contains(phase))
        .collect();
    assert!(missed.is_empty(), "never visited: {missed:?}");

    let mut shown = BTreeSet::new();
    for order in lab.orders().list().await?.orders() {
        shown.insert(order.status().symbol());
    }
    assert!(shown.is_subset(&[Some(Symbol::F), Some(Symbol::R)].into()));
    Ok(())
}

#[tokio::test]
async fn impossible_actions_say_why() -> Result {
    let service = Simulator::start().await?;
    let none = OrderId::new("none");
    for (name, act) in ACTIONS {
        let refused = act(&service, &none).unwrap_err();
        assert_eq!(refused.phase(), None, "{name}");
        assert!(refused.to_string().contains("no such case"), "{refused}");
    }
    assert_eq!(service.prescribe("L-9").unwrap_err().phase(), None);
    assert_eq!(service.path(&none), None);
    let order = service.scan("L-1")?;
    let refused = service.proceed(&order).unwrap_err();
    assert_eq!(
        refused.to_string(),
        "cannot proceed to milling: the case is in at_lab (Ready for Download)"
    );
    Ok(())
}
