//! The board as HTML.

use super::case;
use super::parts::{clock, form, holder};
use super::view::{Column, View};
use crate::simulator::html::{self, Text, hidden};
use crate::simulator::{Call, ClockMode};

/// What is shown of a path.
const LONGEST: usize = 120;

/// The page. The notice says why a button did nothing.
pub(super) fn of(view: &View, notice: Option<&str>) -> String {
    let notice = notice.map_or(String::new(), |what| {
        format!(r#"<p class="notice" role="alert">{}</p>"#, Text(what))
    });
    let columns: String = view
        .columns
        .iter()
        .enumerate()
        .map(|(number, shown)| column(view, number, shown))
        .collect();
    let (detail, two) = match &view.chosen {
        Some(chosen) => (case::detail(view, chosen), " two"),
        None => (String::new(), ""),
    };
    let body = format!(
        r#"{bar}
<main data-url="{url}">
{notice}
<div class="columns">
{columns}</div>
<div class="below{two}">
{detail}{calls}</div>
</main>"#,
        bar = bar(view),
        url = Text(view.address.url()),
        calls = calls(view),
    );
    html::page("Lab Connector simulator", "board", true, &body)
}

fn bar(view: &View) -> String {
    let tabs = view.labs.iter().map(|(id, name)| {
        let current = if id.as_str() == view.address.lab {
            r#" aria-current="page""#
        } else {
            ""
        };
        let url = super::Address {
            lab: id.as_str().to_owned(),
            case: String::new(),
        };
        format!(
            r#"<a href="{}"{current} title="{}">{}</a>"#,
            Text(url.url()),
            Text(id),
            Text(name)
        )
    });
    let advance = [("+10 min", 600), ("+1 h", 3600), ("+1 day", 86_400)].map(|(label, seconds)| {
        let fields = hidden("seconds", seconds);
        let button = format!(
            r#"<button name="action" value="advance" data-key="advance-{seconds}" title="Let the simulated time pass">{label}</button>"#
        );
        form(view, &fields, &button)
    });
    let new = form(
        view,
        "",
        r#"<button name="action" value="prescribe" data-key="prescribe" title="A doctor fills in a prescription">Prescribe</button>
<button name="action" value="scan" data-key="scan" class="primary" title="A doctor scans a new case and sends it to this lab">New scan</button>"#,
    );
    let mode = match view.clock {
        ClockMode::Real => String::new(),
        ClockMode::Scaled(speed) => format!("×{speed}"),
        ClockMode::Stepped => "stepped".to_owned(),
    };
    let mut flags = String::new();
    if !view.paired {
        flags.push_str(
            r#"<span class="flag" title="No software is paired with this lab">not paired</span>"#,
        );
    }
    if view.other_behaviour {
        flags.push_str(r#"<a class="flag warn" href="/_simulator/behaviour" title="Behaviour switches are set">behaviour</a>"#);
    }
    if view.faults > 0 {
        let faults = view.faults;
        let s = if faults == 1 { "" } else { "s" };
        flags.push_str(&format!(
            r#"<a class="flag warn" href="/_simulator/faults" title="Faults are played">{faults} fault{s}</a>"#
        ));
    }
    format!(
        r#"<header class="bar" data-part="bar">
<h1><img src="/_simulator/icon.svg" alt="">Lab Connector simulator</h1>
<nav class="tabs" aria-label="Labs">{tabs}</nav>
{flags}
<span class="space"></span>
<div class="clock"><time title="The simulated time, UTC: {year}">{now}</time><span class="mode">{mode}</span>{advance}</div>
<div class="new">{new}</div>
</header>"#,
        tabs = tabs.collect::<String>(),
        year = clock(view.now, "%Y"),
        now = clock(view.now, "%a %d %b %H:%M:%S"),
        advance = advance.concat(),
    )
}

fn column(view: &View, number: usize, column: &Column) -> String {
    let cards: String = column
        .cases
        .iter()
        .map(|shown| case::card(view, shown))
        .collect();
    let more = column.count - column.cases.len();
    let rest = match (column.count, more) {
        (0, _) => r#"<p class="empty">no case</p>"#.to_owned(),
        (_, 0) => String::new(),
        _ => format!(r#"<p class="empty">and {more} older ones</p>"#),
    };
    let plus = if view.cut { "+" } else { "" };
    format!(
        r#"<section class="column {holder}" aria-label="{title}">
<h2>{title} <span class="count">{count}{plus}</span></h2>
<div class="cards" data-part="column-{number}" tabindex="-1">{cards}{rest}</div>
</section>
"#,
        holder = holder(Some(column.holder)),
        title = column.title,
        count = column.count,
    )
}

fn calls(view: &View) -> String {
    let rows: String = view.calls.iter().map(row).collect();
    let count = view.calls_in_all;
    let table = if view.calls.is_empty() {
        r#"<p class="muted">Nobody has called yet. <a href="/_simulator/">/_simulator/</a> names what can be called, <a href="/openapi.yaml">openapi.yaml</a> how.</p>"#.to_owned()
    } else {
        format!(
            "<table><thead><tr><th>Time</th><th>Operation</th><th>Request</th><th>Answer</th>\
             <th class=\"right\">Bytes</th></tr></thead><tbody>{rows}</tbody></table>"
        )
    };
    format!(
        r#"<section class="panel" data-part="calls" aria-label="API calls">
<h2>API calls <span class="muted">what the software asked and saw: {count} so far, the newest first</span>
<span class="legend"><i class="dot doctor"></i>with the doctor<i class="dot lab"></i>with the lab<i class="dot align"></i>with Align<i class="frame">F</i> seen by the software</span></h2>
{table}
</section>
"#
    )
}

fn row(call: &Call) -> String {
    let (kind, status) = match call.status {
        None => ("failed", "none".to_owned()),
        Some(status) => {
            let kind = match status {
                ..=399 => "ok",
                400..=499 => "refused",
                _ => "failed",
            };
            (kind, status.to_string())
        }
    };
    let faults = call
        .faults
        .iter()
        .map(|fault| format!(r#" <span class="tag">{}</span>"#, Text(fault)));
    let length = call.length.map_or(String::new(), |bytes| bytes.to_string());
    // By characters: a cut by bytes could end within one.
    let path: String = call.path.chars().take(LONGEST).collect();
    format!(
        r#"<tr><td>{at}</td><td>{operation}</td><td class="wide mono"><span class="muted">{method}</span> {path}</td><td><span class="code {kind}">{status}</span>{faults}</td><td class="right muted">{length}</td></tr>"#,
        at = clock(call.at, "%H:%M:%S"),
        operation = call.operation.title(),
        method = call.operation.method(),
        path = Text(path),
        faults = faults.collect::<String>(),
    )
}
