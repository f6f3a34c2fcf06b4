//! The steps: what they say, what they do not, and which setting they name.

use lab_connector::client::CheckReport;
use lab_connector::simulator::{Behaviour, Simulator};
use lab_connector::transport::{self, Body, TransportError};
use lab_connector::{Client, Config, Endpoints, Operation, OrderStatus};
use serde_json::{Value, json};

use super::{Result, Scene};
use crate::support::{TestClock, builder, keep, login, state_of, store, tokens};

/// The steps with their outcomes.
fn outcomes(report: &CheckReport) -> Vec<(String, String)> {
    let json = serde_json::to_value(report).unwrap();
    let text = |step: &Value, key: &str| step[key].as_str().unwrap_or_default().to_owned();
    let steps = json["steps"].as_array().unwrap().iter();
    steps
        .map(|step| (text(step, "name"), text(step, "outcome")))
        .collect()
}

/// The advice of a step.
fn advice(report: &CheckReport, name: &str) -> String {
    let json = serde_json::to_value(report).unwrap();
    let mut steps = json["steps"].as_array().unwrap().iter();
    let step = steps.find(|step| step["name"] == name);
    let step = step.unwrap_or_else(|| panic!("there is no step {name}: {report}"));
    step["advice"].as_str().unwrap_or_default().to_owned()
}

#[tokio::test]
async fn all_steps_are_good_against_the_conventions() -> Result {
    let scene = Scene::new(Behaviour::default(), 2).await?;
    let report = scene.check().zip().await;
    let good = [
        "connection",
        "Discovery",
        "Authorization",
        "Get Accounts",
        "pairing",
        "Refresh Token",
        "Get Orders",
        "Get Order by Rx Id",
        "an order that does not exist",
        "thumbnails",
        "zip",
    ];
    let expected: Vec<_> = good
        .iter()
        .map(|name| ((*name).to_owned(), "good".to_owned()))
        .collect();
    assert_eq!(outcomes(&report), expected, "{report}");
    assert_eq!(*report.settings(), json!({}));
    let text = report.to_string();
    for line in [
        "good     Get Orders  GET /accounts/{account_id}/orders",
        "  spelling of keys: camelCase",
        "  kinds of files: IDE, IMAGE_GALLERY",
        "    orderId: text of digits, read as `orderid`",
        "    patient: object {chartNumber, firstName, lastName}",
        "  conflict_code: an order would have to be sent back from where it cannot be",
    ] {
        assert!(text.contains(line), "{line}\n{text}");
    }
    let assumed = text.split("nothing of them was seen").nth(1).unwrap();
    assert!(assumed.contains("\n  an empty list\n"), "{text}");
    // The service's own log: it was asked for nothing that changes anything.
    for call in scene.service.calls() {
        let operation = call.operation;
        let changes = [
            Operation::Unpair,
            Operation::ReturnScan,
            Operation::RevokeToken,
        ];
        assert!(!changes.contains(&operation), "{operation}");
    }
    Ok(())
}

#[tokio::test]
async fn no_value_of_an_answer_is_in_the_report() -> Result {
    let mut behaviour = Behaviour::default();
    (
        behaviour.history,
        behaviour.unknown_fields,
        behaviour.asset_digests,
    ) = (true, true, true);
    let scene = Scene::new(behaviour, 3).await?;
    let report = scene.check().zip().await;
    let text = format!("{report} {report:?} {}", serde_json::to_string(&report)?);
    let mut values = Vec::new();
    let raw: Value = scene.lab.call(Operation::GetOrders).fetch().await?;
    leaves(&raw, &mut values);
    values.retain(|value| value.len() > 3);
    // Those that may be shown, and words that the report has of its own.
    values
        .retain(|value| !OrderStatus::from(value.as_str()).is_known() && value != "IMAGE_GALLERY");
    assert!(values.len() > 30, "{values:?}");
    for value in values {
        assert!(!text.contains(&value), "{value}");
    }
    assert!(!text.contains("L-1") && !text.contains("access-") && !text.contains("refresh-"));
    Ok(())
}

fn leaves(value: &Value, found: &mut Vec<String>) {
    match value {
        Value::String(text) => found.push(text.clone()),
        Value::Array(list) => list.iter().for_each(|value| leaves(value, found)),
        Value::Object(fields) => fields.values().for_each(|value| leaves(value, found)),
        _ => {}
    }
}

