//! What a configuration says is what a client does.

use lab_connector::{Client, Config};
use serde_json::{Value, json};

use crate::support::{RawServer, state_of};

type Result<T = ()> = anyhow::Result<T>;

const TOKENS: &str = "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: 42\r\nconnection: close\r\n\r\n{\"access_token\":\"a\",\"refresh_token\":\"r\"}  ";

/// A directory with a configuration of these settings and the files that it names.
fn written(settings: &Value) -> Result<tempfile::TempDir> {
    let directory = tempfile::tempdir()?;
    let write = |name: &str, text: &str| std::fs::write(directory.path().join(name), text);
    write("config.json", &format!("\u{FEFF}{settings}"))?;
    write("secret", "s3cret\n")?;
    write("key", "canary-key\n")?;
    write("empty", "\n")?;
    Ok(directory)
}

fn client(settings: &Value) -> Result<(Client, tempfile::TempDir)> {
    let directory = written(settings)?;
    let config = Config::from_file(directory.path().join("config.json"))?;
    Ok((Client::from_config(&config)?, directory))
}

#[tokio::test]
async fn every_setting_of_a_request_is_sent() -> Result {
    let server = RawServer::start(TOKENS).await;
    let (client, directory) = client(&json!({
        "client_id": "lab", "client_secret_file": "secret", "client_secret_in_body": true,
        "base_url": "https://unused.example/", "oauth_base": server.url("/"),
        "login_page": "https://login.example/sign-in",
        "redirect_url": "https://lab.example/callback",
        "scopes": ["orders", "offline_access"],
        "authorization_parameters": {"audience": "https://api.example/"}, "pkce": false,
        "headers": {"x-tenant": "eu"}, "header_files": {"x-gateway-key": "key"},
        "user_agent": "LabSoft/3.1", "token_directory": "tokens", "proxy": "none",
    }))?;
    let login = client.login("me");
    let request = login.authorize()?;
    let page = request.url().as_str();
    assert!(page.starts_with("https://login.example/sign-in?"), "{page}");
    for parameter in [
        "scope=orders+offline_access",
        "audience=https%3A%2F%2Fapi.example%2F",
        "client_id=lab",
    ] {
        assert!(page.contains(parameter), "{page}");
    }
    assert!(!page.contains("code_challenge"), "{page}");

    let state = state_of(&request);
    let back = format!("https://lab.example/callback?code=c&state={state}").parse()?;
    login.finish(&request, &back).await?;
    let sent = server.requests().pop().unwrap();
    for part in [
        "POST /oauth/token ",
        "x-tenant: eu",
        "x-gateway-key: canary-key",
        "user-agent: LabSoft/3.1 lab-connector/",
        "client_secret=s3cret",
    ] {
        assert!(sent.contains(part), "{part}: {sent}");
    }
    assert!(!sent.contains("authorization: Basic"), "{sent}");
    assert_eq!(
        std::fs::read_dir(directory.path().join("tokens"))?
            .filter(|entry| {
                entry
                    .as_ref()
                    .is_ok_and(|entry| entry.path().extension().is_some_and(|it| it == "json"))
            })
            .count(),
        1
    );
    Ok(())
}

