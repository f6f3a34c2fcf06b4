//! Every limit of a package, set to nothing, to next to nothing and to as much as there is.

use std::io::Cursor;

use lab_connector::export::{Limits, Package};

use super::raw::{Entry, archive};

type Set = fn(Limits, u64) -> Limits;

fn count(value: u64) -> usize {
    usize::try_from(value).unwrap_or(usize::MAX)
}

pub(crate) const SETTERS: &[(&str, Set)] = &[
    ("Limits::bytes", |l, v| l.bytes(v)),
    ("Limits::depth", |l, v| l.depth(count(v))),
    ("Limits::entries", |l, v| l.entries(count(v))),
    ("Limits::manifest_bytes", |l, v| l.manifest_bytes(v)),
    ("Limits::manifest_depth", |l, v| l.manifest_depth(count(v))),
    ("Limits::manifest_nodes", |l, v| l.manifest_nodes(count(v))),
    ("Limits::name_bytes", |l, v| l.name_bytes(count(v))),
    ("Limits::ratio", |l, v| {
        l.ratio(u32::try_from(v).unwrap_or(u32::MAX))
    }),
];

#[test]
fn every_setter_takes_any_value() {
    let manifest = std::fs::read(super::programs::here("manifests/public_v50_bridge.xml")).unwrap();
    let stl = Entry::stored("top/a.stl", b"content");
    let manifest = Entry::deflated("top/iTero_Export_#1_v50.xml", &manifest);
    // Past what each entry has free of the ratio.
    let bomb = Entry::deflated("top/b.bmp", &vec![0; 65 << 20]);
    let harmless = archive(&[stl.clone(), manifest.clone()]);
    let large = archive(&[stl, manifest, bomb]);
    for (name, set) in SETTERS {
        // It takes its time.
        let bytes = if *name == "Limits::ratio" {
            &large
        } else {
            &harmless
        };
        for value in [0, 1, u64::MAX] {
            let limits = set(Limits::default(), value);
            let directory = tempfile::tempdir().unwrap();
            let read = Package::read_within(Cursor::new(bytes), limits).and_then(|mut package| {
                package.extract_to(directory.path().join("case"))?;
                package.manifest()
            });
            match read {
                Ok(manifest) => assert!(manifest.is_some() && value == u64::MAX, "{name} {value}"),
                Err(error) => assert!(error.is_hostile() && value < 2, "{name} {value}: {error}"),
            }
        }
    }
}
