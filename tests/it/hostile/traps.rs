//! Other ports, schemes and proxies: sockets that take in whatever is sent to them.

use std::io::Read;
use std::net::{SocketAddr, TcpListener};

use super::*;

/// An address that takes in whatever is sent to it.
struct Trap {
    address: SocketAddr,
    bytes: Arc<Mutex<Vec<u8>>>,
}

impl Trap {
    fn start(answer: &'static str) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let bytes = Arc::new(Mutex::new(Vec::new()));
        let all = Arc::clone(&bytes);
        // Ends with the process.
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                let Ok(mut stream) = stream else { continue };
                let mut buffer = [0; 16 * 1024];
                // What asks for a file, or begins to speak TLS, does so in one piece.
                let length = stream.read(&mut buffer).unwrap_or_default();
                all.lock().unwrap().extend_from_slice(&buffer[..length]);
                let _ = std::io::Write::write_all(&mut stream, answer.as_bytes());
            }
        });
        Trap { address, bytes }
    }

    fn text(&self) -> String {
        String::from_utf8_lossy(&self.bytes.lock().unwrap()).into_owned()
    }
}

const FILE: &str = "HTTP/1.1 200 OK\r\ncontent-length: 6\r\nconnection: close\r\n\r\na file";

#[tokio::test]
async fn a_trap_on_another_port_or_scheme_gets_no_byte() {
    for status in REDIRECTS {
        let trap = Trap::start(FILE);
        let server = wiremock::MockServer::start().await;
        let port = trap.address.port();
        let home = server.address().port();
        for target in [
            format!("http://127.0.0.1:{port}/?where=1"),
            format!("https://127.0.0.1:{port}/?where=1"),
            format!("http://localhost:{port}/?where=1"),
            format!("http://127.0.0.2:{home}/?where=1"),
            format!("https://127.0.0.1:{home}/?where=1"),
        ] {
            server.reset().await;
            let redirect =
                wiremock::ResponseTemplate::new(status).insert_header("location", target.as_str());
            wiremock::Mock::given(wiremock::matchers::any())
                .respond_with(redirect)
                .mount(&server)
                .await;
            let time = MovableTime::default();
            let client = builder(Endpoints::from_base_url(&server.uri()).unwrap(), &time)
                .token_store(store().await)
                .build()
                .unwrap();
            for (_, result) in every_call(&client, &time).await {
                assert_names_the_host_only(&result.unwrap_err(), &shown(&target));
            }
        }
        assert_eq!(trap.text(), "");
    }
}

#[tokio::test]
async fn a_file_from_another_port_comes_without_the_token() {
    let trap = Trap::start(FILE);
    let server = wiremock::MockServer::start().await;
    let to = format!("http://{}/signed", trap.address);
    wiremock::Mock::given(wiremock::matchers::path("/here"))
        .respond_with(wiremock::ResponseTemplate::new(302).insert_header("location", to.as_str()))
        .mount(&server)
        .await;
    let client = builder(
        Endpoints::from_base_url(&server.uri()).unwrap(),
        &MovableTime::default(),
    )
    .token_store(store().await)
    .build()
    .unwrap();
    download(&client, Some(&to)).await.unwrap();
    download(&client, Some(&format!("{}/here", server.uri())))
        .await
        .unwrap();
    let text = trap.text();
    assert_eq!(
        text.matches("GET /signed HTTP/1.1\r\n").count(),
        2,
        "{text}"
    );
    assert!(
        !text.to_lowercase().contains("authorization") && !has_secret(&text),
        "{text}"
    );
    let own = server.received_requests().await.unwrap();
    assert_eq!(own[0].headers["authorization"], "Bearer secret-access-1");
}

/// Plain http is for loopback because it does not leave the machine; by way of a proxy it would.
#[test]
fn a_proxy_of_the_environment_gets_nothing_that_is_for_this_machine() {
    let trap = Trap::start("HTTP/1.1 502 Bad Gateway\r\ncontent-length: 0\r\n\r\n");
    let proxy = format!("http://{}", trap.address);
    let mut child = std::process::Command::new(std::env::current_exe().unwrap());
    for name in ["http_proxy", "https_proxy", "all_proxy"] {
        child.env(name, &proxy).env(name.to_uppercase(), &proxy);
    }
    let output = child
        .env_remove("no_proxy")
        .env_remove("NO_PROXY")
        .env_remove("REQUEST_METHOD")
        .args(["--exact", "--ignored", "hostile::traps::behind_a_proxy"])
        .output()
        .unwrap();
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(
        output.status.success() && text.contains("1 passed"),
        "{text}"
    );
    // The child shows that it knows the proxy: what is not for this machine goes there.
    let text = trap.text();
    assert!(text.starts_with("CONNECT api.lab.example:443"), "{text}");
    assert_eq!(text.matches(" HTTP/1.1\r\n").count(), 1, "{text}");
    assert!(!has_secret(&text), "{text}");
}

#[tokio::test]
#[ignore = "run by the test above, in a process of its own"]
async fn behind_a_proxy() {
    let service = Simulator::start().await.unwrap();
    let client = Client::builder()
        .endpoints(service.endpoints())
        .credentials(service.client_id(), service.client_secret())
        .redirect_url(service.redirect_url())
        .build()
        .unwrap();
    let login = client.login("me");
    let request = login.authorize().unwrap();
    let redirected = service.consent(request.url()).unwrap();
    login.finish(&request, &redirected).await.unwrap();
    let lab = login.pair("L-1").await.unwrap();
    lab.orders().list().await.unwrap();

    let client = builder(home(), &MovableTime::default()).build().unwrap();
    assert!(client.discover().await.unwrap_err().is_connect());
}
