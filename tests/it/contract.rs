//! `openapi.yaml` against the code: it names what there is, and the simulator answers as it says.

use std::collections::BTreeSet;

use lab_connector::Operation;
use lab_connector::simulator::Simulator;
use reqwest::redirect::Policy;
use reqwest::{Client, RequestBuilder};
use serde_json::{Value, json};

use crate::support::RawServer;

type Result<T = ()> = anyhow::Result<T>;

const YAML: &str = include_str!("../../openapi.yaml");

fn contract() -> Value {
    serde_saphyr::from_str(YAML).unwrap()
}

#[test]
fn it_has_every_operation_at_its_place_and_nothing_else() {
    let contract = contract();
    let mut described = BTreeSet::new();
    for (path, item) in contract["paths"].as_object().unwrap() {
        for (method, operation) in item.as_object().unwrap() {
            if method == "parameters" {
                continue;
            }
            let own = vec![operation["operationId"].clone()];
            let names = operation["x-operations"].as_array().unwrap_or(&own);
            for name in names {
                let name = name.as_str().unwrap().to_owned();
                described.insert((name, method.to_uppercase(), path.clone()));
            }
            // Every variable of the path, and no other.
            let parameters = [&item["parameters"], &operation["parameters"]];
            let parameters = parameters
                .into_iter()
                .flat_map(|list| list.as_array())
                .flatten();
            let declared: BTreeSet<_> = parameters
                .map(|parameter| resolved(&contract, parameter))
                .filter(|parameter| parameter["in"] == "path")
                .map(|parameter| parameter["name"].as_str().unwrap())
                .collect();
            let used = path
                .split('{')
                .skip(1)
                .map(|rest| rest.split('}').next().unwrap());
            assert_eq!(declared, used.collect(), "{path}");
        }
    }
    let known: BTreeSet<_> = Operation::ALL
        .iter()
        .map(|operation| {
            let (name, path) = (
                operation.name().to_owned(),
                format!("/{}", operation.path()),
            );
            (name, operation.method().to_string(), path)
        })
        .collect();
    assert_eq!(described, known);
    assert_eq!(contract["info"]["version"], env!("CARGO_PKG_VERSION"));
    let said = contract["info"]["description"].as_str().unwrap();
    assert!(
        said.starts_with("**This is not Align's specification.**"),
        "{said}"
    );
    // The statuses are those of the crate.
    let statuses: Vec<lab_connector::OrderStatus> =
        serde_json::from_value(contract["components"]["schemas"]["Status"]["enum"].clone())
            .unwrap();
    assert_eq!(statuses, lab_connector::OrderStatus::KNOWN);
}

fn resolved<'c>(contract: &'c Value, value: &'c Value) -> &'c Value {
    match value["$ref"].as_str() {
        Some(place) => contract.pointer(&place[1..]).unwrap(),
        None => value,
    }
}

/// A request with a query of its own.
fn asked(request: RequestBuilder, query: &str) -> RequestBuilder {
    let (client, request) = request.build_split();
    let mut request = request.unwrap();
    request.url_mut().set_query(Some(query));
    RequestBuilder::from_parts(client, request)
}

/// The simulator, called as a program calls it; each answer is held against the contract.
struct Caller {
    contract: Value,
    service: Simulator,
    http: Client,
    seen: BTreeSet<(String, u16)>,
}

impl Caller {
    /// Whether a value is one of a schema.
    fn assert_valid(&self, schema: &Value, value: &Value, what: &str) {
        let mut schema = schema.clone();
        schema["components"] = self.contract["components"].clone();
        let validator = jsonschema::draft202012::new(&schema).unwrap();
        let errors: Vec<_> = validator
            .iter_errors(value)
            .map(|error| error.to_string())
            .collect();
        assert!(errors.is_empty(), "{what}: {errors:?} in {value}");
    }

