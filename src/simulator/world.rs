//! What is true in the simulator: labs, logins, cases, tokens, and the time.
//!
//! *Problem.* Calls, people and time change it at once, and a million cases must fit.
//!
//! *Approach.* Plain data under one lock of `SimulatorState`; each method is one change, and returns
//! the notice that it causes. Nothing here may await, post or answer.

use std::collections::{BTreeMap, BTreeSet, HashMap, VecDeque};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use super::behaviour::{Behaviour, Elsewhere, Ids};
use super::builder::SimulatorBuilder;
use super::case::{Case, Entry};
use super::clock::WorldClock;
use super::faults::Faults;
use super::files::{CaseDetails, Files};
use super::grants::{Code, Grant, RefreshTokens};
use super::life::Plans;
use super::page_cache::Pages;
use super::prescription::{Patient, Procedure};
use super::randomness::{Randomness, Stream};
use super::{DEMO, action};
use crate::flow::Phase;
use crate::model::{AccountId, OrderId, RxId};
use crate::status::{OrderStatus, Symbol};

/// The number of the first order.
// Nine digits, as many order numbers have.
const FIRST: u64 = 100_000_001;
/// Where ids are numbers, that of a prescription is so much higher than its order's.
// More than the number of an order can grow, so that no number is both.
const RX_NUMBERS: u64 = 400_000_000;

#[derive(Debug)]
pub(super) struct World {
    pub(super) randomness: Randomness,
    clock: WorldClock,
    /// The time at which something happens that nobody has noted yet.
    pub(super) backdated: Option<SystemTime>,
    pub(super) behaviour: Arc<Behaviour>,
    pub(super) faults: Arc<Faults>,
    accounts: Vec<LabAccount>,
    // Accounts are never removed, so places stay good.
    by_id: HashMap<AccountId, u32>,
    /// The labs that each may act for; none: all.
    pub(super) logins: BTreeMap<String, Option<BTreeSet<AccountId>>>,
    /// By number, from the first one on.
    cases: Vec<Case>,
    pub(super) codes: HashMap<String, Code>,
    pub(super) access: HashMap<String, Grant>,
    pub(super) refresh: RefreshTokens,
    tokens: fastrand::Rng,
    pub(super) plans: Plans,
}

#[derive(Debug)]
pub(super) struct LabAccount {
    pub(super) id: AccountId,
    pub(super) name: String,
    pub(super) paired: bool,
    pub(super) notification_url: Option<String>,
    /// The cases that *Get Orders* lists: only what is listed may cost.
    // In the order of the cases, so that a cursor of *Get Orders* is a place in it.
    pub(super) listed: BTreeSet<u32>,
    /// Changes with whatever the list shows.
    pub(super) version: u64,
    /// Cases that have left the list lately, and the entry with which they were last in it.
    pub(super) left: VecDeque<(u32, u32)>,
    /// The list as it was last sent.
    pub(super) pages: Pages,
}

/// So many of the cases that left a list are remembered, for the fault that shows one again: the latest
/// are those that a lagging list would still have.
const LEFT: usize = 32;

/// A change that is to be notified.
#[derive(Clone, Debug)]
pub(super) struct Notice {
    pub(super) url: String,
    pub(super) rx_id: RxId,
    pub(super) account: AccountId,
}

impl World {
    pub(super) fn new(set: &SimulatorBuilder) -> Self {
        let randomness = Randomness::new(set.seed.unwrap_or_default());
        let tokens = match set.seed {
            Some(_) => randomness.nth(Stream::Tokens, 0),
            // What an earlier run gave must not be good by chance.
            None => fastrand::Rng::new(),
        };
        let mut world = World {
            randomness,
            clock: WorldClock::new(set.clock, set.began),
            backdated: None,
            behaviour: Arc::new(set.behaviour.clone()),
            faults: Arc::new(set.faults.clone()),
            accounts: Vec::new(),
            by_id: HashMap::new(),
            logins: BTreeMap::new(),
            cases: Vec::new(),
            codes: HashMap::new(),
            access: HashMap::new(),
            refresh: RefreshTokens::default(),
            tokens,
            plans: Plans::default(),
        };
        world.add_login(DEMO, None);
        world
    }

    pub(super) fn now(&self) -> SystemTime {
        self.backdated.unwrap_or_else(|| self.clock.now())
    }

    /// Whether its time may be another one than the machine's.
    pub(super) fn has_own_time(&self) -> bool {
        self.clock.is_own()
    }

    pub(super) fn advance(&mut self, time: Duration) {
        self.clock.advance(time);
    }

