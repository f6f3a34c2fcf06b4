//! The simulator's control API, as a test in another language uses it.

use std::collections::BTreeSet;

use lab_connector::flow::{Phase, Scenario};
use lab_connector::simulator::{Action, Behaviour, Simulator};
use reqwest::{Client, Method, Response, StatusCode};
use serde_json::{Value, json};

type Result<T = ()> = anyhow::Result<T>;

struct Control {
    service: Simulator,
    http: Client,
}

impl Control {
    async fn start() -> Result<Self> {
        Ok(Control {
            service: Simulator::start().await?,
            http: Client::builder()
                .redirect(reqwest::redirect::Policy::none())
                .build()?,
        })
    }

    async fn call(&self, method: Method, path: &str, body: Option<Value>) -> Result<Response> {
        let url = format!("http://{}{path}", self.service.address());
        let mut request = self.http.request(method, url);
        if let Some(body) = body {
            request = request.json(&body);
        }
        Ok(request.send().await?)
    }

    async fn get(&self, path: &str) -> Result<Value> {
        let path = format!("/_simulator{path}");
        let answer = self.call(Method::GET, &path, None).await?;
        Ok(answer.error_for_status()?.json().await?)
    }

    async fn post(&self, path: &str) -> Result<Value> {
        let path = format!("/_simulator{path}");
        let answer = self.call(Method::POST, &path, None).await?;
        Ok(answer.error_for_status()?.json().await?)
    }

    /// The status, and the problem of it.
    async fn refused(
        &self,
        method: Method,
        path: &str,
        body: Option<Value>,
    ) -> Result<(u16, Value)> {
        let path = format!("/_simulator{path}");
        let answer = self.call(method, &path, body).await?;
        let status = answer.status().as_u16();
        assert_eq!(
            answer.headers()["content-type"],
            "application/problem+json",
            "{path}"
        );
        let problem: Value = answer.json().await?;
        assert_eq!(problem["status"], status);
        assert!(problem["detail"].is_string(), "{problem}");
        Ok((status, problem))
    }
}

#[tokio::test]
async fn a_case_goes_its_way_and_tells_the_truth() -> Result {
    let control = Control::start().await?;
    let case = control.post("/labs/L-1/prescribe").await?;
    assert_eq!(case["status"], "Rx Created");
    assert_eq!(
        case["actions"],
        json!([
            "begin_scan",
            "finish_scan",
            "send_to_modeling",
            "request_milling"
        ])
    );
    let order = case["orderId"].as_str().unwrap().to_owned();
    let steps = [
        ("begin_scan", "scan", "Scanning"),
        ("finish_scan", "at_lab", "Ready for Download"),
        ("return_to_doctor", "rescan", "Scanning"),
        ("rescan", "at_lab_again", "Ready for Download"),
        ("request_milling", "modeling_m", "iTero Modeling"),
        ("finish_modeling", "review_m", "Lab Review"),
        ("begin_interpretation", "interp2", "iTero Milling"),
        ("interpretation_to_review", "review2", "Lab Review"),
        ("download", "reviewed2", "Downloaded"),
        ("proceed", "milling_g", "iTero Milling"),
        ("finish_milling", "ready_g", "Ready to Ship"),
        ("ship", "finished_g", "Downloaded"),
        // A remake.
        ("send_to_modeling", "modeling_p", "iTero Modeling"),
        ("finish_modeling", "review_p", "Lab Review"),
    ];
    for (action, phase, status) in steps {
        let before = control.get(&format!("/cases/{order}")).await?;
        let offered = before["actions"].as_array().unwrap();
        assert!(offered.contains(&json!(action)), "{action}: {before}");
        let case = control.post(&format!("/cases/{order}/{action}")).await?;
        assert_eq!(
            (&case["phase"], &case["status"]),
            (&json!(phase), &json!(status))
        );
        if case["scenario"].is_u64() && action != "send_to_modeling" {
            let candidates = case["reading"]["candidates"].as_array().unwrap();
            assert!(candidates.contains(&case["scenario"]), "{case}");
        }
    }
    let case = control.get(&format!("/cases/{order}")).await?;
    // The modeler's choice was the case's way all along.
    let path: Vec<_> = case["path"]
        .as_array()
        .unwrap()
        .iter()
        .map(|phase| phase.as_str().unwrap())
        .collect();
    assert_eq!(
        path[..7],
        [
            "scan",
            "at_lab",
            "rescan",
            "at_lab_again",
            "modeling_g",
            "review_g",
            "interp2"
        ]
    );
    assert_eq!(case["reading"]["deviations"], json!([13]));
    assert_eq!(case["history"].as_array().unwrap().len(), steps.len() + 1);
    Ok(())
}

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

