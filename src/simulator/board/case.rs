//! A case on the board: its card, and its details when it is chosen.
//!
//! Only what is possible has a button, and what the software has seen has a frame: the difference
//! between the truth and what could be known is what the board is for. Every text from outside must go
//! through `Text`.

use std::time::SystemTime;

use super::Address;
use super::parts::{clock, form, holder};
use super::view::View;
use crate::flow::{Reading, Stage};
use crate::simulator::Action;
use crate::simulator::html::{Text, hidden};
use crate::simulator::{ShownState, snapshot::Snapshot};
use crate::status::{OrderStatus, Symbol};

/// How many of the last arrivals a card has room for.
const TRAIL: usize = 14;

/// The button of an action.
fn button(action: Action) -> &'static str {
    match action {
        Action::BeginScan => "Begin scan",
        Action::FinishScan => "Send scan",
        Action::Download => "Download",
        Action::SendToModeling => "To modeling",
        Action::RequestMilling => "Request milling",
        Action::FinishModeling => "Finish modeling",
        Action::Proceed => "Proceed",
        Action::BeginInterpretation => "Interpretation 2",
        Action::InterpretationToMilling => "On to milling",
        Action::InterpretationToReview => "Back to review",
        Action::FinishMilling => "Finish milling",
        Action::Ship => "Ship",
        Action::ReturnToDoctor => "Return to doctor",
        Action::Rescan => "Rescan",
    }
}

pub(super) fn card(view: &View, case: &Snapshot) -> String {
    let order = &case.truth.order_id;
    let chosen = if order.as_str() == view.address.case {
        " chosen"
    } else {
        ""
    };
    let at = case.truth.shown.last().map_or(view.now, |shown| shown.at);
    format!(
        r#"<article class="case{chosen}" data-order="{order}">
<h3><a href="{url}" data-key="case-{order}">{order}</a><time class="at">{at}</time></h3>
<p class="who">{who}</p>
{stage}{trail}{reading}{actions}
</article>
"#,
        order = Text(order),
        url = Text(address(view, order.as_str()).url()),
        at = lately(at, view.now),
        who = Text(who(case)),
        stage = stage(case),
        trail = trail(&case.truth.shown),
        reading = reading(case.history().read()),
        actions = actions(view, case),
    )
}

/// The time of day, or the day.
fn lately(at: SystemTime, now: SystemTime) -> String {
    let day = |time| clock(time, "%F");
    clock(
        at,
        if day(at) == day(now) {
            "%H:%M"
        } else {
            "%d %b"
        },
    )
}

fn who(case: &Snapshot) -> String {
    let prescription = &case.prescription;
    let patient = &prescription.patient;
    format!(
        "{} {}, {}",
        patient.first_name,
        patient.last_name,
        prescription.procedure.name().to_lowercase()
    )
}

