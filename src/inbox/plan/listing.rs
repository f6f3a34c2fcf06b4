//! One listing, sorted into what it says of each order.

use std::collections::HashMap;

use super::identity::present;
use super::observation::{Evidence, OrderState};

/// One record of a listing, as far as it can be read.
#[derive(Clone, Copy, Debug)]
pub(in crate::inbox) struct ListedRecord<'a> {
    pub(in crate::inbox) order_id: Option<&'a str>,
    pub(in crate::inbox) rx_id: Option<&'a str>,
    /// None where the record cannot be read beyond its ids.
    pub(in crate::inbox) shown: Option<OrderState<'a>>,
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
    /// The states that contradict each other, in the order of the listing. None: it is present,
    /// and nothing more can be read.
    states: Vec<OrderState<'a>>,
    /// Which records they are of.
    places: Vec<usize>,
    has_order_id: bool,
}

/// A record of an order, and its place in the listing.
type Placed<'a> = (usize, Option<&'a str>, Option<OrderState<'a>>);

impl<'a> Listing<'a> {
    pub(in crate::inbox) fn read(records: &[ListedRecord<'a>], known: &'a impl KnownIds) -> Self {
        // A record without an order id may belong to one that has it in the same listing.
        let is_bare = |one: &ListedRecord<'_>| one.order_id.and_then(present).is_none();
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
        let mut orders: Vec<Vec<Placed<'a>>> = Vec::new();
        let mut cases: Vec<(&'a str, bool)> = Vec::new();
        let mut is_readable = true;
        for (position, record) in records.iter().enumerate() {
            let rx_id = record.rx_id.and_then(present);
            let order_id = record.order_id.and_then(present);
            let joined = || by_rx_id.get(rx_id?).copied();
            let Some((case, has_order_id)) = case_of(order_id.or_else(joined), rx_id, known) else {
                is_readable = false;
                continue;
            };
            let place = *places.entry(case).or_insert_with(|| {
                orders.push(Vec::new());
                cases.push((case, has_order_id));
                orders.len() - 1
            });
            orders[place].push((position, rx_id, record.shown));
        }
        let orders = cases.into_iter().zip(orders);
        let orders = orders.map(|((case, has_order_id), records)| {
            let known_rx_id = known.by_key(case).and_then(|known| known.rx_id);
            ListedOrder::of(case, has_order_id, &records, known_rx_id)
        });
        Listing {
            orders: orders.collect(),
            is_readable,
        }
    }
}

/// Which case a record belongs to, and whether that has an order id. None of a record that cannot
/// be told from those of another order.
fn case_of<'a>(
    order_id: Option<&'a str>,
    rx_id: Option<&'a str>,
    known: &'a impl KnownIds,
) -> Option<(&'a str, bool)> {
    let by_rx_id = || rx_id.and_then(|rx_id| known.by_rx_id(rx_id));
    let Some(order_id) = order_id else {
        let Some(case) = by_rx_id() else {
            // The number may be another order's id.
            let rx_id = rx_id.filter(|rx_id| known.by_key(rx_id).is_none())?;
            return Some((rx_id, false));
        };
        // One that was only heard of waits for a fetch to tell its order id.
        return Some((case.key, !case.stands_under_rx_id() || case.has_arrived));
    };
    if known.by_key(order_id).is_some() {
        return Some((order_id, true));
    }
    // An order id that appears later joins the case that was recorded without one.
    match by_rx_id().filter(|case| case.stands_under_rx_id()) {
        Some(case) => Some((case.key, true)),
        None => Some((order_id, true)),
    }
}

impl<'a> ListedOrder<'a> {
    fn of(
        case: &'a str,
        has_order_id: bool,
        records: &[Placed<'a>],
        known_rx_id: Option<&'a str>,
    ) -> Self {
        let mut rx_ids = records.iter().filter_map(|(_, rx_id, _)| *rx_id);
        let is_known = |rx_id: &&str| Some(*rx_id) == known_rx_id;
        let rx_id = rx_ids.clone().find(is_known).or_else(|| rx_ids.next());
        let is_ours = |one: &Option<&str>| one.is_none() || *one == rx_id;
        let mut states: Vec<OrderState<'a>> = Vec::new();
        let mut places = Vec::new();
        for (place, _, shown) in records.iter().filter(|(_, rx_id, _)| is_ours(rx_id)) {
            let Some(shown) = shown else { continue };
            match states.iter().position(|state| is_one_state(state, shown)) {
                // The same state, better described.
                Some(at) if shown.files.cover(states[at].files) => {
                    states[at] = *shown;
                    places[at] = *place;
                }
                Some(_) => {}
                None => {
                    states.push(*shown);
                    places.push(*place);
                }
            }
        }
        ListedOrder {
            case,
            rx_id,
            has_other_rx_id: !records.iter().all(|(_, rx_id, _)| is_ours(rx_id)),
            states,
            places,
            has_order_id,
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

    /// The records that its states are made of, by their places in the listing.
    pub(in crate::inbox) fn places(&self) -> impl Iterator<Item = usize> + '_ {
        self.places.iter().copied()
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

fn is_one_state(one: &OrderState<'_>, other: &OrderState<'_>) -> bool {
    one.status == other.status && (one.files.cover(other.files) || other.files.cover(one.files))
}

#[cfg(test)]
mod tests {
    use super::super::files::{File, Files};
    use super::*;
    use crate::status::OrderStatus;

    struct Known(Vec<(&'static str, Option<&'static str>)>);

    impl Known {
        fn find(&self, is_it: impl Fn(&KnownCase<'_>) -> bool) -> Option<KnownCase<'_>> {
            let cases = self.0.iter().map(|(key, rx_id)| KnownCase {
                key,
                rx_id: *rx_id,
                has_arrived: false,
            });
            cases.into_iter().find(is_it)
        }
    }

    impl KnownIds for Known {
        fn by_key(&self, key: &str) -> Option<KnownCase<'_>> {
            self.find(|known| known.key == key)
        }

        fn by_rx_id(&self, rx_id: &str) -> Option<KnownCase<'_>> {
            self.find(|known| known.rx_id == Some(rx_id))
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

    #[test]
    fn a_case_that_was_recorded_without_an_order_id_keeps_its_name() {
        let known = Known(vec![("7", Some("7")), ("1", Some("6"))]);
        let listing = Listing::read(&[record("2", "7", F), record("", "7", F)], &known);
        assert_eq!(listing.orders.len(), 1);
        let order = &listing.orders[0];
        assert_eq!((order.case, order.rx_id), ("7", Some("7")));
        assert!(matches!(order.evidence(), Some(Evidence::Listed(_))));
        // Without one it still waits, until it is more than heard of.
        let listing = Listing::read(&[record("", "7", F)], &known);
        let evidence = listing.orders[0].evidence();
        assert!(matches!(evidence, Some(Evidence::Unsettled([_]))));
        // An Rx id that is another order's order id names neither.
        let listing = Listing::read(&[record("", "1", F)], &known);
        assert!(listing.orders.is_empty() && !listing.is_readable);
    }
}
