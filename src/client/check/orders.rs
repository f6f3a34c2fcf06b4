//! The steps about orders and their files.
//!
//! Each answer is looked at twice: as an application reads it, and as plain JSON for its form. A file
//! is only opened; the check must not take an order off the list unless the caller allowed it.

use std::sync::Arc;

use bytes::Bytes;
use http::response::Parts;
use http::{HeaderMap, HeaderValue, StatusCode, header};
use serde_json::{Map, Value};
use url::Url;

use super::super::assets::source::AssetSource;
use super::super::listing::Rules;
use super::super::pipeline::{Call, authorize};
use super::super::{Lab, paging};
use super::advice::advice;
use super::form::{error_form, is_plain};
use super::place;
use super::report::Outcome;
use super::run::Run;
use crate::auth::not_permitted;
use crate::endpoints::Operation;
use crate::error::{Error, Result, answer};
use crate::model::lenient::Shapes;
use crate::model::{Asset, Order, RxId, shapes};
use crate::status::{OrderStatus, Symbol};

/// No prescription has this id, and whoever finds it in a log sees what it was for.
const NO_ORDER: &str = "no-such-order-lab-connector-check";

impl Run {
    /// The orders that are listed.
    pub(super) async fn listing(&mut self, lab: &Lab) -> Option<Vec<Order>> {
        let operation = Operation::GetOrders;
        let call = Call::new(operation).with("account_id", lab.id().as_str());
        // The first page by itself, to look into its form.
        let answer = match lab.caller.send(call).await {
            Ok(answer) => answer,
            Err(error) => {
                self.failed(operation, &error);
                return None;
            }
        };
        self.seen.headers(&answer.headers);
        let mut first = 0;
        // What is not JSON is reported below, by the listing as an application reads it.
        let value = answer.decode("").unwrap_or_default();
        if let Some(place) = self.list(operation, &value) {
            let shapes = self.shapes();
            first = place.records.len();
            self.seen.list(&place, "around the orders");
            self.seen.empty(&place);
            self.seen.paging = paging::signs(&answer.headers, &place.around);
            let allowed = Arc::clone(&self.client().protocol().allowed);
            self.seen
                .orders("listed order", place.records, &shapes, &|url| {
                    allowed.permits(url)
                });
            self.status_key = status_key(place.records, &shapes);
        }
        // Once more as an application reads it, with all pages.
        match lab.orders().list().await {
            Ok(listing) => {
                let (orders, unread) = (listing.orders().len(), listing.unreadable().len());
                // There is more than in the first answer: that was a page.
                if orders + unread > first {
                    self.seen.page_size = Some(first);
                }
                let problem = listing.problem().map(ToString::to_string);
                let path = listing
                    .unreadable()
                    .first()
                    .map(|it| it.error().to_string());
                let step = match (problem.is_none(), unread) {
                    // A listing with a gap is a failure here: in operation no absence would mean anything.
                    (true, 0) => self.good(operation, answer.status),
                    _ => {
                        let asked = self.asked(operation);
                        let step = self.step(operation.title(), asked, Outcome::Failed);
                        step.came = answer.status.to_string();
                        step.advice = Some("name the keys in `shapes.names.order`, or where the list stands in `shapes.lists.get_orders`".to_owned());
                        step
                    }
                };
                step.facts.push(format!("orders: {orders}"));
                if unread > 0 {
                    step.facts.push(format!(
                        "{unread} cannot be read, the first: {}",
                        path.unwrap_or_default()
                    ));
                }
                step.facts
                    .extend(problem.map(|problem| format!("it is not complete: {problem}")));
                Some(listing.into_orders())
            }
            Err(error) => {
                self.failed(operation, &error);
                None
            }
        }
    }

