//! The simulator's pages, as a browser gets them. `scripts/board` works them in a real one.

use std::time::Duration;

use lab_connector::flow::Phase;
use lab_connector::simulator::Simulator;
use reqwest::redirect::Policy;
use reqwest::{Client, Response, header};

type Result<T = ()> = anyhow::Result<T>;

struct Browser {
    service: Simulator,
    http: Client,
}

impl Browser {
    async fn start() -> Result<Self> {
        Ok(Browser {
            service: Simulator::start().await?,
            http: Client::builder().redirect(Policy::none()).build()?,
        })
    }

    fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.service.address())
    }

    async fn open(&self, path: &str) -> Result<Response> {
        let request = self
            .http
            .get(self.url(path))
            .header("accept", "text/html,*/*;q=0.8");
        Ok(request.send().await?)
    }

    async fn board(&self, query: &str) -> Result<String> {
        Ok(self
            .open(&format!("/{query}"))
            .await?
            .error_for_status()?
            .text()
            .await?)
    }

    async fn submit(&self, path: &str, fields: &[(&str, &str)]) -> Result<Response> {
        let body = url::form_urlencoded::Serializer::new(String::new())
            .extend_pairs(fields)
            .finish();
        let request = self
            .http
            .post(self.url(path))
            .header("content-type", "application/x-www-form-urlencoded")
            .header("origin", format!("http://{}", self.service.address()))
            .header("sec-fetch-site", "same-origin")
            .body(body);
        Ok(request.send().await?)
    }
}

fn location(answer: &Response) -> &str {
    assert_eq!(answer.status(), 303);
    answer.headers()[header::LOCATION].to_str().unwrap()
}

/// The card of a case, and the column that it is in.
fn card<'p>(page: &'p str, order: &str) -> (&'p str, &'p str) {
    let at = page
        .find(&format!("data-order=\"{order}\""))
        .expect("no card");
    let column = &page[page[..at].rfind("<h2>").unwrap() + 4..];
    let card = &page[at..];
    (
        &card[..card.find("</article>").unwrap()],
        column[..column.find('<').unwrap()].trim(),
    )
}

fn buttons(card: &str) -> Vec<&str> {
    let values = card.split("name=\"action\" value=\"").skip(1);
    values.map(|rest| rest.split('"').next().unwrap()).collect()
}

#[tokio::test]
async fn the_board_shows_cases_by_stage_with_the_buttons_that_are_possible() -> Result {
    let browser = Browser::start().await?;
    let service = &browser.service;
    let fresh = service.scan("L-1")?;
    let modeled = service.scan("L-1")?;
    service.request_milling(&modeled)?;
    service.finish_modeling(&modeled)?;
    let page = browser.board("").await?;
    for order in [&fresh, &modeled] {
        let (card, column) = card(&page, order.as_str());
        let possible = service.possible(order);
        let names: Vec<_> = possible.iter().map(|action| action.name()).collect();
        assert_eq!(buttons(card), names);
        assert_eq!(
            column,
            if *order == fresh {
                "Ready for download"
            } else {
                "In review"
            }
        );
    }
    // What flow reads from F M R.
    let (card, _) = card(&page, modeled.as_str());
    let numbers: Vec<_> = card
        .split("class=\"n")
        .skip(1)
        .map(|rest| &rest[rest.find('>').unwrap() + 1..][..1])
        .collect();
    assert_eq!(numbers, ["2", "4", "5"]);
    assert!(card.contains("possible</span>"));

    // Chosen: its whole way, and why it reads so.
    let page = browser.board(&format!("?case={modeled}")).await?;
    let history = lab_connector::History::complete([
        "Rx Created",
        "Ready for Download",
        "iTero Modeling",
        "Lab Review",
    ]);
    let advice = history.read().action().advice();
    for text in ["review_m", "iTero Modeling", "<dt>Rx id</dt>", advice] {
        assert!(page.contains(text), "{text} in {page}");
    }
    Ok(())
}

