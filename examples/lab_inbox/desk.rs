//! The lab's desk: takes in what the inbox reports, downloads, prints.

use std::io::Write;
use std::path::{Path, PathBuf};

use anyhow::Result;
use futures_util::TryStreamExt;
use lab_connector::flow::{History, Reading};
use lab_connector::inbox::{Delivery, HandlerResult, Inbox, LoggedArrival, PollReport};
use lab_connector::{OrderId, OrderStatus};
use serde::Serialize;

use crate::common::answer::Answer;

pub struct Desk {
    pub inbox: Inbox,
    pub files: PathBuf,
    pub json: bool,
}

/// What is printed of an arrival with `--json`.
#[derive(Serialize)]
struct Line<'a> {
    kind: &'static str,
    order_id: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    ordinal: Option<u32>,
    status: &'a OrderStatus,
    complete: bool,
    history: Vec<Option<&'static str>>,
    #[serde(flatten)]
    answer: Answer,
    #[serde(skip_serializing_if = "Option::is_none")]
    files: Option<Vec<PathBuf>>,
}

impl Desk {
    /// Takes in a delivery: downloads and prints. What fails comes again.
    pub async fn take(&self, delivery: &Delivery) -> HandlerResult {
        if delivery.is_superseded() {
            return Ok(());
        }
        let files = delivery.download_all(&self.files).await;
        let files =
            files.inspect_err(|error| eprintln!("order {}: {error}", delivery.order_id()))?;
        let files = files.iter().map(|file| file.path.clone()).collect();
        Ok(self.delivery(delivery, files)?)
    }

    fn delivery(&self, delivery: &Delivery, files: Vec<PathBuf>) -> Result<()> {
        if self.json {
            let (order, history) = (delivery.order_id(), delivery.history());
            let mut line = line("delivery", order, delivery.status(), history);
            line.ordinal = Some(delivery.ordinal());
            line.files = Some(files);
            return print_json(&line);
        }
        let count = match files.len() {
            1 => "1 file".to_owned(),
            count => format!("{count} files"),
        };
        print(&format!(
            "delivery {} #{}  {:<18}  {}; {}; {count}; {}",
            delivery.order_id(),
            delivery.ordinal(),
            delivery.status(),
            scenario(delivery.reading()),
            delivery.reading().stages(),
            delivery.reading().action().advice(),
        ))
    }

    /// Shows a change. Deliveries are shown when they are taken in.
    pub fn change(&self, change: &LoggedArrival) -> Result<()> {
        if change.ordinal().is_some() {
            return Ok(());
        }
        if self.json {
            let (order, history) = (change.order_id(), change.history());
            return print_json(&line("change", order, change.status(), history));
        }
        print(&format!(
            "change   {}     {:<18}  {}; {}; {}",
            change.order_id(),
            change.status(),
            scenario(change.reading()),
            change.reading().stages(),
            change.reading().action().advice(),
        ))
    }

    /// Every case with its history and what it says.
    pub async fn summary(&self) -> Result<()> {
        let histories: Vec<_> = self.inbox.histories().try_collect().await?;
        let mut text = format!(
            "\n{} cases; files are in {}\n",
            histories.len(),
            self.files.display()
        );
        for case in &histories {
            let (order, history) = (&case.order_id, &case.history);
            let reading = history.read();
            let kind = if history.is_complete() {
                "complete"
            } else {
                "partial"
            };
            let symbols: Vec<_> = symbols(history)
                .into_iter()
                .map(|s| s.unwrap_or("-"))
                .collect();
            text += &format!(
                "{order}  {:<14} {kind:<8}  {}; {}\n",
                symbols.join(" "),
                scenario(reading),
                reading.stages(),
            );
        }
        if self.json {
            eprint!("{text}");
            return Ok(());
        }
        print(text.trim_end())
    }
}

/// Tells of a round what could not be read or fetched.
pub fn problems(round: &lab_connector::Result<PollReport>) {
    let problems = match round {
        Ok(round) => round.problems(),
        Err(error) => return eprintln!("lab_inbox: {error}; going on"),
    };
    for problem in problems {
        match problem.order_id() {
            Some(order) => eprintln!("order {order}: {problem}"),
            None => eprintln!("{problem}"),
        }
    }
}

fn line<'a>(
    kind: &'static str,
    order: &'a OrderId,
    status: &'a OrderStatus,
    history: &History,
) -> Line<'a> {
    Line {
        kind,
        order_id: order.as_str(),
        ordinal: None,
        status,
        complete: history.is_complete(),
        history: symbols(history),
        answer: Answer::of(history),
        files: None,
    }
}

/// The history as symbols; none for a status that says nothing about the flow.
fn symbols(history: &History) -> Vec<Option<&'static str>> {
    let arrivals = history.arrivals().iter();
    arrivals
        .map(|arrival| arrival.status().symbol().map(|symbol| symbol.as_str()))
        .collect()
}

/// The scenario, or those that it can be.
fn scenario(reading: Reading) -> String {
    match reading.scenario() {
        Some(scenario) => scenario.to_string(),
        None if reading.candidates().is_empty() => "no scenario yet".to_owned(),
        None => {
            let likely = reading.likely().map(|likely| format!(", likely {likely}"));
            format!(
                "one of {}{}",
                reading.candidates(),
                likely.unwrap_or_default()
            )
        }
    }
}

fn print_json(line: &Line<'_>) -> Result<()> {
    print(&serde_json::to_string(line)?)
}

/// Unlike `println!`, an error if nobody reads any more.
fn print(line: &str) -> Result<()> {
    let mut out = std::io::stdout().lock();
    writeln!(out, "{line}")?;
    Ok(out.flush()?)
}

/// Makes a directory, if there is none, and sees whether it can be written to.
pub fn writable(directory: &Path) -> std::io::Result<()> {
    std::fs::create_dir_all(directory)?;
    let probe = directory.join(format!(".probe-{}", std::process::id()));
    std::fs::write(&probe, b"")?;
    std::fs::remove_file(probe)
}
