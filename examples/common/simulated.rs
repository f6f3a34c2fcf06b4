//! The embedded simulator, for examples whose subject is not signing in: `authorize` shows that.
#![allow(dead_code, reason = "each example uses a part of it")]

use anyhow::Result;
use lab_connector::client::ClientBuilder;
use lab_connector::simulator::Simulator;
use lab_connector::{Client, Login};

/// A client of the simulator, to be set up further.
pub fn client(service: &Simulator) -> ClientBuilder {
    Client::builder()
        .endpoints(service.endpoints())
        .credentials(service.client_id(), service.client_secret())
        .redirect_url(service.redirect_url())
}

/// Signs in. Where the service is real a person does so, in a browser.
pub async fn sign_in(client: &Client, service: &Simulator, name: &str) -> Result<Login> {
    let login = client.login(name);
    let request = login.authorize()?;
    let redirected = service.consent(request.url())?;
    login.finish(&request, &redirected).await?;
    Ok(login)
}