#[tokio::test]
async fn a_button_acts_and_leads_back() -> Result {
    let browser = Browser::start().await?;
    let service = &browser.service;
    let order = service.scan("L-1")?;
    let fields = [
        ("lab", "L-1"),
        ("case", order.as_str()),
        ("order", order.as_str()),
        ("action", "send_to_modeling"),
    ];
    let answer = browser.submit("/_simulator/board", &fields).await?;
    assert_eq!(location(&answer), format!("/?lab=L-1&case={order}"));
    assert_eq!(
        service.path(&order).unwrap().last(),
        Some(&Phase::ModelingP)
    );

    // Too late: the reason, on the board.
    let answer = browser.submit("/_simulator/board", &fields).await?;
    assert_eq!(answer.status(), 409);
    let page = answer.text().await?;
    assert!(
        page.contains("role=\"alert\">cannot send to modeling: the case is in modeling_p"),
        "{page}"
    );
    card(&page, order.as_str());

    let new = [("lab", "L-1"), ("action", "scan")];
    assert_eq!(
        location(&browser.submit("/_simulator/board", &new).await?),
        "/?lab=L-1"
    );
    assert_eq!(service.case_count(), 2);
    let before = service.now();
    let later = [("seconds", "3600"), ("action", "advance")];
    browser.submit("/_simulator/board", &later).await?;
    assert!(service.now() >= before + Duration::from_secs(3600));
    for wrong in [
        &[("action", "advance"), ("seconds", "-1")][..],
        &[("action", "advance"), ("seconds", "99999999999999999")],
        &[("action", "fly")],
        &[],
    ] {
        assert_eq!(
            browser.submit("/_simulator/board", wrong).await?.status(),
            400,
            "{wrong:?}"
        );
    }
    let nobody = [("action", "scan"), ("lab", "L-9")];
    assert_eq!(
        browser.submit("/_simulator/board", &nobody).await?.status(),
        404
    );
    Ok(())
}

/// Programs are not answered with a page, and pages run and load nothing of others.
#[tokio::test]
async fn pages_are_for_browsers_and_closed_to_all_else() -> Result {
    let browser = Browser::start().await?;
    let answer = browser.http.get(browser.url("/")).send().await?;
    assert!(
        answer.headers()["content-type"]
            .to_str()?
            .starts_with("text/plain")
    );
    for path in [
        "/",
        "/?lab=x",
        "/oauth/authorize",
        "/oauth/authorize?response_type=code&client_id=simulator&redirect_uri=https://lab.example/callback",
    ] {
        let answer = browser.open(path).await?;
        assert!(
            answer.headers()["content-type"]
                .to_str()?
                .starts_with("text/html"),
            "{path}"
        );
        let policy = answer.headers()["content-security-policy"].to_str()?;
        assert!(
            policy.starts_with("default-src 'none'; style-src 'self';"),
            "{policy}"
        );
        for needed in [
            "base-uri 'none'",
            "frame-ancestors 'none'",
            "form-action 'self'",
        ] {
            assert!(policy.contains(needed), "{policy}");
        }
        assert!(
            !policy.contains("unsafe") && !policy.contains('*'),
            "{policy}"
        );
        let page = answer.text().await?;
        assert!(
            !page.contains("style=\"") && !page.contains("<style") && !page.contains(" onclick"),
            "{path}"
        );
        for place in page
            .split("src=\"")
            .skip(1)
            .chain(page.split("href=\"").skip(1))
        {
            assert!(place.starts_with('/'), "{path}: {}", &place[..20]);
        }
    }
    for (path, kind) in [
        ("/_simulator/board.css", "text/css"),
        ("/_simulator/board.js", "text/javascript"),
        ("/_simulator/icon.svg", "image/svg+xml"),
    ] {
        let answer = browser.open(path).await?.error_for_status()?;
        assert!(answer.headers()["content-type"].to_str()?.starts_with(kind));
    }
    Ok(())
}

const HOSTILE: &str = r#""'><script>alert(1)</script>&amp;"#;

