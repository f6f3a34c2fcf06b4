//! Every fault, with the real client.

use std::time::{Duration, Instant, SystemTime};

use lab_connector::flow::Phase;
use lab_connector::retry::RetryPolicy;
use lab_connector::simulator::{
    AssetUrls, Behaviour, ClockMode, Fault, FaultRule, Faults, ResetAt, Simulator,
};
use lab_connector::{Error, Lab, Notification, Operation, Order, OrderId};
use serde_json::Value;

use super::{Result, builder, client, listed, signed_in};
use crate::support::{RawServer, http};

fn rules(rules: impl IntoIterator<Item = FaultRule>) -> Faults {
    let mut faults = Faults::default();
    faults.rules.extend(rules);
    faults
}

/// At the first call of an operation.
fn first(fault: Fault, operation: Operation) -> Faults {
    rules([FaultRule::new(fault).on(operation).calls([1])])
}

/// A simulator with a paired lab, whose client repeats nothing, or soon.
async fn paired(repeats: bool) -> Result<(Simulator, Lab)> {
    let service = Simulator::builder().seed(11).start().await?;
    let retry = if repeats {
        RetryPolicy::default().backoff(Duration::from_millis(1), Duration::from_millis(2))
    } else {
        RetryPolicy::never()
    };
    let client = builder(&service)
        .retry(retry)
        .attempt_timeout(Duration::from_millis(700))
        .idle_timeout(Duration::from_millis(700))
        .build()?;
    let login = signed_in(&service, &client).await?;
    let lab = login.pair("L-1").await?;
    Ok((service, lab))
}

/// What a call that meets a fault comes to.
type Check = fn(&Error) -> bool;

fn broke(error: &Error) -> bool {
    error.is_interrupted() || error.is_connect()
}

/// The faults that spoil an answer, and what the client makes of them.
fn spoiling() -> Vec<(Fault, Check)> {
    let reset = |at| Fault::Reset { at };
    let status = |code| Fault::Status {
        code,
        retry_after: Some(1),
    };
    vec![
        (status(503), |error| {
            error.is_server() && error.retry_after() == Some(Duration::from_secs(1))
        }),
        (status(429), Error::is_rate_limited),
        (Fault::Hang, Error::is_timeout),
        (reset(ResetAt::Request), broke),
        (reset(ResetAt::Answer), broke),
        (reset(ResetAt::InsideHead), broke),
        (reset(ResetAt::AfterHead), broke),
        (reset(ResetAt::InsideBody), broke),
        (Fault::Truncate, broke),
        (Fault::WrongLength { by: 9 }, broke),
        (Fault::WrongLength { by: -9 }, Error::is_decode),
        (Fault::Html, Error::is_decode),
        (Fault::MalformedJson, Error::is_decode),
    ]
}

#[tokio::test]
async fn each_spoils_one_call_and_no_other() -> Result {
    let (service, lab) = paired(false).await?;
    let order = service.scan("L-1")?;
    for (fault, check) in spoiling() {
        service.set_faults(first(fault.clone(), Operation::GetOrders))?;
        let error = lab.orders().list().await.unwrap_err();
        assert!(check(&error), "{fault:?}: {}", error.report());
        assert_eq!(
            listed(&lab).await?,
            std::slice::from_ref(&order),
            "after {fault:?}"
        );
        let calls = service.calls();
        let names: Vec<_> = calls[calls.len() - 2..]
            .iter()
            .map(|call| &call.faults)
            .collect();
        assert_eq!(names, [&vec![fault.name()], &vec![]], "{calls:?}");
    }
    Ok(())
}

#[tokio::test]
async fn a_client_that_repeats_comes_through() -> Result {
    let (service, lab) = paired(true).await?;
    let order = service.scan("L-1")?;
    for (fault, _) in spoiling() {
        // A wait that the service asks for is kept; and what is no error of the wire is final.
        let final_or_slow = matches!(
            fault,
            Fault::Status { .. } | Fault::Html | Fault::MalformedJson | Fault::WrongLength { .. }
        );
        if final_or_slow {
            continue;
        }
        service.set_faults(first(fault.clone(), Operation::GetOrders))?;
        let before = service.call_count();
        assert_eq!(
            listed(&lab).await?,
            std::slice::from_ref(&order),
            "{fault:?}"
        );
        assert_eq!(service.call_count() - before, 2, "{fault:?}");
    }
    // After the last byte: what came is whole, or the call is repeated.
    let at = ResetAt::AfterBody;
    service.set_faults(first(Fault::Reset { at }, Operation::GetOrders))?;
    assert_eq!(listed(&lab).await?, [order]);
    Ok(())
}

