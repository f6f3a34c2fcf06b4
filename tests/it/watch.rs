//! The watch over everything that is logged while the tests of this binary run.
//!
//! It stands before the first test begins, hears every event and span at TRACE, those of the
//! HTTP and TLS libraries too, and ends the whole run at the first secret or patient: a panic in
//! a task that nobody waits for would pass unnoticed.

use std::collections::BTreeSet;
use std::fmt::{self, Write as _};
use std::io::Write as _;
use std::sync::Mutex;

use tracing::field::{Field, Visit};
use tracing::span;

/// Parts of the crate and of its dependencies that were heard.
static HEARD: Mutex<BTreeSet<String>> = Mutex::new(BTreeSet::new());

/// The exit status of a run that the watch has ended.
pub(crate) const SLIPPED: i32 = 97;

/// What is secret wherever it stands: the client secrets that the tests use, as they are and as
/// HTTP Basic authentication writes them, a word that fixtures put into what must not be shown,
/// and the simulator's patients.
const MARKS: &[&str] = &[
    "canary",
    "simulator-secret",
    "c2ltdWxhdG9yOnNpbXVsYXRvci1zZWNyZXQ",
    "interop-secret",
    "aW50ZXJvcDppbnRlcm9wLXNlY3JldA",
    "secret-client-1",
    "secret-access-1",
    "secret-refresh-1",
    "secret-code-1",
    "secret-state-1",
    "secret-verifier-1",
    "uthorization: B",
    "Ashgrove",
    "Birkwood",
    "Calloway",
    "Dunmore",
    "Eastlake",
    "Fernhill",
    "Greystone",
];

/// The simulator's tokens and codes: a word, a dash, and 32 digits.
const TOKENS: [&str; 3] = ["access-", "refresh-", "code-"];

/// The secret in a text, if there is one.
pub(crate) fn canary(text: &str) -> Option<&str> {
    let mark = MARKS.iter().find(|mark| text.contains(**mark));
    mark.copied().or_else(|| {
        let is_token = |at: usize, kind: &str| {
            let rest = text.as_bytes().get(at + kind.len()..at + kind.len() + 32)?;
            let token = rest.iter().all(u8::is_ascii_hexdigit);
            token.then(|| &text[at..at + kind.len() + 32])
        };
        TOKENS.iter().find_map(|kind| {
            let mut places = text.match_indices(kind);
            places.find_map(|(at, _)| is_token(at, kind))
        })
    })
}

/// The parts that were heard so far.
pub(crate) fn heard() -> BTreeSet<String> {
    HEARD.lock().unwrap().clone()
}

#[ctor::ctor(unsafe)]
fn begin() {
    let logger = log::set_boxed_logger(Box::new(Watch));
    let subscriber = tracing::subscriber::set_global_default(Watch);
    assert!(logger.is_ok() && subscriber.is_ok());
    log::set_max_level(log::LevelFilter::Trace);
}

struct Watch;

impl Watch {
    fn hear(target: &str, text: &str) {
        // The double of a service says what it was asked: it stands for the other side.
        if target.starts_with("wiremock") {
            return;
        }
        HEARD.lock().unwrap().insert(target.to_owned());
        if let Some(canary) = canary(text) {
            // Not `eprintln!`, which the test harness keeps to itself.
            let mut stderr = std::io::stderr();
            let _ = writeln!(stderr, "canary in the logs: `{canary}` in {target}: {text}");
            std::process::exit(SLIPPED);
        }
    }
}

impl log::Log for Watch {
    fn enabled(&self, _: &log::Metadata<'_>) -> bool {
        true
    }

    fn log(&self, record: &log::Record<'_>) {
        Watch::hear(record.target(), &record.args().to_string());
    }

    fn flush(&self) {}
}

impl tracing::Subscriber for Watch {
    fn enabled(&self, _: &tracing::Metadata<'_>) -> bool {
        true
    }

    fn new_span(&self, attributes: &span::Attributes<'_>) -> span::Id {
        let mut text = Text::default();
        attributes.record(&mut text);
        Watch::hear(attributes.metadata().target(), &text.0);
        span::Id::from_u64(1)
    }

    fn record(&self, _: &span::Id, values: &span::Record<'_>) {
        let mut text = Text::default();
        values.record(&mut text);
        Watch::hear("a span", &text.0);
    }

    fn record_follows_from(&self, _: &span::Id, _: &span::Id) {}

    fn event(&self, event: &tracing::Event<'_>) {
        let mut text = Text::default();
        event.record(&mut text);
        Watch::hear(event.metadata().target(), &text.0);
    }

    fn enter(&self, _: &span::Id) {}

    fn exit(&self, _: &span::Id) {}
}

/// All fields of an event.
#[derive(Default)]
struct Text(String);

impl Visit for Text {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        let _ = write!(self.0, "{}={value:?} ", field.name());
    }
}
