//! Posting notifications, in the order of the changes.

use serde_json::json;
use tokio::sync::mpsc::{self, UnboundedSender};
use url::Url;

use super::world::Notice;
use crate::transport::{Network, Request, Reqwest, Timeouts, Transport};

/// A task that posts one notice after the other. It ends when its owner is gone.
#[derive(Debug)]
pub(super) struct Notifier {
    queue: UnboundedSender<Notice>,
}

impl Notifier {
    pub(super) fn start() -> crate::Result<Self> {
        let transport = Reqwest::new(
            &Timeouts::default(),
            "lab-connector simulator",
            &Network::default(),
        )?;
        let (queue, mut notices) = mpsc::unbounded_channel();
        tokio::spawn(async move {
            while let Some(notice) = notices.recv().await {
                if let Some(request) = request(&notice) {
                    // Notifications are lost in the real world too.
                    let _ = transport.send(request).await;
                }
            }
        });
        Ok(Notifier { queue })
    }

    pub(super) fn post(&self, notice: Notice) {
        // The task lives as long as this.
        let _ = self.queue.send(notice);
    }
}

/// The Rx id and the account number only: documented. Method and keys are a convention.
fn request(notice: &Notice) -> Option<Request> {
    let url = Url::parse(&notice.url).ok()?;
    let body = json!({
        "rxId": notice.rx_id,
        "accountNumber": notice.account,
    });
    http::Request::post(url.as_str())
        .header(http::header::CONTENT_TYPE, "application/json")
        .body(body.to_string().into())
        .ok()
}