/// Where it is, in columns that hold two stages.
fn stage(case: &Snapshot) -> String {
    let words = match case.truth.phase().stage() {
        Stage::BeingScanned if *case.status() == OrderStatus::RxCreated => "prescribed",
        Stage::BeingScanned => "being scanned",
        Stage::WithDoctor => "to be rescanned",
        Stage::InInterpretation => "interpretation 2",
        Stage::InMilling => "being milled",
        Stage::ReadyToShip => "ready to ship",
        Stage::Finished => "finished",
        _ => return String::new(),
    };
    format!(r#"<p class="where">{words}</p>"#)
}

/// The statuses so far, as letters. Those that the software has seen have a frame.
fn trail(shown: &[ShownState]) -> String {
    let hidden = shown.len().saturating_sub(TRAIL);
    let more = if hidden > 0 {
        format!(r#"<li title="{hidden} before">…</li>"#)
    } else {
        String::new()
    };
    let letters = shown[hidden..].iter().map(|shown| {
        let letter = shown.status.symbol().map_or("·", Symbol::as_str);
        let (seen, words) = if shown.seen {
            (" seen", "seen by the software")
        } else {
            ("", "not seen by the software")
        };
        format!(
            r#"<li class="{holder}{seen}" title="{status}, {at}: {words}">{letter}</li>"#,
            holder = holder(shown.status.holder()),
            status = Text(&shown.status),
            at = clock(shown.at, "%d %b %H:%M"),
        )
    });
    format!(
        r#"<ol class="trail" aria-label="History">{more}{}</ol>"#,
        letters.collect::<String>()
    )
}

/// What software can know from this history.
fn reading(reading: Reading) -> String {
    if reading.candidates().is_empty() {
        return r#"<p class="reading">no scenario yet</p>"#.to_owned();
    }
    let likely = reading.likely();
    let numbers = reading.candidates().iter().map(|scenario| {
        let class = if likely == Some(scenario) {
            " likely"
        } else {
            ""
        };
        format!(
            r#"<span class="n{class}" title="{}">{}</span>"#,
            Text(scenario.title()),
            scenario.number()
        )
    });
    let words = match reading.scenario() {
        Some(_) => r#"<span class="sure">certain</span>"#,
        None => "<span>possible</span>",
    };
    format!(
        r#"<p class="reading" title="The scenarios that fit the history; the filled one is the simplest explanation">{} {words}</p>"#,
        numbers.collect::<String>()
    )
}

/// Exactly what can be done now.
fn actions(view: &View, case: &Snapshot) -> String {
    let order = &case.truth.order_id;
    let buttons = case.actions.iter().map(|action| {
        format!(
            r#"<button name="action" value="{name}" data-key="{name}-{key}" title="{title}">{label}</button>"#,
            name = action.name(),
            key = Text(order),
            title = Text(action.meaning()),
            label = button(*action),
        )
    });
    let buttons = format!(r#"<div class="acts">{}</div>"#, buttons.collect::<String>());
    form(view, &hidden("order", order), &buttons)
}

fn address(view: &View, case: &str) -> Address {
    Address {
        lab: view.address.lab.clone(),
        case: case.to_owned(),
    }
}

/// All that is known of the chosen case.
pub(super) fn detail(view: &View, case: &Snapshot) -> String {
    let truth = &case.truth;
    let phase = truth.phase();
    let scenario = phase.scenario().map_or("none yet".to_owned(), |scenario| {
        format!("{}, {}", scenario.number(), scenario.title())
    });
    let facts: String = facts(case)
        .into_iter()
        .map(|(name, value)| format!("<dt>{name}</dt><dd>{}</dd>", Text(value)))
        .collect();
    let steps: String = truth.shown.iter().map(step).collect();
    format!(
        r#"<section class="panel" data-part="detail" aria-label="Case {order}">
<h2>Case {order} <span class="muted">in truth {phase}: scenario {scenario}</span><a class="close" href="{close}" data-key="close" aria-label="Close">✕</a></h2>
<div class="detail"><div><dl>{facts}</dl></div>
<ol class="timeline">{steps}</ol></div>
<p class="why" aria-label="What its history tells">{why}</p>
</section>
"#,
        order = Text(&truth.order_id),
        scenario = Text(scenario),
        close = Text(address(view, "").url()),
        why = Text(case.history().explain()),
    )
}

fn facts(case: &Snapshot) -> Vec<(&'static str, String)> {
    let (truth, prescription) = (&case.truth, &case.prescription);
    let patient = &prescription.patient;
    let created = truth.shown.first().map(|shown| shown.at);
    let teeth = prescription.teeth.iter();
    let teeth = teeth.map(|tooth| tooth.ada.to_string()).collect::<Vec<_>>();
    let mut facts = vec![
        ("Rx id", truth.rx_id.as_str().to_owned()),
        (
            "Patient",
            format!("{} {}", patient.first_name, patient.last_name),
        ),
        ("Procedure", prescription.procedure.name().to_owned()),
        ("Teeth (ADA)", teeth.join(", ")),
        ("Doctor", prescription.doctor.name.to_owned()),
        ("Clinic", prescription.doctor.clinic.to_owned()),
    ];
    if let Some(created) = created {
        facts.push(("Prescribed", clock(created, "%d %b %Y %H:%M")));
        facts.push(("Due", clock(prescription.due(created), "%d %b %Y")));
    }
    if !prescription.notes.is_empty() {
        facts.push(("Notes", prescription.notes.clone()));
    }
    facts
}

fn step(shown: &ShownState) -> String {
    let seen = if shown.seen {
        r#" <span class="eye" title="The software has seen it">seen</span>"#
    } else {
        ""
    };
    format!(
        r#"<li class="{holder}"><time>{at}</time> {status} <span class="muted mono">{phase}</span>{seen}</li>"#,
        holder = holder(shown.status.holder()),
        at = clock(shown.at, "%d %b %H:%M:%S"),
        status = Text(&shown.status),
        phase = shown.phase,
    )
}
