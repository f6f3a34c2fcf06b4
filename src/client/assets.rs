//! The files of orders.

use std::path::Path;
use std::sync::Arc;
use std::time::SystemTime;

use futures_util::{FutureExt, StreamExt};
use http::{Method, StatusCode, header};
use url::Url;

use super::Lab;
use super::pipeline::Prepared;
use crate::auth::{Tokens, refuse_redirect};
use crate::download::{Downloaded, Progress, Report, Sink};
use crate::endpoints::{Operation, origin};
use crate::error::{Error, Kind, Result, Sent, answer};
use crate::model::{Asset, Order};
use crate::transport::wire::Wire;
use crate::transport::{Failure, Response};

/// The files of a lab's orders.
#[derive(Clone, Copy, Debug)]
pub struct Assets<'a> {
    lab: &'a Lab,
}

impl<'a> Assets<'a> {
    pub(super) fn new(lab: &'a Lab) -> Self {
        Assets { lab }
    }

    /// *Download Asset*: a file of an order. Say where to with [`Download::to_file`].
    ///
    /// What marks an order as *Downloaded* is not documented. Record the order before its first
    /// file is fetched, and fetch thumbnails before the zip.
    pub fn download<'b>(&self, order: &'b Order, asset: &'b Asset) -> Download<'b>
    where
        'a: 'b,
    {
        Download {
            source: Source {
                lab: self.lab,
                order,
                asset,
            },
            report: None,
        }
    }
}

/// A download about to begin.
#[must_use = "nothing is downloaded until it is said where to"]
#[derive(Debug)]
pub struct Download<'a> {
    source: Source<'a>,
    report: Option<Report>,
}

/// The file of an order, where it comes from.
#[derive(Clone, Copy, Debug)]
struct Source<'a> {
    lab: &'a Lab,
    order: &'a Order,
    asset: &'a Asset,
}

/// How often a download may be sent on.
const REDIRECTS: usize = 5;

impl Download<'_> {
    /// Tells how far it has come, whenever bytes have arrived.
    pub fn progress(mut self, report: impl FnMut(Progress) + Send + 'static) -> Self {
        self.report = Some(Report(Box::new(report)));
        self
    }

    /// Downloads to a file, in a directory that exists. A file of that name is replaced.
    ///
    /// The token goes along only to hosts that it may be sent to: an asset's URL on another
    /// host is fetched without it. There is no limit on the whole time, only on the time
    /// between two pieces.
    ///
    /// # Errors
    ///
    /// [`Error::is_incomplete`] if it is shorter or longer than announced, or empty;
    /// [`Error::is_file`] if it cannot be written, which is found out before anything is asked
    /// for. Nothing new is under the file's name then.
    ///
    /// # Cancel safety
    ///
    /// Safe: dropped, a `.part` file may be left, and nothing is under the file's name.
    pub async fn to_file(self, path: impl AsRef<Path>) -> Result<Downloaded> {
        let operation = Operation::DownloadAsset;
        let named = |error: Error| error.with_operation(operation.title());
        let Download { source, report } = self;
        let (url, template) = source.url()?;
        // Before anything is asked for: what cannot be kept should not count as downloaded.
        let sink = Sink::create(path.as_ref()).await.map_err(named)?;
        let caller = &source.lab.caller;
        let _place = caller.enter().await;
        let prepared = Prepared::new(operation.title(), Method::GET, url, &template);
        let opened = caller
            .repeating(&prepared, |tokens| {
                source.open(prepared.url.clone(), tokens).boxed()
            })
            .await;
        match opened {
            Ok(((url, response), attempts)) => source
                .save(&url, response, sink, report)
                .await
                .map_err(|error| named(error).with_attempts(attempts)),
            Err(error) => {
                sink.abandon().await;
                Err(error)
            }
        }
    }
}

