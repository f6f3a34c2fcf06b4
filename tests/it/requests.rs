//! What exactly is sent.

use lab_connector::{Client, Endpoints};
use url::Url;
use wiremock::{Mock, MockServer, Request, ResponseTemplate};

use crate::support::{TestClock, builder, order_with_file, store};

/// A request in the lines that a reader of the protocol would write down.
fn written(request: &Request) -> String {
    let mut text = format!("{} {}", request.method, request.url.path());
    if let Some(query) = request.url.query() {
        text.push_str(&format!("?{query}"));
    }
    for (name, value) in &request.headers {
        // Of the connection, not of the request.
        if !matches!(name.as_str(), "host" | "content-length") {
            text.push_str(&format!("\n{name}: {}", value.to_str().unwrap()));
        }
    }
    let mut lines: Vec<_> = text.lines().collect();
    lines[1..].sort_unstable_by_key(|line| line.split(':').next());
    let body = String::from_utf8(request.body.clone()).unwrap();
    format!("{}\n\n{body}", lines.join("\n"))
}

/// A service that says yes to everything.
async fn service() -> MockServer {
    let server = MockServer::start().await;
    let yes = r#"{"access_token":"access-2","orders":[],"orderId":"1","status":"Sent","endpoints":{"pair":"/accounts/{account_id}/pair"}}"#;
    Mock::given(wiremock::matchers::any())
        .respond_with(ResponseTemplate::new(200).set_body_string(yes))
        .mount(&server)
        .await;
    server
}

/// The last request, as it is to be: `{agent}` stands for the user agent.
async fn assert_last(server: &MockServer, expected: &str) {
    let requests = server.received_requests().await.unwrap();
    let agent = concat!("lab-connector/", env!("CARGO_PKG_VERSION"));
    assert_eq!(
        written(requests.last().unwrap()),
        expected.replace("{agent}", agent)
    );
}

#[tokio::test]
async fn calls() -> lab_connector::Result<()> {
    let server = service().await;
    let clock = TestClock::new();
    let client = builder(&server.uri(), &clock)
        .token_store(store(&clock, 3600).await)
        .build()?;
    let login = client.login("me");
    let lab = client.account("account-77");

    client.discover().await?;
    let expected = "GET /discovery\naccept: application/json\nuser-agent: {agent}\n\n";
    assert_last(&server, expected).await;

    login.accounts().await?;
    let expected = "GET /accounts\naccept: application/json\nauthorization: Bearer access-1\nuser-agent: {agent}\n\n";
    assert_last(&server, expected).await;

    lab.orders().list().await?;
    let expected = "GET /accounts/account-77/orders\naccept: application/json\nauthorization: Bearer access-1\nuser-agent: {agent}\n\n";
    assert_last(&server, expected).await;

    lab.orders().by_rx(&"a/b ?#é".into()).await?;
    let expected = "GET /accounts/account-77/rx/a%2Fb%20%3F%23%C3%A9\naccept: application/json\nauthorization: Bearer access-1\nuser-agent: {agent}\n\n";
    assert_last(&server, expected).await;

    lab.orders()
        .return_to_doctor("order-88")
        .reason("margin not visible on 14")
        .field("tooth", 14)
        .await?;
    let expected = "POST /accounts/account-77/orders/order-88/return\naccept: application/json\nauthorization: Bearer access-1\ncontent-type: application/json\nuser-agent: {agent}\n\n{\"reason\":\"margin not visible on 14\",\"tooth\":14}";
    assert_last(&server, expected).await;

    let order = order_with_file(None);
    let directory = tempfile::tempdir().unwrap();
    let asset = &order.assets()[0];
    let to = directory.path().join("a.zip");
    lab.download(&order, asset).to_file(&to).await?;
    let expected = "GET /accounts/account-77/orders/order-88/assets/asset-66\naccept: */*\naccept-encoding: identity\nauthorization: Bearer access-1\nuser-agent: {agent}\n\n";
    assert_last(&server, expected).await;

    let paired = login
        .pair("other lab")
        .notification_url("https://lab.example/hook")
        .field("software", "our LMS")
        .await?;
    let expected = "POST /accounts/other%20lab/pair\naccept: application/json\nauthorization: Bearer access-1\ncontent-type: application/json\nuser-agent: {agent}\n\n{\"accountId\":\"other lab\",\"notificationUrl\":\"https://lab.example/hook\",\"software\":\"our LMS\"}";
    assert_last(&server, expected).await;

    paired.unpair().await?;
    let expected = "POST /accounts/other%20lab/unpair\naccept: application/json\nauthorization: Bearer access-2\nuser-agent: {agent}\n\n";
    assert_last(&server, expected).await;
    Ok(())
}

