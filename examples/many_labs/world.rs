//! The labs, what is wrong with three of them, and what their doctors do.

use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result};
use lab_connector::auth::TokenKey;
use lab_connector::inbox::MemoryStore;
use lab_connector::simulator::{Fault, FaultRule, Faults, Simulator};
use lab_connector::{AccountId, Client, MemoryTokenStore, Operation, TokenStore};
use tokio::sync::mpsc::{self, UnboundedReceiver};

use crate::desk::{self, Event};
use crate::tally::Tally;
use crate::{Arguments, tally};

/// Somebody has revoked the software's access to it.
const REVOKED: usize = 0;
/// Its listing is never answered.
const HANGS: usize = 1;
/// Its listing is answered with an error.
const FAILS: usize = 2;

pub async fn run(arguments: &Arguments) -> Result<()> {
    let (service, labs) = start(arguments).await?;
    let tokens = Arc::new(MemoryTokenStore::new());
    let client = desk::pair(&service, arguments, Arc::clone(&tokens), &labs).await?;
    break_some(&service, &client, &*tokens, &labs).await?;

    let (told, events) = mpsc::unbounded_channel();
    // One store for all: each account has its own part of it.
    desk::serve(&client, labs.clone(), &MemoryStore::new(), arguments, &told);
    live(&service, &labs, events, arguments).await
}

/// A simulator with that many labs.
pub async fn start(arguments: &Arguments) -> Result<(Simulator, Vec<AccountId>)> {
    let labs = (1..=arguments.labs).map(|number| AccountId::from(format!("L-{number}")));
    let labs: Vec<_> = labs.collect();
    let service = labs.iter().fold(Simulator::builder(), |set, lab| {
        set.account(lab.clone(), "A lab")
    });
    let service = service
        .start()
        .await
        .context("cannot start the simulator")?;
    Ok((service, labs))
}

/// What can be wrong with a lab is wrong with the first three.
pub async fn break_some(
    service: &Simulator,
    client: &Client,
    tokens: &dyn TokenStore,
    labs: &[AccountId],
) -> Result<()> {
    let on = |fault, at: usize| {
        let rule = FaultRule::new(fault).on(Operation::GetOrders);
        rule.account(labs[at].clone())
    };
    let code = 500;
    let retry_after = None;
    let mut faults = Faults::default();
    faults.rules = vec![
        on(Fault::Hang, HANGS),
        on(Fault::Status { code, retry_after }, FAILS),
    ];
    service.set_faults(faults)?;
    // The software goes on with the tokens that it had.
    let key = TokenKey::Account(labs[REVOKED].clone());
    let kept = tokens.load(&key).await?.context("it is paired")?;
    client.account(labs[REVOKED].clone()).unpair().await?;
    tokens.swap(&key, None, &kept).await?;
    Ok(())
}

/// A case comes to every lab, and later another one; ends when all are delivered that can be.
pub async fn live(
    service: &Simulator,
    labs: &[AccountId],
    mut events: UnboundedReceiver<Event>,
    arguments: &Arguments,
) -> Result<()> {
    let mut tally = Tally::new(labs.len());
    scan(service, labs, &mut tally)?;
    let later = tokio::time::sleep(arguments.interval());
    let mut later = std::pin::pin!(later);
    let patience = Duration::from_secs(60) + 3 * arguments.interval();
    let patience = tokio::time::sleep(patience);
    let mut patience = std::pin::pin!(patience);
    let mut scanned = 1;
    while scanned < 2 || !tally.is_done() {
        tokio::select! {
            () = &mut later, if scanned == 1 => {
                scan(service, labs, &mut tally)?;
                scanned = 2;
            }
            event = events.recv() => tally.note(event.context("nobody works any more")?)?,
            () = &mut patience => break,
        }
    }
    tally.print(arguments)
}

fn scan(service: &Simulator, labs: &[AccountId], tally: &mut tally::Tally) -> Result<()> {
    for (at, lab) in labs.iter().enumerate() {
        let broken = [REVOKED, HANGS, FAILS].contains(&at);
        tally.scanned(lab, service.scan(lab.clone())?, broken);
    }
    Ok(())
}
