//! A directory that others can write to: what they put where a download lies is not used.
#![cfg(unix)]

use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt, chown, symlink};
use std::path::{Path, PathBuf};

use lab_connector::retry::RetryPolicy;
use lab_connector::{Error, Lab, Order};
use serde_json::json;

use crate::downloads_server::{Framing, Server, honest};
use crate::support::{TestClock, builder, order, store};

const ETAG: &str = "\"version-a\"";

struct Desk {
    server: Server,
    lab: Lab,
    order: Order,
    content: Vec<u8>,
    directory: tempfile::TempDir,
}

impl Desk {
    async fn new() -> Self {
        let server = Server::start().await;
        let lab = server.lab(RetryPolicy::never()).await;
        let desk = Desk {
            server,
            lab,
            order: order(json!({
                "orderId": "order-88", "status": "Ready for Download",
                "assets": [{ "assetId": "asset-66", "type": "FILE" }],
            })),
            content: vec![7; 100_000],
            directory: tempfile::tempdir().unwrap(),
        };
        desk.serve_whole();
        desk
    }

    fn serve_whole(&self) {
        let source = self.content.clone();
        self.server
            .play(move |_, request| honest(request, Some(ETAG), &source, Framing::Length));
    }

    fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    async fn download(&self) -> Result<(), Error> {
        let download = self.lab.download(&self.order, &self.order.assets()[0]);
        download.to_file(self.path("case")).await.map(drop)
    }

    /// Leaves a part and its state, as a download that broke off does.
    async fn break_off(&self) {
        let source = self.content.clone();
        self.server.play(move |_, request| {
            let mut answer = honest(request, Some(ETAG), &source, Framing::Length);
            answer.truncate(50_000);
            answer
        });
        assert!(self.download().await.unwrap_err().is_incomplete());
        assert!(self.path("case.part").exists() && self.path("case.part.json").exists());
        self.serve_whole();
    }

    fn was_resumed(&self) -> bool {
        let requests = self.server.requests();
        requests.iter().any(|request| request.contains("range: "))
    }

    async fn succeeds_anew(&self, what: &str) {
        self.download().await.unwrap();
        assert!(!self.was_resumed(), "{what}");
        let there = fs::symlink_metadata(self.path("case")).unwrap();
        assert!(there.is_file() && there.nlink() == 1, "{what}");
        assert_eq!(fs::read(self.path("case")).unwrap(), self.content, "{what}");
    }
}

fn is_aside(entry: &Path) -> bool {
    entry.to_string_lossy().contains(".aside-")
}

fn aside(directory: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(directory).unwrap();
    let paths = entries.map(|entry| entry.unwrap().path());
    paths.filter(|path| is_aside(path)).collect()
}

#[tokio::test]
async fn a_part_that_is_no_plain_file_of_one_name_is_set_aside() {
    for what in ["symlink", "dangling", "hard link", "pipe", "directory"] {
        let desk = Desk::new().await;
        let (part, victim) = (desk.path("case.part"), desk.path("victim"));
        if what != "dangling" {
            fs::write(&victim, b"precious").unwrap();
        }
        match what {
            "hard link" => {
                // As it would be resumed: with a state.
                desk.break_off().await;
                fs::remove_file(&part).unwrap();
                fs::hard_link(&victim, &part).unwrap();
            }
            "pipe" => {
                let made = std::process::Command::new("mkfifo").arg(&part).status();
                assert!(made.unwrap().success());
            }
            "directory" => fs::create_dir(&part).unwrap(),
            _ => symlink(&victim, &part).unwrap(),
        }
        desk.succeeds_anew(what).await;
        if what == "dangling" {
            assert!(!victim.exists());
        } else {
            assert_eq!(fs::read(&victim).unwrap(), b"precious", "{what}");
        }
        assert_eq!(aside(desk.directory.path()).len(), 1, "{what}");
    }
}

