//! Byte by byte: whatever goes wrong on the way, no file is accepted that differs from its
//! source, and what can be resumed is.

mod checks;

use std::path::PathBuf;

use futures_util::StreamExt;
use lab_connector::download::DownloadedFile;
use lab_connector::retry::RetryPolicy;
use lab_connector::{Lab, Order, Result};
use serde_json::json;
use tokio::io::AsyncWrite;

use crate::downloads_server::{Framing, Server, asked, honest, small_zip};
use crate::support::{assert_discreet, order};

/// With quotes, as it stands in headers.
const ETAG: &str = "\"version-a\"";

struct Bench {
    server: Server,
    /// Tries once.
    lab: Lab,
    /// Tries as often as by default.
    patient: Lab,
    directory: tempfile::TempDir,
}

impl Bench {
    async fn new() -> Self {
        let server = Server::start().await;
        Bench {
            lab: server.lab(RetryPolicy::never()).await,
            patient: server.lab(RetryPolicy::default()).await,
            server,
            directory: tempfile::tempdir().unwrap(),
        }
    }

    fn target(&self) -> PathBuf {
        self.directory.path().join("case.zip")
    }

    fn part(&self) -> PathBuf {
        self.directory.path().join("case.zip.part")
    }

    async fn download(&self, lab: &Lab, order: &Order) -> Result<DownloadedFile> {
        let download = lab.download(order, &order.assets()[0]);
        download.to_file(self.target()).await
    }

    /// Nothing there, not even a part.
    fn clear(&self) {
        for entry in std::fs::read_dir(self.directory.path()).unwrap() {
            std::fs::remove_file(entry.unwrap().path()).unwrap();
        }
    }

    fn names(&self) -> Vec<String> {
        let entries = std::fs::read_dir(self.directory.path()).unwrap();
        let mut names: Vec<_> = entries
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect();
        names.sort();
        names
    }

    /// Leaves a part of `bytes` bytes of `content`, as a download that broke off does.
    async fn leave_part(&self, order: &Order, content: &[u8], bytes: usize) {
        self.clear();
        let head = format!("200 OK\r\netag: {ETAG}");
        let answer = Framing::Length.answer(&head, content, bytes);
        self.server.play(move |_, _| answer.clone());
        let error = self.download(&self.lab, order).await.unwrap_err();
        assert!(error.is_incomplete(), "{error}");
        assert_eq!(self.names(), ["case.zip.part", "case.zip.part.json"]);
        assert_eq!(std::fs::read(self.part()).unwrap(), content[..bytes]);
    }
}

/// An order whose one file is a zip.
fn export() -> Order {
    order(json!({
        "orderId": "order-88", "rxId": "rx-99", "status": "Ready for Download",
        "assets": [{ "assetId": "asset-66", "type": "IDE" }],
    }))
}

fn ranges(server: &Server) -> Vec<Option<usize>> {
    let requests = server.requests();
    let asked = |request: &String| request.contains("range: ").then(|| asked(request, ETAG));
    requests
        .iter()
        .map(|request| asked(request).flatten())
        .collect()
}

#[tokio::test]
async fn a_zip_cut_anywhere_is_never_taken_for_whole_and_is_resumed() {
    let bench = Bench::new().await;
    let (zip, order) = (small_zip(b"content"), export());
    for framing in Framing::ALL {
        for etag in [Some(ETAG), None, Some("W/\"weak\"")] {
            let tag = etag
                .map(|etag| format!("\r\netag: {etag}"))
                .unwrap_or_default();
            for cut in 0..zip.len() {
                bench.clear();
                let answer = framing.answer(&format!("200 OK{tag}"), &zip, cut);
                bench.server.play(move |_, _| answer.clone());
                let error = bench.download(&bench.lab, &order).await.unwrap_err();
                assert!(error.is_incomplete(), "{framing:?} {etag:?} {cut}: {error}");
                assert!(!bench.target().exists());

                // Later, and perhaps by another process, from an honest service.
                let source = zip.clone();
                let strong = etag == Some(ETAG);
                bench.server.play(move |_, request| {
                    honest(request, strong.then_some(ETAG), &source, framing)
                });
                bench.download(&bench.lab, &order).await.unwrap();
                assert_eq!(std::fs::read(bench.target()).unwrap(), zip);
                assert_eq!(bench.names(), ["case.zip"]);
                // A length that was announced is known; else the last byte is asked for again.
                let known = usize::from(framing != Framing::Length);
                let from = cut.checked_sub(known).filter(|from| strong && *from > 0);
                assert_eq!(ranges(&bench.server), [from], "{framing:?} {etag:?} {cut}");
            }
        }
    }
}

