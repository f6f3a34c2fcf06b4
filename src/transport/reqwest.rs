//! The transport over reqwest: the only file that names it.

use std::error::Error as StdError;

use async_trait::async_trait;
use futures_util::TryStreamExt;

use super::{Body, Request, Response, Timeouts, Transport, TransportError};
use crate::endpoints::origin::is_loopback;
use crate::error::{Error, Kind, Result};

#[derive(Clone, Debug)]
pub(crate) struct Reqwest {
    client: reqwest::Client,
    /// For this machine: plain http is allowed there because it does not leave it, and to a
    /// proxy that the environment names it would.
    direct: reqwest::Client,
}

impl Reqwest {
    pub(crate) fn new(timeouts: &Timeouts, user_agent: &str) -> Result<Self> {
        let builder = || {
            reqwest::Client::builder()
                .user_agent(user_agent)
                .connect_timeout(timeouts.connect)
                .read_timeout(timeouts.idle)
                .redirect(reqwest::redirect::Policy::none())
                // Retrying is the pipeline's, which knows what may be repeated.
                .retry(reqwest::retry::never())
        };
        let built = |builder: reqwest::ClientBuilder| {
            builder.build().map_err(|error| {
                Error::new(Kind::Configuration("TLS cannot be set up".to_owned()))
                    .with_source(error)
            })
        };
        Ok(Reqwest {
            client: built(builder())?,
            direct: built(builder().no_proxy())?,
        })
    }
}

#[async_trait]
impl Transport for Reqwest {
    async fn send(&self, request: Request) -> Result<Response, TransportError> {
        let request = reqwest::Request::try_from(request).map_err(failed)?;
        let client = if is_loopback(request.url()) {
            &self.direct
        } else {
            &self.client
        };
        let response = client.execute(request).await.map_err(failed)?;
        let response = http::Response::<reqwest::Body>::from(response);
        Ok(response.map(|body| {
            let stream = http_body_util::BodyDataStream::new(body);
            Body::from_stream(stream.map_err(failed))
        }))
    }
}

/// The URL is taken out: it may be signed, and its path holds ids.
fn failed(error: reqwest::Error) -> TransportError {
    let error = error.without_url();
    if error.is_connect() {
        TransportError::connect(error)
    } else if error.is_timeout() || has_timed_out(&error) {
        TransportError::timeout(error)
    } else if error.is_builder() {
        // The request never left: it could not even be made.
        TransportError::connect(error)
    } else {
        TransportError::broken(error)
    }
}

fn has_timed_out(error: &reqwest::Error) -> bool {
    let mut source = error.source();
    while let Some(error) = source {
        if let Some(error) = error.downcast_ref::<std::io::Error>()
            && error.kind() == std::io::ErrorKind::TimedOut
        {
            return true;
        }
        source = error.source();
    }
    false
}
