//! One listing, sorted into what it says of each order.
//!
//! *Problem.* Records come twice, in two states, under several Rx ids, without an order id, or
//! cannot be read. An order that is there and counts as absent is delivered a second time.
//!
//! *Approach.* Each record is placed with a case by its order id, or else by its Rx id. Where one
//! cannot be placed, the listing must not be used to conclude an absence.

use std::collections::HashMap;

use super::identity::present;
use super::observation::{Evidence, OrderState};

/// One record of a listing, as far as it can be read.
#[derive(Clone, Copy, Debug)]
pub(in crate::inbox) struct ListedRecord<'a> {
    pub(in crate::inbox) order_id: Option<&'a str>,
    pub(in crate::inbox) rx_id: Option<&'a str>,
    /// Whether it can be read beyond its ids.
    pub(in crate::inbox) is_readable: bool,
}

/// A case that is known, as far as its ids go.
#[derive(Clone, Copy, Debug)]
pub(in crate::inbox) struct KnownCase<'a> {
    /// What it is recorded under: the order id, or the Rx id where there was none.
    pub(in crate::inbox) key: &'a str,
    pub(in crate::inbox) rx_id: Option<&'a str>,
    /// Whether it was more than heard of.
    pub(in crate::inbox) has_arrived: bool,
}

impl KnownCase<'_> {
    /// Whether it was recorded without an order id.
    fn stands_under_rx_id(&self) -> bool {
        self.rx_id == Some(self.key)
    }
}

/// The cases that are known already.
pub(in crate::inbox) trait KnownIds {
    fn by_key(&self, key: &str) -> Option<KnownCase<'_>>;
    fn by_rx_id(&self, rx_id: &str) -> Option<KnownCase<'_>>;
}

/// A listing, order by order.
#[derive(Debug)]
pub(in crate::inbox) struct Listing<'a> {
    /// Each order once, in the order in which they are listed first.
    pub(in crate::inbox) orders: Vec<ListedOrder<'a>>,
    /// Where each order is among them, by its case.
    places: HashMap<&'a str, usize>,
    /// Whether every record could be read, or at least one of its ids. A listing is complete if
    /// this holds, every page came once, it reports no error beside its list, and it is not
    /// suddenly empty, see [`ListingCoverage`](super::ListingCoverage).
    pub(in crate::inbox) is_readable: bool,
}

/// What a listing says of one order.
#[derive(Debug)]
pub(in crate::inbox) struct ListedOrder<'a> {
    /// The order id; without one the Rx id stands in.
    pub(in crate::inbox) case: &'a str,
    /// The Rx id that it is listed under: the known one if it is among them.
    pub(in crate::inbox) rx_id: Option<&'a str>,
    /// It is listed under another Rx id too: a problem. What is listed there does not count.
    pub(in crate::inbox) has_other_rx_id: bool,
    /// The record that can be read, by its place in the listing. None: the order is present, and
    /// nothing more can be read.
    record: Option<usize>,
    /// Further ones.
    // Apart from the first: nearly every order has one record, and an empty list takes no memory.
    others: Vec<usize>,
    has_order_id: bool,
}

/// The states in which a listing shows an order.
#[derive(Debug, Default)]
pub(in crate::inbox) struct ListedStates<'a> {
    /// Those that contradict each other, in the order of the listing.
    states: Vec<OrderState<'a>>,
    /// Which records they are of.
    places: Vec<usize>,
    has_order_id: bool,
}

/// A record, and which order it is of.
struct PlacedRecord<'a> {
    order: usize,
    place: usize,
    rx_id: Option<&'a str>,
    is_readable: bool,
}