    /// One order by its Rx id.
    pub(super) async fn order(&mut self, lab: &Lab, listed: Option<&[Order]>) -> Option<Order> {
        let operation = Operation::GetOrderByRxId;
        // The first that has one: a listing may leave Rx ids out.
        let first = || listed.into_iter().flatten().find_map(Order::rx_id).cloned();
        let Some(rx_id): Option<RxId> = self.check.order.clone().or_else(first) else {
            self.skipped(
                operation.title(),
                "no order is listed, and none is given",
                "name one by its Rx id",
            );
            return None;
        };
        let call = Call::new(operation)
            .with("account_id", lab.id().as_str())
            .with("rx_id", rx_id.as_str());
        let answer = match lab.caller.send(call).await {
            Ok(answer) => answer,
            Err(error) => {
                if self.check.order.is_some() && is_missing(&error) {
                    self.seen.elsewhere = Some("missing");
                }
                self.failed(operation, &error);
                return None;
            }
        };
        let shapes = self.shapes();
        let value: Value = answer.decode("").unwrap_or_default();
        let configured = shapes.lists.get(operation.name());
        if let Some(value) = value.pointer(configured.map_or("", String::as_str)) {
            let is_record = |fields: &Map<String, Value>| {
                let own = ["orderid", "rxid"];
                let field = |key: &String| shapes::field_of("order", key, &shapes);
                fields
                    .keys()
                    .filter_map(field)
                    .any(|field| own.contains(&field))
            };
            if let Some(fields) = place::record(value, is_record) {
                let allowed = Arc::clone(&self.client().protocol().allowed);
                self.seen
                    .order("order", fields, &shapes, &|url| allowed.permits(url));
            }
        }
        let rules = Rules::new(self.client(), operation, self.client().inner.listing);
        match answer.record::<Order>(rules).await {
            Ok(order) => {
                if self.check.order.is_some() && !is_with_lab(order.status()) {
                    let bare = order.assets().is_empty();
                    self.seen.elsewhere = Some(if bare { "without_files" } else { "full" });
                }
                let step = self.good(operation, answer.status);
                step.facts.push(format!("files: {}", order.assets().len()));
                Some(order)
            }
            Err(error) => {
                self.failed(operation, &error);
                None
            }
        }
    }

    /// What is not there: how the service says so.
    pub(super) async fn missing(&mut self, lab: &Lab) {
        const NAME: &str = "an order that does not exist";
        let asked = self.asked(Operation::GetOrderByRxId);
        match self.bare(lab).await {
            // A refusal of the caller says nothing of the order.
            Ok((head, body)) if !head.status.is_client_error() || is_refusal(head.status) => {
                let now = self.client().protocol().wire.clock.now();
                let error = answer::error(head.status, &head.headers, &body, now);
                let step = self.step(NAME, asked, Outcome::Failed);
                step.came = head.status.to_string();
                step.advice = Some(match head.status.is_success() {
                    true => "check the endpoint `get_order_by_rx_id`: it answers as if the order were there".to_owned(),
                    false => advice(&error, Operation::GetOrderByRxId),
                });
            }
            Ok((head, body)) => {
                self.seen.missing_code = Some(head.status.as_u16());
                self.seen.error_form = Some(error_form(&body));
                self.seen.headers(&head.headers);
                let step = self.step(NAME, asked, Outcome::Good);
                step.came = head.status.to_string();
                step.facts
                    .push(format!("answered with {}", error_form(&body)));
            }
            Err(error) => {
                let step = self.step(NAME, asked, Outcome::Failed);
                step.came = error.to_string();
                step.advice = Some(advice(&error, Operation::GetOrderByRxId));
            }
        }
    }

    /// The answer as it is: not judged, not repeated.
    pub(super) async fn bare(&self, lab: &Lab) -> Result<(Parts, Bytes)> {
        let protocol = self.client().protocol();
        let raw = lab
            .call(Operation::GetOrderByRxId)
            .variable("rx_id", NO_ORDER);
        let mut request = raw.inspect()?;
        let url = Url::parse(&request.uri().to_string())
            .map_err(|error| Error::configuration("the endpoint is no URL").with_source(error))?;
        if !protocol.allowed.permits(&url) {
            return Err(not_permitted(&url));
        }
        // By hand, as the pipeline does it: a 401 must not renew the token here.
        authorize(&mut request, &*lab.tokens.tokens().await?)?;
        protocol.wire.exchange(&url, request).await
    }

