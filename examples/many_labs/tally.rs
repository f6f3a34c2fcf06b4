//! What came of it.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use lab_connector::{AccountId, OrderId};

use crate::Arguments;
use crate::desk::Event;

pub struct Tally {
    labs: usize,
    /// When each case was scanned, and whether its lab is in order.
    scanned: HashMap<OrderId, Instant>,
    /// Cases that have to be delivered and are not yet.
    missing: HashSet<OrderId>,
    delivered: HashSet<(OrderId, u32)>,
    slowest: Duration,
    polls: u64,
    broken: BTreeMap<AccountId, String>,
}

impl Tally {
    pub fn new(labs: usize) -> Self {
        Tally {
            labs,
            scanned: HashMap::new(),
            missing: HashSet::new(),
            delivered: HashSet::new(),
            slowest: Duration::ZERO,
            polls: 0,
            broken: BTreeMap::new(),
        }
    }

    /// A case of a lab, which cannot be delivered if that is broken.
    pub fn scanned(&mut self, lab: &AccountId, order: OrderId, broken: bool) {
        if broken {
            self.broken.entry(lab.clone()).or_default();
        } else {
            self.missing.insert(order.clone());
        }
        self.scanned.insert(order, Instant::now());
    }

    pub fn note(&mut self, event: Event) -> Result<()> {
        match event {
            Event::Delivered { order, ordinal } => {
                self.missing.remove(&order);
                if let Some(scanned) = self.scanned.get(&order) {
                    self.slowest = self.slowest.max(scanned.elapsed());
                }
                ensure!(
                    self.delivered.insert((order, ordinal)),
                    "a case was done twice"
                );
            }
            Event::Polled { lab, failed: None } => {
                self.polls += 1;
                self.broken.remove(&lab);
            }
            Event::Polled {
                lab,
                failed: Some(reason),
            } => {
                self.broken.insert(lab, reason);
            }
        }
        Ok(())
    }

    /// All is delivered that can be, and what is broken is known.
    pub fn is_done(&self) -> bool {
        self.missing.is_empty() && self.broken.values().all(|reason| !reason.is_empty())
    }

    pub fn print(&self, arguments: &Arguments) -> Result<()> {
        println!("labs               {}", self.labs);
        println!("deliveries         {}, none twice", self.delivered.len());
        println!(
            "slowest            {:.1} s after the scan, polled every {} s",
            self.slowest.as_secs_f64(),
            arguments.interval
        );
        println!("polls              {}", self.polls);
        for (lab, reason) in &self.broken {
            println!("broken   {lab:<8}  {reason}");
        }
        ensure!(
            self.missing.is_empty(),
            "{} cases were not delivered",
            self.missing.len()
        );
        Ok(())
    }
}
