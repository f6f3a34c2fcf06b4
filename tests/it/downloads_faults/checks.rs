//! What is checked of a file that came, where else it may go, and what fails beside the line.

use super::*;

#[tokio::test]
async fn digests_are_compared_and_returned() {
    let bench = Bench::new().await;
    let zip = small_zip(b"content");
    let sha256 = {
        use sha2::Digest;
        let hash = sha2::Sha256::digest(&zip);
        hash.iter()
            .map(|byte| format!("{byte:02x}"))
            .collect::<String>()
    };
    let with = |field: &str, value: &str| {
        order(json!({
            "orderId": "order-88", "status": "Sent",
            "assets": [{ "assetId": "asset-66", "type": "IDE", field: value }],
        }))
    };
    let wrong = sha256.replace(|c: char| c.is_ascii_digit(), "0");
    // By a field of the asset; also of a file that is resumed, whose beginning is read again.
    for part in [0, 50] {
        for (digest, fits) in [(&sha256, true), (&wrong, false)] {
            let order = with("sha256", digest);
            if part > 0 {
                bench.leave_part(&order, &zip, part).await;
            }
            let source = zip.clone();
            bench
                .server
                .play(move |_, request| honest(request, Some(ETAG), &source, Framing::Length));
            let result = bench.download(&bench.lab, &order).await;
            assert_eq!(ranges(&bench.server), [(part > 0).then_some(part)]);
            match result {
                Ok(file) => assert!(fits && file.sha256.unwrap() == sha256),
                Err(error) => {
                    assert!(!fits && error.is_incomplete(), "{error}");
                    assert!(error.to_string().contains("SHA-256"), "{error}");
                    assert!(bench.names().is_empty(), "what is wrong is not kept");
                }
            }
            bench.clear();
        }
    }
    // By the answer.
    for (header, fits) in [
        ("content-md5: AAAAAAAAAAAAAAAAAAAAAA==", false),
        (
            "repr-digest: sha-256=:AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=:",
            false,
        ),
        ("digest: crc32=AAAAAA==", true),
    ] {
        let answer = Framing::Length.answer(&format!("200 OK\r\n{header}"), &zip, zip.len());
        bench.server.play(move |_, _| answer.clone());
        let result = bench.download(&bench.lab, &export()).await;
        assert_eq!(result.is_ok(), fits, "{header}: {result:?}");
        bench.clear();
    }
    // On demand.
    let order = export();
    let source = zip.clone();
    bench
        .server
        .play(move |_, request| honest(request, None, &source, Framing::Length));
    let download = || bench.lab.download(&order, &order.assets()[0]);
    let file = download().sha256().to_file(bench.target()).await.unwrap();
    assert_eq!(file.sha256.unwrap(), sha256);
    assert_eq!(
        download().to_file(bench.target()).await.unwrap().sha256,
        None
    );
}

#[tokio::test]
async fn a_zip_must_end_as_one_unless_it_is_said_otherwise() {
    let bench = Bench::new().await;
    let zip = small_zip(b"content");
    let thumbnails = order(json!({
        "orderId": "order-88", "status": "Sent",
        "assets": [{ "assetId": "asset-66", "type": "IMAGE_GALLERY" }],
    }));
    for (order, content, is_zip, ok) in [
        (export(), &zip[..], None, true),
        (export(), &zip[..90], None, false),
        (export(), b"a mesh", None, false),
        (export(), b"a mesh", Some(false), true),
        (thumbnails.clone(), b"a picture", None, true),
        (thumbnails.clone(), &zip[..90], None, false),
        (thumbnails.clone(), &zip[..], None, true),
        (thumbnails, b"a picture", Some(true), false),
    ] {
        let answer = Framing::Length.answer("200 OK", content, content.len());
        bench.server.play(move |_, _| answer.clone());
        let mut download = bench.lab.download(&order, &order.assets()[0]);
        if let Some(is_zip) = is_zip {
            download = download.zip(is_zip);
        }
        let result = download.to_file(bench.target()).await;
        assert_eq!(result.is_ok(), ok, "{result:?}");
        assert!(result.is_ok() || result.unwrap_err().is_incomplete());
    }
}

