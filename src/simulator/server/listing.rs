//! *Get Orders*: the list, its pages, and what faults do to them.
//!
//! *Problem.* Software polls it all the time, in each style of paging, while cases move.
//!
//! *Approach.* A page is made once for each version of the list and kept. What is shown must be marked
//! as seen under the same lock, and only if the answer will arrive.

use std::collections::HashMap;
use std::ops::Bound;

use axum::Extension;
use axum::extract::{Path, RawQuery, State};
use axum::http::{HeaderMap, HeaderValue, header};
use axum::response::{IntoResponse, Response};
use serde_json::{Map, Value, json};

use super::super::SimulatorState;
use super::super::behaviour::{AssetUrls, Behaviour, EmptyList, Lists, Paging};
use super::super::page_cache::{Page, PageStart, Pages};
use super::super::world::World;
use super::effects::Effects;
use super::shape::{self, Shape};
use super::{Problem, account};
use crate::endpoints::Operation;
use crate::model::AccountId;
use crate::simulator::App;

pub(super) async fn list(
    State(shared): App,
    Extension(effects): Extension<Effects>,
    headers: HeaderMap,
    Path(id): Path<String>,
    RawQuery(query): RawQuery,
) -> Result<Response, Problem> {
    let id = account(&shared, &headers, &id)?;
    let mut world = shared.world();
    let behaviour = world.behaviour.clone();
    let place = place(&behaviour, query.as_deref().unwrap_or_default())?;
    let version = world.account(&id).map_or(0, |account| account.version);
    // What is signed anew each time is written anew each time.
    let lasts = effects.is_plain() && behaviour.asset_urls != AssetUrls::Signed;
    let known = world.account(&id).filter(|_| lasts).and_then(|account| {
        let pages = Some(&account.pages).filter(|pages| pages.version == version)?;
        pages
            .pages
            .get(&place)
            // A page whose cases are still to be marked as seen is made again, so that they are.
            .filter(|page| page.unseen.is_empty() || effects.broken)
    });
    let page = match known {
        Some(page) => page.clone(),
        None => {
            let mut page = page(&shared, &world, &behaviour, &effects, &id, place);
            if !effects.broken {
                for place in page.unseen.drain(..) {
                    // Under the same lock as the making of the page: a case that moves in between
                    // would be marked in a status that was not shown.
                    world.see(place);
                }
            }
            if let Some(account) = world.account_mut(&id).filter(|_| lasts) {
                if account.pages.version != version {
                    account.pages = Pages {
                        version,
                        pages: HashMap::new(),
                    };
                }
                account.pages.pages.insert(place, page.clone());
            }
            page
        }
    };
    // Before the answer is put together, which needs nothing of the world.
    drop(world);
    let mut response = page.bytes.into_response();
    let json = HeaderValue::from_static("application/json");
    response.headers_mut().insert(header::CONTENT_TYPE, json);
    if let Some(link) = page.link {
        response.headers_mut().insert(header::LINK, link);
    }
    Ok(response)
}

/// Where the page begins that is asked for.
fn place(behaviour: &Behaviour, query: &str) -> Result<PageStart, Problem> {
    let number = |wanted: &str| {
        let mut pairs = url::form_urlencoded::parse(query.as_bytes());
        let found = pairs.find(|(name, _)| name.eq_ignore_ascii_case(wanted));
        let wrong = || Problem::bad_request(format!("`{wanted}` is no place in the list"));
        found
            .map(|(_, value)| value.parse::<u32>().map_err(|_| wrong()))
            .transpose()
    };
    let size = behaviour.page_size;
    Ok(match style(behaviour) {
        Paging::None => PageStart::After(None),
        Paging::Link | Paging::Cursor => PageStart::After(number("cursor")?),
        Paging::Page => {
            // Pages are counted from 1; a page 0 is the first one too.
            let before = number("page")?.unwrap_or(1).saturating_sub(1);
            PageStart::Skip((before as usize).saturating_mul(size))
        }
        Paging::Offset => PageStart::Skip(number("offset")?.unwrap_or(0) as usize),
    })
}

/// A bare list has no room for what most styles say.
fn style(behaviour: &Behaviour) -> Paging {
    match (behaviour.paging, behaviour.lists) {
        (Paging::None, _) => Paging::None,
        (_, Lists::Bare) => Paging::Link,
        (style, _) => style,
    }
}

