//! The people of one lab: doctors scan, the lab asks for models, modelers and the mill do their
//! work. What software under development does to a case in between is taken as it comes.

use std::time::Duration;

use anyhow::Result;
use lab_connector::flow::Stage;
use lab_connector::simulator::{Action, Simulator};
use lab_connector::{AccountId, OrderId};

/// How long the lab has been at work before the simulator is there.
pub const BEFORE: Duration = Duration::from_secs(5 * 24 * 60 * 60);

/// How many cases are looked at when somebody does something.
const AT_HAND: usize = 200;

pub struct People<'a> {
    service: &'a Simulator,
    lab: AccountId,
    cases: Vec<OrderId>,
    chance: u64,
}

impl<'a> People<'a> {
    pub fn new(service: &'a Simulator, seed: u64) -> Self {
        People {
            service,
            lab: "L-1".into(),
            cases: Vec::new(),
            chance: seed,
        }
    }

    /// Days of work at once, in which so many cases come.
    pub fn work_for(&mut self, time: Duration, cases: u32) -> Result<()> {
        let steps = cases.saturating_mul(6);
        for step in 0..steps {
            if step % 6 == 0 {
                self.scan()?;
            } else {
                self.act()?;
            }
            self.service.advance(time / steps);
        }
        Ok(())
    }

    /// Somebody does something, again and again.
    pub async fn go_on(&mut self, pace: Duration) -> Result<()> {
        if pace.is_zero() {
            std::future::pending::<()>().await;
        }
        loop {
            tokio::time::sleep(pace).await;
            match self.draw(5) {
                0 => self.scan()?,
                _ => self.act()?,
            }
        }
    }

    fn scan(&mut self) -> Result<()> {
        let order = match self.draw(8) {
            0 => self.service.prescribe(self.lab.clone())?,
            _ => self.service.scan(self.lab.clone())?,
        };
        self.cases.push(order);
        if self.cases.len() > AT_HAND {
            self.cases.remove(0);
        }
        Ok(())
    }

    /// One of the things that can be done with one of the cases.
    fn act(&mut self) -> Result<()> {
        let service = self.service;
        let finished = |order: &OrderId| {
            let truth = service.truth(order);
            truth.is_none_or(|truth| truth.phase().stage() == Stage::Finished)
        };
        self.cases.retain(|order| service.truth(order).is_some());
        let at = self.draw(1 << 32) as usize;
        let open: Vec<_> = self.cases.iter().filter(|order| !finished(order)).collect();
        if open.is_empty() {
            return Ok(());
        }
        let order = open[at % open.len()].clone();
        let mut likely = Vec::new();
        for action in service.possible(&order) {
            likely.extend(std::iter::repeat_n(Some(action), weight(action)));
        }
        // Not everything that can be done is.
        likely.extend([None; 4]);
        let Some(action) = likely[self.draw(likely.len() as u64) as usize] else {
            return Ok(());
        };
        if let Err(refused) = service.act(&order, action) {
            // Software was quicker.
            eprintln!("{order}: {refused}");
        }
        Ok(())
    }

    /// A number below a limit (SplitMix64).
    fn draw(&mut self, limit: u64) -> u64 {
        self.chance = self.chance.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.chance;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (z ^ (z >> 31)) % limit
    }
}

/// How often people do it where they can.
fn weight(action: Action) -> usize {
    match action {
        // To fetch files is the software's part, mostly.
        Action::Download
        | Action::ReturnToDoctor
        | Action::SendToModeling
        | Action::BeginInterpretation
        | Action::InterpretationToReview => 1,
        Action::RequestMilling | Action::InterpretationToMilling => 2,
        _ => 8,
    }
}
