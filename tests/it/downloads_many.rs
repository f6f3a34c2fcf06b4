//! Several files at once, two to one name, and downloads that are dropped.

use std::sync::{Arc, Mutex};

use futures_util::{FutureExt, StreamExt};
use lab_connector::download::{Progress, file_name};
use lab_connector::retry::RetryPolicy;
use lab_connector::{Order, Result};
use serde_json::json;

use crate::downloads_server::{Framing, Server, honest, small_zip};
use crate::support::order;

const ETAG: &str = "\"version-a\"";

fn with_files(id: u32) -> Order {
    order(json!({
        "orderId": id, "status": "Ready for Download", "patient": "canary",
        "assets": [
            { "assetId": format!("{id}-zip"), "type": "IDE" },
            { "assetId": format!("{id}-images"), "type": "IMAGE_GALLERY" },
        ],
    }))
}

#[tokio::test]
async fn one_that_fails_does_not_stop_the_rest_and_zips_come_last() -> Result<()> {
    let server = Server::start().await;
    let zip = small_zip(b"content");
    let source = zip.clone();
    server.play(move |_, request| {
        if request.contains("2-images") || request.contains("3-zip") {
            return Framing::Length.answer("404 Gone", b"", 0);
        }
        honest(request, Some(ETAG), &source, Framing::Length)
    });
    let lab = server.lab(RetryPolicy::never()).await;
    let orders: Vec<_> = (1..=5).map(with_files).collect();
    let directory = tempfile::tempdir().unwrap();
    let told = Arc::new(Mutex::new(0));
    let telling = Arc::clone(&told);
    let all = lab.download_all(&orders).concurrency(2).sha256();
    let all = all.progress(move |_, _| {
        let told = Arc::clone(&telling);
        move |progress| *told.lock().unwrap() += progress.bytes
    });
    let fetched = all.to_directory(directory.path()).await;
    assert_eq!(fetched.len(), 10);
    assert_eq!(*told.lock().unwrap(), 8 * zip.len() as u64);
    for (position, fetched) in fetched.iter().enumerate() {
        // As the orders stand, each with its zip last.
        assert_eq!(*fetched.order, orders[position / 2]);
        assert_eq!(fetched.asset.is_export(), position % 2 == 1);
        let fails = position == 2 || position == 5;
        match &fetched.result {
            Ok(file) => {
                assert!(!fails && file.sha256.is_some());
                let name = file_name(fetched.order, fetched.asset);
                assert_eq!(file.path, directory.path().join(name));
                assert_eq!(std::fs::read(&file.path).unwrap(), zip);
            }
            Err(error) => assert!(fails && error.is_not_found(), "{position}: {error}"),
        }
    }
    assert_eq!(std::fs::read_dir(directory.path()).unwrap().count(), 8);
    for id in 1..=5 {
        let requests = server.requests();
        let at = |what: String| requests.iter().position(|request| request.contains(&what));
        assert!(at(format!("{id}-images")) < at(format!("{id}-zip")));
    }
    Ok(())
}

#[tokio::test]
async fn an_order_that_is_listed_twice_is_fetched_once() {
    let server = Server::start().await;
    let zip = small_zip(b"content");
    let source = zip.clone();
    server.play(move |_, request| {
        if request.contains("1-images") {
            return Framing::Length.answer("404 Gone", b"", 0);
        }
        honest(request, Some(ETAG), &source, Framing::Length)
    });
    let lab = server.lab(RetryPolicy::never()).await;
    let orders = [1, 1, 2, 1].map(with_files);
    let directory = tempfile::tempdir().unwrap();
    let fetched = lab.download_all(&orders);
    let fetched = fetched.to_directory(directory.path()).await;
    assert_eq!(server.requests().len(), 4);
    assert_eq!(fetched.len(), 8);
    for (position, fetched) in fetched.iter().enumerate() {
        assert!(std::ptr::eq(fetched.order, &orders[position / 2]));
        let fails = position % 2 == 0 && position != 4;
        match &fetched.result {
            Ok(file) => {
                let name = file_name(fetched.order, fetched.asset);
                assert!(!fails && file.path == directory.path().join(name));
            }
            Err(error) => assert!(fails && error.is_not_found(), "{position}: {error}"),
        }
    }
    assert_eq!(std::fs::read_dir(directory.path()).unwrap().count(), 3);
}

