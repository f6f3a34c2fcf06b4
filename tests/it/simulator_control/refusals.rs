//! What the control API refuses: the impossible, what is sent wrongly, and other sites.

use std::collections::BTreeSet;

use lab_connector::flow::Phase;
use lab_connector::simulator::Action;
use reqwest::Method;
use serde_json::json;

use super::{Control, Result};

/// From every phase: what is offered succeeds, and everything else is refused, with the phase.
#[tokio::test]
async fn what_is_impossible_is_refused_with_the_reason() -> Result {
    let control = Control::start().await?;
    // Ways that lead through every phase that people can bring a case to.
    let ways: [&[&str]; 6] = [
        &["begin_scan", "finish_scan", "download"],
        &["finish_scan", "return_to_doctor", "rescan", "download"],
        &[
            "finish_scan",
            "send_to_modeling",
            "finish_modeling",
            "download",
        ],
        &[
            "request_milling",
            "finish_modeling",
            "download",
            "proceed",
            "finish_milling",
            "ship",
        ],
        &[
            "request_milling",
            "finish_modeling",
            "begin_interpretation",
            "interpretation_to_review",
            "download",
            "proceed",
        ],
        &[
            "request_milling",
            "finish_modeling",
            "begin_interpretation",
            "interpretation_to_milling",
            "finish_milling",
            "ship",
        ],
    ];
    let mut seen = BTreeSet::new();
    for way in ways {
        let case = control.post("/labs/L-1/prescribe").await?;
        let order = case["orderId"].as_str().unwrap();
        let mut case = case.clone();
        for next in way.iter().map(Some).chain([None]) {
            let phase = case["phase"].as_str().unwrap().to_owned();
            let offered: Vec<_> = case["actions"]
                .as_array()
                .unwrap()
                .iter()
                .map(|name| name.as_str().unwrap())
                .collect();
            for action in Action::ALL {
                // To begin again what is begun changes nothing, and is not offered.
                if offered.contains(&action.name())
                    || *action == Action::BeginScan && phase == "scan"
                {
                    continue;
                }
                let path = format!("/cases/{order}/{action}");
                let (status, problem) = control.refused(Method::POST, &path, None).await?;
                assert_eq!((status, &problem["phase"]), (409, &json!(phase)), "{path}");
                let reason = problem["detail"].as_str().unwrap();
                assert!(
                    reason.contains(action.phrase()) && reason.contains(&phase),
                    "{reason}"
                );
            }
            seen.insert(phase);
            let Some(next) = next else { break };
            assert!(offered.contains(next), "{next}: {case}");
            case = control.post(&format!("/cases/{order}/{next}")).await?;
        }
    }
    // On the way to interpretation 2 modeling and review are known only in hindsight.
    let never = ["modeling_g", "review_g", "reviewed_g"];
    let missed: Vec<_> = Phase::ALL
        .into_iter()
        .map(|phase| phase.as_str())
        .filter(|phase| !seen.contains(*phase) && !never.contains(phase))
        .collect();
    assert!(missed.is_empty(), "{missed:?}");
    Ok(())
}

/// What a test sends wrongly is never the simulator's failure.
#[tokio::test]
async fn wrong_requests_are_answered_with_problems() -> Result {
    let control = Control::start().await?;
    let order = control.service.scan("L-1")?;
    let post = Method::POST;
    let calls = [
        (Method::GET, "/nothing".to_owned(), None, 404),
        (Method::GET, "/cases/9".to_owned(), None, 404),
        (Method::GET, "/cases/%00".to_owned(), None, 404),
        (Method::GET, "/cases/%FF".to_owned(), None, 400),
        (Method::DELETE, format!("/cases/{order}"), None, 405),
        (post.clone(), "/labs/L-9/scan".to_owned(), None, 404),
        (post.clone(), format!("/cases/{order}/fly"), None, 404),
        (
            post.clone(),
            format!("/cases/{order}/rescan"),
            Some(json!({ "now": 1 })),
            400,
        ),
        (Method::GET, "/cases?phase=x".to_owned(), None, 400),
        (Method::GET, "/cases?limit=-1".to_owned(), None, 400),
        (Method::GET, "/cases?limits=1".to_owned(), None, 400),
        (Method::GET, "/cases?after=x".to_owned(), None, 400),
        (Method::GET, "/calls?operation=x".to_owned(), None, 400),
        (post.clone(), "/labs".to_owned(), Some(json!({})), 400),
        (
            post.clone(),
            "/labs".to_owned(),
            Some(json!({ "accountId": "", "name": "" })),
            400,
        ),
        (post.clone(), "/clock/advance".to_owned(), None, 400),
        (
            post.clone(),
            "/clock/advance".to_owned(),
            Some(json!({ "seconds": -1 })),
            400,
        ),
        (
            post.clone(),
            "/clock/advance".to_owned(),
            Some(json!({ "seconds": 1e300 })),
            400,
        ),
        (
            post.clone(),
            "/clock/advance".to_owned(),
            Some(json!({ "seconds": 1e18 })),
            400,
        ),
        (
            post.clone(),
            "/clock/advance".to_owned(),
            Some(json!({ "seconds": 9e11 })),
            400,
        ),
        (
            Method::PUT,
            "/behaviour".to_owned(),
            Some(json!({ "keys": "kebab" })),
            400,
        ),
        (
            Method::PUT,
            "/behaviour".to_owned(),
            Some(json!({ "page_size": 0 })),
            400,
        ),
        (
            Method::PUT,
            "/faults".to_owned(),
            Some(json!({ "rules": [{ "fault": "flood" }] })),
            400,
        ),
        (
            post.clone(),
            "/consent".to_owned(),
            Some(json!({ "url": "no url" })),
            400,
        ),
        (
            post.clone(),
            "/consent".to_owned(),
            Some(json!({ "url": "http://x/?client_id=y" })),
            400,
        ),
    ];
    for (method, path, body, expected) in calls {
        let (status, problem) = control.refused(method, &path, body).await?;
        assert_eq!(status, expected, "{path}: {problem}");
    }
    Ok(())
}

/// A page of another site, open in the developer's browser, cannot act here.
#[tokio::test]
async fn other_sites_are_kept_out() -> Result {
    let control = Control::start().await?;
    let url = format!(
        "http://{}/_simulator/labs/L-1/scan",
        control.service.address()
    );
    let post = async |name: &'static str, value: &str| {
        let request = control.http.post(&url).header(name, value);
        anyhow::Ok(request.send().await?.status().as_u16())
    };
    let own = format!("http://{}", control.service.address());
    assert_eq!(post("origin", &own).await?, 201);
    assert_eq!(post("sec-fetch-site", "same-origin").await?, 201);
    assert_eq!(post("origin", "https://evil.example").await?, 403);
    assert_eq!(post("origin", "null").await?, 403);
    assert_eq!(post("sec-fetch-site", "cross-site").await?, 403);
    assert_eq!(post("sec-fetch-site", "same-site").await?, 403);
    // A name that was made to lead here.
    assert_eq!(post("host", "evil.example").await?, 403);
    assert_eq!(post("host", "localhost:1").await?, 201);
    assert_eq!(post("host", "[::1]:1").await?, 201);
    let cases = control.get("/cases").await?;
    assert_eq!(cases["cases"].as_array().unwrap().len(), 4);
    Ok(())
}
