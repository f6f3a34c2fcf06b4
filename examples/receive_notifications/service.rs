//! The job against a real service.

use std::future::IntoFuture;
use std::io::Write;
use std::path::Path;

use anyhow::{Context, Result};
use lab_connector::inbox::MemoryStore;
use tokio::net::TcpListener;
use url::Url;

use crate::Arguments;
use crate::common::{self, config};
use crate::endpoint::{Endpoint, Key};

pub async fn run(path: &Path, public: &Url, arguments: &Arguments) -> Result<()> {
    let key = key(&arguments.key)?;
    let listener = TcpListener::bind(arguments.listen)
        .await
        .with_context(|| format!("cannot listen on {}", arguments.listen))?;
    let (client, _) = config::connect(path, arguments.tokens.as_deref()).await?;
    let login = client.login(config::LOGIN);
    if !login.is_signed_in().await? {
        let request = login.authorize()?;
        eprintln!("Open this page and sign in:\n\n  {}\n", request.url());
        let redirected = config::pasted()?;
        login.finish(&request, &redirected).await?;
    }
    let accounts = login.accounts().await?;
    let account = config::choose(&accounts, arguments.account.as_deref())?;
    // The pairing request carries the URL: that much is documented.
    let url = public.join(&key.path())?;
    let lab = login.pair(account.id()).notification_url(url).await?;

    // Software that must not forget keeps the cases in a store that lasts.
    let inbox = lab.inbox(MemoryStore::new());
    let endpoint = Endpoint::default().lab(&key, &inbox);
    let serving = axum::serve(listener, endpoint.router()).into_future();
    let stop = common::stopped();
    eprintln!("listening, and polling as the safety net; Ctrl-C ends it");
    let work = inbox.for_each_until(stop, |delivery| async move {
        println!(
            "delivery {} #{}  {}",
            delivery.order_id(),
            delivery.ordinal(),
            delivery.status()
        );
        Ok(())
    });
    let ended = tokio::select! {
        served = serving => served.map_err(Into::into),
        worked = work => worked.map_err(Into::into),
    };
    // A refresh may be under way: what it brings must be stored.
    client.close().await;
    ended
}

/// The key of before, or a new one, for nobody else to read.
fn key(path: &Path) -> Result<Key> {
    let name = path.display();
    match std::fs::read_to_string(path) {
        Ok(text) => Key::given(&text).with_context(|| format!("{name} holds no key")),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            let key = Key::random()?;
            let mut options = std::fs::OpenOptions::new();
            options.write(true).create_new(true);
            #[cfg(unix)]
            std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
            let written = options
                .open(path)
                .and_then(|mut file| file.write_all(key.expose().as_bytes()));
            written.with_context(|| format!("cannot write {name}"))?;
            Ok(key)
        }
        Err(error) => Err(error).with_context(|| format!("cannot read {name}")),
    }
}