#[tokio::test]
async fn progress_is_a_stream_too() {
    let server = Server::start().await;
    let zip = small_zip(&vec![3; 300_000]);
    let length = zip.len() as u64;
    let lab = server.lab(RetryPolicy::never()).await;
    let order = with_files(1);
    let directory = tempfile::tempdir().unwrap();
    for cut in [false, true] {
        let source = zip.clone();
        server.play(move |_, request| {
            let answer = honest(request, Some(ETAG), &source, Framing::Length);
            answer[..if cut { 200_000 } else { answer.len() }].to_vec()
        });
        let (report, progress) = Progress::stream();
        let download = lab.download(&order, &order.assets()[0]).progress(report);
        let download = download.to_file(directory.path().join("case.zip"));
        let told = progress.collect::<Vec<Progress>>();
        let (result, told) = futures_util::future::join(download, told).await;
        assert_eq!(result.is_err(), cut);
        assert!(told.iter().all(|progress| progress.total == Some(length)));
        assert!(told.is_sorted_by_key(|progress| progress.bytes));
        let last = told.last().unwrap().bytes;
        assert!(if cut { last < length } else { last == length }, "{last}");
    }
    // Dropped before it began.
    let (report, mut progress) = Progress::stream();
    drop(lab.download(&order, &order.assets()[0]).progress(report));
    assert_eq!(progress.next().await, None);
}

#[tokio::test]
async fn two_downloads_to_one_name_do_not_mix() {
    let server = Server::start().await;
    let zip = small_zip(b"content");
    let lab = server.lab(RetryPolicy::never()).await;
    let (one, other) = (with_files(1), with_files(2));
    let directory = tempfile::tempdir().unwrap();
    let target = directory.path().join("case.zip");
    let source = zip.clone();
    server.play(move |_, request| honest(request, Some(ETAG), &source, Framing::Length));
    let download = |order| lab.download(order, &order.assets()[0]).to_file(&target);
    let results = futures_util::future::join_all([download(&one), download(&other)]).await;
    let good = results.iter().filter(|result| result.is_ok()).count();
    assert!(good >= 1, "{results:?}");
    for error in results.into_iter().filter_map(Result::err) {
        assert!(
            error.is_file() && error.to_string().contains("under way"),
            "{error}"
        );
    }
    assert_eq!(std::fs::read(&target).unwrap(), zip);
    assert_eq!(std::fs::read_dir(directory.path()).unwrap().count(), 1);
    // Free again.
    download(&other).await.unwrap();
}

#[tokio::test]
async fn a_download_that_is_dropped_anywhere_is_resumed() {
    let server = Server::start().await;
    let zip = small_zip(&vec![3; 300_000]);
    let lab = server.lab(RetryPolicy::never()).await;
    let order = with_files(1);
    let directory = tempfile::tempdir().unwrap();
    let target = directory.path().join("case.zip");
    let mut resumed = 0;
    for polls in 1..40 {
        let source = zip.clone();
        server.play(move |_, request| honest(request, Some(ETAG), &source, Framing::Length));
        let download = || lab.download(&order, &order.assets()[0]).to_file(&target);
        let mut dropped = Box::pin(download());
        for _ in 0..polls {
            if dropped.as_mut().now_or_never().is_some() {
                break;
            }
            tokio::task::yield_now().await;
        }
        drop(dropped);
        // At once, while the other may still be writing down how far it came.
        let file = download().await.unwrap();
        assert_eq!(std::fs::read(file.path).unwrap(), zip, "{polls}");
        assert_eq!(std::fs::read_dir(directory.path()).unwrap().count(), 1);
        let requests = server.requests();
        resumed += usize::from(requests.iter().any(|request| request.contains("range: ")));
        std::fs::remove_file(&target).unwrap();
    }
    println!("{resumed} were resumed");
}
