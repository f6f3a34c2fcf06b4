//! Asking *Discovery* again, before what it says is needed.

use bytes::Bytes;
use http::{HeaderValue, Request, header};

use super::{Protocol, refuse_redirect, set_uri};
use crate::endpoints::{Endpoint, Operation};
use crate::error::{Error, Result, answer};

impl Protocol {
    /// Asks Discovery once, as documented before *Get Accounts* and before *Refresh Token*. If
    /// that fails, its last good answer is kept: older integrations have no Discovery, and if
    /// nothing can be reached, the call that comes next says so.
    pub(crate) async fn rediscover(&self) {
        if !self.directory.current().has(Operation::Discovery) {
            return;
        }
        if let Err(error) = self.discover_once().await {
            #[cfg(feature = "tracing")]
            tracing::debug!(%error, "discovery failed, its last good answer is kept");
            let _ = error;
        }
    }

    /// No credential goes along: Discovery comes before there are tokens. Convention.
    async fn discover_once(&self) -> Result<()> {
        let operation = Operation::Discovery;
        let named = |error: Error| error.with_operation(operation.title());
        let Endpoint {
            method, template, ..
        } = self.directory.resolve(operation)?;
        let url = template.expand(&[]).map_err(named)?;
        let mut request = Request::new(Bytes::new());
        *request.method_mut() = method;
        let json = HeaderValue::from_static("application/json");
        request.headers_mut().insert(header::ACCEPT, json);
        set_uri(&mut request, &url).map_err(named)?;
        let (head, body) = self.wire.exchange(&url, request).await.map_err(named)?;
        refuse_redirect(&url, &head).map_err(named)?;
        if !head.status.is_success() {
            let now = self.wire.clock.now();
            return Err(named(answer::error(head.status, &head.headers, &body, now)));
        }
        self.directory.update(&body)
    }
}
