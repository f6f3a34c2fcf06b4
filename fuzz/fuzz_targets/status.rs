//! Any text is a status, reads back from its own text, and equals itself in any spelling.

#![no_main]

use std::hash::{BuildHasher, RandomState};

use lab_connector::OrderStatus;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &str| {
    let status = OrderStatus::from(text);
    assert_eq!(OrderStatus::from(status.as_str()), status);
    assert!(status.is(text));
    assert_eq!(status.is_known(), status.meaning().is_some());
    if !status.is_known() {
        assert_eq!(status.as_str(), text);
        assert_eq!(status.symbol(), None);
    }

    // Signs and a note do not matter, except where there is nothing else.
    if text.is_ascii()
        && text.bytes().any(|b| b.is_ascii_alphanumeric())
        && !text.contains(['(', ')'])
    {
        let hasher = RandomState::new();
        let signs: String = text.chars().flat_map(|c| ['_', c]).collect();
        for spelled in [signs, text.to_ascii_uppercase(), format!("{text} (a note)")] {
            let spelled = OrderStatus::from(spelled);
            assert_eq!(spelled, status);
            assert_eq!(hasher.hash_one(&spelled), hasher.hash_one(&status));
        }
    }
});
