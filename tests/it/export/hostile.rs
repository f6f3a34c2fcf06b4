//! Archives that no honest program makes: the table in the docs, made and tried.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use lab_connector::export::{Error, Limits, Package, Reason};
use lab_connector::retry::RetryPolicy;

use super::raw::{self, Entry, archive};
use crate::downloads_server::{Framing, Server};
use crate::support::order_with_file;

struct Case {
    name: &'static str,
    bytes: Vec<u8>,
    limits: Limits,
    outcome: Outcome,
}

#[derive(Clone, Debug, PartialEq)]
enum Outcome {
    Refused(Reason),
    /// The files that come out.
    Extracted(Vec<(&'static str, Vec<u8>)>),
}

fn x(name: &str) -> Entry {
    Entry::stored(name, b"x")
}

fn one(name: &str) -> Vec<u8> {
    archive(&[x(name)])
}

fn many() -> Vec<Entry> {
    let empty = Entry::stored("", b"");
    let named = |n| {
        empty
            .clone()
            .both(|header| header.name = format!("{n}").into_bytes())
    };
    (0..100_000).map(named).collect()
}

/// An archive whose comment ends as an archive does: with an end record that leads nowhere, or
/// with all of another archive, at its right place.
fn end_in_comment(whole: bool) -> Vec<u8> {
    let mut outer = one("a.stl");
    let mut inner = one("b.stl");
    let end = inner.len() - 22;
    if whole {
        // Its offsets count from the file's beginning.
        let shift = outer.len() as u32;
        let directory = u32::from_le_bytes(inner[end + 16..end + 20].try_into().unwrap());
        inner[end + 16..end + 20].copy_from_slice(&(directory + shift).to_le_bytes());
        let entry = directory as usize + 42;
        inner[entry..entry + 4].copy_from_slice(&shift.to_le_bytes());
    } else {
        inner.drain(..end);
    }
    let length = outer.len();
    outer[length - 2..].copy_from_slice(&(inner.len() as u16).to_le_bytes());
    [outer, inner].concat()
}

/// `outside` is a place that exists and must stay as it is.
fn cases(outside: &Path) -> Vec<Case> {
    use Reason::*;
    let absolute = outside.join("evil").display().to_string();
    let zeros = Entry::deflated("bomb.stl", &vec![0; 65 << 20]);
    let bomb = || zeros.clone();
    let nested = archive(&[bomb()]);
    let inner = Entry::stored("inner.stl", b"y");
    let outer = Entry::stored("outer.stl", &raw::local(&inner));
    let header = 30 + "outer.stl".len() as u32;
    let overlapping = Entry {
        offset: Some(header),
        ..inner
    };
    let hidden = Entry {
        hidden: true,
        ..x("hidden.stl")
    };
    let mut cut = archive(&[x("a.stl"), x("b.stl")]);
    cut.truncate(cut.len() - 40);
    let mut broken = Entry::deflated("a.stl", &[7; 5000]);
    broken.data.fill(0xFF);
    let mut large = x("");
    large.comment = vec![b'c'; 0xFFFF];
    large.central.extra = [&[0xFE, 0xCA, 0xFB, 0xFF][..], &[0; 0xFFFB]].concat();
    let large: Vec<_> = (0..10)
        .map(|n| {
            let name = |header: &mut raw::Header| header.name = format!("{n}.stl").into_bytes();
            large.clone().both(name)
        })
        .collect();
    let hundred_thousand = raw::archive64(&many(), None);
    let part = Entry::deflated("", &vec![0; 1 << 20]);
    let parts = [0, 1, 2, 3, 4, 5, 6, 7].map(|n| {
        let part = part.clone();
        part.both(|header| header.name = format!("{n}.stl").into_bytes())
    });

    let mut cases = Vec::new();
    let mut refused = |name, bytes, reason| {
        cases.push(Case {
            name,
            bytes,
            limits: Limits::default(),
            outcome: Outcome::Refused(reason),
        });
    };
    refused("traversal with `/`", one("../evil"), Traversal);
    refused("traversal with `\\`", one("..\\evil"), Traversal);
    refused(
        "traversal behind a folder",
        one("a/b/../../../evil"),
        Traversal,
    );
    refused("absolute name", one(&absolute), Io);
    refused("drive letter", one("C:\\evil"), Absolute);
    refused("drive letter without a root", one("c:evil"), Absolute);
    refused("server name", one("\\\\server\\share\\evil"), Absolute);
    refused("alternate data stream", one("case.stl:evil"), BadName);
    refused("NUL in a name", one("evil.stl\0.txt"), BadName);
    refused("name that ends with a dot", one("evil."), BadName);
    refused("reserved name", one("NUL"), ReservedName);
    refused(
        "reserved name with an extension",
        one("a/com1.stl"),
        ReservedName,
    );
    refused("long name", one(&"n".repeat(1025)), NameTooLong);
    refused("long part of a name", one(&"n".repeat(293)), Io);
    refused("invisible signs in a name", one("a\u{202e}lts.exe"), Io);
    refused("deep path", one("1/2/3/4/5/6/7/8/9"), TooDeep);
    let link = |name, to: &str| Entry::stored(name, to.as_bytes()).mode(0o120_777);
    refused(
        "symlink to the inside",
        archive(&[x("a"), link("b", "a")]),
        Symlink,
    );
    refused(
        "symlink to the outside",
        archive(&[link("b", "../evil")]),
        Symlink,
    );
    let of_windows = Entry {
        attributes: 0x420,
        ..x("b")
    };
    refused("symlink of Windows", archive(&[of_windows]), Symlink);
    let outside = outside.display().to_string();
    let through = archive(&[link("d", &outside), x("d/evil")]);
    refused("a file through a symlinked directory", through, Symlink);
    refused("named pipe", archive(&[x("p").mode(0o010_644)]), Special);
    let odd = archive(&[x("d").mode(0o040_755)]);
    refused("file with the mode of a directory", odd, Special);
    refused("bomb, honest", archive(&[bomb()]), Ratio);
    let lie = |header: &mut raw::Header| header.size = 1000;
    refused(
        "bomb, one size a lie",
        archive(&[bomb().central(lie)]),
        HeaderMismatch,
    );
    refused(
        "bomb, both sizes a lie",
        archive(&[bomb().both(lie)]),
        Damaged,
    );
    refused("bomb of many files", archive(&parts), TooLarge);
    let inner_bomb = ("inner.zip", nested.clone());
    refused(
        "bomb in a zip in the zip",
        archive(&[Entry::stored("inner.zip", &nested)]),
        Io,
    );
    refused(
        "100,000 entries",
        plain_end(hundred_thousand.clone()),
        TooManyEntries,
    );
    refused("100,000 entries in zip64", hundred_thousand, TooManyEntries);
    let claim = raw::archive64(&[x("a")], Some(1 << 40));
    refused("a claim of many entries", claim, TooManyEntries);
    refused("large headers", archive(&large), TooManyEntries);
    refused(
        "duplicate name",
        archive(&[x("a"), x("b"), x("a")]),
        Duplicate,
    );
    refused(
        "duplicate name with `/` and `\\`",
        archive(&[x("d/a"), x("d\\a")]),
        Duplicate,
    );
    refused(
        "names that differ in case",
        archive(&[x("a.STL"), x("A.stl")]),
        Clash,
    );
    refused(
        "folders that differ in case",
        archive(&[x("D/a"), x("d/b")]),
        Clash,
    );
    refused(
        "file where a folder should be",
        archive(&[x("d"), x("d/b")]),
        Clash,
    );
    let other = |header: &mut raw::Header| header.name = b"b.stl".to_vec();
    refused(
        "other name in the local header",
        archive(&[x("a.stl").local(other)]),
        HeaderMismatch,
    );
    refused(
        "other size in the local header",
        archive(&[x("a").local(lie)]),
        HeaderMismatch,
    );
    let method = |header: &mut raw::Header| header.method = raw::DEFLATED;
    refused(
        "other method in the local header",
        archive(&[x("a").local(method)]),
        HeaderMismatch,
    );
    refused(
        "entry that the directory does not have",
        archive(&[x("a"), hidden]),
        HeaderMismatch,
    );
    refused(
        "overlapping entries",
        archive(&[outer, overlapping]),
        Overlap,
    );
    refused(
        "encrypted",
        archive(&[x("a").both(|header| header.flags |= 1)]),
        Encrypted,
    );
    refused(
        "unknown compression",
        archive(&[x("a").both(|header| header.method = 98)]),
        Compression,
    );
    refused(
        "wrong checksum",
        archive(&[x("a").both(|header| header.crc ^= 1)]),
        Damaged,
    );
    refused("broken deflate", archive(&[broken]), Damaged);
    refused("cut off", cut, NotAnArchive);
    let before = [&b"#!/bin/sh\n"[..], &one("a")].concat();
    refused("bytes before the archive", before, LeadingBytes);
    let in_a_row = [one("a.stl"), one("b.stl")].concat();
    refused("two archives in a row", in_a_row, LeadingBytes);
    refused(
        "an end within the comment",
        end_in_comment(false),
        LeadingBytes,
    );
    let mut cut_off = end_in_comment(false);
    let length = cut_off.len() - 2;
    cut_off[length] = 0xff;
    refused("an end within the comment, too long", cut_off, SecondEnd);
    refused(
        "an archive within the comment",
        end_in_comment(true),
        HeaderMismatch,
    );
    let second_name = |header: &mut raw::Header| {
        header.extra = [&b"up\x0a\0\x01\0\0\0\0"[..], b"b.stl"].concat();
    };
    refused(
        "second name in the local header",
        archive(&[x("a.stl").local(second_name)]),
        HeaderMismatch,
    );
    refused("empty file", Vec::new(), NotAnArchive);
    let zip64 = raw::archive64(&[x("a").zip64(1, 1)], None);
    refused("zip64", zip64, Io);
    let huge = raw::archive64(&[x("a").zip64(1 << 40, 1)], None);
    refused("zip64 that claims a huge file", huge, TooLarge);
    let streamed = [
        Entry::deflated("top/a", &[7; 5000]).streamed(),
        x("b").streamed(),
    ];
    refused("streamed, sizes behind the data", archive(&streamed), Io);
    refused("streamed bomb", archive(&[bomb().streamed()]), Ratio);
    let litter = [
        "top/",
        "top/empty/",
        "top/a",
        "__MACOSX/top/._a",
        "top/.DS_Store",
    ];
    let litter = litter.map(|name| {
        let content: &[u8] = if name.ends_with('/') { b"" } else { b"x" };
        Entry::stored(name, content)
    });
    refused("litter and empty folders", archive(&litter), Io);

    for case in &mut cases {
        case.outcome = match case.name {
            "bomb in a zip in the zip" => Outcome::Extracted(vec![inner_bomb.clone()]),
            "absolute name" => {
                let inside = absolute.trim_start_matches('/').to_owned();
                Outcome::Extracted(vec![(inside.leak(), b"x".to_vec())])
            }
            "long part of a name" => {
                let cut = "n".repeat(255);
                Outcome::Extracted(vec![(cut.leak(), b"x".to_vec())])
            }
            "invisible signs in a name" => Outcome::Extracted(vec![("a_lts.exe", b"x".to_vec())]),
            "zip64" => Outcome::Extracted(vec![("a", b"x".to_vec())]),
            "streamed, sizes behind the data" => {
                Outcome::Extracted(vec![("top/a", vec![7; 5000]), ("b", b"x".to_vec())])
            }
            "litter and empty folders" => Outcome::Extracted(vec![("top/a", b"x".to_vec())]),
            _ => continue,
        };
    }
    for case in &mut cases {
        case.limits = match case.name {
            "bomb of many files" => case.limits.bytes(5 << 20),
            "large headers" => case.limits.entries(10),
            _ => continue,
        };
    }
    cases
}

/// The same archive with a count that wraps, as old programs wrote it: without zip64.
fn plain_end(mut bytes: Vec<u8>) -> Vec<u8> {
    let record = bytes.len() - 22 - 20 - 56;
    let field = |at: usize| <[u8; 4]>::try_from(&bytes[record + at..][..4]).unwrap();
    let (size, start) = (field(40), field(48));
    bytes.drain(record..record + 56 + 20);
    let count = (100_000 % 0x1_0000_u32) as u16;
    let end = bytes.len() - 22;
    bytes[end + 8..end + 10].copy_from_slice(&count.to_le_bytes());
    bytes[end + 10..end + 12].copy_from_slice(&count.to_le_bytes());
    bytes[end + 12..end + 16].copy_from_slice(&size);
    bytes[end + 16..end + 20].copy_from_slice(&start);
    bytes
}

/// Every path below a directory with what is there, links not followed.
fn snapshot(directory: &Path) -> BTreeMap<PathBuf, Option<Vec<u8>>> {
    let mut found = BTreeMap::new();
    for entry in fs::read_dir(directory).unwrap() {
        let path = entry.unwrap().path();
        let kind = fs::symlink_metadata(&path).unwrap();
        assert!(!kind.is_symlink(), "{}", path.display());
        if kind.is_dir() {
            found.extend(snapshot(&path));
            found.insert(path, None);
        } else {
            assert!(kind.is_file());
            found.insert(path.clone(), Some(fs::read(path).unwrap()));
        }
    }
    found
}

#[test]
fn each_hostile_archive_ends_as_the_table_says() {
    let directory = tempfile::tempdir().unwrap();
    let root = directory.path();
    fs::create_dir(root.join("cases")).unwrap();
    fs::create_dir(root.join("outside")).unwrap();
    fs::write(root.join("outside/kept"), "kept").unwrap();
    let target = root.join("cases/case");
    let before = snapshot(root);

    let cases = cases(&root.join("outside"));
    check_table(&cases);
    for case in cases {
        let file = tempfile::NamedTempFile::new().unwrap();
        fs::write(file.path(), &case.bytes).unwrap();
        let extracted = Package::open_within(file.path(), case.limits)
            .and_then(|mut package| package.extract_to(&target));
        match (&case.outcome, extracted) {
            (Outcome::Refused(reason), Err(error)) => {
                assert_eq!(error.reason(), *reason, "{}: {error}", case.name);
                for hidden in ["evil", "bomb", "hidden", ".stl"] {
                    let printed = format!("{error} {error:?}");
                    assert!(!printed.contains(hidden), "{}: {printed}", case.name);
                }
            }
            (Outcome::Extracted(files), Ok(())) => {
                for (name, content) in files {
                    let found = fs::read(target.join(name)).unwrap();
                    assert!(found == *content, "{}: {name}", case.name);
                }
                let found = snapshot(&target);
                let count = found.values().flatten().count();
                assert_eq!(count, files.len(), "{}", case.name);
                fs::remove_dir_all(&target).unwrap();
            }
            (expected, result) => panic!("{}: {result:?}, not {expected:?}", case.name),
        }
        assert!(snapshot(root) == before, "{}: something is left", case.name);
    }
}

/// A download looks at a zip's end only: what it delivers is not refused for its end later, and
/// what it refuses is not opened either.
#[tokio::test]
async fn a_download_and_the_opening_of_its_file_give_one_answer() {
    let directory = tempfile::tempdir().unwrap();
    let target = directory.path().join("case.zip");
    let server = Server::start().await;
    let lab = server.lab(RetryPolicy::never()).await;
    let order = order_with_file(None);
    for case in cases(directory.path()) {
        let bytes = case.bytes;
        let answer = Framing::Length.answer("200 OK", &bytes, bytes.len());
        server.play(move |_, _| answer.clone());
        let download = lab.download(&order, &order.assets()[0]).zip(true);
        let downloaded = download.to_file(&target).await.map(drop);
        let opened = Package::read_within(std::io::Cursor::new(bytes), case.limits).map(drop);
        let end_is_wrong = match opened.as_ref().map_err(Error::reason) {
            Err(Reason::NotAnArchive | Reason::LeadingBytes | Reason::SecondEnd) => true,
            Ok(()) | Err(_) => false,
        };
        let answers = format!("{}: {downloaded:?}, {opened:?}", case.name);
        assert_eq!(downloaded.is_err(), end_is_wrong, "{answers}");
        let Err(error) = downloaded else { continue };
        assert!(error.is_incomplete(), "{answers}");
        // Both say what was found.
        let found = match opened.as_ref().unwrap_err().reason() {
            Reason::LeadingBytes => "before its first entry",
            Reason::SecondEnd => "it has two ends",
            _ => continue,
        };
        assert!(error.to_string().contains(found), "{answers}");
        assert!(opened.unwrap_err().to_string().contains(found), "{answers}");
    }
}

/// The table in the docs is what is tried, and no hostile reason is left out.
fn check_table(cases: &[Case]) {
    let table = include_str!("../../../src/export/hostile.md");
    let rows: Vec<(String, String)> = table
        .lines()
        .skip(2)
        .map(|line| {
            let (name, outcome) = line.trim_matches(['|', ' ']).split_once(" | ").unwrap();
            let outcome = outcome.trim_matches('`');
            let outcome = if outcome.starts_with("extracted") {
                "extracted"
            } else {
                outcome
            };
            (name.to_owned(), outcome.to_owned())
        })
        .collect();
    let tried: Vec<_> = cases
        .iter()
        .map(|case| {
            let outcome = match case.outcome {
                Outcome::Refused(reason) => reason.as_str(),
                Outcome::Extracted(_) => "extracted",
            };
            (case.name.to_owned(), outcome.to_owned())
        })
        .collect();
    assert_eq!(rows, tried);
    for reason in Reason::ALL {
        let of_manifests = matches!(reason, Reason::Entities | Reason::XmlTooLarge);
        if reason.is_hostile() && !of_manifests {
            let tried = rows.iter().any(|(_, outcome)| outcome == reason.as_str());
            assert!(tried, "{reason:?}");
        }
    }
}

#[cfg(unix)]
#[test]
fn what_is_extracted_is_for_its_user_alone_unless_the_lab_shares_it() {
    use std::os::unix::fs::PermissionsExt;

    let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
    let directory = tempfile::tempdir().unwrap();
    let (folder, file) = (directory.path().join("d"), directory.path().join("f"));
    fs::create_dir(&folder).unwrap();
    fs::write(&file, b"").unwrap();
    for (shared, modes) in [
        (false, [0o700, 0o700, 0o600]),
        (true, [mode(&folder), mode(&folder), mode(&file)]),
    ] {
        let bytes = archive(&[x("a/b.stl")]);
        let package = Package::from_reader(std::io::Cursor::new(bytes)).unwrap();
        let target = directory.path().join(format!("case-{shared}"));
        package.shared_files(shared).extract_to(&target).unwrap();
        let paths = [target.clone(), target.join("a"), target.join("a/b.stl")];
        assert_eq!(paths.map(|path| mode(&path)), modes);
    }
}

/// Reads an archive, and does something else on the way.
struct Meddling<F>(std::io::Cursor<Vec<u8>>, F);

impl<F: FnMut()> std::io::Read for Meddling<F> {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        (self.1)();
        self.0.read(buffer)
    }
}

impl<F> std::io::Seek for Meddling<F> {
    fn seek(&mut self, to: std::io::SeekFrom) -> std::io::Result<u64> {
        self.0.seek(to)
    }
}

/// In a directory that others can write to, a neighbour can rename what it cannot enter.
#[cfg(unix)]
#[test]
fn a_directory_that_is_replaced_on_the_way_is_no_package() {
    let directory = tempfile::tempdir().unwrap();
    let (stolen, theirs) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    fs::write(theirs.path().join("evil"), b"").unwrap();
    let place = directory.path().to_owned();
    let (away, link) = (stolen.path().join("x"), theirs.path().to_owned());
    let meddle = move || {
        let entries = fs::read_dir(&place).unwrap().map(Result::unwrap);
        for entry in entries.filter(|entry| entry.file_type().unwrap().is_dir()) {
            fs::rename(entry.path(), &away).unwrap();
            std::os::unix::fs::symlink(&link, entry.path()).unwrap();
        }
    };
    let reader = Meddling(std::io::Cursor::new(archive(&[x("a.stl")])), meddle);
    let mut package = Package::from_reader(reader).unwrap();
    let target = directory.path().join("case");
    let error = package.extract_to(&target).unwrap_err();
    assert_eq!(error.reason(), Reason::Io);
    assert!(fs::symlink_metadata(&target).is_err());
    assert!(theirs.path().join("evil").exists());
}

/// A failure after the first files: they are gone again.
#[test]
fn what_fails_halfway_leaves_nothing() {
    let directory = tempfile::tempdir().unwrap();
    let wrong = x("z.stl").both(|header| header.crc ^= 1);
    let bytes = archive(&[x("a/b.stl"), wrong]);
    let mut package = Package::from_reader(std::io::Cursor::new(bytes)).unwrap();
    let error = package
        .extract_to(directory.path().join("case"))
        .unwrap_err();
    assert_eq!((error.reason(), error.entry()), (Reason::Damaged, Some(1)));
    assert_eq!(error.entry_name(), Some("z.stl"));
    assert!(snapshot(directory.path()).is_empty());
}

#[test]
fn what_is_there_is_not_touched() {
    let directory = tempfile::tempdir().unwrap();
    let mut package = Package::from_reader(std::io::Cursor::new(one("a"))).unwrap();
    let target = directory.path().join("case");
    fs::create_dir(&target).unwrap();
    let reason = |result: lab_connector::export::Result<_>| result.unwrap_err().reason();
    assert_eq!(reason(package.extract_to(&target)), Reason::TargetExists);
    fs::remove_dir(&target).unwrap();
    #[cfg(unix)]
    {
        std::os::unix::fs::symlink("nowhere", &target).unwrap();
        assert_eq!(reason(package.extract_to(&target)), Reason::TargetExists);
        fs::remove_file(&target).unwrap();
    }
    assert_eq!(
        reason(package.extract_to(directory.path().join("..").join(".."))),
        Reason::TargetExists
    );
    assert_eq!(
        reason(package.extract_to(directory.path().join("none/case"))),
        Reason::Io
    );
    assert!(package.extract_to(&target).is_ok());
    assert_eq!(fs::read(target.join("a")).unwrap(), b"x");
}