#[tokio::test]
async fn nothing_gets_into_a_page_unescaped() -> Result {
    let browser = Browser::start().await?;
    browser.service.add_account("L-2", HOSTILE);
    browser
        .service
        .add_account(format!("L{HOSTILE}"), "Third Lab");
    browser.service.add_login(HOSTILE, [format!("L{HOSTILE}")]);
    browser.service.scan(format!("L{HOSTILE}"))?;
    let hostile: String = url::form_urlencoded::byte_serialize(HOSTILE.as_bytes()).collect();
    let request = "/oauth/authorize?response_type=code&client_id=simulator&redirect_uri=https://lab.example/callback";
    // A path that a client made up is in the log.
    browser.open(&format!("/accounts/{hostile}/orders")).await?;
    let mut pages = Vec::new();
    for path in [
        format!("/?lab={hostile}&case={hostile}"),
        format!("/?lab=L{hostile}"),
        format!(
            "{request}&state={hostile}&scope={hostile}&code_challenge={hostile}&code_challenge_method=S256"
        ),
        format!("/oauth/authorize?client_id={hostile}&redirect_uri={hostile}"),
        format!(
            "/oauth/authorize?client_id=simulator&redirect_uri=http://127.0.0.1/{hostile}&response_type=code"
        ),
    ] {
        pages.push(browser.open(&path).await?.text().await?);
    }
    let pressed = [
        ("lab", HOSTILE),
        ("case", HOSTILE),
        ("order", HOSTILE),
        ("action", HOSTILE),
    ];
    pages.push(
        browser
            .submit("/_simulator/board", &pressed)
            .await?
            .text()
            .await?,
    );
    for page in pages {
        assert!(page.starts_with("<!doctype html>"), "{page}");
        assert!(
            !page.contains("<script>") && !page.contains("alert(1)<"),
            "{page}"
        );
        let ours = page
            .matches("<script src=\"/_simulator/board.js\" defer></script>")
            .count();
        assert_eq!(page.matches("<script").count(), ours);
    }
    Ok(())
}

#[tokio::test]
async fn the_sign_in_page_asks_and_leads_back() -> Result {
    let browser = Browser::start().await?;
    let service = &browser.service;
    service.add_account("L-2", "Second Lab");
    service.add_login("reception", ["L-2"]);
    let redirect = service.redirect_url();
    let query =
        format!("response_type=code&client_id=simulator&redirect_uri={redirect}&state=a%26b%3Dc");
    let answer = browser.open(&format!("/oauth/authorize?{query}")).await?;
    // The form leads to the redirect URL's origin: browsers must let it.
    let policy = answer.headers()["content-security-policy"].to_str()?;
    assert!(
        policy.contains("form-action 'self' https://lab.example;"),
        "{policy}"
    );
    let page = answer.text().await?;
    for text in [
        "<strong>simulator</strong>",
        "reception",
        "Second Lab",
        "value=\"no\"",
        "name=\"state\" value=\"a&amp;b=c\"",
    ] {
        assert!(page.contains(text), "{text} in {page}");
    }
    let fields = |login, consent| {
        [
            ("response_type", "code"),
            ("client_id", "simulator"),
            ("redirect_uri", redirect),
            ("state", "a&b=c"),
            ("login", login),
            ("consent", consent),
        ]
    };
    let answer = browser
        .submit("/_simulator/sign-in", &fields("reception", "no"))
        .await?;
    assert_eq!(
        location(&answer),
        format!("{redirect}?error=access_denied&state=a%26b%3Dc")
    );

    let answer = browser
        .submit("/_simulator/sign-in", &fields("reception", "yes"))
        .await?;
    let back = url::Url::parse(location(&answer))?;
    let pairs: Vec<_> = back.query_pairs().collect();
    assert_eq!(
        (&*pairs[0].0, &*pairs[1].0, &*pairs[1].1),
        ("code", "state", "a&b=c")
    );
    let form = format!(
        "grant_type=authorization_code&code={}&redirect_uri={redirect}",
        pairs[0].1
    );
    let tokens: serde_json::Value = browser
        .http
        .post(browser.url("/oauth/token"))
        .basic_auth(service.client_id(), Some(service.client_secret()))
        .header("content-type", "application/x-www-form-urlencoded")
        .body(form)
        .send()
        .await?
        .json()
        .await?;
    let token = tokens["access_token"].as_str().unwrap();
    let accounts = browser
        .http
        .get(browser.url("/accounts"))
        .bearer_auth(token);
    let accounts: serde_json::Value = accounts.send().await?.json().await?;
    assert_eq!(accounts["accounts"].as_array().unwrap().len(), 1);
    assert_eq!(accounts["accounts"][0]["accountId"], "L-2");

    let answer = browser
        .submit("/_simulator/sign-in", &fields("stranger", "yes"))
        .await?;
    assert_eq!(answer.status(), 400);
    // A page of another site cannot press the button.
    let request = browser.http.post(browser.url("/_simulator/sign-in"));
    let answer = request
        .header("sec-fetch-site", "cross-site")
        .body("")
        .send()
        .await?;
    assert_eq!(answer.status(), 403);
    Ok(())
}