#[tokio::test]
async fn cases_are_found_and_listed_in_pages() -> Result {
    let control = Control::start().await?;
    control.service.add_account("L-2", "Second Lab");
    for number in 0..7 {
        let lab = if number % 3 == 0 { "L-2" } else { "L-1" };
        let order = control.service.scan(lab)?;
        if number % 2 == 0 {
            control.service.send_to_modeling(&order)?;
        }
    }
    let found = async |query: &str| -> Result<usize> {
        let found = control.get(&format!("/cases{query}")).await?;
        assert_eq!(found["next"], Value::Null, "{query}");
        Ok(found["cases"].as_array().unwrap().len())
    };
    assert_eq!(found("").await?, 7);
    assert_eq!(found("?account=L-2").await?, 3);
    assert_eq!(found("?phase=modeling_p").await?, 4);
    assert_eq!(found("?status=ready+for+download&account=L-1").await?, 2);
    assert_eq!(found("?account=L-9").await?, 0);
    let (mut after, mut orders) = (String::new(), BTreeSet::new());
    for expected in [3, 3, 1] {
        let page = control.get(&format!("/cases?limit=3{after}")).await?;
        let cases = page["cases"].as_array().unwrap();
        assert_eq!(cases.len(), expected);
        orders.extend(
            cases
                .iter()
                .map(|case| case["orderId"].as_str().unwrap().to_owned()),
        );
        match page["next"].as_str() {
            Some(next) => after = format!("&after={next}"),
            None => assert_eq!(expected, 1),
        }
    }
    assert_eq!(orders.len(), 7);
    Ok(())
}