    /// The first byte of files, and whether that takes the order off the list.
    pub(super) async fn files(&mut self, lab: &Lab, order: &Order, listed: Option<&[Order]>) {
        let is_listed = |orders: &[Order]| orders.iter().any(|other| other.id() == order.id());
        // Only an order that was listed can leave the list.
        let mut was_listed = listed.is_some_and(is_listed);
        let mut kinds = vec!["thumbnails"];
        kinds.extend(self.check.zip.then_some("zip"));
        for name in kinds {
            let is_kind = |asset: &&Asset| match name {
                "zip" => asset.is_export(),
                _ => asset.is_thumbnails(),
            };
            let Some(asset) = order.assets().iter().find(is_kind) else {
                self.skipped(name, "the order has no such file", "");
                continue;
            };
            if !self.file(name, lab, order, asset).await || !was_listed {
                continue;
            }
            // The absence of an order says something only in a complete listing.
            if let Ok(now) = lab.orders().list().await
                && now.is_complete()
                && !is_listed(now.orders())
            {
                was_listed = false;
                self.seen.left_the_list = Some(name);
                if let Some(step) = self.steps.last_mut() {
                    step.facts
                        .push("the order has left the list by it".to_owned());
                }
            }
        }
    }

    pub(super) async fn file(
        &mut self,
        name: &'static str,
        lab: &Lab,
        order: &Order,
        asset: &Asset,
    ) -> bool {
        let asked = match asset.url() {
            Some(_) => Some("GET, at the URL that the order gives, one byte".to_owned()),
            None => self
                .asked(Operation::DownloadAsset)
                .map(|asked| format!("{asked}, one byte")),
        };
        let opened = async {
            let mut source = AssetSource::new(lab, order, asset).await?;
            let tokens = lab.tokens.tokens().await?;
            let mut headers = HeaderMap::new();
            // One byte: no range asks for less (RFC 9110 section 14.1.2).
            headers.insert(header::RANGE, HeaderValue::from_static("bytes=0-0"));
            let (_, response) = source.open(Some(tokens), headers).await?;
            // Its body is not read: at most what is on its way comes.
            let head = response.into_parts().0;
            match head.status.is_success() {
                true => Ok((source.shown, head)),
                false => {
                    let now = self.client().protocol().wire.clock.now();
                    Err(answer::error(head.status, &head.headers, b"", now))
                }
            }
        };
        match opened.await {
            Ok((shown, head)) => {
                let is_part = head.status == StatusCode::PARTIAL_CONTENT;
                self.seen.headers(&head.headers);
                self.seen.ranges = Some(is_part);
                self.seen.etags = Some(head.headers.contains_key(header::ETAG));
                let step = self.step(name, asked, Outcome::Good);
                step.came = head.status.to_string();
                step.facts.push(
                    if shown {
                        "with the token"
                    } else {
                        "without the token: it is another host"
                    }
                    .to_owned(),
                );
                true
            }
            Err(error) => {
                let step = self.step(name, asked, Outcome::Failed);
                step.came = error.to_string();
                step.advice = Some(advice(&error, Operation::DownloadAsset));
                false
            }
        }
    }
}

fn is_refusal(status: StatusCode) -> bool {
    matches!(
        status,
        StatusCode::UNAUTHORIZED | StatusCode::TOO_MANY_REQUESTS
    )
}

fn is_missing(error: &Error) -> bool {
    let status = error.status();
    // Which code says that an order is not shown is not documented; a 401 is about the token.
    status.is_some_and(|status| status.is_client_error()) && !error.is_unauthorized()
}

fn is_with_lab(status: &OrderStatus) -> bool {
    matches!(
        status.symbol(),
        // A status that the crate does not know proves nothing.
        Some(Symbol::F | Symbol::R | Symbol::D) | None
    )
}

/// The only key whose values are all statuses that Align documents, where no key is read as one.
fn status_key(records: &[Value], shapes: &Shapes) -> Option<String> {
    let records: Vec<_> = records.iter().filter_map(Value::as_object).collect();
    let known = |fields: &&Map<String, Value>| {
        fields
            .keys()
            .any(|key| shapes::field_of("order", key, shapes) == Some("status"))
    };
    let first = records.first().filter(|_| !records.iter().any(known))?;
    let mut keys = first.keys().filter(|key| {
        let is_status = |fields: &&Map<String, Value>| {
            let text = fields.get(key.as_str()).and_then(Value::as_str);
            text.is_some_and(|text| OrderStatus::from(text).is_known())
        };
        is_plain(key) && records.iter().all(is_status)
    });
    let only = keys.next()?;
    keys.next().is_none().then(|| only.clone())
}