impl<'a> Listing<'a> {
    pub(in crate::inbox) fn read(records: &[ListedRecord<'a>], known: &'a impl KnownIds) -> Self {
        // A record without an order id may belong to one that has it in the same listing.
        let is_bare = |one: &ListedRecord<'_>| one.order_id.and_then(present).is_none();
        // Most listings have all order ids, and no map is made for them.
        let with_ids = if records.iter().any(is_bare) {
            records
        } else {
            &[]
        };
        let ids = with_ids.iter().filter_map(|one| {
            Some((
                one.rx_id.and_then(present)?,
                one.order_id.and_then(present)?,
            ))
        });
        let by_rx_id: HashMap<&str, &str> = ids.collect();
        let mut places: HashMap<&str, usize> = HashMap::with_capacity(records.len());
        let mut placed: Vec<PlacedRecord<'_>> = Vec::with_capacity(records.len());
        let mut cases: Vec<CaseOfRecord<'a>> = Vec::with_capacity(records.len());
        let mut is_readable = true;
        for (place, record) in records.iter().enumerate() {
            let rx_id = record.rx_id.and_then(present);
            let order_id = record.order_id.and_then(present);
            let joined = || by_rx_id.get(rx_id?).copied();
            let Some(case) = CaseOfRecord::of(order_id.or_else(joined), rx_id, known) else {
                // It may be any order: from here on none can be called absent.
                is_readable = false;
                continue;
            };
            let order = *places.entry(case.key).or_insert_with(|| {
                cases.push(case);
                cases.len() - 1
            });
            placed.push(PlacedRecord {
                order,
                place,
                rx_id,
                is_readable: record.is_readable,
            });
        }
        // Nearly always they are in this order. The sort is stable: the records of an order stay in
        // that of the listing.
        placed.sort_by_key(|one| one.order);
        let records = placed.chunk_by(|one, next| one.order == next.order);
        let orders = cases.iter().zip(records);
        Listing {
            orders: orders
                .map(|(case, records)| ListedOrder::of(case, records))
                .collect(),
            places,
            is_readable,
        }
    }

    /// Whether an order is listed.
    pub(in crate::inbox) fn contains(&self, case: &str) -> bool {
        self.places.contains_key(case)
    }
}

/// The case that a record belongs to.
struct CaseOfRecord<'a> {
    key: &'a str,
    has_order_id: bool,
    known_rx_id: Option<&'a str>,
}

impl<'a> CaseOfRecord<'a> {
    /// None if the record cannot be told from those of another order.
    fn of(
        order_id: Option<&'a str>,
        rx_id: Option<&'a str>,
        known: &'a impl KnownIds,
    ) -> Option<Self> {
        let by_rx_id = || rx_id.and_then(|rx_id| known.by_rx_id(rx_id));
        let is_of = |case: KnownCase<'a>, has_order_id| CaseOfRecord {
            key: case.key,
            has_order_id,
            known_rx_id: case.rx_id,
        };
        let is_new = |key, has_order_id| CaseOfRecord {
            key,
            has_order_id,
            known_rx_id: None,
        };
        let Some(order_id) = order_id else {
            let Some(case) = by_rx_id() else {
                // The number may be another order's id.
                let rx_id = rx_id.filter(|rx_id| known.by_key(rx_id).is_none())?;
                return Some(is_new(rx_id, false));
            };
            // One that was only heard of waits for a fetch to show its order id.
            let has_order_id = !case.stands_under_rx_id() || case.has_arrived;
            return Some(is_of(case, has_order_id));
        };
        if let Some(case) = known.by_key(order_id) {
            return Some(is_of(case, true));
        }
        // An order id that appears later joins the case that was recorded without one.
        match by_rx_id().filter(KnownCase::stands_under_rx_id) {
            Some(case) => Some(is_of(case, true)),
            None => Some(is_new(order_id, true)),
        }
    }
}

impl<'a> ListedOrder<'a> {
    fn of(case: &CaseOfRecord<'a>, records: &[PlacedRecord<'a>]) -> Self {
        let mut rx_ids = records.iter().filter_map(|one| one.rx_id);
        let is_known = |rx_id: &&str| Some(*rx_id) == case.known_rx_id;
        // The known one, wherever it stands: which of two comes first may change with each listing.
        let rx_id = rx_ids.clone().find(is_known).or_else(|| rx_ids.next());
        let is_ours = |one: &PlacedRecord<'_>| one.rx_id.is_none() || one.rx_id == rx_id;
        let readable = |one: &&PlacedRecord<'_>| is_ours(one) && one.is_readable;
        let mut places = records.iter().filter(readable).map(|one| one.place);
        ListedOrder {
            case: case.key,
            rx_id,
            has_other_rx_id: !records.iter().all(is_ours),
            record: places.next(),
            others: places.collect(),
            has_order_id: case.has_order_id,
        }
    }

    /// Whether there is more than its ids.
    pub(in crate::inbox) fn is_shown(&self) -> bool {
        self.record.is_some()
    }

    /// The one record that it is listed by, by its place in the listing.
    pub(in crate::inbox) fn only_record(&self) -> Option<usize> {
        self.record
            .filter(|_| self.others.is_empty() && self.has_order_id)
    }

    /// The states that it is shown in, as the records at these places have them.
    pub(in crate::inbox) fn states<'s>(
        &self,
        shown: impl Fn(usize) -> OrderState<'s>,
    ) -> ListedStates<'s> {
        let mut listed = ListedStates {
            has_order_id: self.has_order_id,
            ..ListedStates::default()
        };
        for place in self.record.iter().chain(&self.others) {
            listed.add(*place, shown(*place));
        }
        listed
    }

    /// The Rx id to record, where it is another than the known one: the first recorded stays
    /// until a complete listing shows another alone.
    pub(in crate::inbox) fn new_rx_id(
        &self,
        known: Option<&str>,
        is_complete: bool,
    ) -> Option<&'a str> {
        let replaces = known.is_none() || (is_complete && !self.has_other_rx_id);
        self.rx_id.filter(|rx_id| replaces && known != Some(rx_id))
    }
}