fn page(
    shared: &SimulatorState,
    world: &World,
    behaviour: &Behaviour,
    effects: &Effects,
    id: &AccountId,
    place: PageStart,
) -> Page {
    let shape = Shape {
        shared,
        world,
        behaviour,
        effects,
    };
    let paging = style(behaviour);
    let size = match paging {
        Paging::None => usize::MAX,
        _ => behaviour.page_size,
    };
    let (mut places, total): (Vec<u32>, usize) = match world.account(id) {
        None => (Vec::new(), 0),
        Some(account) => {
            let listed = &account.listed;
            // One more than the page holds, to know whether there is one.
            let take = size.saturating_add(1);
            let places = match place {
                PageStart::After(None) => listed.iter().take(take).copied().collect(),
                PageStart::After(Some(last)) => {
                    let range = (Bound::Excluded(last), Bound::Unbounded);
                    listed.range(range).take(take).copied().collect()
                }
                PageStart::Skip(count) => listed.iter().skip(count).take(take).copied().collect(),
            };
            (places, listed.len())
        }
    };
    let more = places.len() > size;
    places.truncate(size);
    let last = places.last().copied();
    let mut orders: Vec<Value> = places
        .iter()
        .filter_map(|place| shape.order(world.at(*place)?, true))
        .collect();
    let mut unseen = places;
    disturb(&shape, id, &mut orders, &mut unseen);

    let mut around = Map::new();
    let mut link = None;
    match (paging, place) {
        (Paging::Link, _) if more => {
            link = last.and_then(|last| link_to(shared, id, last));
        }
        (Paging::Cursor, _) => {
            let cursor = last.filter(|_| more).map(|last| last.to_string());
            around.insert("nextCursor".to_owned(), cursor.into());
        }
        (Paging::Page, PageStart::Skip(skipped)) => {
            around.insert("page".to_owned(), (skipped / size + 1).into());
            let pages = total.div_ceil(size).max(1);
            around.insert("totalPages".to_owned(), pages.into());
        }
        (Paging::Offset, PageStart::Skip(skipped)) => {
            around.insert("offset".to_owned(), skipped.into());
            around.insert("total".to_owned(), total.into());
        }
        _ => {}
    }
    let list = match behaviour.empty_list {
        EmptyList::Null if orders.is_empty() && behaviour.lists != Lists::Bare => Value::Null,
        _ => Value::Array(orders),
    };
    let body = match behaviour.lists {
        Lists::Bare => list,
        Lists::Wrapped => {
            around.insert("orders".to_owned(), list);
            Value::Object(around)
        }
        Lists::Nested => {
            around.insert("data".to_owned(), json!({ "orders": list }));
            Value::Object(around)
        }
    };
    Page {
        bytes: shape::bytes(behaviour, body).into(),
        link,
        unseen,
    }
}

/// The page after this place.
fn link_to(shared: &SimulatorState, id: &AccountId, last: u32) -> Option<HeaderValue> {
    let endpoint = shared.endpoints.resolve(Operation::GetOrders).ok()?;
    let variables = [("account_id", id.as_str())];
    let url = endpoint.template.expand(&variables).ok()?;
    HeaderValue::from_str(&format!("<{url}?cursor={last}>; rel=\"next\"")).ok()
}

/// What faults do to the records of a page.
fn disturb(shape: &Shape<'_>, id: &AccountId, orders: &mut Vec<Value>, places: &mut Vec<u32>) {
    let effects = shape.effects;
    // The remainder is smaller than the count, so it fits into `usize`.
    let chosen = |count: usize| usize::try_from(effects.choice % count.max(1) as u64).unwrap_or(0);
    if effects.missing_order && !orders.is_empty() {
        let at = chosen(orders.len());
        orders.remove(at);
        places.remove(at);
    }
    if effects.unreadable_record && !orders.is_empty() {
        let at = chosen(orders.len());
        if let Value::Object(order) = &mut orders[at] {
            order.retain(|key, _| !matches!(key.as_str(), "orderId" | "rxId" | "status"));
        }
        places.remove(at);
    }
    if effects.stale_order {
        let gone = shape.world.account(id).map(|account| &account.left);
        let gone = gone.filter(|left| !left.is_empty());
        let stale = gone.and_then(|left| {
            let (place, entry) = left[chosen(left.len())];
            let case = shape.world.at(place)?;
            shape.order_at(case, case.entries().get(entry as usize)?, true)
        });
        orders.extend(stale);
    }
}
