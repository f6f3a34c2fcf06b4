//! Serving labs: what a process of the lab's software does.

use std::time::Duration;

use anyhow::Result;
use futures_util::StreamExt;
use lab_connector::client::ClientBuilder;
use lab_connector::inbox::{CaseStore, Inbox};
use lab_connector::{AccountId, Client, Endpoints, OrderId, TokenStore};
use serde::{Deserialize, Serialize};
use tokio::sync::mpsc::UnboundedSender;

use crate::Arguments;
use crate::simulated;

/// Something to tell about a lab.
#[derive(Debug, Serialize, Deserialize)]
pub enum Event {
    Delivered {
        order: OrderId,
        ordinal: u32,
    },
    /// A round was made, or it failed for this reason.
    Polled {
        lab: AccountId,
        failed: Option<String>,
    },
}

/// One client for all labs: connections and limits are shared.
pub fn client(endpoints: Endpoints, arguments: &Arguments) -> ClientBuilder {
    Client::builder()
        .endpoints(endpoints)
        .attempt_timeout(Duration::from_secs(2))
        .operation_timeout(Duration::from_secs(5))
        .total_concurrency(arguments.together as usize)
}

/// Serves labs for ever, each in a task of its own: what holds up one holds up no other.
pub fn serve<S>(
    client: &Client,
    labs: impl IntoIterator<Item = AccountId>,
    store: &S,
    arguments: &Arguments,
    told: &UnboundedSender<Event>,
) where
    S: CaseStore + Clone + 'static,
{
    for lab in labs {
        let (rounds, name) = (told.clone(), lab.clone());
        let inbox = client
            .account(lab)
            .inbox(store.clone())
            .interval(arguments.interval())
            // Not all of them at once, now or later.
            .initial_jitter(arguments.interval())
            .on_round(move |round| {
                let failed = round.as_ref().err().map(ToString::to_string);
                let lab = name.clone();
                // Nobody listens any more when it ends.
                let _ = rounds.send(Event::Polled { lab, failed });
            });
        tokio::spawn(work(inbox, told.clone()));
    }
}

async fn work(inbox: Inbox, told: UnboundedSender<Event>) {
    let ended = inbox.for_each(|delivery| {
        let (order, ordinal) = (delivery.order_id().clone(), delivery.ordinal());
        let told = told.clone();
        async move { Ok(told.send(Event::Delivered { order, ordinal })?) }
    });
    if let Err(error) = ended.await {
        eprintln!("a lab is not served any more: {error}");
    }
}

/// Signs in once, and pairs with every lab.
pub async fn pair(
    service: &lab_connector::simulator::Simulator,
    arguments: &Arguments,
    tokens: impl TokenStore + 'static,
    labs: &[AccountId],
) -> Result<Client> {
    let client = client(service.endpoints(), arguments)
        .credentials(service.client_id(), service.client_secret())
        .redirect_url(service.redirect_url())
        .token_store(tokens)
        .build()?;
    let login = simulated::sign_in(&client, service, "many_labs").await?;
    let mut pairings = futures_util::stream::iter(labs)
        .map(|lab| login.pair(lab.clone()).into_future())
        .buffer_unordered(8);
    while let Some(paired) = pairings.next().await {
        paired?;
    }
    drop(pairings);
    Ok(client)
}