impl Source<'_> {
    /// The asset's own URL, or that of the endpoint; and what may be told of it.
    fn url(&self) -> Result<(Url, String)> {
        if let Some(url) = self.asset.url() {
            return Ok((url.clone(), "{asset_url}".to_owned()));
        }
        let operation = Operation::DownloadAsset;
        let named = |error: Error| error.with_operation(operation.title());
        let Some(id) = self.asset.id() else {
            return Err(named(Error::configuration(
                "the asset has neither a URL nor an id",
            )));
        };
        let endpoint = self
            .lab
            .caller
            .client
            .protocol()
            .directory
            .resolve(operation)?;
        if endpoint.method != Method::GET {
            return Err(named(Error::configuration("a file is downloaded with GET")));
        }
        let variables = [
            ("account_id", self.lab.id.as_str()),
            ("order_id", self.order.id().as_str()),
            ("asset_id", id.as_str()),
        ];
        let url = endpoint.template.expand(&variables).map_err(named)?;
        Ok((url, endpoint.template.as_str().to_owned()))
    }

    /// The head of the file's answer, behind redirects. The token never follows one to another
    /// origin.
    async fn open(self, mut url: Url, tokens: Option<Arc<Tokens>>) -> Result<(Url, Response)> {
        let allowed = &self.lab.caller.client.protocol().allowed;
        let mut tokens = tokens.as_deref();
        for _ in 0..=REDIRECTS {
            if !allowed.permits_file(&url) {
                return Err(Error::new(Kind::Origin(format!(
                    "a file is not fetched from {}: not by plain http, with user info, or from this machine",
                    origin::display(&url)
                ))));
            }
            let response = self.lab.caller.fetch(&url, tokens).await?;
            let location = response.headers().get(header::LOCATION);
            let target = location
                .filter(|_| response.status().is_redirection())
                .and_then(|value| value.to_str().ok())
                .and_then(|text| url.join(text).ok());
            match target {
                Some(target) => {
                    // Nor does it come back when another origin leads to the first one again.
                    tokens = tokens.filter(|_| target.origin() == url.origin());
                    url = target;
                }
                None => return self.judge(url, response).await,
            }
        }
        Err(Error::decode("it was sent on too often"))
    }

    async fn judge(&self, url: Url, response: Response) -> Result<(Url, Response)> {
        if response.status() == StatusCode::OK {
            return Ok((url, response));
        }
        let (head, body) = response.into_parts();
        refuse_redirect(&url, &head)?;
        if head.status.is_success() {
            let request_id = answer::request_id(&head.headers);
            return Err(
                Error::decode(format!("{} where the file was due", head.status)).with_answer(
                    head.status,
                    request_id,
                    None,
                ),
            );
        }
        let wire = &self.lab.caller.client.protocol().wire;
        // What an error says of itself is short; if it does not come, its status is enough.
        let collected = wire
            .within(wire.timeouts.attempt, body.collect(64 * 1024))
            .await;
        let body = collected.and_then(Result::ok).unwrap_or_default();
        Err(answer::error(
            head.status,
            &head.headers,
            &body,
            wire.clock.now(),
        ))
    }

    async fn save(
        &self,
        url: &Url,
        response: Response,
        mut sink: Sink,
        report: Option<Report>,
    ) -> Result<Downloaded> {
        match self.fill(url, response, &mut sink, report).await {
            Ok(announced) => sink.finish(&[announced, self.asset.size()]).await,
            Err(error) => {
                sink.abandon().await;
                Err(error)
            }
        }
    }

    /// Writes down what comes. Gives the length that the answer announced.
    async fn fill(
        &self,
        url: &Url,
        response: Response,
        sink: &mut Sink,
        mut report: Option<Report>,
    ) -> Result<Option<u64>> {
        let wire = &self.lab.caller.client.protocol().wire;
        let (status, headers) = (response.status(), response.headers());
        let has = |name: header::HeaderName, is: fn(&str) -> bool| {
            let value = headers.get(name).and_then(|value| value.to_str().ok());
            value.is_some_and(is)
        };
        let unfit = if has(header::CONTENT_ENCODING, |encoding| encoding != "identity") {
            Some("the file came compressed, which nobody asked for")
        } else if self.asset.is_export()
            && has(header::CONTENT_TYPE, |kind| kind.starts_with("text/html"))
        {
            Some("an HTML page came in place of the zip, perhaps of a proxy or a sign-in form")
        } else {
            None
        };
        if let Some(what) = unfit {
            let request_id = answer::request_id(headers);
            return Err(Error::decode(what).with_answer(status, request_id, None));
        }
        let announced = headers
            .get(header::CONTENT_LENGTH)
            .and_then(|value| value.to_str().ok()?.trim().parse::<u64>().ok());
        let total = announced.or(self.asset.size());
        let mut body = response.into_body();
        let mut pace = Pace::begin(wire);
        loop {
            let chunk = match wire.within(wire.timeouts.idle, body.next()).await {
                Some(Some(Ok(chunk))) => chunk,
                Some(None) => return Ok(announced),
                Some(Some(Err(error))) if error.failure == Failure::Broken => {
                    return Err(sink.incomplete(total).with_source(error));
                }
                Some(Some(Err(error))) => return Err(wire.failed(url, error).with_sent(Sent::Yes)),
                None => {
                    let error = Error::new(Kind::Timeout(wire.timeouts.idle));
                    return Err(error.with_sent(Sent::Yes));
                }
            };
            sink.write(&chunk).await?;
            if !pace.keeps(wire, chunk.len()) {
                let error = Error::new(Kind::Timeout(wire.timeouts.idle));
                return Err(error.with_sent(Sent::Yes));
            }
            if let Some(Report(report)) = &mut report {
                report(Progress {
                    bytes: sink.written(),
                    total,
                });
            }
        }
    }
}

/// Whether a file comes fast enough, seen over one stretch of time after the other.
struct Pace {
    since: SystemTime,
    bytes: u64,
}

impl Pace {
    fn begin(wire: &Wire) -> Self {
        Pace {
            since: wire.clock.now(),
            bytes: 0,
        }
    }

    fn keeps(&mut self, wire: &Wire, bytes: usize) -> bool {
        let Some(rate) = wire.timeouts.minimum_rate else {
            return true;
        };
        self.bytes += bytes as u64;
        let now = wire.clock.now();
        let stretch = now.duration_since(self.since).unwrap_or_default();
        if stretch < wire.timeouts.idle {
            return true;
        }
        let due = rate.saturating_mul(stretch.as_secs());
        let keeps = self.bytes >= due;
        *self = Pace {
            since: now,
            bytes: 0,
        };
        keeps
    }
}