#[tokio::test]
async fn a_failure_names_the_setting() -> Result {
    let service = Simulator::start().await?;
    let base = format!("http://{}/", service.address());
    let check = async |change: Value| -> Result<CheckReport> {
        let mut config = json!({
            "base_url": base, "client_id": service.client_id(), "client_secret": service.client_secret(),
            "redirect_url": service.redirect_url(),
        });
        for (key, value) in change.as_object().unwrap() {
            config[key] = value.clone();
        }
        let client = Client::from_config(&serde_json::from_value::<Config>(config)?)?;
        Ok(client.check().login("reception").await)
    };
    let report = check(json!({})).await?;
    assert!(report.is_good());
    assert!(
        advice(&report, "Get Accounts").contains("sign in"),
        "{report}"
    );
    for (change, step, setting) in [
        (
            json!({"endpoints": {"discovery": "nowhere"}}),
            "Discovery",
            "`discovery`",
        ),
        (
            json!({"client_id": "another"}),
            "Authorization",
            "`client_id`",
        ),
        (
            json!({"redirect_url": "https://other.example/"}),
            "Authorization",
            "`redirect_url`",
        ),
        (
            json!({"redirect_url": null}),
            "Authorization",
            "`redirect_url`",
        ),
        // Nobody listens there.
        (
            json!({"base_url": "http://127.0.0.1:1/"}),
            "connection",
            "`base_url`",
        ),
    ] {
        let report = check(change.clone()).await?;
        assert!(!report.is_good(), "{change}");
        let text = advice(&report, step);
        assert!(text.contains(setting), "{change}: {text}");
        assert!(
            report.to_string().contains(&format!("FAILED   {step}")),
            "{report}"
        );
    }
    Ok(())
}

#[tokio::test]
async fn what_the_account_lacks_is_said() -> Result {
    let scene = Scene::new(Behaviour::default(), 0).await?;
    let report = scene.client.check().account("L-2").await;
    assert!(advice(&report, "pairing").contains("pair it"), "{report}");
    // The service has forgotten it.
    scene
        .client
        .login("reception")
        .pair("L-1")
        .await?
        .revoke()
        .await?;
    let report = scene.client.check().account("L-1").await;
    assert!(advice(&report, "pairing").contains("pair it"), "{report}");
    Ok(())
}

/// A service whose list stands elsewhere and whose status has another name, and which has no token
/// endpoint of interest.
fn odd() -> impl transport::Transport + 'static {
    transport::from_fn(|request| async move {
        let path = request.uri().path().to_owned();
        let (status, body) = match path.as_str() {
            "/oauth/token" => (200, json!({"access_token": "a", "refresh_token": "r"})),
            "/accounts/1/orders" => (
                200,
                json!({"reply": {"queue": [{"orderId": 7, "rxId": 8, "stage": "Lab Review", "who": "canary"}]}}),
            ),
            "/accounts/1/pair" => (200, json!({"access_token": "a", "refresh_token": "r"})),
            _ => (404, json!({})),
        };
        let mut response = http::Response::new(Body::from(body.to_string()));
        *response.status_mut() = http::StatusCode::from_u16(status).unwrap();
        Ok::<_, TransportError>(response)
    })
}

#[tokio::test]
async fn a_list_and_a_status_that_are_not_found_are_told() -> Result {
    let client = async |endpoints: Endpoints| -> Result<Client> {
        let client = Client::builder()
            .endpoints(endpoints)
            .credentials("id", "secret")
            .redirect_url("https://lab.example/")
            .transport(odd())
            .build()?;
        let login = client.login("me");
        let request = login.authorize()?;
        let state = state_of(&request);
        let back = format!("https://lab.example/?code=c&state={state}").parse()?;
        login.finish(&request, &back).await?;
        login.pair("1").await?;
        Ok(client)
    };
    let base = "https://odd.example/";
    let report = client(Endpoints::from_base_url(base)?)
        .await?
        .check()
        .account("1")
        .await;
    let expected = json!({"shapes": {
        "lists": {"get_orders": "/reply/queue"},
        "names": {"order": {"status": ["stage"]}},
    }});
    assert_eq!(*report.settings(), expected, "{report}");
    assert!(
        advice(&report, "Get Orders").contains("shapes.lists"),
        "{report}"
    );
    assert!(!report.to_string().contains("canary"));

    // With these settings its orders are read.
    let mut settings = expected;
    settings["base_url"] = base.into();
    let client = client(serde_json::from_value(settings)?).await?;
    let listing = client.account("1").orders().list().await?;
    assert!(listing.is_complete() && listing.orders().len() == 1);
    let report = client.check().account("1").await;
    assert_eq!(*report.settings(), json!({}), "{report}");
    Ok(())
}