/// A lost answer is not an undone deed.
#[tokio::test]
async fn what_was_done_is_done_whether_the_answer_arrives_or_not() -> Result {
    for (at, done) in [
        (ResetAt::Request, false),
        (ResetAt::Answer, true),
        (ResetAt::InsideHead, true),
    ] {
        let (service, lab) = paired(true).await?;
        let order = service.scan("L-1")?;
        service.set_faults(first(Fault::Reset { at }, Operation::ReturnScan))?;
        let error = lab.orders().return_to_doctor(&order).await.unwrap_err();
        assert_eq!(error.attempts(), 1, "nobody knows whether it was done");
        let returned = service.path(&order).unwrap().last() == Some(&Phase::Rescan);
        assert_eq!(returned, done, "{at:?}");
    }
    Ok(())
}

/// Files: what is broken off is resumed, what is wrong is not taken, and an order is Downloaded
/// only by a file that went out whole.
#[tokio::test]
async fn files_break_and_arrive_whole() -> Result {
    for urls in [AssetUrls::SameHost, AssetUrls::Signed] {
        for (fault, _) in spoiling() {
            let (service, lab) = paired(false).await?;
            let mut behaviour = Behaviour::default();
            behaviour.asset_urls = urls;
            service.set_behaviour(behaviour)?;
            service.scan("L-1")?;
            let listing = lab.orders().list().await?;
            let order = &listing.orders()[0];
            let export = order
                .assets()
                .iter()
                .find(|asset| asset.is_export())
                .unwrap();
            service.set_faults(first(fault.clone(), Operation::DownloadAsset))?;
            let directory = tempfile::tempdir()?;
            let path = directory.path().join("a.zip");
            let download = || lab.download(order, export).to_file(&path);
            // Files are not JSON: that fault has nothing to spoil.
            if fault != Fault::MalformedJson {
                let error = download().await.unwrap_err();
                assert!(!path.exists(), "{fault:?}");
                assert!(!error.is_configuration(), "{fault:?}: {}", error.report());
                assert_eq!(listed(&lab).await?.len(), 1, "{fault:?}");
            }
            let file = download().await?;
            assert_eq!(Some(file.bytes), export.size(), "{fault:?}");
            assert!(listed(&lab).await?.is_empty(), "{fault:?}");
        }
    }
    Ok(())
}

#[tokio::test]
async fn answers_come_late_and_slowly() -> Result {
    let (service, lab) = paired(false).await?;
    let order = service.scan("L-1")?;
    let late = Fault::Latency { seconds: 0.05 };
    service.set_faults(first(late, Operation::GetOrders))?;
    let begun = Instant::now();
    listed(&lab).await?;
    assert!(begun.elapsed() >= Duration::from_millis(50));
    // Some 1,500 bytes.
    let slow = Fault::Drip {
        bytes_per_second: 10_000,
    };
    service.set_faults(first(slow, Operation::GetOrders))?;
    let begun = Instant::now();
    assert_eq!(listed(&lab).await?, [order]);
    assert!(
        begun.elapsed() >= Duration::from_millis(80),
        "{:?}",
        begun.elapsed()
    );
    assert!(
        begun.elapsed() < Duration::from_millis(690),
        "{:?}",
        begun.elapsed()
    );
    Ok(())
}