#[tokio::test]
async fn what_cannot_hold_is_named_by_its_setting() -> Result {
    for (change, named) in [
        (json!({"client_secret_file": null}), "client_secret_file"),
        (
            json!({"client_secret_file": "nowhere"}),
            "`client_secret_file`: the file ",
        ),
        (json!({"client_secret_file": "empty"}), "is empty"),
        (
            json!({"header_files": {"x": "nowhere"}}),
            "`header_files`: the file ",
        ),
        (
            json!({"root_certificates": "nowhere"}),
            "`root_certificates`: the file ",
        ),
        (json!({"root_certificates": "key"}), "root certificate"),
        (json!({"proxy": "canary"}), "proxy"),
        (json!({"allow_hosts": ["*.example"]}), "`*.example`"),
        (json!({"oauth_base": "nowhere"}), "`oauth_base`"),
        (json!({"endpoints": "nowhere.json"}), "nowhere.json"),
        (json!({"endpoints": {"pair": 1}}), "`endpoints.pair`"),
        (json!({"shapes": {"nope": 1}}), "`shapes.nope`"),
        (
            json!({"base_url": null}),
            "set `base_url` or `endpoints`, or the variable LAB_CONNECTOR_BASE_URL",
        ),
        (
            json!({"client_id": null}),
            "the client id is not given: set `client_id`, or the variable LAB_CONNECTOR_CLIENT_ID",
        ),
        (
            json!({"base_url": "ftp://a.example/"}),
            "`base_url`: the URL must be http or https",
        ),
        (
            json!({"oauth_base": "ftp://a.example/"}),
            "`oauth_base`: the URL must be http or https",
        ),
        (json!({"login_page": "ftp://a.example/"}), "`login_page`"),
        (
            json!({"redirect_url": "ftp://a.example/"}),
            "`redirect_url` must be https",
        ),
        (
            json!({"proxy": "ftp://canary.example/"}),
            "`proxy` must be an http or https URL",
        ),
    ] {
        let mut settings = json!({
            "client_id": "lab", "client_secret_file": "secret", "base_url": "https://a.example/",
        });
        for (key, value) in change.as_object().unwrap() {
            settings[key] = value.clone();
        }
        let error = client(&settings).expect_err(&format!("{change}"));
        let error = error.downcast_ref::<lab_connector::Error>().unwrap();
        assert!(error.is_configuration(), "{change}: {error:?}");
        assert!(error.to_string().contains(named), "{change}: {error}");
        assert!(!format!("{error:?}").contains("canary"), "{error:?}");
    }
    Ok(())
}

#[tokio::test]
async fn endpoints_may_stand_in_a_file_of_their_own() -> Result {
    let directory = written(&json!({
        "client_id": "lab", "client_secret_file": "secret", "base_url": "https://a.example/v1",
        "endpoints": "endpoints.json",
    }))?;
    std::fs::write(
        directory.path().join("endpoints.json"),
        "\u{FEFF}{\"endpoints\": {\"get_orders\": \"queue\"}}",
    )?;
    let config = Config::from_file(directory.path().join("config.json"))?;
    let endpoints = Client::from_config(&config)?.endpoints();
    let orders = endpoints.endpoint(lab_connector::Operation::GetOrders)?.1;
    assert_eq!(orders, "https://a.example/v1/queue");

    // What the configuration says itself wins, one by one, however the file spells it.
    let directory = written(&json!({
        "client_id": "lab", "client_secret_file": "secret", "base_url": "https://a.example/v1",
        "endpoints": "endpoints.json", "shapes": {"lists": {"get_orders": "/reply/queue"}},
    }))?;
    let file = directory.path().join("endpoints.json");
    std::fs::write(
        &file,
        r#"{"baseUrl": "https://b.example/", "Shapes": {
            "lists": {"getOrders": "/data", "getAccounts": "/labs"}, "names": {"order": {"status": "stage"}}}}"#,
    )?;
    let config = Config::from_file(directory.path().join("config.json"))?;
    let endpoints = Client::from_config(&config)?.endpoints();
    let orders = endpoints.endpoint(lab_connector::Operation::GetOrders)?.1;
    assert!(orders.starts_with("https://a.example/v1/"), "{orders}");
    assert_eq!(
        endpoints.to_json()["shapes"],
        json!({
            "lists": {"get_orders": "/reply/queue", "get_accounts": "/labs"},
            "names": {"order": {"status": ["stage"]}},
        })
    );

    for wrong in ["[]", "\"x\"", "7", "null"] {
        std::fs::write(&file, wrong)?;
        let error = Client::from_config(&config).unwrap_err().to_string();
        assert!(error.contains("endpoints.json"), "{wrong}: {error}");
    }
    Ok(())
}
