//! Any archive is refused with a reason, or all of it stays within the limits and below the
//! directory that it is extracted to.

#![no_main]

use std::io::{Cursor, sink};
use std::path::{Component, Path};

use lab_connector::export::{Contents, Limits, Package};
use libfuzzer_sys::fuzz_target;

const BYTES: u64 = 1 << 20;

fuzz_target!(|input: &[u8]| {
    let limits = Limits::default()
        .entries(50)
        .bytes(BYTES)
        .manifest_bytes(1 << 16);
    let mut package = match Package::read_within(Cursor::new(input), limits) {
        Ok(package) => package,
        Err(error) => {
            assert!(!error.to_string().contains('\n'));
            return;
        }
    };
    let files = package.files().to_vec();
    assert!(files.len() <= 50);
    assert!(files.iter().map(|file| file.size()).sum::<u64>() <= BYTES);
    for file in &files {
        let plain = |part: Component<'_>| matches!(part, Component::Normal(_));
        assert!(
            Path::new(file.name()).components().all(plain),
            "{}",
            file.name()
        );
        if let Ok(bytes) = package.copy(file, &mut sink()) {
            assert_eq!(bytes, file.size());
        }
    }
    let manifest = package.manifest().ok().flatten();
    let contents = Contents::of(&files, manifest.as_ref());
    let sorted = contents.surfaces.len()
        + contents.textures.len()
        + contents.rx.len()
        + contents.manifests.len()
        + contents.others.len();
    assert_eq!(sorted, files.len());
});
