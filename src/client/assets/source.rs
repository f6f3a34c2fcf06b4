//! Where a file comes from.
//!
//! *Problem.* The URL of a file is the service's own word. It may lead to a store elsewhere,
//! redirect, expire within minutes, or point at the lab's own network.
//!
//! *Approach.* Each URL, redirects included, is judged anew before it is requested. The token must
//! not go to another origin, and nothing is fetched from this machine or its network unless the
//! configuration names it.

use std::sync::Arc;
use std::time::Duration;

use http::{HeaderMap, Method, StatusCode, header};
use url::Url;

use super::super::Lab;
use super::super::trace::Subject;
use super::named;
use crate::auth::{Tokens, refuse_redirect};
use crate::endpoints::{Operation, origin};
use crate::error::{Error, Kind, Result, answer};
use crate::model::{Asset, Order};
use crate::transport::Response;

/// How often a download may be sent on.
// A gateway and a store of files make two; a loop must end (`a_circle_of_redirects_ends`).
const REDIRECTS: usize = 5;

/// How long to wait at least for a file that is being prepared, as *202 Accepted* says. Convention.
// Without it `Retry-After: 0` would ask as fast as the line allows
// (`a_file_that_is_not_ready_yet_is_waited_for`).
const PREPARING: Duration = Duration::from_secs(1);

/// The file of an order.
#[derive(Debug)]
pub(in crate::client) struct AssetSource<'a> {
    pub(super) lab: &'a Lab,
    order: &'a Order,
    pub(super) asset: &'a Asset,
    url: Url,
    /// What may be shown of the URL.
    template: Arc<str>,
    /// Whether the token went to the host that answered last.
    pub(in crate::client) shown: bool,
}

impl<'a> AssetSource<'a> {
    /// At the asset's own URL, or at that of the endpoint.
    pub(in crate::client) async fn new(
        lab: &'a Lab,
        order: &'a Order,
        asset: &'a Asset,
    ) -> Result<Self> {
        let (url, template) = match asset.url() {
            Some(url) => (url.clone(), "{asset_url}".into()),
            None => {
                lab.caller.locate(Operation::DownloadAsset).await?;
                endpoint(lab, order, asset)?
            }
        };
        Ok(AssetSource {
            lab,
            order,
            asset,
            url,
            template,
            shown: false,
        })
    }

    pub(super) fn subject(&self) -> Subject {
        Subject {
            title: Operation::DownloadAsset.title(),
            method: Method::GET,
            url: self.url.clone(),
            template: Arc::clone(&self.template),
        }
    }

    /// Whether an error may mean that the asset's URL has expired. Which status says so is not
    /// documented; stores of files use all of these.
    pub(super) fn may_be_expired(&self, error: &Error) -> bool {
        let status = error.status().map(|status| status.as_u16());
        self.asset.url().is_some() && matches!(status, Some(400 | 401 | 403 | 404 | 410))
    }

    /// Fetches the order again for the asset's new URL. Says whether there is one, for the same
    /// file: another one under the same name is not what was asked for.
    pub(super) async fn renew(&mut self) -> bool {
        // No operation fetches an order by its order id.
        let Some(rx_id) = self.order.rx_id() else {
            return false;
        };
        // The error of the download is the one to report: this one only says that there is no new
        // URL.
        let Ok(order) = self.lab.orders().by_rx(rx_id).await else {
            return false;
        };
        // What is there already would be continued with another file's bytes.
        let same = |other: &&Asset| {
            let asset = self.asset;
            other.id() == asset.id()
                && other.kind() == asset.kind()
                && other.size() == asset.size()
                && other.modified_text() == asset.modified_text()
                && other.digests().max() == asset.digests().max()
        };
        let mut assets = order.assets().iter().filter(same);
        // Two that look alike cannot be told apart.
        let found = assets.next().filter(|_| assets.next().is_none());
        let url = found.filter(|_| order.id() == self.order.id());
        match url.and_then(Asset::url) {
            Some(url) if *url != self.url => {
                self.url = url.clone();
                true
            }
            _ => false,
        }
    }