impl<'a> ListedStates<'a> {
    fn add(&mut self, place: usize, shown: OrderState<'a>) {
        let mut known = self.states.iter();
        match known.position(|state| is_one_state(state, &shown)) {
            // The same state, better described.
            Some(at) if shown.files.cover(self.states[at].files) => {
                self.states[at] = shown;
                self.places[at] = place;
            }
            Some(_) => {}
            None => {
                self.states.push(shown);
                self.places.push(place);
            }
        }
    }

    /// What to observe of the order; none where it is present and nothing more can be read.
    pub(in crate::inbox) fn evidence(&self) -> Option<Evidence<'_>> {
        match self.states.as_slice() {
            [] => None,
            [shown] if self.has_order_id => Some(Evidence::Listed(*shown)),
            states => Some(Evidence::Unsettled(states)),
        }
    }

    /// The records that the states are of, by their places in the listing.
    pub(in crate::inbox) fn places(&self) -> impl Iterator<Item = usize> + '_ {
        self.places.iter().copied()
    }
}

fn is_one_state(one: &OrderState<'_>, other: &OrderState<'_>) -> bool {
    one.status == other.status && (one.files.cover(other.files) || other.files.cover(one.files))
}

#[cfg(test)]
mod tests {
    use super::super::files::{File, Files};
    use super::*;
    use crate::status::OrderStatus;

    struct KnownIdList(Vec<(&'static str, Option<&'static str>)>);

    impl KnownIdList {
        fn find(&self, is_it: impl Fn(&KnownCase<'_>) -> bool) -> Option<KnownCase<'_>> {
            let cases = self.0.iter().map(|(key, rx_id)| KnownCase {
                key,
                rx_id: *rx_id,
                has_arrived: false,
            });
            cases.into_iter().find(is_it)
        }
    }

    impl KnownIds for KnownIdList {
        fn by_key(&self, key: &str) -> Option<KnownCase<'_>> {
            self.find(|known| known.key == key)
        }

        fn by_rx_id(&self, rx_id: &str) -> Option<KnownCase<'_>> {
            self.find(|known| known.rx_id == Some(rx_id))
        }
    }