    async fn call(
        &mut self,
        operation: Operation,
        ids: &[(&str, &str)],
        with: impl FnOnce(RequestBuilder) -> RequestBuilder,
    ) -> Result<(u16, Value)> {
        let template = format!("/{}", operation.path());
        let mut path = template.clone();
        for (name, id) in ids {
            path = path.replace(&format!("{{{name}}}"), id);
        }
        let url = format!("http://{}{path}", self.service.address());
        let request = self.http.request(operation.method(), url);
        let answer = with(request).send().await?;

        let what = format!("{operation}: {}", answer.status());
        let status = answer.status().as_u16();
        let method = operation.method().as_str().to_lowercase();
        let described = &self.contract["paths"][&template][&method]["responses"];
        let response = resolved(&self.contract, &described[status.to_string()]).clone();
        assert!(response.is_object(), "{what} is not described");
        for (name, header) in response["headers"].as_object().into_iter().flatten() {
            let Some(value) = answer.headers().get(name) else {
                assert_ne!(header["required"], true, "{what} has no {name}");
                continue;
            };
            self.assert_valid(&header["schema"], &json!(value.to_str()?), &what);
        }
        self.seen.insert((operation.name().to_owned(), status));

        let kind = answer.headers().get("content-type").cloned();
        let bytes = answer.bytes().await?;
        let Some(content) = response["content"].as_object() else {
            assert!(bytes.is_empty(), "{what} has a body");
            return Ok((status, Value::Null));
        };
        let kind = kind.expect("no content type");
        let kind = kind.to_str()?.split(';').next().unwrap();
        assert!(content.contains_key(kind), "{what} is {kind}");
        let value = match kind {
            "application/json" => serde_json::from_slice(&bytes)?,
            _ => json!(bytes.len()),
        };
        if kind == "application/json" {
            self.assert_valid(&content[kind]["schema"], &value, &what);
        }
        Ok((status, value))
    }
}