    pub(super) fn set_behaviour(&mut self, behaviour: Behaviour) {
        self.behaviour = Arc::new(behaviour);
        // Whatever was shown is shown otherwise.
        for account in &mut self.accounts {
            account.version += 1;
        }
    }

    pub(super) fn set_faults(&mut self, faults: Faults) {
        self.faults = Arc::new(faults);
    }

    pub(super) fn token(&mut self, kind: &str) -> String {
        format!("{kind}-{:032x}", self.tokens.u128(..))
    }

    pub(super) fn add_account(&mut self, id: AccountId, name: &str) {
        if let Some(known) = self.account_mut(&id) {
            name.clone_into(&mut known.name);
            return;
        }
        let number = u32::try_from(self.accounts.len()).unwrap_or(u32::MAX);
        self.by_id.insert(id.clone(), number);
        self.accounts.push(LabAccount {
            id,
            name: name.to_owned(),
            paired: false,
            notification_url: None,
            listed: BTreeSet::new(),
            version: 0,
            left: VecDeque::new(),
            pages: Pages::default(),
        });
        self.plan_for_new_account(number);
    }

    pub(super) fn add_login(&mut self, name: &str, accounts: Option<Vec<AccountId>>) {
        let accounts = accounts.map(|accounts| accounts.into_iter().collect());
        self.logins.insert(name.to_owned(), accounts);
    }

    /// Whether a login may act for a lab.
    pub(super) fn may(&self, login: &str, account: &AccountId) -> bool {
        match self.logins.get(login) {
            Some(Some(accounts)) => accounts.contains(account),
            Some(None) => true,
            None => false,
        }
    }

    pub(super) fn account_count(&self) -> u32 {
        u32::try_from(self.accounts.len()).unwrap_or(u32::MAX)
    }

    /// By its place.
    pub(super) fn account_at(&self, place: u32) -> Option<&LabAccount> {
        self.accounts.get(place as usize)
    }

    /// By id.
    pub(super) fn accounts(&self) -> Vec<&LabAccount> {
        let mut accounts: Vec<_> = self.accounts.iter().collect();
        accounts.sort_by(|one, other| one.id.cmp(&other.id));
        accounts
    }

    pub(super) fn account(&self, id: &AccountId) -> Option<&LabAccount> {
        self.accounts.get(*self.by_id.get(id)? as usize)
    }

    pub(super) fn account_mut(&mut self, id: &AccountId) -> Option<&mut LabAccount> {
        self.accounts.get_mut(*self.by_id.get(id)? as usize)
    }

    pub(super) fn account_of(&self, case: &Case) -> Option<&LabAccount> {
        self.accounts.get(case.account as usize)
    }

    /// The files of a case as they were.
    pub(super) fn files_of(&self, case: &Case, entry: &Entry) -> Files {
        let account = self.account_of(case);
        let about = CaseDetails {
            prescription: case.prescription(self.randomness),
            account: account
                .map(|account| account.id.as_str().to_owned())
                .unwrap_or_default(),
            lab: account
                .map(|account| account.name.clone())
                .unwrap_or_default(),
            created: case.created(),
            modified: case.files_modified_at(entry.revision),
            modeled: case.was_modeled_at(entry.revision),
        };
        Files {
            number: case.number,
            revision: entry.revision,
            about: Arc::new(about),
        }
    }

    /// A doctor fills in a prescription; nothing is scanned yet. None if there is no such
    /// account.
    pub(super) fn prescribe(
        &mut self,
        account: &AccountId,
        asked: Option<(Patient, Procedure)>,
    ) -> Option<OrderId> {
        let account = *self.by_id.get(account)?;
        let number = FIRST + self.cases.len() as u64;
        self.cases
            .push(Case::prescribed(number, account, asked, self.now()));
        self.plan_next(number);
        Some(OrderId::new(number.to_string()))
    }

    /// The numbers of an account's cases.
    pub(super) fn numbers_of(&self, account: &AccountId) -> Vec<u64> {
        let at = self.by_id.get(account);
        let own = self.cases.iter().filter(|case| Some(&case.account) == at);
        own.map(|case| case.number).collect()
    }

    pub(super) fn case_count(&self) -> usize {
        self.cases.len()
    }

    fn place(&self, number: u64) -> Option<usize> {
        let at = usize::try_from(number.checked_sub(FIRST)?).ok()?;
        (at < self.cases.len()).then_some(at)
    }

    pub(super) fn numbered(&self, number: u64) -> Option<&Case> {
        self.cases.get(self.place(number)?)
    }