#[tokio::test]
async fn a_zip_cut_anywhere_is_resumed_within_one_call() {
    let mut bench = Bench::new().await;
    let (zip, order) = (small_zip(b"content"), export());
    for framing in Framing::ALL {
        for cut in 0..zip.len() {
            bench.clear();
            if cut % 50 == 0 {
                // So many breaks would spend a client's budget of repeats.
                bench.patient = bench.server.lab(RetryPolicy::default()).await;
            }
            let source = zip.clone();
            bench.server.play(move |number, request| match number {
                0 => framing.answer(&format!("200 OK\r\netag: {ETAG}"), &source, cut),
                _ => honest(request, Some(ETAG), &source, framing),
            });
            let file = bench.download(&bench.patient, &order).await.unwrap();
            assert_eq!(file.bytes, zip.len() as u64);
            assert_eq!(std::fs::read(bench.target()).unwrap(), zip);
            let resumed = ranges(&bench.server);
            let unknown = usize::from(framing != Framing::Length);
            assert_eq!(
                (resumed.len(), resumed[1].is_some()),
                (2, cut > unknown),
                "{framing:?} {cut}"
            );
        }
    }
}

/// A line that breaks again and again: each attempt that gets further counts as the first.
#[tokio::test]
async fn a_line_that_keeps_breaking_is_no_obstacle_while_something_comes() {
    let bench = Bench::new().await;
    let (zip, order) = (small_zip(b"content"), export());
    let source = zip.clone();
    bench.server.play(move |_, request| {
        let answer = honest(request, Some(ETAG), &source, Framing::Length);
        let head = answer
            .windows(4)
            .position(|end| end == b"\r\n\r\n")
            .unwrap()
            + 4;
        answer[..answer.len().min(head + 5)].to_vec()
    });
    bench.download(&bench.patient, &order).await.unwrap();
    assert_eq!(std::fs::read(bench.target()).unwrap(), zip);
    assert_eq!(bench.server.requests().len(), zip.len().div_ceil(5));

    // Where nothing more comes, the policy's attempts are all there is.
    bench.clear();
    let source = zip.clone();
    bench.server.play(move |number, request| match number {
        0 => Framing::Length.answer(&format!("200 OK\r\netag: {ETAG}"), &source, 50),
        _ => {
            let answer = honest(request, Some(ETAG), &source, Framing::Length);
            let head = answer
                .windows(4)
                .position(|end| end == b"\r\n\r\n")
                .unwrap()
                + 4;
            answer[..head].to_vec()
        }
    });
    let error = bench.download(&bench.patient, &order).await.unwrap_err();
    assert!(error.is_incomplete() && error.attempts() == 3, "{error:?}");
    assert!(error.to_string().contains("50 of 107 bytes"), "{error}");
    assert_discreet(&error);
}

/// The service answers the request for the rest in every wrong way; then it is asked for the
/// whole file, and what it answers to that is what is there.
#[tokio::test]
async fn what_does_not_continue_the_same_file_is_not_joined_to_it() {
    let bench = Bench::new().await;
    let (zip, order) = (small_zip(b"content"), export());
    let other = small_zip(b"CONTENT");
    let length = zip.len();
    let head = |tag: &str, range: String| format!("206 Part{tag}\r\ncontent-range: {range}");
    let tag = format!("\r\netag: {ETAG}");
    let full = format!("bytes 50-{}/{length}", length - 1);
    let part = |head: &str, bytes: &[u8]| Framing::Length.answer(head, bytes, bytes.len());
    let wrong = [
        // Another version, one of which nothing is known, and one that may be another.
        part(&head("\r\netag: \"version-b\"", full.clone()), &other[50..]),
        part(&head("", full.clone()), &other[50..]),
        part(
            &head("\r\netag: W/\"version-a\"", full.clone()),
            &other[50..],
        ),
        // Another range than was asked for.
        part(
            &head(&tag, format!("bytes 49-{}/{length}", length - 1)),
            &zip[49..],
        ),
        part(
            &head(&tag, format!("bytes 51-{}/{length}", length - 1)),
            &zip[51..],
        ),
        part(
            &head(&tag, format!("bytes 0-{}/{length}", length - 1)),
            &zip,
        ),
        part(
            &head(&tag, format!("bytes 50-{length}/{}", length + 1)),
            &zip[49..],
        ),
        part(
            &head(&tag, format!("bytes 50-{}/*", length - 1)),
            &zip[50..],
        ),
        part(&head(&tag, "bytes 99-50/107".to_owned()), &zip[50..]),
        part(&format!("206 Part{tag}"), &zip[50..]),
        part(
            &format!("206 Part{tag}\r\ncontent-type: multipart/byteranges; boundary=b"),
            &zip[50..],
        ),
        // Less or more than it says.
        part(&head(&tag, full.clone()), &zip[51..]),
        part(&head(&tag, full.clone()), &[&zip[50..], b"x"].concat()),
        part(
            &head(&format!("{tag}\r\ncontent-encoding: gzip"), full.clone()),
            &zip[50..],
        ),
        part("416 No\r\ncontent-range: bytes */107", b""),
    ];
    for wrong in wrong {
        let shown = String::from_utf8_lossy(&wrong).into_owned();
        for source in [&zip, &other] {
            bench.leave_part(&order, &zip, 50).await;
            let (answer, whole) = (wrong.clone(), source.clone());
            bench.server.play(move |_, request| {
                if request.contains("range: ") {
                    answer.clone()
                } else {
                    honest(request, None, &whole, Framing::Length)
                }
            });
            bench.download(&bench.lab, &order).await.expect(&shown);
            assert_eq!(std::fs::read(bench.target()).unwrap(), *source, "{shown}");
            assert_eq!(ranges(&bench.server), [Some(50), None], "{shown}");
        }
        // A service that never answers otherwise gives no file.
        bench.leave_part(&order, &zip, 50).await;
        bench.server.play(move |_, _| wrong.clone());
        let error = bench.download(&bench.lab, &order).await.expect_err(&shown);
        assert!(error.is_decode() || error.status().is_some(), "{error}");
        assert!(!bench.target().exists(), "{shown}");
    }
}