    /// The head of the file's answer, behind redirects, with the URL it came from. The token
    /// never follows one to another origin.
    pub(in crate::client) async fn open(
        &mut self,
        tokens: Option<Arc<Tokens>>,
        headers: HeaderMap,
    ) -> Result<(Url, Response)> {
        let mut url = self.url.clone();
        let caller = &self.lab.caller;
        let allowed = &caller.client.protocol().allowed;
        let mut tokens = tokens.as_deref();
        for _ in 0..=REDIRECTS {
            // In the loop: a redirect must not lead where a URL must not.
            if !allowed.permits_file(&url) {
                return Err(Error::new(Kind::Origin(format!(
                    "a file is not fetched from {}: not by plain http, with user info, or from this machine",
                    origin::display(&url)
                ))));
            }
            // `Attempts::failed` goes by it: a 401 of a host that saw no token says nothing of the
            // token (`a_refusal_by_a_host_that_never_saw_the_token_renews_nothing`).
            self.shown = tokens.is_some() && allowed.permits(&url);
            let response = caller.fetch(&url, tokens, headers.clone()).await?;
            let location = response.headers().get(header::LOCATION);
            // A redirect without a `Location` that can be read leads nowhere: `refused` describes it.
            let target = location
                .filter(|_| response.status().is_redirection())
                .and_then(|value| value.to_str().ok())
                .and_then(|text| url.join(text).ok());
            match target {
                Some(target) => {
                    // Dropped for good: it must not come back when another origin leads to the first one
                    // again, as that origin would choose the URL it is sent to.
                    tokens = tokens.filter(|_| target.origin() == url.origin());
                    url = target;
                }
                None => return Ok((url, response)),
            }
        }
        Err(Error::decode("it was sent on too often"))
    }

    /// The error for an answer that is not the file.
    pub(super) async fn refused(&self, url: &Url, response: Response) -> Error {
        let (head, body) = response.into_parts();
        if let Err(error) = refuse_redirect(url, &head) {
            return error;
        }
        if head.status == StatusCode::ACCEPTED {
            let now = self.lab.caller.client.protocol().wire.clock.now();
            let asked = answer::retry_after(&head.headers, now).unwrap_or(PREPARING);
            let request_id = answer::request_id(&head.headers);
            let error = Error::new(Kind::Status(
                "202 Accepted: the file is not ready yet".into(),
            ));
            return error.with_answer(head.status, request_id, Some(asked.max(PREPARING)));
        }
        if head.status.is_success() {
            let what = format!("{} where the file was due", head.status);
            return unfit(head.status, &head.headers, &what);
        }
        let wire = &self.lab.caller.client.protocol().wire;
        // What an error says of itself is short; if it does not come, its status is enough.
        let collected = wire
            .within(
                wire.timeouts.attempt,
                body.collect(64 * 1024, std::future::pending()),
            )
            .await;
        let body = collected.and_then(Result::ok);
        let body = body.map(|body| body.bytes).unwrap_or_default();
        answer::error(head.status, &head.headers, &body, wire.clock.now())
    }
}

/// The error for an answer whose body is of no use.
pub(super) fn unfit(status: StatusCode, headers: &HeaderMap, what: &str) -> Error {
    Error::decode(what).with_answer(status, answer::request_id(headers), None)
}

fn endpoint(lab: &Lab, order: &Order, asset: &Asset) -> Result<(Url, Arc<str>)> {
    let Some(id) = asset.id() else {
        return Err(named(Error::configuration(
            "the asset has neither a URL nor an id",
        )));
    };
    let directory = &lab.caller.client.protocol().directory;
    let endpoint = directory.resolve(Operation::DownloadAsset)?;
    // RFC 9110 section 14.2 defines ranges for GET alone: with another method nothing could be
    // resumed.
    if endpoint.method != Method::GET {
        return Err(named(Error::configuration("a file is downloaded with GET")));
    }
    let variables = [
        ("account_id", lab.id.as_str()),
        ("order_id", order.id().as_str()),
        ("asset_id", id),
    ];
    let url = endpoint.template.expand(&variables).map_err(named)?;
    Ok((url, endpoint.template.shared()))
}
