//! One listing, sorted into what it says of each order.

use std::collections::HashMap;

use super::identity::present;
use super::observation::{Evidence, OrderState};

/// One record of a listing, as far as it can be read.
#[derive(Clone, Copy, Debug)]
pub struct ListedRecord<'a> {
    pub order_id: Option<&'a str>,
    pub rx_id: Option<&'a str>,
    /// None where the record cannot be read beyond its ids.
    pub shown: Option<OrderState<'a>>,
}

/// What the cases that are known already say about ids.
pub trait KnownIds {
    /// The order id of the case with this Rx id; the Rx id itself where a case is recorded under it.
    fn order_with_rx_id(&self, rx_id: &str) -> Option<&str>;
    /// The Rx id of the case with this order id.
    fn rx_id_of(&self, order_id: &str) -> Option<&str>;
}

/// A listing, order by order.
#[derive(Debug)]
pub struct Listing<'a> {
    /// Each order once, in the order in which they are listed first.
    pub orders: Vec<ListedOrder<'a>>,
    /// Whether every record could be read, or at least one of its ids. A listing is complete if
    /// this holds, every page came once, it reports no error beside its list, and it is not
    /// suddenly empty, see [`ListingCoverage`](super::ListingCoverage).
    pub is_readable: bool,
}

/// What a listing says of one order.
#[derive(Debug)]
pub struct ListedOrder<'a> {
    /// The order id; without one the Rx id stands in.
    pub case: &'a str,
    /// The Rx id that it is listed under: the known one if it is among them.
    pub rx_id: Option<&'a str>,
    /// It is listed under another Rx id too: a problem. What is listed there does not count.
    pub has_other_rx_id: bool,
    /// The states that contradict each other, in the order of the listing. None: it is present,
    /// and nothing more can be read.
    states: Vec<OrderState<'a>>,
    has_order_id: bool,
}

impl<'a> Listing<'a> {
    pub fn read(records: &[ListedRecord<'a>], known: &'a impl KnownIds) -> Self {
        // A record without an order id may belong to one that has it in the same listing.
        let ids = records.iter().filter_map(|one| {
            Some((
                one.rx_id.and_then(present)?,
                one.order_id.and_then(present)?,
            ))
        });
        let by_rx_id: HashMap<&str, &str> = ids.collect();
        let mut places: HashMap<&str, usize> = HashMap::with_capacity(records.len());
        let mut orders: Vec<Vec<(Option<&'a str>, Option<OrderState<'a>>)>> = Vec::new();
        let mut cases: Vec<(&'a str, bool)> = Vec::new();
        let mut is_readable = true;
        for record in records {
            let rx_id = record.rx_id.and_then(present);
            let order_id = record.order_id.and_then(present).or_else(|| {
                let rx_id = rx_id?;
                let joined = by_rx_id.get(rx_id).copied();
                joined.or_else(|| known.order_with_rx_id(rx_id))
            });
            let Some(case) = order_id.or(rx_id) else {
                is_readable = false;
                continue;
            };
            let place = *places.entry(case).or_insert_with(|| {
                orders.push(Vec::new());
                cases.push((case, order_id.is_some()));
                orders.len() - 1
            });
            orders[place].push((rx_id, record.shown));
        }
        let orders = cases.into_iter().zip(orders);
        let orders = orders.map(|((case, has_order_id), records)| {
            let known_rx_id = known.rx_id_of(case);
            ListedOrder::of(case, has_order_id, &records, known_rx_id)
        });
        Listing {
            orders: orders.collect(),
            is_readable,
        }
    }
}

impl<'a> ListedOrder<'a> {
    fn of(
        case: &'a str,
        has_order_id: bool,
        records: &[(Option<&'a str>, Option<OrderState<'a>>)],
        known_rx_id: Option<&'a str>,
    ) -> Self {
        let mut rx_ids = records.iter().filter_map(|(rx_id, _)| *rx_id);
        let is_known = |rx_id: &&str| Some(*rx_id) == known_rx_id;
        let rx_id = rx_ids.clone().find(is_known).or_else(|| rx_ids.next());
        let is_ours = |one: &Option<&str>| one.is_none() || *one == rx_id;
        let mut states: Vec<OrderState<'a>> = Vec::new();
        for (_, shown) in records.iter().filter(|(rx_id, _)| is_ours(rx_id)) {
            let Some(shown) = shown else { continue };
            match states.iter_mut().find(|state| is_one_state(state, shown)) {
                // The same state, better described.
                Some(state) if state.files.is_none() => *state = *shown,
                Some(_) => {}
                None => states.push(*shown),
            }
        }
        ListedOrder {
            case,
            rx_id,
            has_other_rx_id: !records.iter().all(|(rx_id, _)| is_ours(rx_id)),
            states,
            has_order_id,
        }
    }

    /// What to observe of the order; none where it is present and nothing more can be read.
    pub fn evidence(&self) -> Option<Evidence<'_>> {
        match self.states.as_slice() {
            [] => None,
            [shown] if self.has_order_id => Some(Evidence::Listed(*shown)),
            states => Some(Evidence::Unsettled(states)),
        }
    }

    /// The Rx id to record, where it is another than the known one: the first recorded stays
    /// until a complete listing shows another alone.
    pub fn new_rx_id(&self, known: Option<&str>, is_complete: bool) -> Option<&'a str> {
        let replaces = known.is_none() || (is_complete && !self.has_other_rx_id);
        self.rx_id.filter(|rx_id| replaces && known != Some(rx_id))
    }
}