/// What arrives slowly arrives: the order is Downloaded then, and not before.
#[tokio::test]
async fn a_slow_file_is_downloaded_when_it_has_arrived() -> Result {
    use futures_util::StreamExt as _;
    let (service, lab) = paired(false).await?;
    service.scan("L-1")?;
    let drip = |bytes_per_second| first(Fault::Drip { bytes_per_second }, Operation::DownloadAsset);
    let listing = lab.orders().list().await?;
    let order = &listing.orders()[0];
    let zip = order
        .assets()
        .iter()
        .find(|asset| asset.is_export())
        .unwrap();
    // Some 50 kB: what is given up after its first bytes is not fetched.
    service.set_faults(drip(20_000))?;
    let mut bytes = lab.download(order, zip).stream();
    assert!(bytes.next().await.unwrap()?.len() < 50_000);
    drop(bytes);
    assert_eq!(listed(&lab).await?, [order.id().clone()]);
    service.set_faults(drip(200_000))?;
    let mut whole = Vec::new();
    lab.download(order, zip).to_writer(&mut whole).await?;
    assert_eq!(listed(&lab).await?, []);
    Ok(())
}

/// A slow answer, and behind it on the same connection others that are not, or are cut.
#[tokio::test]
async fn a_connection_goes_on_after_a_slow_answer() -> Result {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    let service = Simulator::start().await?;
    let slow = Fault::Drip {
        bytes_per_second: 20_000,
    };
    let at = ResetAt::InsideBody;
    let on = |fault, call| FaultRule::new(fault).on(Operation::Discovery).calls([call]);
    service.set_faults(rules([on(slow, 1), on(Fault::Reset { at }, 4)]))?;
    let mut stream = tokio::net::TcpStream::connect(service.address()).await?;
    // All at once: the answers follow each other closely.
    let ask = "GET /discovery HTTP/1.1\r\nhost: x\r\n\r\n";
    let head = "HEAD /discovery HTTP/1.1\r\nhost: x\r\n\r\n";
    stream
        .write_all([ask, ask, head, ask].concat().as_bytes())
        .await?;
    let mut answers = Vec::new();
    let ended = stream.read_to_end(&mut answers).await;
    let answers = String::from_utf8(answers)?;
    let parts: Vec<_> = answers.split("HTTP/1.1 200 OK").collect();
    assert!(ended.is_err(), "{ended:?}");
    let body = |at: usize| parts[at].split_once("\r\n\r\n").map(|(_, body)| body);
    let whole = body(1).unwrap();
    serde_json::from_str::<Value>(whole)?;
    assert_eq!((body(2), body(3)), (Some(whole), Some("")));
    let cut = body(4).unwrap();
    assert!(whole.starts_with(cut) && cut.len() < whole.len());
    Ok(())
}

#[tokio::test]
async fn lists_flicker_and_hold_what_cannot_be_read() -> Result {
    let (service, lab) = paired(false).await?;
    let gone = service.scan("L-1")?;
    let mut orders = vec![
        service.scan("L-1")?,
        service.scan("L-1")?,
        service.scan("L-1")?,
    ];
    service.send_to_modeling(&gone)?;
    let list = async |fault| -> Result<_> {
        service.set_faults(first(fault, Operation::GetOrders))?;
        Ok(lab.orders().list().await?)
    };
    let ids = |listing: &lab_connector::client::Listing| -> Vec<OrderId> {
        listing
            .orders()
            .iter()
            .map(|order| order.id().clone())
            .collect()
    };
    let unreadable = list(Fault::UnreadableRecord).await?;
    assert_eq!(
        (unreadable.orders().len(), unreadable.unreadable().len()),
        (2, 1)
    );
    assert!(!unreadable.is_complete());
    let missing = list(Fault::MissingOrder).await?;
    assert_eq!(ids(&missing).len(), 2);
    assert!(ids(&missing).iter().all(|id| orders.contains(id)) && missing.is_complete());
    let stale = list(Fault::StaleOrder).await?;
    let shown = stale
        .orders()
        .iter()
        .find(|order| *order.id() == gone)
        .unwrap();
    assert_eq!(shown.status().as_str(), "Ready for Download");
    // And then all is well again.
    assert_eq!(listed(&lab).await?, orders);
    // What was left out was not seen then; what could be read was.
    assert!(
        service
            .truth(&gone)
            .unwrap()
            .deliveries()
            .all(|shown| !shown.seen)
    );
    orders.retain(|id| {
        !service
            .truth(id)
            .unwrap()
            .deliveries()
            .all(|shown| shown.seen)
    });
    assert!(orders.is_empty());
    Ok(())
}

