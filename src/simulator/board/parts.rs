//! What the page and its cases are both made of.

use std::time::SystemTime;

use super::view::View;
use crate::simulator::html::hidden;
use crate::status::Holder;

/// The form around buttons; it carries what the board showed.
pub(super) fn form(view: &View, fields: &str, buttons: &str) -> String {
    let lab = hidden("lab", &view.address.lab);
    let case = hidden("case", &view.address.case);
    format!(r#"<form method="post" action="/_simulator/board">{lab}{case}{fields}{buttons}</form>"#)
}

/// The class that colours it.
pub(super) fn holder(holder: Option<Holder>) -> &'static str {
    match holder {
        Some(Holder::Doctor | Holder::System) => "doctor",
        Some(Holder::Lab) => "lab",
        Some(Holder::Align) => "align",
        _ => "nobody",
    }
}

/// A time for people, in UTC.
pub(super) fn clock(time: SystemTime, format: &str) -> String {
    jiff::Timestamp::try_from(time)
        .map(|time| time.strftime(format).to_string())
        // A time beyond the year 9999 shows nothing, rather than break the page.
        .unwrap_or_default()
}