#[tokio::test]
async fn a_file_that_was_replaced_meanwhile_is_taken_from_its_beginning() {
    let bench = Bench::new().await;
    let (zip, order) = (small_zip(b"content"), export());
    for other in [
        small_zip(b"CONTENT"),
        small_zip(b"con"),
        small_zip(&[7; 999]),
    ] {
        // The condition does not hold: the whole new file comes at once.
        bench.leave_part(&order, &zip, 50).await;
        let source = other.clone();
        bench.server.play(move |_, request| {
            honest(request, Some("\"version-b\""), &source, Framing::Length)
        });
        bench.download(&bench.lab, &order).await.unwrap();
        assert_eq!(std::fs::read(bench.target()).unwrap(), other);
        assert_eq!(bench.server.requests().len(), 1);

        // Replaced, and cut again: what was left of the old one plays no part any more.
        bench.leave_part(&order, &zip, 50).await;
        let source = other.clone();
        bench.server.play(move |number, request| match number {
            0 => Framing::Length.answer("200 OK\r\netag: \"version-b\"", &source, 20),
            _ => honest(request, Some("\"version-b\""), &source, Framing::Length),
        });
        bench.download(&bench.patient, &order).await.unwrap();
        assert_eq!(std::fs::read(bench.target()).unwrap(), other);
    }
}

#[tokio::test]
async fn answers_that_are_no_file_are_refused_while_a_part_is_there_and_it_stays() {
    let bench = Bench::new().await;
    let (zip, order) = (small_zip(b"content"), export());
    for answer in [
        &b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\nconnection: close\r\n\r\n"[..],
        b"HTTP/1.1 200 OK\r\ncontent-encoding: gzip\r\ncontent-length: 2\r\nconnection: close\r\n\r\n\x1f\x8b",
        b"HTTP/1.1 200 OK\r\ncontent-type: text/html\r\ncontent-length: 2\r\nconnection: close\r\n\r\n<p",
        b"HTTP/1.1 500 Oops\r\ncontent-length: 0\r\nconnection: close\r\n\r\n",
        b"",
    ] {
        bench.leave_part(&order, &zip, 50).await;
        let answer = answer.to_vec();
        let shown = String::from_utf8_lossy(&answer).into_owned();
        bench.server.play(move |_, _| answer.clone());
        bench.download(&bench.lab, &order).await.expect_err(&shown);
        assert_eq!(std::fs::read(bench.part()).unwrap(), zip[..50], "{shown}");
        assert!(!bench.target().exists());
    }
}