#[tokio::test]
async fn an_expired_url_is_renewed() -> Result {
    let (service, lab) = paired(false).await?;
    let mut behaviour = Behaviour::default();
    behaviour.asset_urls = AssetUrls::Signed;
    service.set_behaviour(behaviour)?;
    service.scan("L-1")?;
    let directory = tempfile::tempdir()?;
    for operation in [Operation::GetOrders, Operation::DownloadAsset] {
        service.set_faults(first(Fault::ExpiredUrl, operation))?;
        let listing = lab.orders().list().await?;
        let order = &listing.orders()[0];
        let thumbnails = order
            .assets()
            .iter()
            .find(|asset| asset.is_thumbnails())
            .unwrap();
        let path = directory.path().join("a.zip");
        // By Rx id comes a good one; the same one after the refusal of a good one is an error.
        let file = lab.download(order, thumbnails).to_file(&path).await;
        match operation {
            Operation::GetOrders => assert_eq!(Some(file?.bytes), thumbnails.size()),
            _ => assert!(file.is_ok() || file.unwrap_err().is_forbidden()),
        }
    }
    Ok(())
}

#[tokio::test]
async fn the_clock_of_the_service_goes_wrong() -> Result {
    let service = Simulator::builder()
        .clock(ClockMode::Stepped)
        .start()
        .await?;
    let login = signed_in(&service, &client(&service)?).await?;
    let lab = login.pair("L-1").await?;
    service.scan("L-1")?;
    let created = async || -> Result<SystemTime> {
        let listing = lab.orders().list().await?;
        Ok(listing.orders()[0].created().unwrap())
    };
    assert_eq!(created().await?, service.now());
    for seconds in [3600, -86_400] {
        let skew = Fault::ClockSkew { seconds };
        service.set_faults(rules([FaultRule::new(skew)]))?;
        let off = Duration::from_secs(seconds.unsigned_abs());
        let expected = if seconds > 0 {
            service.now() + off
        } else {
            service.now() - off
        };
        assert_eq!(created().await?, expected);
        let head = RawHead::get(&service, "/discovery").await?;
        let date = head.value("date");
        let day = if seconds > 0 {
            "Sat, 14 Mar 2026 10:26:53 GMT"
        } else {
            "Fri, 13 Mar 2026 09:26:53 GMT"
        };
        assert_eq!(date, Some(day));
    }
    Ok(())
}

/// The head of an answer.
struct RawHead(String);

impl RawHead {
    async fn get(service: &Simulator, path: &str) -> Result<Self> {
        use tokio::io::{AsyncReadExt, AsyncWriteExt};
        let mut stream = tokio::net::TcpStream::connect(service.address()).await?;
        let request = format!("GET {path} HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n");
        stream.write_all(request.as_bytes()).await?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await?;
        Ok(RawHead(answer.split("\r\n\r\n").next().unwrap().to_owned()))
    }

    fn value(&self, wanted: &str) -> Option<&str> {
        self.0.lines().find_map(|line| {
            let (name, value) = line.split_once(':')?;
            name.eq_ignore_ascii_case(wanted).then(|| value.trim())
        })
    }
}

#[tokio::test]
async fn discovery_names_another_region() -> Result {
    let service = Simulator::start().await?;
    let order = service.scan("L-1")?;
    service.set_faults(rules([FaultRule::new(Fault::OtherRegion)]))?;
    let careful = client(&service)?;
    assert!(signed_in(&service, &careful).await.is_ok());
    let error = careful.login("me").accounts().await.unwrap_err();
    assert!(error.is_origin(), "{error}");
    // Where the host is allowed it serves the same world.
    let open = builder(&service)
        .allow_host(service.other_region().to_string())
        .build()?;
    let login = signed_in(&service, &open).await?;
    assert_eq!(login.accounts().await?.len(), 1);
    let endpoints = open.endpoints();
    let (_, template) = endpoints.endpoint(Operation::GetOrders)?;
    let port = service.address().port();
    assert!(!template.contains(&port.to_string()), "{template}");
    let lab = login.pair("L-1").await?;
    assert_eq!(listed(&lab).await?, [order]);
    Ok(())
}

