//! How tokens end, and whom they let in.

use std::time::Duration;

use lab_connector::simulator::{Ids, PairingRevokes, Simulator};
use serde_json::Value;

use super::behaviour::{paired, with};
use super::{Result, builder, client, signed_in};
use crate::support::http;

#[tokio::test]
async fn refresh_tokens_end_as_they_are_told_to() -> Result {
    let refresh = async |service: &Simulator, token: &str| -> Result<Value> {
        let form = format!(
            "grant_type=refresh_token&refresh_token={token}&client_id={}&client_secret={}",
            service.client_id(),
            service.client_secret()
        );
        let head = "POST /oauth/token HTTP/1.1\r\ncontent-type: application/x-www-form-urlencoded";
        let (status, body) = http(service.address(), head, &form).await?;
        let mut answer: Value = serde_json::from_str(&body)?;
        answer["status"] = status.into();
        Ok(answer)
    };
    let first = async |service: &Simulator| -> Result<String> {
        let store = std::sync::Arc::new(lab_connector::MemoryTokenStore::new());
        let client = builder(service).token_store(store.clone()).build()?;
        signed_in(service, &client).await?;
        let key = lab_connector::auth::TokenKey::Login("me".into());
        let tokens = lab_connector::TokenStore::load(&store, &key)
            .await?
            .unwrap();
        let tokens: Value = serde_json::from_str(&tokens.expose_json())?;
        Ok(tokens["refresh_token"].as_str().unwrap().to_owned())
    };
    let text = |answer: &Value| answer["refresh_token"].as_str().map(str::to_owned);

    // Without rotation it goes on, and no other is given.
    let (service, _) = paired(with(|b| b.refresh_rotation = false)).await?;
    let token = first(&service).await?;
    for _ in 0..2 {
        let answer = refresh(&service, &token).await?;
        assert_eq!(
            (answer["status"].as_u64(), text(&answer)),
            (Some(200), None)
        );
    }
    // With rotation and grace a used one goes on for a while.
    let (service, _) = paired(with(|b| b.refresh_grace = 30)).await?;
    let token = first(&service).await?;
    let second = text(&refresh(&service, &token).await?).unwrap();
    service.advance(Duration::from_secs(30));
    assert!(text(&refresh(&service, &token).await?).is_some());
    service.advance(Duration::from_secs(1));
    assert_eq!(refresh(&service, &token).await?["error"], "invalid_grant");
    // That was a theft: the family is gone.
    assert_eq!(refresh(&service, &second).await?["error"], "invalid_grant");
    // Unless nothing is to be revoked.
    let (service, _) = paired(with(|b| b.family_revocation = false)).await?;
    let token = first(&service).await?;
    let second = text(&refresh(&service, &token).await?).unwrap();
    assert_eq!(refresh(&service, &token).await?["status"], 400);
    assert_eq!(refresh(&service, &second).await?["status"], 200);
    // A life of its own.
    let (service, _) = paired(with(|b| b.refresh_life = Some(100))).await?;
    let token = first(&service).await?;
    service.advance(Duration::from_secs(100));
    assert_eq!(refresh(&service, &token).await?["status"], 400);
    Ok(())
}

#[tokio::test]
async fn a_pairing_ends_what_it_is_told_to() -> Result {
    for (revokes, account_lives, login_lives) in [
        (PairingRevokes::Nothing, true, true),
        (PairingRevokes::Account, false, true),
        (PairingRevokes::AccountAndLogin, false, false),
    ] {
        let (service, lab) = paired(with(|b| b.pairing_revokes = revokes)).await?;
        let other = signed_in(&service, &client(&service)?).await?;
        other.accounts().await?;
        other.pair("L-1").await?;
        let error = lab.orders().list().await.err();
        assert_eq!(error.is_none(), account_lives, "{revokes:?}: {error:?}");
        let error = other.accounts().await.err();
        assert_eq!(error.is_none(), login_lives, "{revokes:?}: {error:?}");
    }
    Ok(())
}

#[tokio::test]
async fn a_challenge_can_be_due() -> Result {
    let service = Simulator::builder()
        .behaviour(with(|b| b.pkce_required = true))
        .start()
        .await?;
    signed_in(&service, &client(&service)?).await?;
    let plain = format!(
        "http://{}/oauth/authorize?response_type=code&client_id={}&redirect_uri={}",
        service.address(),
        service.client_id(),
        service.redirect_url()
    );
    let refused = service.consent(&plain.parse()?).unwrap_err();
    assert_eq!(refused.to_string(), "code_challenge is missing");
    Ok(())
}

#[tokio::test]
async fn a_login_acts_for_its_own_labs_only() -> Result {
    let service = Simulator::builder()
        .account("1001", "First Lab")
        .account("1002", "Second Lab")
        .account("1003", "Third Lab")
        .login("alva", ["1001", "1003"])
        .start()
        .await?;
    let client = client(&service)?;
    let login = client.login("me");
    let request = login.authorize()?;
    assert!(service.consent_as("nobody", request.url()).is_err());
    let redirected = service.consent_as("alva", request.url())?;
    login.finish(&request, &redirected).await?;
    let accounts = login.accounts().await?;
    let ids: Vec<_> = accounts
        .iter()
        .map(|account| account.id().as_str())
        .collect();
    assert_eq!(ids, ["1001", "1003"]);
    assert!(login.pair("1002").await.unwrap_err().is_not_found());
    login.pair("1003").await?;
    service.add_login("alva", ["1002"]);
    login.pair("1002").await?;
    // As numbers too.
    service.set_behaviour(with(|b| b.ids = Ids::Number))?;
    assert_eq!(login.accounts().await?[0].id().as_str(), "1002");
    Ok(())
}