fn is_one_state(one: &OrderState<'_>, other: &OrderState<'_>) -> bool {
    one.status == other.status && !one.files.contradict(other.files)
}

#[cfg(test)]
mod tests {
    use super::super::files::{File, Files};
    use super::*;
    use crate::status::OrderStatus;

    struct Known(Vec<(&'static str, Option<&'static str>)>);

    impl KnownIds for Known {
        fn order_with_rx_id(&self, rx_id: &str) -> Option<&str> {
            let found = self.0.iter().find(|(_, known)| *known == Some(rx_id));
            found.map(|(order_id, _)| *order_id)
        }

        fn rx_id_of(&self, order_id: &str) -> Option<&str> {
            self.0.iter().find(|(known, _)| *known == order_id)?.1
        }
    }

    static FILES: Files = Files::none();

    fn record(
        order_id: &'static str,
        rx_id: &'static str,
        status: &'static OrderStatus,
    ) -> ListedRecord<'static> {
        ListedRecord {
            order_id: Some(order_id),
            rx_id: Some(rx_id),
            shown: Some(OrderState::new(status, &FILES)),
        }
    }

    const F: &OrderStatus = &OrderStatus::ReadyForDownload;
    const R: &OrderStatus = &OrderStatus::LabReview;

    #[test]
    fn two_orders_with_a_default_rx_id_are_two_cases() {
        let known = Known(Vec::new());
        let listing = Listing::read(&[record("1", "0", F), record("2", "0", F)], &known);
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
        let known = Known(vec![("1", Some("7"))]);
        let records = [record("", "7", F), record("2", "8", F), record("0", "8", F)];
        let listing = Listing::read(&records, &known);
        assert_eq!(listing.orders.len(), 2);
        for (order, case) in listing.orders.iter().zip(["1", "2"]) {
            assert_eq!(order.case, case);
            assert!(matches!(order.evidence(), Some(Evidence::Listed(_))));
        }
        let listing = Listing::read(&[record(" ", "9", F)], &known);
        assert_eq!(listing.orders[0].case, "9");
        assert!(matches!(
            listing.orders[0].evidence(),
            Some(Evidence::Unsettled([_]))
        ));
    }

    #[test]
    fn an_order_that_is_shown_in_two_states_is_unsettled_and_one_shown_twice_is_not() {
        let known = Known(Vec::new());
        let listing = Listing::read(&[record("1", "7", F), record("1", "7", R)], &known);
        assert!(matches!(
            listing.orders[0].evidence(),
            Some(Evidence::Unsettled([_, _]))
        ));
        let listing = Listing::read(&[record("1", "7", F); 2_000], &known);
        assert_eq!(listing.orders.len(), 1);
        assert!(matches!(
            listing.orders[0].evidence(),
            Some(Evidence::Listed(_))
        ));
        let (one, two) = (
            Files::new([File::new("a").size(1)]),
            Files::new([File::new("a").size(2)]),
        );
        let shown = |files| ListedRecord {
            order_id: Some("1"),
            rx_id: None,
            shown: Some(OrderState::new(F, files)),
        };
        let listing = Listing::read(&[shown(&one), shown(&two)], &known);
        assert!(matches!(
            listing.orders[0].evidence(),
            Some(Evidence::Unsettled([_, _]))
        ));
    }

    #[test]
    fn of_two_rx_ids_the_known_one_counts_until_another_is_listed_alone() {
        let known = Known(vec![("1", Some("7"))]);
        let listing = Listing::read(&[record("1", "8", R), record("1", "7", F)], &known);
        let order = &listing.orders[0];
        assert!(order.has_other_rx_id && order.rx_id == Some("7"));
        assert!(matches!(order.evidence(), Some(Evidence::Listed(shown)) if shown.status == F));
        assert_eq!(order.new_rx_id(Some("7"), true), None);
        let listing = Listing::read(&[record("1", "8", R)], &known);
        let order = &listing.orders[0];
        assert_eq!(order.new_rx_id(Some("7"), true), Some("8"));
        assert_eq!(order.new_rx_id(Some("7"), false), None);
        assert_eq!(order.new_rx_id(None, false), Some("8"));
        assert_eq!(order.new_rx_id(Some("8"), true), None);
    }

    #[test]
    fn a_record_of_which_only_an_id_can_be_read_is_present() {
        let known = Known(Vec::new());
        let unreadable = |order_id| ListedRecord {
            order_id,
            rx_id: None,
            shown: None,
        };
        let listing = Listing::read(&[unreadable(Some("1"))], &known);
        assert!(listing.is_readable && listing.orders[0].evidence().is_none());
        let listing = Listing::read(&[unreadable(None), unreadable(Some("0"))], &known);
        assert!(!listing.is_readable && listing.orders.is_empty());
    }
}