#[tokio::test]
async fn notifications_are_lost_doubled_delayed_reordered_and_forged() -> Result {
    let hook = RawServer::start("HTTP/1.1 204 No Content\r\n\r\n").await;
    let service = Simulator::start().await?;
    let login = signed_in(&service, &client(&service)?).await?;
    let lab = login.pair("L-1").notification_url(hook.url("/")).await?;
    let mut seen = 0;
    let mut play = async |faults: Vec<(Fault, u64)>, scans: usize, posts: usize| -> Result<_> {
        let at = |(fault, call)| FaultRule::new(fault).calls([call]);
        service.set_faults(rules(faults.into_iter().map(at)))?;
        let mut orders = Vec::new();
        for _ in 0..scans {
            orders.push(service.scan("L-1")?);
        }
        hook.requested(seen + posts).await;
        let requests = hook.requests().split_off(seen);
        assert_eq!(requests.len(), posts, "{requests:?}");
        seen += posts;
        let mut posted = Vec::new();
        for request in requests {
            let (_, body) = request.split_once("\r\n\r\n").unwrap();
            let notification = Notification::parse(body.as_bytes())?;
            let order = lab.orders().by_rx(notification.rx_id()).await.ok();
            let found = order.as_ref().map(Order::id);
            posted.push(found.and_then(|id| orders.iter().position(|order| order == id)));
        }
        Ok(posted)
    };
    let lost = play(vec![(Fault::NotificationLost, 1)], 2, 1).await?;
    assert_eq!(lost, [Some(1)]);
    let doubled = play(vec![(Fault::NotificationDuplicated, 2)], 2, 3).await?;
    assert_eq!(doubled, [Some(0), Some(1), Some(1)]);
    let reordered = play(vec![(Fault::NotificationReordered, 1)], 3, 3).await?;
    assert_eq!(reordered, [Some(1), Some(0), Some(2)]);
    let forged = play(vec![(Fault::NotificationForged, 1)], 1, 2).await?;
    assert_eq!(forged, [None, Some(0)]);
    let late = Fault::NotificationDelayed { seconds: 0.3 };
    let delayed = play(vec![(late, 1)], 2, 2).await?;
    assert_eq!(delayed, [Some(1), Some(0)]);
    Ok(())
}

/// The same calls meet the same faults, whatever lies between them.
#[tokio::test]
async fn a_course_is_that_of_its_seed() -> Result {
    let course = async |seed: u64, others: bool| -> Result<Vec<u16>> {
        let service = Simulator::builder().seed(seed).start().await?;
        let fault = Fault::Status {
            code: 500,
            retry_after: None,
        };
        let often = FaultRule::new(fault).probability(0.5);
        service.set_faults(rules([often]))?;
        let mut statuses = Vec::new();
        for _ in 0..24 {
            if others {
                http(service.address(), "GET /accounts HTTP/1.1", "").await?;
            }
            let (status, body) = http(service.address(), "GET /discovery HTTP/1.1", "").await?;
            let _: Value = serde_json::from_str(&body)?;
            statuses.push(status);
        }
        Ok(statuses)
    };
    let one = course(1, false).await?;
    assert_eq!(one, course(1, true).await?);
    assert_ne!(one, course(2, false).await?);
    assert!(one.contains(&200) && one.contains(&500), "{one:?}");
    Ok(())
}

#[tokio::test]
async fn faults_that_cannot_be_played_are_refused() -> Result {
    let service = Simulator::start().await?;
    let wrong = || rules([FaultRule::new(Fault::Hang).probability(7.0)]);
    let error = service.set_faults(wrong()).unwrap_err();
    assert!(error.to_string().contains("probability"), "{error}");
    let error = Simulator::builder()
        .faults(wrong())
        .start()
        .await
        .unwrap_err();
    assert!(error.to_string().contains("rule 1"), "{error}");
    assert_eq!(service.faults(), Faults::default());
    // A call that hangs ends with the simulator.
    service.set_faults(rules([FaultRule::new(Fault::Hang)]))?;
    let address = service.address();
    let (hanging, ()) = tokio::join!(http(address, "GET /discovery HTTP/1.1", ""), async {
        while service.call_count() == 0 {
            tokio::task::yield_now().await;
        }
        drop(service);
    });
    assert!(hanging.is_err() || hanging.unwrap().0 == 0);
    Ok(())
}