/// The redirect that answers an authorization request, with a code.
fn answered(page: &Url) -> Url {
    let pairs = page.query_pairs();
    let state = pairs.into_iter().find(|(key, _)| key == "state").unwrap().1;
    let mut url = Url::parse("https://lab.example/callback?code=a%2Bb%26c").unwrap();
    url.query_pairs_mut().append_pair("state", &state);
    url
}

/// The form that was sent last, and its `Authorization`.
async fn last_form(server: &MockServer) -> (String, Option<String>) {
    let requests = server.received_requests().await.unwrap();
    let request = requests.last().unwrap();
    assert_eq!(request.method.as_str(), "POST");
    let header = |name: &str| Some(request.headers.get(name)?.to_str().unwrap().to_owned());
    let kind = header("content-type");
    assert_eq!(kind.as_deref(), Some("application/x-www-form-urlencoded"));
    assert_eq!(header("accept").as_deref(), Some("application/json"));
    let agent = header("user-agent").unwrap();
    assert!(agent.starts_with("lab-connector/"), "{agent}");
    let body = String::from_utf8(request.body.clone()).unwrap();
    let mut pairs: Vec<_> = body.split('&').collect();
    pairs.sort_unstable();
    (pairs.join("&"), header("authorization"))
}

/// Form-encoded both times: in Basic authentication, RFC 6749 section 2.3.1, and in a body.
const ID: &str = "lab:id %+é";
const ID_ENCODED: &str = "lab%3Aid+%25%2B%C3%A9";
const SECRET: &str = "s&=/ +~";
const SECRET_ENCODED: &str = "s%26%3D%2F+%2B%7E";

async fn authorization_services(in_body: bool) -> lab_connector::Result<()> {
    let server = service().await;
    let clock = TestClock::new();
    let client = builder(&server.uri(), &clock)
        .credentials(ID, SECRET)
        .client_secret_in_body(in_body)
        .pkce(false)
        .token_store(store(&clock, -1).await)
        .build()?;
    let check = async |mut expected: Vec<&str>| {
        let (form, authorization) = last_form(&server).await;
        let id = format!("client_id={ID_ENCODED}");
        let secret = format!("client_secret={SECRET_ENCODED}");
        if in_body {
            assert_eq!(authorization, None);
            expected.extend([id.as_str(), secret.as_str()]);
        } else {
            // base64("lab%3Aid+%25%2B%C3%A9:s%26%3D%2F+%2B%7E")
            let basic = "Basic bGFiJTNBaWQrJTI1JTJCJUMzJUE5OnMlMjYlM0QlMkYrJTJCJTdF";
            assert_eq!(authorization.as_deref(), Some(basic));
        }
        expected.sort_unstable();
        assert_eq!(form, expected.join("&"));
    };

    let login = client.login("me");
    let request = login.authorize()?;
    login.finish(&request, &answered(request.url())).await?;
    check(vec![
        "grant_type=authorization_code",
        "code=a%2Bb%26c",
        "redirect_uri=https%3A%2F%2Flab.example%2Fcallback",
    ])
    .await;

    // The answer brought no refresh token: the access token is what can be revoked.
    login.revoke().await?;
    check(vec!["token=access-2", "token_type_hint=access_token"]).await;

    let lab = client.account("account-77");
    lab.revoke().await?;
    check(vec!["token=refresh-1", "token_type_hint=refresh_token"]).await;

    // Expired: the call has its token refreshed first.
    let client = builder(&server.uri(), &clock)
        .credentials(ID, SECRET)
        .client_secret_in_body(in_body)
        .token_store(store(&clock, -1).await)
        .endpoints(only_tokens(&server))
        .build()?;
    let _ = client.account("account-77").orders().list().await;
    check(vec!["grant_type=refresh_token", "refresh_token=refresh-1"]).await;
    Ok(())
}