#[tokio::test]
async fn what_is_handed_on_is_continued_or_ends_with_an_error() {
    let mut bench = Bench::new().await;
    let (zip, order) = (small_zip(b"content"), export());
    for framing in Framing::ALL {
        for (etag, cut) in (0..zip.len()).flat_map(|cut| [(Some(ETAG), cut), (None, cut)]) {
            if cut % 16 == 0 {
                // So many breaks would spend a client's budget of repeats.
                bench.patient = bench.server.lab(RetryPolicy::default()).await;
            }
            let play = || {
                let source = zip.clone();
                let tag = etag
                    .map(|etag| format!("\r\netag: {etag}"))
                    .unwrap_or_default();
                bench.server.play(move |number, request| match number {
                    0 => framing.answer(&format!("200 OK{tag}"), &source, cut),
                    _ => honest(request, etag, &source, framing),
                });
            };
            let download = || bench.patient.download(&order, &order.assets()[0]);
            // Without a tag the rest might be another file's.
            let whole = etag.is_some() || cut == 0;
            play();
            let mut written = Vec::new();
            let result = download().sha256().to_writer(&mut written).await;
            assert_eq!(result.is_ok(), whole, "{framing:?} {cut}: {result:?}");
            match result {
                Ok(sha256) => {
                    assert_eq!(written, zip);
                    assert!(sha256.is_some());
                }
                Err(error) => {
                    assert!(error.is_incomplete(), "{error}");
                    assert_eq!(written, zip[..cut]);
                }
            }
            play();
            let pieces: Vec<_> = download().stream().collect().await;
            let failed = pieces.iter().filter(|piece| piece.is_err()).count();
            assert_eq!(
                (failed, pieces.last().unwrap().is_ok()),
                (usize::from(!whole), whole)
            );
            let streamed: Vec<u8> = pieces.into_iter().flatten().flatten().collect();
            assert_eq!(streamed, written);
        }
    }
    assert!(bench.names().is_empty());
}

/// Fails as a disk does.
struct Failing(std::io::ErrorKind);

impl AsyncWrite for Failing {
    fn poll_write(
        self: std::pin::Pin<&mut Self>,
        _: &mut std::task::Context<'_>,
        _: &[u8],
    ) -> std::task::Poll<std::io::Result<usize>> {
        std::task::Poll::Ready(Err(self.0.into()))
    }

    fn poll_flush(
        self: std::pin::Pin<&mut Self>,
        _: &mut std::task::Context<'_>,
    ) -> std::task::Poll<std::io::Result<()>> {
        std::task::Poll::Ready(Ok(()))
    }

    fn poll_shutdown(
        self: std::pin::Pin<&mut Self>,
        cx: &mut std::task::Context<'_>,
    ) -> std::task::Poll<std::io::Result<()>> {
        self.poll_flush(cx)
    }
}

#[tokio::test]
async fn a_full_disk_and_a_lack_of_permission_have_names() {
    use std::io::ErrorKind::{BrokenPipe, PermissionDenied, StorageFull};
    let bench = Bench::new().await;
    let (zip, order) = (small_zip(b"content"), export());
    bench
        .server
        .play(move |_, request| honest(request, None, &zip, Framing::Length));
    for (kind, is) in [
        (StorageFull, (true, false)),
        (PermissionDenied, (false, true)),
        (BrokenPipe, (false, false)),
    ] {
        let download = bench.patient.download(&order, &order.assets()[0]);
        let error = download.to_writer(&mut Failing(kind)).await.unwrap_err();
        assert!(error.is_file() && error.attempts() == 1, "{error:?}");
        assert_eq!((error.is_disk_full(), error.is_permission_denied()), is);
        assert_eq!(error.operation(), Some("Download Asset"));
    }
}

/// The URL of a file is good for a time only; the order knows the new one.
#[tokio::test]
async fn an_expired_url_is_renewed_once() {
    let zip = small_zip(b"content");
    for status in ["400 Bad", "401 No", "403 No", "404 No", "410 Gone"] {
        for (renewed, size, requests, ok) in [
            ("signed-2", 107, 3, true),
            // No better, the same as before, and of another file.
            ("signed-3", 107, 3, false),
            ("signed-1", 107, 2, false),
            ("signed-2", 108, 2, false),
        ] {
            let bench = Bench::new().await;
            let with = |signed: &str, size: u64| {
                json!({
                    "orderId": "order-88", "rxId": "rx-99", "status": "Ready for Download",
                    "assets": [{ "assetId": "asset-66", "type": "IDE", "size": size,
                        "url": format!("{}files/canary?{signed}", bench.server.url()) }],
                })
            };
            let expired = order(with("signed-1", 107));
            let anew = with(renewed, size).to_string();
            let source = zip.clone();
            bench.server.play(move |_, request| {
                if request.starts_with("post /oauth/token") {
                    let tokens = br#"{"access_token":"access-2","expires_in":3600}"#;
                    Framing::Length.answer("200 OK", tokens, tokens.len())
                } else if request.contains("signed-2") {
                    honest(request, None, &source, Framing::Length)
                } else if request.contains("signed-") {
                    Framing::Length.answer(status, b"", 0)
                } else {
                    Framing::Length.answer("200 OK", anew.as_bytes(), anew.len())
                }
            });
            // With one place for all operations: the download gives its own up meanwhile.
            let result = bench.download(&bench.lab, &expired).await;
            assert_eq!(result.is_ok(), ok, "{status} {renewed}: {result:?}");
            // After a 401 the token is renewed first.
            if !status.starts_with("401") {
                assert_eq!(
                    bench.server.requests().len(),
                    requests,
                    "{status} {renewed}"
                );
            }
            if let Err(error) = result {
                assert_discreet(&error);
            }
        }
    }
}