#[tokio::test]
async fn the_simulator_answers_as_the_contract_says() -> Result {
    let hook = RawServer::start("HTTP/1.1 204 No Content\r\n\r\n").await;
    let mut caller = Caller {
        contract: contract(),
        service: Simulator::start().await?,
        http: Client::builder().redirect(Policy::none()).build()?,
        seen: BTreeSet::new(),
    };
    let c = &mut caller;
    let plain = |request| request;
    let client =
        |request: RequestBuilder| request.basic_auth("simulator", Some("simulator-secret"));
    let form = |body: String| {
        move |request: RequestBuilder| {
            let kind = "application/x-www-form-urlencoded";
            request
                .basic_auth("simulator", Some("simulator-secret"))
                .header("content-type", kind)
                .body(body)
        }
    };
    let bearer = |token: &Value| {
        let token = token["access_token"].as_str().unwrap_or("none").to_owned();
        move |request: RequestBuilder| request.bearer_auth(token)
    };

    c.call(Operation::Discovery, &[], plain).await?;
    let redirect = c.service.redirect_url();
    let query = format!("response_type=code&client_id=simulator&redirect_uri={redirect}");
    c.call(Operation::Authorization, &[], plain).await?;
    for more in ["", "&consent=no"] {
        let query = format!("{query}{more}");
        c.call(Operation::Authorization, &[], |request| {
            asked(request, &query)
        })
        .await?;
    }
    let back = c.service.consent(&format!("http://x/?{query}").parse()?)?;
    let code = back.query_pairs().next().unwrap().1.into_owned();
    let code = format!("grant_type=authorization_code&code={code}&redirect_uri={redirect}");
    let (_, login) = c.call(Operation::GetToken, &[], form(code.clone())).await?;
    for (wrong, expected) in [
        (&*code, 400),
        ("", 400),
        ("grant_type=password", 400),
        ("%ff=%00&code", 400),
    ] {
        let (status, error) = c
            .call(Operation::GetToken, &[], form(wrong.to_owned()))
            .await?;
        assert_eq!(status, expected, "{error}");
    }
    let stranger = |request: RequestBuilder| {
        let request = request.header("content-type", "application/x-www-form-urlencoded");
        request.body("token=x")
    };
    assert_eq!(c.call(Operation::GetToken, &[], stranger).await?.0, 401);
    assert_eq!(
        c.call(Operation::GetToken, &[], |request| client(request)
            .body("{}"))
            .await?
            .0,
        400
    );
    let refresh = format!(
        "grant_type=refresh_token&refresh_token={}",
        login["refresh_token"].as_str().unwrap()
    );
    let (status, login) = c.call(Operation::RefreshToken, &[], form(refresh)).await?;
    assert_eq!(status, 200);

    c.call(Operation::GetAccounts, &[], plain).await?;
    c.call(Operation::GetAccounts, &[], bearer(&login)).await?;
    let lab = [("account_id", "L-1")];
    let body = json!({ "notificationUrl": hook.url("/hook") });
    c.call(Operation::Pair, &lab, plain).await?;
    c.call(Operation::Pair, &[("account_id", "L-9")], bearer(&login))
        .await?;
    for wrong in [
        "{",
        "[]",
        r#"{"notificationUrl": 7}"#,
        r#"{"notificationUrl": "nowhere"}"#,
    ] {
        let json = |request: RequestBuilder| request.header("content-type", "application/json");
        let (status, _) = c
            .call(Operation::Pair, &lab, |request| {
                json(bearer(&login)(request)).body(wrong)
            })
            .await?;
        assert_eq!(status, 400, "{wrong}");
    }
    let (_, paired) = c
        .call(Operation::Pair, &lab, |request| {
            bearer(&login)(request).json(&body)
        })
        .await?;

    let new = c.contract["components"]["schemas"]["NewOrder"]["example"].clone();
    c.call(Operation::AvailableProcedureMaps, &[], plain)
        .await?;
    c.call(Operation::AvailableProcedureMaps, &[], client)
        .await?;
    c.call(Operation::CreateNewOrder, &[], plain).await?;
    c.call(Operation::CreateNewOrder, &[], client).await?;
    let (_, created) = c
        .call(Operation::CreateNewOrder, &[], |request| {
            client(request).json(&new)
        })
        .await?;
    let (order, rx) = (
        created["orderId"].as_str().unwrap(),
        created["rxId"].as_str().unwrap(),
    );
    hook.requested(1).await;
    let posted = hook.requests().remove(0);
    let posted = serde_json::from_str(posted.split_once("\r\n\r\n").unwrap().1)?;
    c.assert_valid(
        &json!({ "$ref": "#/components/schemas/Notification" }),
        &posted,
        "the notification",
    );

    let (_, orders) = c.call(Operation::GetOrders, &lab, bearer(&paired)).await?;
    let asset = orders["orders"][0]["assets"][0]["assetId"]
        .as_str()
        .unwrap();
    c.call(Operation::GetOrders, &lab, plain).await?;
    c.call(Operation::GetOrders, &lab, bearer(&login)).await?;
    let at = |rx| [("account_id", "L-1"), ("rx_id", rx)];
    for (rx, token) in [
        (rx, &paired),
        ("none", &paired),
        (rx, &login),
        (rx, &Value::Null),
    ] {
        c.call(Operation::GetOrderByRxId, &at(rx), bearer(token))
            .await?;
    }
    let at = |asset| {
        [
            ("account_id", "L-1"),
            ("order_id", order),
            ("asset_id", asset),
        ]
    };
    for (asset, token) in [
        (asset, &paired),
        ("none", &paired),
        (asset, &login),
        (asset, &Value::Null),
    ] {
        c.call(Operation::DownloadAsset, &at(asset), bearer(token))
            .await?;
    }
    for range in ["bytes=0-3", "bytes=999999999-"] {
        c.call(Operation::DownloadAsset, &at(asset), |request| {
            bearer(&paired)(request).header("range", range)
        })
        .await?;
    }
    let at = |order| [("account_id", "L-1"), ("order_id", order)];
    for (order, token) in [
        (order, &paired),
        (order, &paired),
        ("none", &paired),
        (order, &login),
        (order, &Value::Null),
    ] {
        c.call(Operation::ReturnScan, &at(order), bearer(token))
            .await?;
    }
    let (status, _) = c
        .call(Operation::ReturnScan, &at(order), |request| {
            bearer(&paired)(request)
                .header("content-type", "application/json")
                .body("{")
        })
        .await?;
    assert_eq!(status, 400);
    c.call(Operation::CreateNewOrderByRx, &[], plain).await?;
    c.call(Operation::CreateNewOrderByRx, &[], client).await?;
    c.call(Operation::CreateNewOrderByRx, &[], |request| {
        client(request).json(&json!({ "rxId": rx }))
    })
    .await?;
    c.call(Operation::Unpair, &lab, bearer(&login)).await?;
    c.call(Operation::Unpair, &lab, bearer(&paired)).await?;
    c.call(Operation::Unpair, &lab, bearer(&paired)).await?;
    let revoke = format!("token={}", login["refresh_token"].as_str().unwrap());
    c.call(Operation::RevokeToken, &[], stranger).await?;
    c.call(Operation::RevokeToken, &[], form("x=1".to_owned()))
        .await?;
    c.call(Operation::RevokeToken, &[], form(revoke)).await?;

    // Nothing is described that was not seen.
    let mut described = BTreeSet::new();
    for item in c.contract["paths"].as_object().unwrap().values() {
        for operation in item.as_object().unwrap().values() {
            for status in operation["responses"]
                .as_object()
                .into_iter()
                .flat_map(|all| all.keys())
            {
                let name = operation["operationId"].as_str().unwrap().to_owned();
                described.insert((name, status.parse::<u16>()?));
            }
        }
    }
    let mut seen = caller.seen;
    seen.remove(&("refresh_token".to_owned(), 200));
    assert_eq!(seen, described);
    Ok(())
}

#[tokio::test]
async fn it_is_served() -> Result {
    let service = Simulator::start().await?;
    let answer = reqwest::get(format!("http://{}/openapi.yaml", service.address())).await?;
    assert_eq!(answer.headers()["content-type"], "application/yaml");
    assert_eq!(answer.text().await?, YAML);
    Ok(())
}
