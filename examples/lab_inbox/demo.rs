//! The job against the embedded simulator: some days of a lab, in a second.

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use anyhow::{Context, Result};
use lab_connector::OrderId;
use lab_connector::clock::Clock;
use lab_connector::inbox::Delivery;
use lab_connector::inbox::store::SqliteStore;
use lab_connector::simulator::{Refusal, Simulator};

use crate::desk::{self, Desk};
use crate::simulated;

type Act = fn(&Simulator, &OrderId) -> Result<(), Refusal>;

/// What people do with a case, one step after the other.
enum Step {
    Act(Act),
    /// The lab's software sends it back, by the API.
    Return,
    /// Nothing happens for a while.
    Rest,
}
use Step::{Act as Do, Rest, Return};

/// Each row is a case: how it takes its way after a doctor has scanned.
fn script() -> Vec<Vec<Step>> {
    let model = || {
        [
            Do(Simulator::send_to_modeling),
            Do(Simulator::finish_modeling),
        ]
    };
    let rescan = || [Do(Simulator::return_to_doctor), Rest, Do(Simulator::rescan)];
    let review = || {
        [
            Do(Simulator::request_milling),
            Do(Simulator::finish_modeling),
        ]
    };
    let mill = || {
        [
            Do(Simulator::proceed),
            Do(Simulator::finish_milling),
            Rest,
            Do(Simulator::ship),
        ]
    };
    let interpret = || [Do(Simulator::begin_interpretation), Rest];
    let back = || [Do(Simulator::interpretation_to_review), Rest];
    let onward = || {
        [
            Do(Simulator::interpretation_to_milling),
            Do(Simulator::finish_milling),
            Do(Simulator::ship),
        ]
    };
    fn way<const N: usize>(parts: [Vec<Step>; N]) -> Vec<Step> {
        parts.into_iter().flatten().collect()
    }
    vec![
        // 1: direct to the lab.
        way([]),
        way([vec![Rest]]),
        // 2: after modeling, at once or after a while.
        way([model().into()]),
        way([vec![Rest], model().into()]),
        // 3: after a rescan, returned in the portal or by the API.
        way([rescan().into()]),
        way([vec![Return, Rest, Do(Simulator::rescan)]]),
        // 4: milling; the second lab looks at the model for some time.
        way([review().into(), mill().into()]),
        way([vec![Rest], review().into(), vec![Rest], mill().into()]),
        // 5: by way of interpretation 2, straight on to the mill, or back to the lab.
        way([review().into(), interpret().into(), onward().into()]),
        way([
            review().into(),
            vec![Rest],
            interpret().into(),
            back().into(),
            mill().into(),
        ]),
        // Several in turn.
        way([rescan().into(), model().into()]),
        way([rescan().into(), rescan().into()]),
        way([
            vec![Rest],
            rescan().into(),
            model().into(),
            review().into(),
            mill().into(),
        ]),
    ]
}

/// How much time passes between two rounds.
const STEP: Duration = Duration::from_secs(6 * 60 * 60);

pub async fn run(files: PathBuf, json: bool) -> Result<()> {
    let service = Arc::new(
        Simulator::start()
            .await
            .context("cannot start the simulator")?,
    );

    // Two cases are older than the pairing: their beginnings are not known.
    let account = "L-1";
    service.scan(account)?;
    let modeled = service.scan(account)?;
    service.send_to_modeling(&modeled)?;
    service.finish_modeling(&modeled)?;
    service.advance(STEP);

    let client = simulated::client(&service)
        .clock(SimulatedTime(Arc::clone(&service)))
        .build()?;
    let login = simulated::sign_in(&client, &service, "demo").await?;
    let lab = login.pair(account).await?;

    // Anew each time, as the simulator is.
    let directory = tempfile::tempdir()?;
    let cases = SqliteStore::open(directory.path().join("cases.db")).await?;
    let desk = Desk {
        inbox: lab.inbox(cases).on_round(desk::problems),
        files,
        json,
    };
    let mut day = Day::default();
    day.work(&desk).await?;

    let mut ways: Vec<_> = script()
        .into_iter()
        .map(|way| (None::<OrderId>, way.into_iter()))
        .collect();
    loop {
        service.advance(STEP);
        let mut busy = false;
        for (order, way) in &mut ways {
            let Some(order) = order else {
                *order = Some(service.scan(account)?);
                busy = true;
                continue;
            };
            let Some(step) = way.next() else { continue };
            busy = true;
            match step {
                Do(act) => act(&service, order)?,
                Rest => {}
                Return => {
                    let delivery = day.latest.get(order).context("nothing to return")?;
                    delivery.return_to_doctor("margin not visible").await?;
                }
            }
        }
        day.work(&desk).await?;
        if !busy {
            break;
        }
    }
    desk.summary().await
}

/// What the lab has seen so far.
#[derive(Default)]
struct Day {
    /// The number of the change that was shown last.
    shown: u64,
    latest: HashMap<OrderId, Delivery>,
}

impl Day {
    /// A round, and all the work that it brings. A service that runs for ever uses
    /// `Inbox::for_each` and `Inbox::arrivals` in place of this.
    async fn work(&mut self, desk: &Desk) -> Result<()> {
        desk.inbox.poll().await?;
        for change in desk.inbox.arrivals_after(self.shown, 1_000).await? {
            self.shown = change.sequence();
            desk.change(&change)?;
        }
        while let Some(delivery) = desk.inbox.claim(1).await?.pop() {
            match desk.take(&delivery).await {
                Ok(()) => delivery.acknowledge().await?,
                Err(error) => delivery.fail(&error.to_string()).await?,
            }
            self.latest.insert(delivery.order_id().clone(), delivery);
        }
        Ok(())
    }
}

/// The client lives in the simulator's time, so that days pass for both.
#[derive(Debug)]
struct SimulatedTime(Arc<Simulator>);

#[async_trait::async_trait]
impl Clock for SimulatedTime {
    fn now(&self) -> SystemTime {
        self.0.now()
    }

    fn elapsed(&self) -> Duration {
        self.now()
            .duration_since(SystemTime::UNIX_EPOCH)
            .unwrap_or_default()
    }

    async fn sleep(&self, duration: Duration) {
        tokio::time::sleep(duration).await;
    }
}
