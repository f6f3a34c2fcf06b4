//! The scanning tool, by hand, as a script would call it.

use lab_connector::flow::Phase;
use lab_connector::simulator::Simulator;
use lab_connector::{OrderId, RxId};
use serde_json::{Value, json};

use super::{Result, listed, paired};
use crate::support::http;

fn basic(service: &Simulator) -> String {
    // base64("simulator:simulator-secret"), which is all it ever is.
    assert_eq!(
        (service.client_id(), service.client_secret()),
        ("simulator", "simulator-secret")
    );
    "authorization: Basic c2ltdWxhdG9yOnNpbXVsYXRvci1zZWNyZXQ=".to_owned()
}

/// The development-only calls, made by hand as a script would.
#[tokio::test]
async fn the_scanning_tool_makes_orders() -> Result {
    let (service, lab) = paired().await?;
    let auth = basic(&service);
    let call = async |method: &str, path: &str, headers: &str, body: &Value| {
        let head = format!("{method} /scanning-tool/{path} HTTP/1.1\r\n{headers}");
        let body = if body.is_null() {
            String::new()
        } else {
            body.to_string()
        };
        http(service.address(), &head, &body).await
    };
    let with_json = format!("{auth}\r\ncontent-type: application/json");

    let (status, maps) = call("GET", "available-procedure-maps", &auth, &Value::Null).await?;
    assert_eq!(status, 200);
    let maps: Value = serde_json::from_str(&maps)?;
    let procedure = &maps["procedureMaps"][0]["procedureMapId"];

    let mut good = json!({
        "companyId": "L-1", "scannerSerialNumber": "S-1", "procedureMapId": procedure,
        "patient": { "firstName": "Alva", "lastName": "Ashgrove" },
    });
    let (status, created) = call("POST", "create-new-order", &with_json, &good).await?;
    assert_eq!(status, 200, "{created}");
    let created: Value = serde_json::from_str(&created)?;
    let order = OrderId::new(created["orderId"].as_str().unwrap());
    let rx = RxId::new(created["rxId"].as_str().unwrap());
    assert_eq!(listed(&lab).await?, std::slice::from_ref(&order));
    assert_eq!(
        lab.orders().by_rx(&rx).await?.extra()["patient"]["firstName"],
        "Alva"
    );

    // By the Rx of a case that was sent back.
    lab.orders().return_to_doctor(&order).await?;
    let by_rx = json!({ "rxId": rx });
    let (status, _) = call("POST", "create-new-order-by-rx", &with_json, &by_rx).await?;
    assert_eq!(status, 200);
    assert_eq!(listed(&lab).await?, std::slice::from_ref(&order));
    assert_eq!(
        service.path(&order).unwrap().last(),
        Some(&Phase::AtLabAgain)
    );

    // 400 for what is wrong, 401 for whoever is wrong, and nothing else: documented.
    let (status, _) = call("POST", "create-new-order-by-rx", &with_json, &by_rx).await?;
    assert_eq!(status, 400);
    for field in [
        "companyId",
        "scannerSerialNumber",
        "procedureMapId",
        "patient",
    ] {
        let kept = good[field].take();
        let (status, said) = call("POST", "create-new-order", &with_json, &good).await?;
        assert_eq!(status, 400, "{said}");
        assert!(said.contains(field), "{field}: {said}");
        good[field] = kept;
    }
    for path in ["create-new-order", "create-new-order-by-rx"] {
        for (headers, body) in [
            (&with_json, json!("no object")),
            (&with_json, Value::Null),
            (&auth, Value::Null),
            (&auth, json!({})),
        ] {
            let (status, said) = call("POST", path, headers, &body).await?;
            assert_eq!(status, 400, "{path} {headers} {body}: {said}");
        }
        let wrong = "authorization: Basic d3Jvbmc6d3Jvbmc=";
        for headers in ["x-none: 1", wrong] {
            let (status, said) = call("POST", path, headers, &json!({})).await?;
            assert_eq!(status, 401, "{path} {headers}: {said}");
        }
    }
    let (status, _) = call("GET", "available-procedure-maps", "x-none: 1", &Value::Null).await?;
    assert_eq!(status, 401);
    assert_eq!(listed(&lab).await?, [order]);
    Ok(())
}