/// Endpoints in which *Get Orders* leads nowhere, so that the refresh is the last request.
fn only_tokens(server: &MockServer) -> Endpoints {
    let mut endpoints = Endpoints::from_base_url(&server.uri()).unwrap();
    let nowhere = "http://127.0.0.1:1/{account_id}";
    endpoints
        .set(
            lab_connector::Operation::GetOrders,
            http::Method::GET,
            nowhere,
        )
        .unwrap();
    endpoints
}

#[tokio::test]
async fn authorization_services_by_basic_authentication() -> lab_connector::Result<()> {
    authorization_services(false).await
}

#[tokio::test]
async fn authorization_services_by_the_body() -> lab_connector::Result<()> {
    authorization_services(true).await
}

fn parameters(page: &Url) -> Vec<(String, String)> {
    let pairs = page.query_pairs();
    let mut pairs: Vec<_> = pairs
        .map(|(k, v)| (k.into_owned(), v.into_owned()))
        .collect();
    pairs.sort_unstable();
    pairs
}

#[tokio::test]
async fn the_sign_in_page() -> lab_connector::Result<()> {
    let clock = TestClock::new();
    let base = || builder("https://api.align.example/v1", &clock);

    let page = base().pkce(false).build()?.login("me").authorize()?;
    let page = page.url();
    assert_eq!(
        page.as_str().split('?').next(),
        Some("https://api.align.example/v1/oauth/authorize")
    );
    let expected = [
        ("client_id", "client-id"),
        ("redirect_uri", "https://lab.example/callback"),
        ("response_type", "code"),
    ];
    let mut given = parameters(page);
    let at = given.iter().position(|(key, _)| key == "state").unwrap();
    let (_, state) = given.remove(at);
    assert!(state.len() >= 20, "{state}");
    assert_eq!(given, expected.map(|(k, v)| (k.to_owned(), v.to_owned())));

    let client = base()
        .scope("orders")
        .scope("offline_access")
        .authorization_parameter("audience", "https://api.align.example/?a=b&c")
        .build()?;
    let first = client.login("me").authorize()?;
    let second = client.login("me").authorize()?;
    let value = |page: &Url, wanted: &str| {
        let parameters = parameters(page);
        let mut found = parameters.into_iter().filter(|(key, _)| key == wanted);
        let value = found.next().expect(wanted).1;
        assert!(found.next().is_none(), "{wanted} twice");
        value
    };
    assert_eq!(value(first.url(), "scope"), "orders offline_access");
    assert_eq!(
        value(first.url(), "audience"),
        "https://api.align.example/?a=b&c"
    );
    assert_eq!(value(first.url(), "code_challenge_method"), "S256");
    assert_eq!(value(first.url(), "code_challenge").len(), 43);
    for fresh in ["state", "code_challenge"] {
        assert_ne!(value(first.url(), fresh), value(second.url(), fresh));
    }
    // Whoever prints the request prints nothing of it.
    let state = value(first.url(), "state");
    assert!(!format!("{first:?}").contains(&state));
    Ok(())
}

#[tokio::test]
async fn with_pkce_the_verifier_goes_along() -> lab_connector::Result<()> {
    let server = service().await;
    let client = builder(&server.uri(), &TestClock::new()).build()?;
    let login = client.login("me");
    let request = login.authorize()?;
    login.finish(&request, &answered(request.url())).await?;
    let (form, _) = last_form(&server).await;
    let verifier = form
        .split('&')
        .find_map(|pair| pair.strip_prefix("code_verifier="));
    assert_eq!(verifier.map(str::len), Some(43), "{form}");
    Ok(())
}

/// An answer that belongs to another request sends nothing.
#[tokio::test]
async fn a_foreign_redirect_is_refused() -> lab_connector::Result<()> {
    let server = service().await;
    let client: Client = builder(&server.uri(), &TestClock::new()).build()?;
    let login = client.login("me");
    let (request, other) = (login.authorize()?, login.authorize()?);
    let error = login
        .finish(&request, &answered(other.url()))
        .await
        .unwrap_err();
    assert!(error.is_refused(), "{error}");
    assert_eq!(error.operation(), Some("Authorization"));
    assert!(server.received_requests().await.unwrap().is_empty());
    assert!(!login.is_signed_in().await?);
    Ok(())
}
