//! Any bytes are a manifest or an error of one line, and what is about people never prints.

#![no_main]

use lab_connector::export::{Contents, Jaw, Manifest};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|input: &[u8]| {
    let manifest = match Manifest::parse(input) {
        Ok(manifest) => manifest,
        Err(error) => {
            assert!(!error.to_string().contains('\n'));
            return;
        }
    };
    assert_eq!(Manifest::parse(input).as_ref().ok(), Some(&manifest));
    let rx = manifest.prescription();
    let _ = (
        rx.due(),
        manifest.export_time(),
        rx.patient_names(),
        manifest.extra(),
    );
    // Without files all that is named is missing.
    let contents = Contents::of(&[], Some(&manifest));
    let of_jaws = [Jaw::Upper, Jaw::Lower].map(|jaw| contents.surfaces_of(jaw).count());
    assert_eq!(of_jaws, [0, 0]);
    // Long enough to stand nowhere else by chance.
    let printed = format!("{manifest:?}");
    if let Some(patient) = rx.patient().map(|patient| *patient.reveal()) {
        assert!(patient.len() < 12 || !printed.contains(patient) || repeats(input, patient));
    }
});

/// Whether the text stands in the input at another place too, where it says nothing.
fn repeats(input: &[u8], text: &str) -> bool {
    let windows = input.windows(text.len());
    windows.filter(|window| *window == text.as_bytes()).count() != 1
}