    fn record(order_id: &'static str, rx_id: &'static str) -> ListedRecord<'static> {
        ListedRecord {
            order_id: Some(order_id),
            rx_id: Some(rx_id),
            is_readable: true,
        }
    }

    /// What is shown of an order, where the records show these statuses and files.
    fn states<'a>(
        order: &ListedOrder<'_>,
        shown: &'a [(&'a OrderStatus, Files)],
    ) -> ListedStates<'a> {
        order.states(|place| OrderState::new(shown[place].0, &shown[place].1))
    }

    fn bare<const N: usize>(statuses: [&OrderStatus; N]) -> [(&OrderStatus, Files); N] {
        statuses.map(|status| (status, Files::none()))
    }

    const F: &OrderStatus = &OrderStatus::ReadyForDownload;
    const R: &OrderStatus = &OrderStatus::LabReview;

    #[test]
    fn two_orders_with_a_default_rx_id_are_two_cases() {
        let known = KnownIdList(Vec::new());
        let listing = Listing::read(&[record("1", "0"), record("2", "0")], &known);
        assert!(listing.is_readable);
        let cases: Vec<_> = listing
            .orders
            .iter()
            .map(|one| (one.case, one.rx_id))
            .collect();
        assert_eq!(cases, [("1", None), ("2", None)]);
    }

    #[test]
    fn a_record_without_an_order_id_belongs_to_the_case_with_its_rx_id() {
        let known = KnownIdList(vec![("1", Some("7"))]);
        let records = [record("", "7"), record("2", "8"), record("0", "8")];
        let listing = Listing::read(&records, &known);
        assert_eq!(listing.orders.len(), 2);
        for (order, case) in listing.orders.iter().zip(["1", "2"]) {
            assert_eq!(order.case, case);
            let shown = bare([F; 3]);
            let states = states(order, &shown);
            assert!(matches!(states.evidence(), Some(Evidence::Listed(_))));
        }
        let listing = Listing::read(&[record(" ", "9")], &known);
        assert_eq!(listing.orders[0].case, "9");
        let shown = bare([F]);
        let states = states(&listing.orders[0], &shown);
        assert!(matches!(states.evidence(), Some(Evidence::Unsettled([_]))));
    }

    #[test]
    fn an_order_that_is_shown_in_two_states_is_unsettled_and_one_shown_twice_is_not() {
        let known = KnownIdList(Vec::new());
        let one = |size| Files::new([File::new("a").size(size)]);
        for (shown, contradicts) in [
            (bare([F, R]), true),
            (bare([F, F]), false),
            ([(F, one(1)), (F, one(2))], true),
            ([(F, one(1)), (F, Files::none())], false),
        ] {
            let listing = Listing::read(&[record("1", "7"), record("1", "7")], &known);
            assert_eq!(listing.orders[0].only_record(), None);
            let states = states(&listing.orders[0], &shown);
            match states.evidence() {
                Some(Evidence::Unsettled([_, _])) => assert!(contradicts),
                evidence => assert!(matches!(evidence, Some(Evidence::Listed(_))) && !contradicts),
            }
        }
        let listing = Listing::read(&[record("1", "7"); 2_000], &known);
        assert_eq!(listing.orders.len(), 1);
        let shown = bare([F; 2_000]);
        let states = states(&listing.orders[0], &shown);
        assert_eq!(states.places().collect::<Vec<_>>(), [1_999]);
    }

    #[test]
    fn of_two_rx_ids_the_known_one_counts_until_another_is_listed_alone() {
        let known = KnownIdList(vec![("1", Some("7"))]);
        let listing = Listing::read(&[record("1", "8"), record("1", "7")], &known);
        let order = &listing.orders[0];
        assert!(order.has_other_rx_id && order.rx_id == Some("7"));
        assert_eq!(order.only_record(), Some(1));
        assert_eq!(order.new_rx_id(Some("7"), true), None);
        let listing = Listing::read(&[record("1", "8")], &known);
        let order = &listing.orders[0];
        assert_eq!(order.new_rx_id(Some("7"), true), Some("8"));
        assert_eq!(order.new_rx_id(Some("7"), false), None);
        assert_eq!(order.new_rx_id(None, false), Some("8"));
        assert_eq!(order.new_rx_id(Some("8"), true), None);
    }

    #[test]
    fn a_record_of_which_only_an_id_can_be_read_is_present() {
        let known = KnownIdList(Vec::new());
        let unreadable = |order_id| ListedRecord {
            order_id,
            rx_id: None,
            is_readable: false,
        };
        let listing = Listing::read(&[unreadable(Some("1"))], &known);
        assert!(listing.is_readable && listing.contains("1"));
        let states = states(&listing.orders[0], &[]);
        assert!(!listing.orders[0].is_shown() && states.evidence().is_none());
        let listing = Listing::read(&[unreadable(None), unreadable(Some("0"))], &known);
        assert!(!listing.is_readable && listing.orders.is_empty());
    }

    #[test]
    fn a_case_that_was_recorded_without_an_order_id_keeps_its_name() {
        let known = KnownIdList(vec![("7", Some("7")), ("1", Some("6"))]);
        let listing = Listing::read(&[record("2", "7"), record("", "7")], &known);
        assert_eq!(listing.orders.len(), 1);
        let order = &listing.orders[0];
        assert_eq!((order.case, order.rx_id), ("7", Some("7")));
        let shown = bare([F, F]);
        let evidence = states(order, &shown);
        assert!(matches!(evidence.evidence(), Some(Evidence::Listed(_))));
        // Without one it still waits, until it is more than heard of.
        let listing = Listing::read(&[record("", "7")], &known);
        let evidence = states(&listing.orders[0], &shown);
        assert!(matches!(
            evidence.evidence(),
            Some(Evidence::Unsettled([_]))
        ));
        // An Rx id that is another order's order id names neither.
        let listing = Listing::read(&[record("", "1")], &known);
        assert!(listing.orders.is_empty() && !listing.is_readable);
    }
}
