//! A server of one file that can be told, request by request, what to do wrong.

use std::sync::{Arc, Mutex};

use lab_connector::retry::RetryPolicy;
use lab_connector::{Client, Lab};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;

use crate::support::{TestClock, builder, store};

/// Gives the bytes of the answer to the request of this number (from 0) and head.
pub(crate) type Script = Box<dyn FnMut(usize, &str) -> Vec<u8> + Send>;

/// What has been asked for and what is to be answered.
struct Desk {
    script: Script,
    requests: Vec<String>,
}

pub(crate) struct Server {
    url: String,
    desk: Arc<Mutex<Desk>>,
    task: tokio::task::AbortHandle,
}

impl Server {
    pub(crate) async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/", listener.local_addr().unwrap());
        let desk = Arc::new(Mutex::new(Desk {
            script: Box::new(|_, _| Vec::new()),
            requests: Vec::new(),
        }));
        let shared = Arc::clone(&desk);
        let task = tokio::spawn(async move {
            while let Ok((mut stream, _)) = listener.accept().await {
                let desk = Arc::clone(&shared);
                tokio::spawn(async move {
                    let mut request = Vec::new();
                    while !request.windows(4).any(|end| end == b"\r\n\r\n") {
                        match stream.read_buf(&mut request).await {
                            Ok(0) | Err(_) => return,
                            Ok(_) => {}
                        }
                    }
                    let request = String::from_utf8(request).unwrap().to_ascii_lowercase();
                    let answer = {
                        let mut desk = desk.lock().unwrap();
                        let number = desk.requests.len();
                        desk.requests.push(request.clone());
                        (desk.script)(number, &request)
                    };
                    // The client may have gone, or may go in the middle.
                    let _ = stream.write_all(&answer).await;
                    let _ = stream.shutdown().await;
                });
            }
        });
        Server {
            url,
            desk,
            task: task.abort_handle(),
        }
    }

    /// What is answered from now on; requests are counted anew.
    pub(crate) fn play(&self, script: impl FnMut(usize, &str) -> Vec<u8> + Send + 'static) {
        let mut desk = self.desk.lock().unwrap();
        desk.script = Box::new(script);
        desk.requests.clear();
    }

    pub(crate) fn url(&self) -> &str {
        &self.url
    }

    /// The heads of the requests since, in lower case.
    pub(crate) fn requests(&self) -> Vec<String> {
        self.desk.lock().unwrap().requests.clone()
    }

    /// The lab that is served, with a clock on which waits are over at once.
    pub(crate) async fn lab(&self, retry: RetryPolicy) -> Lab {
        let clock = TestClock::new();
        let client: Client = builder(&self.url, &clock)
            .token_store(store(&clock, 3600).await)
            .retry(retry)
            .build()
            .unwrap();
        client.account("account-77")
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// How the end of a body is told.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Framing {
    Length,
    Chunked,
    Close,
}

impl Framing {
    pub(crate) const ALL: [Framing; 3] = [Framing::Length, Framing::Chunked, Framing::Close];

    /// An answer with `body`, cut off after `cut` of its bytes.
    pub(crate) fn answer(self, head: &str, body: &[u8], cut: usize) -> Vec<u8> {
        let mut answer = format!("HTTP/1.1 {head}\r\nconnection: close\r\n").into_bytes();
        let sent = &body[..cut];
        match self {
            Framing::Length => {
                answer.extend(format!("content-length: {}\r\n\r\n", body.len()).bytes());
                answer.extend(sent);
            }
            Framing::Close => {
                answer.extend(b"\r\n");
                answer.extend(sent);
            }
            Framing::Chunked => {
                answer.extend(b"transfer-encoding: chunked\r\n\r\n");
                for chunk in sent.chunks(7) {
                    answer.extend(format!("{:x}\r\n", chunk.len()).bytes());
                    answer.extend(chunk);
                    answer.extend(b"\r\n");
                }
                if cut == body.len() {
                    answer.extend(b"0\r\n\r\n");
                }
            }
        }
        answer
    }
}

/// The first byte that a request asks for, if it asks for a range on a condition that holds.
pub(crate) fn asked(request: &str, etag: &str) -> Option<usize> {
    let value = |name: &str| {
        let mut lines = request.lines();
        lines
            .find_map(|line| line.strip_prefix(name))
            .map(str::trim)
    };
    let condition = value("if-range:").expect("a range without a condition") == etag;
    let range = value("range:").filter(|_| condition)?;
    range
        .strip_prefix("bytes=")?
        .strip_suffix('-')?
        .parse()
        .ok()
}

/// What an honest service answers: the file, or the rest of it.
pub(crate) fn honest(request: &str, etag: Option<&str>, body: &[u8], framing: Framing) -> Vec<u8> {
    let tag = etag
        .map(|etag| format!("\r\netag: {etag}"))
        .unwrap_or_default();
    let from = match etag {
        Some(etag) if request.contains("range: ") => asked(request, etag),
        _ => None,
    };
    match from {
        Some(from) => {
            let (last, length) = (body.len() - 1, body.len());
            let head = format!("206 Part{tag}\r\ncontent-range: bytes {from}-{last}/{length}");
            framing.answer(&head, &body[from..], length - from)
        }
        None => framing.answer(&format!("200 OK{tag}"), body, body.len()),
    }
}

/// A zip of one stored file, 105 bytes and more.
pub(crate) fn small_zip(content: &[u8]) -> Vec<u8> {
    let mut zip = b"PK\x03\x04".to_vec();
    zip.extend([0; 14]);
    zip.extend((content.len() as u32).to_le_bytes());
    zip.extend((content.len() as u32).to_le_bytes());
    zip.extend([1, 0, 0, 0, b'a']);
    zip.extend(content);
    let directory = zip.len() as u32;
    zip.extend(b"PK\x01\x02");
    zip.extend([0; 42]);
    zip.push(b'a');
    zip.extend(b"PK\x05\x06\0\0\0\0\x01\0\x01\0\x2f\0\0\0");
    zip.extend(directory.to_le_bytes());
    zip.extend([0, 0]);
    zip
}