#[tokio::test]
async fn labs_and_logins_can_be_added() -> Result {
    let control = Control::start().await?;
    let lab = json!({ "accountId": "L-2", "name": "Zweites <Labor>" });
    let answer = control
        .call(Method::POST, "/_simulator/labs", Some(lab.clone()))
        .await?;
    assert_eq!(answer.status(), StatusCode::CREATED);
    let (status, _) = control.refused(Method::POST, "/labs", Some(lab)).await?;
    assert_eq!(status, 409);
    let labs = control.get("/labs").await?;
    assert_eq!(labs["labs"][1]["name"], "Zweites <Labor>");
    assert_eq!(control.post("/labs/L-2/scan").await?["accountId"], "L-2");
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

#[tokio::test]
async fn behaviour_and_faults_are_read_and_replaced() -> Result {
    let control = Control::start().await?;
    let shown: Behaviour = serde_json::from_value(control.get("/behaviour").await?)?;
    assert_eq!(shown, Behaviour::default());
    let put = async |path: &str, body: Value| {
        let path = format!("/_simulator{path}");
        let answer = control.call(Method::PUT, &path, Some(body)).await?;
        anyhow::Ok(answer.error_for_status()?.json::<Value>().await?)
    };
    let answer = put(
        "/behaviour",
        json!({ "keys": "snake", "missing_code": 410 }),
    )
    .await?;
    assert_eq!(answer, control.get("/behaviour").await?);
    assert_eq!(control.service.behaviour().missing_code, 410);
    put("/behaviour", json!({ "keys": "pascal" })).await?;
    assert_eq!(
        control.service.behaviour().missing_code,
        404,
        "the rest has its default"
    );

    let rule = json!({ "fault": { "status": { "code": 503, "retry_after": 7 } }, "operations": ["discovery"], "calls": [1] });
    put("/faults", json!({ "rules": [rule] })).await?;
    assert_eq!(control.service.faults().rules.len(), 1);
    let answer = control.call(Method::GET, "/discovery", None).await?;
    assert_eq!(
        (
            answer.status().as_u16(),
            &answer.headers()["retry-after"].to_str()?
        ),
        (503, &"7")
    );
    assert_eq!(
        control
            .call(Method::GET, "/discovery", None)
            .await?
            .status(),
        200
    );
    let calls = control.get("/calls?operation=discovery").await?;
    let calls = calls["calls"].as_array().unwrap();
    assert_eq!(
        (&calls[0]["status"], &calls[0]["faults"]),
        (&json!(503), &json!(["status"]))
    );
    assert_eq!(
        (&calls[1]["status"], &calls[1]["faults"]),
        (&json!(200), &json!([]))
    );
    Ok(())
}

/// The whole of a sign-in, as a test without a browser does it.
async fn sign_in(control: &Control) -> Result<String> {
    let redirect = control.service.redirect_url();
    let page = format!(
        "http://{}/oauth/authorize?response_type=code&client_id=simulator&redirect_uri={redirect}&state=s",
        control.service.address()
    );
    let body = json!({ "url": page });
    let answer = control
        .call(Method::POST, "/_simulator/consent", Some(body))
        .await?;
    let answer: Value = answer.error_for_status()?.json().await?;
    let back = url::Url::parse(answer["redirect"].as_str().unwrap())?;
    let code = back
        .query_pairs()
        .find(|(name, _)| name == "code")
        .unwrap()
        .1
        .into_owned();
    let tokens = control
        .http
        .post(format!("http://{}/oauth/token", control.service.address()))
        .basic_auth(
            control.service.client_id(),
            Some(control.service.client_secret()),
        )
        .header("content-type", "application/x-www-form-urlencoded")
        .body(format!(
            "grant_type=authorization_code&code={code}&redirect_uri={redirect}"
        ))
        .send()
        .await?
        .error_for_status()?;
    let tokens: Value = tokens.json().await?;
    Ok(tokens["access_token"].as_str().unwrap().to_owned())
}

#[tokio::test]
async fn a_user_signs_in_without_a_browser_and_time_ends_the_token() -> Result {
    let control = Control::start().await?;
    let token = sign_in(&control).await?;
    let accounts = async || {
        let url = format!("http://{}/accounts", control.service.address());
        anyhow::Ok(
            control
                .http
                .get(url)
                .bearer_auth(&token)
                .send()
                .await?
                .status(),
        )
    };
    assert_eq!(accounts().await?, 200);
    let before = control.get("/clock").await?;
    let advance = json!({ "seconds": 3600 });
    let answer = control
        .call(Method::POST, "/_simulator/clock/advance", Some(advance))
        .await?;
    let after: Value = answer.json().await?;
    assert!(before["now"].as_str() < after["now"].as_str());
    assert_eq!(accounts().await?, 401);

    // Declined.
    let page = format!(
        "http://x/?response_type=code&client_id=simulator&redirect_uri={}",
        control.service.redirect_url()
    );
    let body = json!({ "url": page, "agree": false });
    let answer = control
        .call(Method::POST, "/_simulator/consent", Some(body))
        .await?;
    let answer: Value = answer.json().await?;
    assert_eq!(
        answer["redirect"],
        "https://lab.example/callback?error=access_denied"
    );
    Ok(())
}

/// What is logged is what was asked and seen, and nothing that identifies or opens anything.
#[tokio::test]
async fn the_log_holds_no_secret() -> Result {
    let control = Control::start().await?;
    let token = sign_in(&control).await?;
    let base = format!("http://{}", control.service.address());
    let url = format!("{base}/accounts/L-1/orders?patient=canary&token={token}");
    let status = control
        .http
        .get(url)
        .bearer_auth(&token)
        .send()
        .await?
        .status();
    assert_eq!(status, 403);
    let log = control.get("/calls").await?;
    let calls = log["calls"].as_array().unwrap();
    let operations: Vec<_> = calls
        .iter()
        .map(|call| call["operation"].as_str().unwrap())
        .collect();
    assert_eq!(operations, ["get_token", "get_orders"]);
    assert_eq!(calls[1]["path"], "/accounts/L-1/orders");
    assert_eq!(calls[1]["status"], 403);
    let text = log.to_string();
    for secret in [&*token, "canary", "code-", "simulator-secret"] {
        assert!(!text.contains(secret), "{secret} in {text}");
    }
    let later = control.get("/calls?after=1").await?;
    assert_eq!(later["calls"].as_array().unwrap().len(), 1);
    let answer = control
        .call(Method::DELETE, "/_simulator/calls", None)
        .await?;
    assert_eq!(answer.status(), 204);
    assert_eq!(control.get("/calls").await?["calls"], json!([]));
    Ok(())
}

#[tokio::test]
async fn a_reset_is_a_new_beginning() -> Result {
    let control = Control::start().await?;
    let token = sign_in(&control).await?;
    control.service.add_account("L-2", "Second Lab");
    let first = control.service.scan("L-1")?;
    control
        .service
        .set_behaviour(Behaviour::from_json(r#"{"keys": "pascal"}"#)?)?;
    control
        .service
        .advance(std::time::Duration::from_secs(86_400));
    let answer = control
        .call(Method::POST, "/_simulator/reset", None)
        .await?;
    assert_eq!(answer.status(), 204);
    assert_eq!(control.get("/cases").await?["cases"], json!([]));
    assert_eq!(
        control.get("/labs").await?["labs"]
            .as_array()
            .unwrap()
            .len(),
        1
    );
    assert_eq!(control.service.behaviour(), Behaviour::default());
    assert_eq!(control.get("/calls").await?["calls"], json!([]));
    let url = format!("http://{}/accounts", control.service.address());
    let status = control
        .http
        .get(url)
        .bearer_auth(token)
        .send()
        .await?
        .status();
    assert_eq!(status, 401, "an old token is good");
    assert_eq!(control.service.scan("L-1")?, first);
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

#[tokio::test]
async fn the_index_names_what_is_there() -> Result {
    let control = Control::start().await?;
    let index = control.get("/").await?;
    for (name, place) in index.as_object().unwrap() {
        let Some(place) = place.as_str() else {
            assert_eq!(name, "actions");
            assert_eq!(place.as_array().unwrap().len(), Action::ALL.len());
            continue;
        };
        let status = control.http.get(place).send().await?.status();
        // Those that only do something have another method.
        let expected = if ["consent", "reset"].contains(&&**name) {
            405
        } else {
            200
        };
        assert_eq!(status, expected, "{name}");
    }
    assert_eq!(Scenario::ALL.len(), 5);
    Ok(())
}