#[tokio::test]
async fn a_state_that_is_not_ours_is_neither_read_nor_written_through() {
    for what in [
        "endless",
        "symlink",
        "hard link",
        "long",
        "directory",
        "alone",
    ] {
        let desk = Desk::new().await;
        desk.break_off().await;
        let (state, victim) = (desk.path("case.part.json"), desk.path("victim"));
        let text = fs::read(&state).unwrap();
        match what {
            "long" => fs::write(&state, [text, vec![b' '; 1 << 20]].concat()).unwrap(),
            "directory" | "alone" => {
                if what == "alone" {
                    fs::remove_file(desk.path("case.part")).unwrap();
                }
                fs::remove_file(&state).unwrap();
                fs::create_dir(&state).unwrap();
            }
            "endless" => {
                fs::remove_file(&state).unwrap();
                symlink("/dev/zero", &state).unwrap();
            }
            _ => {
                fs::rename(&state, &victim).unwrap();
                let linked = if what == "symlink" {
                    symlink(&victim, &state)
                } else {
                    fs::hard_link(&victim, &state)
                };
                linked.unwrap();
                symlink(&victim, desk.path("case.part.json.new")).unwrap();
            }
        }
        let before = fs::read(&victim).ok();
        desk.succeeds_anew(what).await;
        assert_eq!(fs::read(&victim).ok(), before, "{what}");
        assert!(!desk.path("case.part.json").exists(), "{what}");
    }
}

#[tokio::test]
async fn a_part_of_another_user_is_set_aside() {
    let desk = Desk::new().await;
    for name in ["case.part", "case.part.json"] {
        desk.break_off().await;
        // Only root may give a file away.
        if chown(desk.path(name), Some(12345), None).is_err() {
            println!("skipped: not root");
            return;
        }
        desk.succeeds_anew(name).await;
        fs::remove_file(desk.path("case")).unwrap();
    }
    assert_eq!(aside(desk.directory.path()).len(), 2);
    // What is our own still counts.
    desk.break_off().await;
    desk.download().await.unwrap();
    assert!(desk.was_resumed());
}

#[tokio::test]
async fn a_part_that_is_replaced_on_the_way_is_no_download() {
    let desk = Desk::new().await;
    let source = desk.content.clone();
    let (part, stolen) = (desk.path("case.part"), desk.path("stolen"));
    desk.server.play(move |_, request| {
        fs::rename(&part, &stolen).unwrap();
        fs::write(&part, b"something else").unwrap();
        honest(request, Some(ETAG), &source, Framing::Length)
    });
    let error = desk.download().await.unwrap_err();
    assert!(
        error.is_file() && error.to_string().contains("in its place"),
        "{error}"
    );
    assert!(!desk.path("case").exists());
    // What is there now is somebody's: it is neither removed nor said to be ours.
    assert_eq!(fs::read(desk.path("case.part")).unwrap(), b"something else");
    assert!(!desk.path("case.part.json").exists());
}

#[tokio::test]
async fn files_are_for_their_user_alone_unless_the_lab_shares_them() {
    let desk = Desk::new().await;
    let mode = |path: PathBuf| fs::metadata(path).unwrap().permissions().mode() & 0o777;
    desk.break_off().await;
    assert_eq!(mode(desk.path("case.part")), 0o600);
    assert_eq!(mode(desk.path("case.part.json")), 0o600);
    // As an earlier version left it.
    let open = fs::Permissions::from_mode(0o644);
    fs::set_permissions(desk.path("case.part"), open).unwrap();
    desk.download().await.unwrap();
    assert!(desk.was_resumed());
    assert_eq!(mode(desk.path("case")), 0o600);

    fs::write(desk.path("plain"), b"").unwrap();
    let clock = TestClock::new();
    let client = builder(desk.server.url(), &clock)
        .token_store(store(&clock, 3600).await)
        .shared_files(true)
        .build()
        .unwrap();
    let lab = client.account("account-77");
    let download = lab.download(&desk.order, &desk.order.assets()[0]);
    download.to_file(desk.path("shared")).await.unwrap();
    assert_eq!(mode(desk.path("shared")), mode(desk.path("plain")));
}
