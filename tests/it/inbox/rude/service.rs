//! A service that is wrong in what it says of orders: ids, listings, statuses, files. And the truth
//! behind it.

use fastrand::Rng;
use serde_json::{Value, json};

/// What *Get Order by Rx Id* does for an order, for ever.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Fetching {
    Works,
    Fails,
    NotFound,
    /// The answer is about another order.
    Another,
}

/// Which ids an answer carries.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Ids {
    Both,
    NoOrderId,
    /// The order id is its type's default.
    DefaultOrderId,
    DefaultRxId,
}

/// What answers carry of the files.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Files {
    None,
    /// An id that tells the scan.
    OfTheScan,
    /// Another id in each answer.
    NewIds,
}

#[derive(Clone, Debug)]
pub(super) struct Phase {
    pub(super) status: &'static str,
    pub(super) era: usize,
    scan: u32,
}

impl Phase {
    pub(super) fn is_listed(&self) -> bool {
        LISTED.contains(&self.status)
    }
}

const LISTED: [&str; 2] = ["Ready for Download", "Lab Review"];
const QUIET: [&str; 4] = ["Downloaded", "Scanning", "iTero Modeling", "iTero Milling"];

#[derive(Debug)]
pub(super) struct TrueOrder {
    number: usize,
    pub(super) phases: Vec<Phase>,
    fetching: Fetching,
    listed_ids: Ids,
    fetched_ids: Ids,
    files: Files,
}

impl TrueOrder {
    fn new(number: usize, era: usize, rng: &mut Rng, service_is_plain: bool) -> Self {
        let listed_ids = [
            Ids::Both,
            Ids::Both,
            Ids::NoOrderId,
            Ids::DefaultOrderId,
            Ids::DefaultRxId,
        ];
        let fetched_ids = [Ids::Both, Ids::Both, Ids::NoOrderId, Ids::DefaultOrderId];
        let fetching = [
            Fetching::Works,
            Fetching::Works,
            Fetching::Works,
            Fetching::Fails,
            Fetching::NotFound,
            Fetching::Another,
        ];
        let files = [
            Files::None,
            Files::OfTheScan,
            Files::OfTheScan,
            Files::NewIds,
        ];
        let mut order = TrueOrder {
            number,
            phases: vec![Phase {
                status: if rng.bool() { LISTED[0] } else { "Scanning" },
                era,
                scan: 1,
            }],
            fetching: pick(rng, &fetching),
            listed_ids: pick(rng, &listed_ids),
            fetched_ids: pick(rng, &fetched_ids),
            files: pick(rng, &files),
        };
        if service_is_plain {
            // What no listing shows completely can be seen by fetches only.
            order.fetching = Fetching::Works;
            order.listed_ids = Ids::Both;
        }
        if order.listed_ids == Ids::DefaultRxId {
            // Otherwise nothing would tell that both answers are about one order.
            order.fetched_ids = Ids::Both;
        }
        order
    }

    pub(super) fn who(&self) -> String {
        format!("patient-{}", self.number)
    }

    pub(super) fn rx_id(&self) -> String {
        format!("rx-{}", self.number)
    }

    pub(super) fn now(&self) -> &Phase {
        self.phases.last().unwrap()
    }

    /// Whether both views name it alike, whichever is seen first.
    fn has_one_name(&self) -> bool {
        let is_named = |ids| matches!(ids, Ids::Both | Ids::DefaultRxId);
        is_named(self.listed_ids) == is_named(self.fetched_ids)
    }

    /// Whether what it is now is listed nowhere, and a fetch shows it.
    pub(super) fn is_seen_by_fetches(&self) -> bool {
        !self.now().is_listed() && self.can_be_fetched()
    }

    fn can_be_fetched(&self) -> bool {
        self.fetching == Fetching::Works && self.listed_ids != Ids::DefaultRxId
    }

    fn go_on(&mut self, era: usize, rng: &mut Rng) {
        let last = self.now().clone();
        let choices = LISTED
            .iter()
            .chain(&QUIET)
            .filter(|one| **one != last.status);
        let choices: Vec<_> = choices.copied().collect();
        let status = pick(rng, &choices);
        self.phases.push(Phase {
            status,
            era,
            scan: last.scan + u32::from(LISTED.contains(&status)),
        });
    }
}

/// What is wrong for a while: chances in percent.
#[derive(Clone, Debug, Default)]
struct Wrong {
    /// What is answered in a storm.
    storm: u16,
    storm_in_listings: u8,
    storm_in_fetches: u8,
    empty: u8,
    speaks_of_errors: u8,
    cut: u8,
    unreadable: u8,
    drops: u8,
    repeats: u8,
    contradicts: u8,
    /// The same order id under another Rx id, of another patient.
    strangers: u8,
    /// How many phases the views are behind, and whether only every second answer is.
    listings_lag: usize,
    fetches_lag: usize,
    in_turn: bool,
    another: u8,
    half_renamed: u8,
    without_files: u8,
}

