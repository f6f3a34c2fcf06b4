//! Any bytes are a manifest or an error of one line, and what is about people never prints.

#![no_main]

use lab_connector::export::{Jaw, Manifest};
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
    let _ = (manifest.due_date(), manifest.export_time(), manifest.patient_names());
    let of_jaws = [Jaw::Upper, Jaw::Lower].map(|jaw| manifest.objects_of(jaw).count());
    assert!(of_jaws.iter().sum::<usize>() <= manifest.objects().len());
    // Long enough to stand nowhere else by chance.
    let printed = format!("{manifest:?}");
    if let Some(patient) = manifest.patient().map(|patient| patient.reveal()) {
        assert!(patient.len() < 12 || !printed.contains(patient.as_str()) || repeats(input, patient));
    }
});

/// Whether the text stands in the input at another place too, where it says nothing.
fn repeats(input: &[u8], text: &str) -> bool {
    let windows = input.windows(text.len());
    windows.filter(|window| *window == text.as_bytes()).count() != 1
}
