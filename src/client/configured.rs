//! A client from a configuration.
//!
//! Each setting is applied by the setter of its name, and only if the file or the environment has it:
//! the defaults stay those of the builder, in one place. Nothing is sent.

use std::path::Path;
use std::time::Duration;

use super::{Client, ClientBuilder};
use crate::auth::FileTokenStore;
use crate::config::Config;
use crate::error::{Error, Result};

impl Client {
    /// A client as a configuration describes it: [`ClientBuilder::from_config`] and
    /// [`ClientBuilder::build`].
    ///
    /// # Errors
    ///
    /// Those of the two.
    pub fn from_config(config: &Config) -> Result<Self> {
        ClientBuilder::from_config(config)?.build()
    }
}

impl ClientBuilder {
    /// Everything that a configuration sets; what only code can set comes after it.
    ///
    /// Files that hold secrets and certificates are read, and the directory for tokens is opened.
    ///
    /// # Errors
    ///
    /// [`Error::is_configuration`], which names the setting, if such a file cannot be read or is empty,
    /// or if the endpoints are not as they must be. [`Error::is_store`] if the directory cannot be
    /// opened. What is missing or does not fit else, [`ClientBuilder::build`] says.
    pub fn from_config(config: &Config) -> Result<Self> {
        let mut builder = ClientBuilder::new();
        if let Some(endpoints) = config.place()? {
            builder = builder.endpoints(endpoints);
        }
        if let Some(id) = &config.client_id {
            // Read only with an id: a secret alone is of no use, and its file may be missing.
            let secret = config.secret()?.ok_or_else(|| {
                Error::configuration(
                    "the client secret is not given: set `client_secret_file`, or the variable LAB_CONNECTOR_CLIENT_SECRET",
                )
            })?;
            builder = builder.credentials(id, secret);
        }
        if let Some(in_body) = config.client_secret_in_body {
            builder = builder.client_secret_in_body(in_body);
        }
        if let Some(url) = &config.redirect_url {
            builder = builder.redirect_url(url);
        }
        for scope in config.scopes.iter().flatten() {
            builder = builder.scope(scope);
        }
        for (name, value) in config.authorization_parameters.iter().flatten() {
            builder = builder.authorization_parameter(name, value);
        }
        if let Some(pkce) = config.pkce {
            builder = builder.pkce(pkce);
        }
        for host in config.allow_hosts.iter().flatten() {
            builder = builder.allow_host(host);
        }
        if let Some(directory) = &config.token_directory {
            builder = builder.token_store(FileTokenStore::open(directory)?);
        }
        // Read now: a path that is wrong is to be found at the start, not by the first call.
        for path in config.root_certificates.iter().flatten() {
            builder = trusting(builder, path)?;
        }
        if let Some(proxy) = config.proxy_url()? {
            builder = match proxy.expose() {
                // No URL is spelled like this.
                "none" => builder.no_proxy(),
                _ => builder.proxy(proxy),
            };
        }
        for (name, value) in config.header_values()? {
            builder = builder.header(name, value);
        }
        if let Some(product) = &config.user_agent {
            builder = builder.user_agent(product);
        }
        if let Some(time) = config.connect_timeout {
            builder = builder.connect_timeout(time);
        }
        if let Some(time) = config.attempt_timeout {
            builder = builder.attempt_timeout(time);
        }
        if let Some(time) = config.operation_timeout {
            builder = builder.operation_timeout(time);
        }
        if let Some(time) = config.idle_timeout {
            builder = builder.idle_timeout(time);
        }
        if let Some(operations) = config.concurrency {
            // 32 bits fit on every platform that has sockets.
            builder = builder.concurrency(operations as usize);
        }
        if let Some(calls) = config.calls_per_minute {
            builder = builder.rate(calls, Duration::from_secs(60));
        }
        if let Some(shared) = config.shared_files {
            builder = builder.shared_files(shared);
        }
        Ok(builder)
    }
}

#[cfg(any(feature = "rustls", feature = "rustls-no-provider"))]
fn trusting(builder: ClientBuilder, path: &Path) -> Result<ClientBuilder> {
    let pem = std::fs::read(path).map_err(|error| {
        let name = path.display();
        let what = format!("`root_certificates`: the file {name} cannot be read");
        Error::configuration(what).with_source(error)
    })?;
    Ok(builder.root_certificate(pem))
}

#[cfg(not(any(feature = "rustls", feature = "rustls-no-provider")))]
fn trusting(_: ClientBuilder, _: &Path) -> Result<ClientBuilder> {
    let what = "`root_certificates` needs the feature `rustls` or `rustls-no-provider`";
    Err(Error::configuration(what))
}
