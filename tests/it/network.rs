//! Networks of labs: proxies with a password, proxies that break TLS open.

use std::io::{BufRead, BufReader, Write};
use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, channel};

use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::ServerConfig;
use tokio_rustls::rustls::pki_types::PrivateKeyDer;

use super::paging::builder;

const ANSWER: &str = "HTTP/1.1 200 OK\r\ncontent-length: 2\r\nconnection: close\r\n\r\n[]";

/// A server of one answer each, which passes on the head of what it was asked.
fn server(answer: &'static str) -> (SocketAddr, Receiver<String>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let (sender, heads) = channel();
    std::thread::spawn(move || {
        for connection in listener.incoming() {
            let mut connection = connection.unwrap();
            let mut head = String::new();
            for line in BufReader::new(&connection).lines() {
                let line = line.unwrap();
                if line.is_empty() {
                    break;
                }
                head += &line;
                head.push('\n');
            }
            connection.write_all(answer.as_bytes()).unwrap();
            if sender.send(head).is_err() {
                return;
            }
        }
    });
    (address, heads)
}

#[tokio::test]
async fn a_proxy_gets_its_credentials_and_the_request() {
    let (address, heads) = server(ANSWER);
    // `user:canary` and `user:c@nary`.
    for (builder, expected) in [
        (
            builder("http://localhost:9/")
                .await
                .proxy(format!("http://user:canary@{address}")),
            "proxy-authorization: Basic dXNlcjpjYW5hcnk=",
        ),
        (
            builder("http://localhost:9/")
                .await
                .proxy(format!("http://{address}"))
                .proxy_credentials("user", "c@nary"),
            "proxy-authorization: Basic dXNlcjpjQG5hcnk=",
        ),
    ] {
        assert!(!format!("{builder:?}").contains("nary"));
        let client = builder.build().unwrap();
        assert!(!format!("{client:?}").contains("nary"));
        let listing = client.account("1").orders().list().await.unwrap();
        assert!(listing.is_complete());
        let head = heads.recv().unwrap();
        assert!(
            head.starts_with("GET http://localhost:9/accounts/1/orders "),
            "{head}"
        );
        assert!(head.contains(expected), "{head}");
    }
}

/// What is https is tunnelled: the proxy sees a host and its own credentials, no token.
#[tokio::test]
async fn a_tunnel_that_is_refused_is_no_connection_and_shows_no_password() {
    let refused = "HTTP/1.1 407 Proxy Authentication Required\r\ncontent-length: 0\r\nconnection: close\r\n\r\n";
    let (address, heads) = server(refused);
    let client = builder("https://lab.example/")
        .await
        .proxy(format!("http://user:canary@{address}"))
        .build()
        .unwrap();
    let error = client.account("1").orders().list().await.unwrap_err();
    assert!(error.is_connect() && !error.is_retryable(), "{error}");
    assert_eq!(error.attempts(), 1, "it does not heal by itself");
    for part in [
        "https://lab.example",
        &format!("http://{address}"),
        "`ClientBuilder::proxy`",
        "`ClientBuilder::proxy_credentials`",
    ] {
        assert!(error.to_string().contains(part), "{error}");
    }
    let mut shown = format!("{error} {error:?}");
    let mut source = std::error::Error::source(&error);
    while let Some(error) = source {
        shown += &format!(" {error} {error:?}");
        source = error.source();
    }
    for secret in ["canary", "dXNlcjpjYW5hcnk", "token-1"] {
        assert!(!shown.contains(secret), "{shown}");
    }
    let head = heads.recv().unwrap();
    assert!(head.starts_with("CONNECT lab.example:443 "), "{head}");
    assert!(head.contains("dXNlcjpjYW5hcnk="), "{head}");
    assert!(!head.contains("token-1"), "{head}");
}

#[tokio::test]
async fn settings_that_cannot_hold_are_refused() {
    let base = "https://lab.example/";
    for (builder, named) in [
        (builder(base).await.proxy("canary"), "proxy"),
        (
            builder(base).await.proxy("socks5://user:canary@a.example"),
            "proxy",
        ),
        (builder(base).await.proxy("http://user:canary@a b"), "proxy"),
        (
            builder(base).await.proxy_credentials("user", "canary"),
            "no proxy",
        ),
        (builder(base).await.root_certificate("canary"), "PEM"),
        (
            builder(base)
                .await
                .no_proxy()
                .transport(lab_connector::transport::from_fn(|_| async {
                    Ok(http::Response::new("".into()))
                })),
            "own transport",
        ),
    ] {
        let error = builder.build().unwrap_err();
        assert!(error.is_configuration(), "{error}");
        assert!(error.to_string().contains(named), "{error}");
        assert!(!format!("{error:?}").contains("canary"), "{error:?}");
    }
}