#[derive(Debug)]
pub(super) struct Service {
    pub(super) orders: Vec<TrueOrder>,
    pub(super) rng: Rng,
    /// One record cannot be read, for weeks.
    is_never_complete: bool,
    /// *Ready for Download* has another name.
    renamed: bool,
    wrong: Wrong,
    answers: u64,
}

impl Service {
    pub(super) fn new(mut rng: Rng) -> Self {
        Service {
            orders: Vec::new(),
            is_never_complete: rng.u8(0..5) == 0,
            renamed: rng.u8(0..5) == 0,
            rng,
            wrong: Wrong::default(),
            answers: 0,
        }
    }

    /// Some orders go on, and new ones come.
    pub(super) fn go_on(&mut self, era: usize) {
        for order in &mut self.orders {
            if self.rng.u8(0..3) > 0 {
                order.go_on(era, &mut self.rng);
            }
        }
        let new = self.rng.usize(1..4);
        for _ in 0..new {
            let number = self.orders.len() + 1;
            let order = TrueOrder::new(number, era, &mut self.rng, self.is_never_complete);
            self.orders.push(order);
        }
    }

    /// Two processes that hear of an order at one moment, one with its order id and one without, know
    /// two orders: no answer tells them that it is one.
    pub(super) fn may_be_asked_by_two(&self) -> bool {
        self.orders.iter().all(TrueOrder::has_one_name)
    }

    pub(super) fn renews_files(&self) -> bool {
        self.orders.iter().any(|one| one.files == Files::NewIds)
    }

    /// Whether what an order is now can only be concluded from listings that lack it.
    pub(super) fn hides_some(&self) -> bool {
        let is_hidden = |one: &TrueOrder| !one.now().is_listed() && !one.can_be_fetched();
        self.orders.iter().any(is_hidden)
    }

