//! Posting notifications, in the order of the changes.
//!
//! *Problem.* An action must not wait until a notification is taken, and yet they must go out in
//! order.
//!
//! *Approach.* A queue and one task. The queue has no limit: the simulator must not block the test
//! that fills it.

use std::time::Duration;

use serde_json::json;
use tokio::sync::mpsc::{self, UnboundedSender};
use url::Url;

use super::SimulatorState;
use super::behaviour::{Behaviour, NotificationBody};
use super::faults::{Fault, Occasion};
use super::server::{id_in, key_in};
use super::world::Notice;
use crate::transport::{Network, Request, Reqwest, Timeouts, Transport};

/// A task that posts one notice after the other. It ends when its owner is gone.
#[derive(Debug)]
pub(super) struct Notifier {
    queue: UnboundedSender<Posting>,
}

/// A notice, and what becomes of it.
#[derive(Debug)]
struct Posting {
    requests: Vec<Notice>,
    reordered: bool,
    late: Option<Duration>,
    behaviour: std::sync::Arc<Behaviour>,
}

impl Notifier {
    pub(super) fn start() -> Self {
        let (queue, mut postings) = mpsc::unbounded_channel::<Posting>();
        tokio::spawn(async move {
            // Made when there is something to post: it takes longer than all the rest.
            let mut transport = None;
            // Those that are to come after the next one.
            let mut held = Vec::new();
            while let Some(mut posting) = postings.recv().await {
                if std::mem::take(&mut posting.reordered) {
                    // If none follows, it is never posted: to a test that is a notification that is
                    // lost.
                    held.push(posting);
                    continue;
                }
                let transport = match &transport {
                    Some(transport) => transport,
                    None => match client() {
                        Ok(made) => transport.insert(made),
                        // As good as lost.
                        Err(_) => continue,
                    },
                };
                posting.post(transport).await;
                for posting in held.drain(..) {
                    posting.post(transport).await;
                }
            }
        });
        Notifier { queue }
    }
}

fn client() -> crate::Result<std::sync::Arc<Reqwest>> {
    // The developer chooses where notifications go.
    let transport = Reqwest::new(&Timeouts::default(), &Network::default(), None)?;
    Ok(std::sync::Arc::new(transport))
}

impl SimulatorState {
    /// Posts a notice, or does with it what the faults say.
    pub(super) fn post(&self, notice: Option<Notice>) {
        let Some(notice) = notice else { return };
        let number = self.calls().count(Occasion::Notification);
        let account = Some(notice.account.as_str());
        let (faults, behaviour) = {
            let world = self.world();
            let faults =
                world
                    .faults
                    .draw(world.randomness, Occasion::Notification, number, account);
            (faults, world.behaviour.clone())
        };
        let mut posting = Posting {
            requests: vec![notice.clone()],
            reordered: false,
            late: None,
            behaviour,
        };
        for fault in faults {
            match fault {
                Fault::NotificationLost => return,
                Fault::NotificationDuplicated => posting.requests.push(notice.clone()),
                Fault::NotificationForged => {
                    let mut forged = notice.clone();
                    forged.rx_id = format!("rx-forged-{number}").into();
                    posting.requests.insert(0, forged);
                }
                Fault::NotificationReordered => posting.reordered = true,
                Fault::NotificationDelayed { seconds } => {
                    // `Faults::check` has refused what does not fit.
                    posting.late = Duration::try_from_secs_f64(seconds).ok();
                }
                _ => {}
            }
        }
        // The task lives as long as this.
        let _ = self.notifier.queue.send(posting);
    }
}

impl Posting {
    async fn post(mut self, transport: &std::sync::Arc<Reqwest>) {
        match self.late.take() {
            None => self.send(transport).await,
            // The others do not wait for it.
            Some(late) => {
                let transport = std::sync::Arc::clone(transport);
                tokio::spawn(async move {
                    tokio::time::sleep(late).await;
                    self.send(&transport).await;
                });
            }
        }
    }

    async fn send(&self, transport: &Reqwest) {
        for notice in &self.requests {
            for attempt in 0..=self.behaviour.notification_retries {
                // A URL that cannot be posted to will not become one by another attempt.
                let Some(request) = request(&self.behaviour, notice) else {
                    break;
                };
                let answer = transport.send(request).await;
                if answer.is_ok_and(|answer| answer.status().is_success()) {
                    break;
                }
                // After the last attempt it is lost, without a word: notifications are lost in the real
                // world too.
                if attempt < self.behaviour.notification_retries {
                    // Doubles up to 12.8 seconds of real time, short enough for a test.
                    let wait = Duration::from_millis(50 << attempt.min(8));
                    tokio::time::sleep(wait).await;
                }
            }
        }
    }
}

/// The Rx id and the account number only: documented. Method and keys are a convention.
fn request(behaviour: &Behaviour, notice: &Notice) -> Option<Request> {
    let url = Url::parse(&notice.url).ok()?;
    let rx_key = key_in("rxId", behaviour.keys);
    let account_key = key_in("accountNumber", behaviour.keys);
    let (kind, body) = match behaviour.notifications {
        NotificationBody::Json => {
            let rx_id = id_in(behaviour.ids, notice.rx_id.as_str());
            let account = id_in(behaviour.ids, notice.account.as_str());
            let body = json!({ (rx_key): rx_id, (account_key): account });
            ("application/json", body.to_string())
        }
        NotificationBody::Form => {
            let mut body = url::form_urlencoded::Serializer::new(String::new());
            body.append_pair(&rx_key, notice.rx_id.as_str());
            body.append_pair(&account_key, notice.account.as_str());
            ("application/x-www-form-urlencoded", body.finish())
        }
    };
    http::Request::post(url.as_str())
        .header(http::header::CONTENT_TYPE, kind)
        .header(http::header::USER_AGENT, "lab-connector simulator")
        .body(body.into())
        .ok()
}