/// A server whose certificate nobody vouches for: its base URL, and the certificate.
pub(crate) async fn tls_server() -> (String, String) {
    let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    let pem = made.cert.pem();
    let key = PrivateKeyDer::try_from(made.signing_key.serialize_der()).unwrap();
    let config = ServerConfig::builder()
        .with_no_client_auth()
        .with_single_cert(vec![made.cert.der().clone()], key)
        .unwrap();
    let acceptor = TlsAcceptor::from(Arc::new(config));
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let base = format!(
        "https://localhost:{}/",
        listener.local_addr().unwrap().port()
    );
    tokio::spawn(async move {
        use tokio::io::{AsyncReadExt, AsyncWriteExt};
        loop {
            let (connection, _) = listener.accept().await.unwrap();
            // Who does not trust the certificate ends the handshake.
            let Ok(mut connection) = acceptor.accept(connection).await else {
                continue;
            };
            let mut head = Vec::new();
            while !head.ends_with(b"\r\n\r\n") {
                head.push(connection.read_u8().await.unwrap());
            }
            connection.write_all(ANSWER.as_bytes()).await.unwrap();
            connection.shutdown().await.unwrap();
        }
    });
    (base, pem)
}

#[tokio::test]
async fn a_root_of_ones_own_is_trusted_beside_the_platforms() {
    let (base, pem) = tls_server().await;
    let stranger = builder(&base).await.no_proxy().build().unwrap();
    let error = stranger.account("1").orders().list().await.unwrap_err();
    assert!(error.is_connect() && !error.is_retryable(), "{error}");
    assert_eq!(error.attempts(), 1, "it does not heal by itself");
    for part in [
        base.trim_end_matches('/'),
        "`ClientBuilder::root_certificate`",
    ] {
        assert!(error.to_string().contains(part), "{error}");
    }

    let client = builder(&base)
        .await
        .no_proxy()
        .root_certificate(pem)
        .build()
        .unwrap();
    let listing = client.account("1").orders().list().await.unwrap();
    assert!(listing.is_complete());
}

#[tokio::test]
async fn a_port_without_tls_is_named_and_not_tried_again() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let base = format!(
        "https://localhost:{}/",
        listener.local_addr().unwrap().port()
    );
    std::thread::spawn(move || {
        for connection in listener.incoming() {
            let mut connection = connection.unwrap();
            // What the client sends first must be read, or closing would reset the connection.
            let _ = std::io::Read::read(&mut connection, &mut [0; 4096]);
            let _ = connection.write_all(b"HTTP/1.1 400 Bad Request\r\nconnection: close\r\n\r\n");
        }
    });
    let client = builder(&base).await.no_proxy().build().unwrap();
    let error = client.account("1").orders().list().await.unwrap_err();
    assert!(error.is_connect() && !error.is_retryable(), "{error}");
    assert_eq!(error.attempts(), 1, "{error}");
    assert!(error.to_string().contains("no TLS"), "{error}");
}

/// A proxy that is away or overloaded may come back.
#[tokio::test]
async fn a_proxy_that_may_come_back_is_named_and_tried_again() {
    let away = "HTTP/1.1 503 Service Unavailable\r\ncontent-length: 0\r\nconnection: close\r\n\r\n";
    let (address, _heads) = server(away);
    let client = builder("https://lab.example/")
        .await
        .proxy(format!("http://{address}"))
        .retry(lab_connector::retry::RetryPolicy::never())
        .build()
        .unwrap();
    let error = client.account("1").orders().list().await.unwrap_err();
    assert!(error.is_connect() && error.is_retryable(), "{error}");
    assert!(
        error
            .to_string()
            .contains("the proxy does not connect to it"),
        "{error}"
    );
}

#[tokio::test]
async fn a_ready_client_is_taken_as_it_is() {
    let (address, heads) = server(ANSWER);
    let ready = reqwest::Client::builder()
        .no_proxy()
        .user_agent("a client of ones own")
        .build()
        .unwrap();
    let client = builder(&format!("http://{address}/"))
        .await
        .reqwest_client(ready)
        .build()
        .unwrap();
    client.account("1").orders().list().await.unwrap();
    let head = heads.recv().unwrap();
    assert!(head.contains("a client of ones own"), "{head}");
}