/// RFC 6749 section 4.1.2.1: who asks is told what is wrong, once it is clear who asks.
#[tokio::test]
async fn wrong_requests_lead_back_or_nowhere() -> Result {
    let browser = Browser::start().await?;
    // The redirect URL's own query stays.
    let local = "client_id=simulator&redirect_uri=http%3A%2F%2F127.0.0.1%3A1%2F%3Fown%3D1";
    let answer = browser
        .open(&format!(
            "/oauth/authorize?{local}&response_type=code&consent=no"
        ))
        .await?;
    assert_eq!(
        location(&answer),
        "http://127.0.0.1:1/?own=1&error=access_denied"
    );
    let known = "client_id=simulator&redirect_uri=https://lab.example/callback";
    for (query, error) in [
        ("", "unsupported_response_type"),
        ("&response_type=token", "unsupported_response_type"),
        ("&response_type=code&code_challenge=x", "invalid_request"),
        (
            "&response_type=code&code_challenge=x&code_challenge_method=plain",
            "invalid_request",
        ),
    ] {
        let answer = browser
            .open(&format!("/oauth/authorize?{known}&state=s{query}"))
            .await?;
        assert_eq!(
            location(&answer),
            format!("https://lab.example/callback?error={error}&state=s")
        );
    }
    for query in [
        "",
        "response_type=code&client_id=simulator",
        "response_type=code&client_id=other&redirect_uri=https://lab.example/callback",
        "response_type=code&client_id=simulator&redirect_uri=https://evil.example/",
        "response_type=code&client_id=simulator&redirect_uri=nowhere",
    ] {
        let answer = browser.open(&format!("/oauth/authorize?{query}")).await?;
        assert_eq!(answer.status(), 400, "{query}");
    }
    Ok(())
}

/// A foreign name that leads to loopback is an attack: DNS rebinding.
#[tokio::test]
async fn pages_are_for_whoever_calls_the_simulator_by_a_loopback_name() -> Result<()> {
    let browser = Browser::start().await?;
    let sign_in = "/oauth/authorize?response_type=code&client_id=simulator\
                   &redirect_uri=https://lab.example/callback&state=s";
    for path in ["/", sign_in, &format!("{sign_in}&consent=yes")] {
        for (host, refused) in [
            ("evil.example", true),
            ("127.0.0.1.evil.example:80", true),
            ("localhost:1", false),
            ("[::1]", false),
        ] {
            let request = browser.http.get(browser.url(path));
            let request = request.header("accept", "text/html").header("host", host);
            let answer = request.send().await?;
            assert_eq!(answer.status() == 403, refused, "{path} {host}");
            let page = answer.text().await?;
            assert!(!refused || !page.contains("L-1"), "{path} {host}");
        }
    }
    // What the pages send is refused too, and nothing is done.
    let cases = async || {
        let answer = browser.http.get(browser.url("/_simulator/cases"));
        let cases: serde_json::Value = answer.send().await?.json().await?;
        anyhow::Ok(cases["cases"].as_array().unwrap().len())
    };
    let before = cases().await?;
    for path in ["/_simulator/board", "/_simulator/sign-in"] {
        let request = browser.http.post(browser.url(path));
        let request = request.header("host", "evil.example");
        let answer = request.body("action=scan&lab=L-1").send().await?;
        assert_eq!(answer.status(), 403, "{path}");
    }
    assert_eq!(cases().await?, before);
    Ok(())
}
