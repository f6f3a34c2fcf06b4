//! What is true in the simulator: labs, cases, tokens, and the time.

use std::collections::{BTreeMap, HashMap};
use std::time::{Duration, SystemTime};

use super::files::Files;
use super::people::Refused;
use super::tokens::RefreshTokens;
use crate::flow::Phase;
use crate::model::{AccountId, OrderId, RxId};
use crate::status::{OrderStatus, Symbol};

/// How long an access token lives: documented.
pub(super) const TOKEN_LIFE: Duration = Duration::from_secs(60 * 60);

#[derive(Debug)]
pub(super) struct World {
    /// How far the simulated clock is ahead of the machine's.
    ahead: Duration,
    pub(super) accounts: BTreeMap<AccountId, LabAccount>,
    pub(super) cases: BTreeMap<OrderId, Case>,
    by_rx: HashMap<RxId, OrderId>,
    pub(super) codes: HashMap<String, Code>,
    pub(super) access: HashMap<String, Grant>,
    pub(super) refresh: RefreshTokens,
    next_order: u64,
}

#[derive(Debug)]
pub(super) struct LabAccount {
    pub(super) name: String,
    pub(super) paired: bool,
    pub(super) notification_url: Option<String>,
}

/// An authorization code: good for one use.
#[derive(Debug)]
pub(super) struct Code {
    pub(super) redirect_uri: String,
    pub(super) challenge: Option<String>,
}

/// Whose a token is.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Owner {
    Login,
    Account(AccountId),
}

#[derive(Clone, Debug)]
pub(super) struct Grant {
    pub(super) owner: Owner,
    pub(super) family: u64,
    pub(super) expires_at: SystemTime,
}

/// A case as it truly is.
#[derive(Debug)]
pub(super) struct Case {
    pub(super) id: OrderId,
    pub(super) rx_id: RxId,
    pub(super) account: AccountId,
    pub(super) patient: Patient,
    pub(super) created: SystemTime,
    pub(super) modified: SystemTime,
    /// Every phase so far, the current one last; never empty.
    path: Vec<Phase>,
    status: OrderStatus,
    pub(super) files: Files,
}

#[derive(Clone, Debug)]
pub(super) struct Patient {
    pub(super) first_name: String,
    pub(super) last_name: String,
}

/// A change that the world's people are to be told of.
#[derive(Debug)]
pub(super) struct Notice {
    pub(super) url: String,
    pub(super) rx_id: RxId,
    pub(super) account: AccountId,
}

impl World {
    pub(super) fn new() -> Self {
        World {
            ahead: Duration::ZERO,
            accounts: BTreeMap::new(),
            cases: BTreeMap::new(),
            by_rx: HashMap::new(),
            codes: HashMap::new(),
            access: HashMap::new(),
            refresh: RefreshTokens::default(),
            next_order: 100_000_001,
        }
    }

    pub(super) fn now(&self) -> SystemTime {
        SystemTime::now() + self.ahead
    }

    pub(super) fn advance(&mut self, time: Duration) {
        self.ahead += time;
    }

    pub(super) fn add_account(&mut self, id: AccountId, name: &str) {
        let account = LabAccount {
            name: name.to_owned(),
            paired: false,
            notification_url: None,
        };
        self.accounts.insert(id, account);
    }

    /// A doctor fills in a prescription; nothing is scanned yet.
    pub(super) fn prescribe(&mut self, account: AccountId, patient: Patient) -> OrderId {
        let number = self.next_order;
        self.next_order += 1;
        let id = OrderId::new(number.to_string());
        // An Rx id is not the order's number: software must not mix them up.
        let rx_id = RxId::new(format!("rx-{number:x}"));
        let now = self.now();
        self.by_rx.insert(rx_id.clone(), id.clone());
        let case = Case {
            id: id.clone(),
            rx_id,
            account,
            patient,
            created: now,
            modified: now,
            path: vec![Phase::Scan],
            status: OrderStatus::RxCreated,
            files: Files::none(number),
        };
        self.cases.insert(id.clone(), case);
        id
    }

    pub(super) fn case(&self, id: &OrderId) -> Option<&Case> {
        self.cases.get(id)
    }

    pub(super) fn case_by_rx(&self, rx_id: &RxId) -> Option<&Case> {
        self.cases.get(self.by_rx.get(rx_id)?)
    }

    /// Moves a case on. The notice is to be posted, where the lab asked for notices.
    pub(super) fn enter(&mut self, id: &OrderId, phase: Phase) -> Option<Notice> {
        let now = self.now();
        let case = self.cases.get_mut(id)?;
        case.path.push(phase);
        case.status = phase.shows().status();
        case.modified = now;
        match phase.shows() {
            // A scan and a rescan bring new files, and so does modeling.
            Symbol::F | Symbol::R => case.files.renew(now),
            _ => {}
        }
        if !case.status.is_notified() {
            return None;
        }
        let url = self.accounts.get(&case.account)?.notification_url.clone()?;
        Some(Notice {
            url,
            rx_id: case.rx_id.clone(),
            account: case.account.clone(),
        })
    }

    /// The lab has fetched the zip. Convention: that is what marks an order *Downloaded*.
    pub(super) fn downloaded(&mut self, id: &OrderId) {
        let kept = self.case(id).and_then(|case| {
            let next = case.phase().may_be_followed_by();
            next.iter()
                .find(|phase| phase.shows() == Symbol::D && case.phase().shows().is_delivery())
        });
        if let Some(kept) = kept {
            // Downloaded is quiet: there is no notice.
            let _ = self.enter(id, kept);
        }
    }
}

impl Case {
    /// Where the case is in truth.
    pub(super) fn phase(&self) -> Phase {
        self.path.last().copied().unwrap_or(Phase::Scan)
    }

    pub(super) fn path(&self) -> &[Phase] {
        &self.path
    }

    pub(super) fn status(&self) -> &OrderStatus {
        &self.status
    }

    pub(super) fn show(&mut self, status: OrderStatus) {
        self.status = status;
    }

    /// The modeler has sent the case through interpretation 2: the way it came from modeling
    /// was that way all along.
    pub(super) fn was_on_the_way_to_interpretation(&mut self) {
        for phase in self.path.iter_mut().rev() {
            *phase = match *phase {
                Phase::ModelingM => Phase::ModelingG,
                Phase::ReviewM => Phase::ReviewG,
                Phase::ReviewedM => Phase::ReviewedG,
                _ => break,
            };
        }
    }

    /// An action that does not fit the phase.
    pub(super) fn refuses(&self, action: &'static str) -> Refused {
        Refused::new(action, Some(self.phase()))
    }
}