    /// The names that the service has for a status.
    pub(super) fn names(&self, status: &'static str) -> Vec<&'static str> {
        match self.renamed && status == LISTED[0] {
            true => vec![status, "Klar"],
            false => vec![status],
        }
    }

    pub(super) fn disturb(&mut self) {
        let rng = &mut self.rng;
        self.wrong = Wrong {
            storm: pick(rng, &[403, 404, 500]),
            storm_in_listings: pick(rng, &[0, 0, 0, 30, 100]),
            storm_in_fetches: pick(rng, &[0, 0, 0, 30, 100]),
            empty: pick(rng, &[0, 0, 0, 20]),
            speaks_of_errors: pick(rng, &[0, 0, 0, 40]),
            cut: pick(rng, &[0, 0, 0, 20]),
            unreadable: pick(rng, &[0, 0, 40]),
            drops: pick(rng, &[0, 0, 20, 50]),
            repeats: pick(rng, &[0, 0, 50]),
            contradicts: pick(rng, &[0, 0, 20, 100]),
            strangers: pick(rng, &[0, 0, 50]),
            listings_lag: pick(rng, &[0, 0, 0, 1, 2]),
            fetches_lag: pick(rng, &[0, 0, 0, 1, 2]),
            in_turn: rng.bool(),
            another: pick(rng, &[0, 0, 20]),
            half_renamed: pick(rng, &[0, 50, 100]),
            without_files: pick(rng, &[0, 0, 30, 100]),
        };
    }

    pub(super) fn calm(&mut self) {
        self.wrong = Wrong::default();
    }

    /// Status and body of an answer.
    pub(super) fn answer(&mut self, path: &str) -> (u16, String) {
        self.answers += 1;
        match path.rsplit('/').next() {
            Some("orders") => self.list(),
            Some(rx_id) => self.fetch(rx_id),
            None => (404, String::new()),
        }
    }

    fn list(&mut self) -> (u16, String) {
        if self.chance(self.wrong.storm_in_listings) {
            return (self.wrong.storm, r#"{"error":"storm"}"#.to_owned());
        }
        if self.chance(self.wrong.empty) {
            return (200, r#"{"orders":[]}"#.to_owned());
        }
        let behind = self.behind(self.wrong.listings_lag);
        let mut records = Vec::new();
        for at in 0..self.orders.len() {
            let phase = self.shown(at, behind);
            if !phase.is_listed() || self.chance(self.wrong.drops) {
                continue;
            }
            if self.chance(self.wrong.contradicts) {
                let phases = self.orders[at].phases.iter();
                let mut others = phases.filter(|one| one.is_listed() && one.status != phase.status);
                if let Some(other) = others.next().cloned() {
                    let record = self.record(at, &other, self.orders[at].listed_ids);
                    records.push(record);
                }
            }
            let record = self.record(at, &phase, self.orders[at].listed_ids);
            let copies = match self.chance(self.wrong.repeats) {
                true => 3,
                false => 1,
            };
            records.extend(std::iter::repeat_n(record, copies));
            // Of one that is known by its Rx id alone nobody knows that its order id is another's too.
            let order = &self.orders[at];
            let is_named = order.listed_ids == Ids::Both && order.fetched_ids == Ids::Both;
            if is_named && self.chance(self.wrong.strangers) {
                let number = self.orders[at].number;
                records.push(json!({
                    "orderId": 100 + number, "rxId": format!("rx-{}", 500 + number),
                    "status": "Lab Review", "who": "a stranger",
                }));
            }
        }
        if self.is_never_complete || self.chance(self.wrong.unreadable) {
            let at = self.rng.usize(0..=records.len());
            records.insert(at, json!({ "status": { "odd": 1 } }));
        }
        let mut body = json!({ "orders": records });
        if self.chance(self.wrong.speaks_of_errors) {
            body["errors"] = json!([{ "message": "a part is missing" }]);
        }
        let mut body = body.to_string();
        if self.chance(self.wrong.cut) {
            body.truncate(body.len() / 2);
        }
        (200, body)
    }

    fn fetch(&mut self, rx_id: &str) -> (u16, String) {
        let number = rx_id.strip_prefix("rx-").and_then(|text| text.parse().ok());
        let found = |number: usize| self.orders.iter().position(|one| one.number == number);
        let Some(at) = number.and_then(found) else {
            return (404, String::new());
        };
        if self.chance(self.wrong.storm_in_fetches) {
            return (self.wrong.storm, r#"{"error":"storm"}"#.to_owned());
        }
        let other = (at + 1) % self.orders.len();
        let is_another = match self.orders[at].fetching {
            Fetching::Fails => return (400, r#"{"error":"broken"}"#.to_owned()),
            Fetching::NotFound => return (404, String::new()),
            Fetching::Another => true,
            Fetching::Works => self.chance(self.wrong.another),
        };
        if is_another && other == at {
            return (400, r#"{"error":"broken"}"#.to_owned());
        }
        let behind = self.behind(self.wrong.fetches_lag);
        let (at, ids) = match is_another {
            true => (other, Ids::Both),
            false => (at, self.orders[at].fetched_ids),
        };
        let phase = self.shown(at, behind);
        (200, self.record(at, &phase, ids).to_string())
    }

    /// How many phases this answer is behind.
    fn behind(&self, lag: usize) -> usize {
        let is_good_replica = self.wrong.in_turn && self.answers.is_multiple_of(2);
        if is_good_replica { 0 } else { lag }
    }

    fn shown(&self, at: usize, behind: usize) -> Phase {
        let phases = &self.orders[at].phases;
        phases[(phases.len() - 1).saturating_sub(behind)].clone()
    }

    fn record(&mut self, at: usize, phase: &Phase, ids: Ids) -> Value {
        let is_old_name = self.chance(self.wrong.half_renamed);
        let status = match self.names(phase.status).last() {
            Some(name) if !is_old_name => *name,
            _ => phase.status,
        };
        let has_files = !self.chance(self.wrong.without_files);
        let order = &self.orders[at];
        let mut record = json!({ "status": status, "who": order.who() });
        if ids != Ids::NoOrderId {
            let is_default = ids == Ids::DefaultOrderId;
            record["orderId"] = json!(if is_default { 0 } else { 100 + order.number });
        }
        record["rxId"] = match ids {
            Ids::DefaultRxId => json!("00000000-0000-0000-0000-000000000000"),
            _ => json!(order.rx_id()),
        };
        let file = match order.files {
            Files::OfTheScan => Some(format!("scan {}", phase.scan)),
            Files::NewIds => Some(format!("answer {}", self.answers)),
            Files::None => None,
        };
        if let Some(file) = file.filter(|_| has_files) {
            record["assets"] = json!([{ "assetId": file, "type": "IDE" }]);
        }
        record
    }

    fn chance(&mut self, percent: u8) -> bool {
        percent > 0 && self.rng.u8(0..100) < percent
    }
}

pub(super) fn pick<T: Clone>(rng: &mut Rng, from: &[T]) -> T {
    from[rng.usize(0..from.len())].clone()
}