    /// By its place in the list of all.
    pub(super) fn at(&self, place: u32) -> Option<&Case> {
        self.cases.get(place as usize)
    }

    /// What the case at this place shows now was seen.
    pub(super) fn see(&mut self, place: u32) {
        if let Some(case) = self.cases.get_mut(place as usize) {
            case.see();
        }
    }

    /// Where it is among all cases.
    pub(super) fn place_of(&self, id: &OrderId) -> Option<u32> {
        self.place(number(id.as_str())?)?.try_into().ok()
    }

    pub(super) fn case(&self, id: &OrderId) -> Option<&Case> {
        self.numbered(number(id.as_str())?)
    }

    pub(super) fn case_mut(&mut self, id: &OrderId) -> Option<&mut Case> {
        let at = self.place(number(id.as_str())?)?;
        self.cases.get_mut(at)
    }

    /// An Rx id is not the order's number: software must not mix them up. It is good in the
    /// form that is shown now and in the other one.
    pub(super) fn rx_id(&self, case: &Case) -> RxId {
        match self.behaviour.ids {
            Ids::Text => RxId::new(format!("rx-{:x}", case.number)),
            Ids::Number => RxId::new((case.number + RX_NUMBERS).to_string()),
        }
    }

    pub(super) fn case_by_rx(&self, rx_id: &RxId) -> Option<&Case> {
        let text = rx_id.as_str();
        let found = match text.strip_prefix("rx-") {
            Some(hex) => {
                let found = u64::from_str_radix(hex, 16).ok()?;
                // One spelling only: `rx-0A` must not be another name of `rx-a`.
                (format!("{found:x}") == hex).then_some(found)?
            }
            None => number(text)?.checked_sub(RX_NUMBERS)?,
        };
        self.numbered(found)
    }

    /// Whether the API shows the case at all.
    pub(super) fn shows(&self, case: &Case) -> bool {
        let with_lab = matches!(case.phase().shows(), Symbol::F | Symbol::R | Symbol::D);
        with_lab || self.behaviour.elsewhere != Elsewhere::Missing
    }

    /// Moves a case on. The notice is to be posted, where the lab asked for notices.
    pub(super) fn enter(&mut self, id: &OrderId, phase: Phase) -> Option<Notice> {
        self.show(id, phase, phase.shows().status())
    }

    /// Moves a case on, to a status that is not the usual one of its phase.
    pub(super) fn show(
        &mut self,
        id: &OrderId,
        phase: Phase,
        status: OrderStatus,
    ) -> Option<Notice> {
        let now = self.now();
        let at = self.place(number(id.as_str())?)?;
        let case = self.cases.get_mut(at)?;
        let (notified, listed) = (status.is_notified(), status.is_listed());
        case.enter(phase, &status, now);
        // Places fit 32 bits: a world has no 4 billion labs or cases, and a case has room for half of a
        // `usize`.
        let account = self.accounts.get_mut(case.account as usize)?;
        let place = u32::try_from(at).ok()?;
        let was_listed = account.listed.contains(&place);
        if listed {
            account.listed.insert(place);
        } else if was_listed {
            account.listed.remove(&place);
            // Room for the one that follows.
            account.left.truncate(LEFT - 1);
            // The entry before the one that it has just entered.
            let entry = case.entries().len().saturating_sub(2);
            account
                .left
                .push_front((place, u32::try_from(entry).unwrap_or(u32::MAX)));
        }
        // Only for what the list shows: other moves must not cost the pages that are kept.
        account.version += u64::from(listed || was_listed);
        let notification_url = account.notification_url.clone().filter(|_| notified);
        let account = account.id.clone();
        // After the move: the plan is of the phase that the case is in now.
        self.plan_next(FIRST + at as u64);
        let url = notification_url?;
        let rx_id = self.rx_id(&self.cases[at]);
        Some(Notice {
            url,
            rx_id,
            account,
        })
    }

    /// The lab has fetched what marks an order *Downloaded*.
    pub(super) fn downloaded(&mut self, id: &OrderId) {
        let kept = self
            .case(id)
            .and_then(|case| action::downloaded(case.phase()));
        if let Some(kept) = kept {
            // Downloaded is quiet: there is no notice.
            let _ = self.enter(id, kept);
        }
    }
}

/// A number as it is written, and in no other way.
fn number(text: &str) -> Option<u64> {
    let plain = text.bytes().all(|byte| byte.is_ascii_digit()) && !text.starts_with('0');
    plain.then(|| text.parse().ok()).flatten()
}