#[tokio::test]
async fn a_proxy_and_a_certificate_are_told_with_their_settings() -> Result {
    let closed = crate::support::ClosedPort::new();
    let proxy = closed.url().replace("http://", "http://user:canary@");
    let client = Client::builder()
        .endpoints(Endpoints::from_base_url("https://lab.example/")?)
        .credentials("id", "secret")
        .proxy(proxy)
        .build()?;
    let report = client.check().await;
    let text = report.to_string();
    let shown = closed.url();
    let told = format!(
        "https://lab.example, through the proxy {}, as the setting `proxy` says",
        shown.trim_end_matches('/')
    );
    assert!(text.contains(&told), "{text}");
    assert!(advice(&report, "connection").contains("`proxy`"), "{text}");
    assert!(!text.contains("canary"), "{text}");

    // A certificate that nobody vouches for.
    let (base, _) = crate::network::tls_server().await;
    let client = Client::builder()
        .endpoints(Endpoints::from_base_url(&base)?)
        .credentials("id", "secret")
        .no_proxy()
        .build()?;
    let report = client.check().await;
    assert!(
        advice(&report, "connection").contains("`root_certificates`"),
        "{report}"
    );
    Ok(())
}

#[tokio::test]
async fn a_token_that_cannot_be_refreshed_may_be_good_still() -> Result {
    let service = Simulator::start().await?;
    let directory = tempfile::tempdir()?;
    let client = |endpoints: Value| -> Result<Client> {
        let config = json!({
            "base_url": format!("http://{}/", service.address()), "endpoints": endpoints,
            "client_id": service.client_id(), "client_secret": service.client_secret(),
            "redirect_url": service.redirect_url(), "token_directory": directory.path().join("tokens"),
        });
        Ok(Client::from_config(&serde_json::from_value(config)?)?)
    };
    let first = client(json!({}))?;
    let login = first.login("me");
    let request = login.authorize()?;
    login
        .finish(&request, &service.consent(request.url())?)
        .await?;
    login.pair("L-1").await?;
    let report = client(json!({"refresh_token": "POST nowhere"}))?
        .check()
        .account("L-1")
        .await;
    assert!(
        advice(&report, "Refresh Token").contains("`refresh_token`"),
        "{report}"
    );
    let listing = ("Get Orders".to_owned(), "good".to_owned());
    assert!(outcomes(&report).contains(&listing), "{report}");
    Ok(())
}

/// The client secret is wrong: a step that needs a refresh leads to it, and not to a person.
#[tokio::test]
async fn a_wrong_client_secret_is_told_wherever_it_shows() -> Result {
    for (seconds, steps) in [
        (-1, &["Get Accounts", "Refresh Token"][..]),
        (3600, &["Get Accounts", "Refresh Token", "Get Orders"]),
    ] {
        let clock = TestClock::new();
        let store = store(&clock, seconds).await;
        keep(&store, &login(), &tokens(&clock, seconds)).await;
        let client = builder("https://lab.example/", &clock)
            .token_store(store)
            .transport(transport::from_fn(|request| {
                let body = match request.uri().path() {
                    "/oauth/token" => r#"{"error":"invalid_client"}"#,
                    _ => "{}",
                };
                let answer = http::Response::builder().status(401);
                std::future::ready(Ok(answer.body(Body::from(body)).unwrap()))
            }))
            .build()?;
        let report = client.check().login("me").account("account-77").await;
        for step in steps {
            let text = advice(&report, step);
            assert!(
                text.contains("`client_id`, the client secret"),
                "{step}: {report}"
            );
            assert!(!text.contains("pair"), "{step}: {report}");
        }
    }
    Ok(())
}
