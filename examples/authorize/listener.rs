//! The browser comes back: a listener for one request.

use std::time::Duration;

use anyhow::{Context, Result, bail};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use url::Url;

/// How long a person may take to sign in.
const PATIENCE: Duration = Duration::from_secs(10 * 60);

/// How long a connection may take to say what it wants.
const REQUEST: Duration = Duration::from_secs(10);

/// Listens where a redirect URL on this machine points to.
pub struct Listener {
    listener: TcpListener,
    url: Url,
}

impl Listener {
    /// Begins to listen; with port 0 on a free port.
    pub async fn bind(redirect_url: &Url) -> Result<Self> {
        let mut url = redirect_url.clone();
        let host = url.host_str().context("the redirect URL has no host")?;
        let port = url.port_or_known_default().unwrap_or(80);
        let listener = TcpListener::bind((host.trim_matches(['[', ']']), port))
            .await
            .with_context(|| format!("cannot listen for the browser on {host}:{port}"))?;
        let port = listener.local_addr()?.port();
        if url.set_port(Some(port)).is_err() {
            bail!("the redirect URL cannot have a port");
        }
        Ok(Listener { listener, url })
    }

    /// The redirect URL, with the port.
    pub fn url(&self) -> &Url {
        &self.url
    }

    /// Waits for the browser, and returns the URL that it was sent to.
    pub async fn redirected(self) -> Result<Url> {
        let waiting = tokio::time::timeout(PATIENCE, self.wait());
        waiting.await.context("nobody signed in for 10 minutes")?
    }

    /// Browsers also ask for icons, and others on this machine may ask for anything.
    async fn wait(self) -> Result<Url> {
        loop {
            let (mut stream, _) = self.listener.accept().await?;
            let asked = tokio::time::timeout(REQUEST, target(&mut stream)).await;
            let url = asked
                .ok()
                .flatten()
                .and_then(|target| self.url.join(&target).ok());
            let ours = url.filter(|url| {
                let answers = url.query_pairs().any(|(name, _)| name == "state");
                url.path() == self.url.path() && answers
            });
            let (status, text) = match ours {
                Some(_) => ("200 OK", "You may close this window."),
                None => ("404 Not Found", "There is nothing here."),
            };
            let answer = format!(
                "HTTP/1.1 {status}\r\ncontent-type: text/plain\r\ncontent-length: {}\r\n\
                 referrer-policy: no-referrer\r\nconnection: close\r\n\r\n{text}",
                text.len()
            );
            // Whether the page is seen does not matter.
            let _ = stream.write_all(answer.as_bytes()).await;
            let _ = stream.shutdown().await;
            if let Some(url) = ours {
                return Ok(url);
            }
        }
    }
}

/// What the request line asks for.
async fn target(stream: &mut TcpStream) -> Option<String> {
    let mut bytes = Vec::new();
    while !bytes.windows(4).any(|end| end == b"\r\n\r\n") {
        if bytes.len() > 64 * 1024 || stream.read_buf(&mut bytes).await.ok()? == 0 {
            return None;
        }
    }
    let text = String::from_utf8(bytes).ok()?;
    let target = text.strip_prefix("GET ")?.split(' ').next()?;
    // Two slashes would begin a host.
    (target.starts_with('/') && !target.starts_with("//")).then(|| target.to_owned())
}