/// What lies there need not be what was left there.
#[tokio::test]
async fn a_part_is_resumed_only_if_its_state_speaks_of_it() {
    let bench = Bench::new().await;
    let (zip, order) = (small_zip(b"content"), export());
    let state = bench.directory.path().join("case.zip.part.json");
    let other = json!({
        "orderId": "order-88", "status": "Sent",
        "assets": [{ "assetId": "asset-67", "type": "IDE" }],
    });
    let other = crate::support::order(other);
    let rewrite = |from: &str, to: &str| {
        let text = std::fs::read_to_string(&state).unwrap();
        assert!(text.contains(from), "{from} in {text}");
        std::fs::write(&state, text.replacen(from, to, 1)).unwrap();
    };
    let boot = || {
        let text = std::fs::read_to_string(&state).unwrap();
        let state: serde_json::Value = serde_json::from_str(&text).unwrap();
        state["boot"].to_string()
    };
    let whole = || std::fs::read(bench.part()).unwrap();
    type Change<'a> = (&'a str, Box<dyn Fn() + 'a>, Option<usize>, bool);
    let changes: Vec<Change<'_>> = vec![
        ("nothing", Box::new(|| {}), Some(50), false),
        ("another asset", Box::new(|| {}), None, true),
        (
            "no state",
            Box::new(|| std::fs::remove_file(&state).unwrap()),
            None,
            false,
        ),
        ("torn state", Box::new(|| rewrite("}", "")), None, false),
        (
            "another version",
            Box::new(|| rewrite("\"version\":1", "\"version\":2")),
            None,
            false,
        ),
        (
            "shorter",
            Box::new(|| std::fs::write(bench.part(), &whole()[..20]).unwrap()),
            Some(20),
            false,
        ),
        (
            "empty",
            Box::new(|| std::fs::write(bench.part(), b"").unwrap()),
            None,
            false,
        ),
        (
            "longer than the file",
            Box::new(|| std::fs::write(bench.part(), [1; 200]).unwrap()),
            None,
            false,
        ),
        // The machine was started anew: what was not flushed may be anything.
        (
            "power loss",
            Box::new(|| {
                let garbage = [whole(), vec![0; 30]].concat();
                std::fs::write(bench.part(), garbage).unwrap();
                rewrite(&boot(), "\"another\"");
            }),
            Some(50),
            false,
        ),
        (
            "power loss, nothing flushed",
            Box::new(|| {
                rewrite(&boot(), "null");
                rewrite("\"synced\":50", "\"synced\":0");
            }),
            None,
            false,
        ),
    ];
    for (what, change, from, another) in changes {
        bench.leave_part(&order, &zip, 50).await;
        change();
        let source = zip.clone();
        bench
            .server
            .play(move |_, request| honest(request, Some(ETAG), &source, Framing::Length));
        let order = if another { &other } else { &order };
        bench.download(&bench.lab, order).await.unwrap();
        assert_eq!(std::fs::read(bench.target()).unwrap(), zip, "{what}");
        assert_eq!(ranges(&bench.server), [from], "{what}");
        assert_eq!(bench.names(), ["case.zip"], "{what}");
    }
}

/// All bytes had come, and then the process was gone before the file had its name.
#[tokio::test]
async fn a_part_that_is_whole_is_confirmed_with_one_byte() {
    let bench = Bench::new().await;
    let (zip, order) = (small_zip(b"content"), export());
    bench.leave_part(&order, &zip, zip.len() - 1).await;
    std::fs::write(bench.part(), &zip).unwrap();
    let source = zip.clone();
    bench
        .server
        .play(move |_, request| honest(request, Some(ETAG), &source, Framing::Length));
    bench.download(&bench.lab, &order).await.unwrap();
    assert_eq!(std::fs::read(bench.target()).unwrap(), zip);
    // On other systems than Linux only what was flushed counts; it is one less.
    assert_eq!(ranges(&bench.server), [Some(zip.len() - 1)]);
}

/// RFC 9110, section 15.3.7: `If-Range` named the date, so a part need not repeat it.
#[tokio::test]
async fn a_part_without_the_date_that_was_asked_for_goes_on() {
    let bench = Bench::new().await;
    let (zip, order) = (small_zip(b"content"), export());
    let modified = "Sun, 06 Nov 1994 08:49:37 GMT";
    let source = zip.clone();
    bench.server.play(move |_, request| {
        let (last, length) = (source.len() - 1, source.len());
        if request.contains("range: ") {
            assert!(
                request.contains(&modified.to_ascii_lowercase()),
                "{request}"
            );
            let head = format!("206 Part\r\ncontent-range: bytes 50-{last}/{length}");
            Framing::Length.answer(&head, &source[50..], length - 50)
        } else {
            let date = "date: Mon, 07 Nov 1994 08:49:37 GMT";
            let head = format!("200 OK\r\nlast-modified: {modified}\r\n{date}");
            Framing::Length.answer(&head, &source, 50)
        }
    });
    bench.download(&bench.patient, &order).await.unwrap();
    assert_eq!(std::fs::read(bench.target()).unwrap(), zip);
    let requests = bench.server.requests();
    assert_eq!(requests.len(), 2);
    assert!(requests[1].contains("range: bytes=50-"), "{}", requests[1]);
}
