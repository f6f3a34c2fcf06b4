//! The lab's desk: takes in what the inbox reports, downloads, prints.

use std::io::Write;
use std::path::{Path, PathBuf};

use anyhow::Result;
use indicatif::{ProgressBar, ProgressStyle};
use lab_connector::download::safe_name;
use lab_connector::flow::{History, Reading};
use lab_connector::inbox::{Change, Delivery, Inbox, Problem, Round};
use lab_connector::{Lab, Order, OrderStatus};
use serde::Serialize;

use crate::answer::Answer;

pub struct Desk {
    pub lab: Lab,
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
    /// One round: polls, and deals with what is new.
    pub async fn round(&self) -> Result<Vec<Delivery>> {
        let round = self.inbox.poll().await?;
        self.take(&round).await
    }

    pub async fn take(&self, round: &Round) -> Result<Vec<Delivery>> {
        for problem in round.problems() {
            match problem {
                Problem::NoRxId(order) => {
                    eprintln!("order {order} has no Rx id and cannot be followed");
                }
                Problem::Unreadable(record) => {
                    let (position, error) = (record.position(), record.error());
                    eprintln!("record {position} of the listing: {error}");
                }
                Problem::NotFetched(order, error) => eprintln!("order {order}: {error}"),
                other => eprintln!("{other:?}"),
            }
        }
        for change in round.changes() {
            self.change(change)?;
        }
        for delivery in round.deliveries() {
            let files = self.download(delivery).await?;
            self.delivery(delivery, files)?;
        }
        Ok(round.deliveries().to_vec())
    }

    /// Downloads a delivery's files: thumbnails first, since the zip may be what marks an order
    /// as downloaded.
    async fn download(&self, delivery: &Delivery) -> Result<Vec<PathBuf>> {
        let order = delivery.order();
        let mut assets: Vec<_> = order.assets().iter().collect();
        assets.sort_by_key(|asset| asset.is_export());
        let mut files = Vec::new();
        for (number, asset) in assets.into_iter().enumerate() {
            let kind = asset.kind().unwrap_or("file").to_lowercase();
            let (order_id, ordinal) = (safe_name(order.id().as_str()), delivery.ordinal());
            let name = format!("{order_id}-{ordinal}-{number}-{}.zip", safe_name(&kind));
            let bar = progress_bar(&name);
            let shown = bar.clone();
            let downloaded = self
                .lab
                .assets()
                .download(order, asset)
                .progress(move |progress| {
                    shown.set_length(progress.total.unwrap_or(progress.bytes));
                    shown.set_position(progress.bytes);
                })
                .to_file(self.files.join(name))
                .await;
            bar.finish_and_clear();
            files.push(downloaded?.path);
        }
        self.inbox.downloaded(delivery).await;
        Ok(files)
    }

    fn delivery(&self, delivery: &Delivery, files: Vec<PathBuf>) -> Result<()> {
        if self.json {
            let (order, history) = (delivery.order(), delivery.history());
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
            delivery.order().id(),
            delivery.ordinal(),
            delivery.status(),
            scenario(delivery.reading()),
            delivery.reading().stages(),
            delivery.reading().action().advice(),
        ))
    }

    fn change(&self, change: &Change) -> Result<()> {
        if self.json {
            let (order, history) = (change.order(), change.history());
            return print_json(&line("change", order, change.status(), history));
        }
        print(&format!(
            "change   {}     {:<18}  {}; {}; {}",
            change.order().id(),
            change.status(),
            scenario(change.reading()),
            change.reading().stages(),
            change.reading().action().advice(),
        ))
    }

    /// Every case with its history and what it says.
    pub async fn summary(&self) -> Result<()> {
        let histories = self.inbox.histories().await;
        let mut text = format!(
            "\n{} cases; files are in {}\n",
            histories.len(),
            self.files.display()
        );
        for (order, history) in &histories {
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

fn line<'a>(
    kind: &'static str,
    order: &'a Order,
    status: &'a OrderStatus,
    history: &History,
) -> Line<'a> {
    Line {
        kind,
        order_id: order.id().as_str(),
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

fn progress_bar(name: &str) -> ProgressBar {
    let style = ProgressStyle::with_template("{msg}  {wide_bar}  {bytes}/{total_bytes}");
    let bar = ProgressBar::no_length().with_message(name.to_owned());
    match style {
        Ok(style) => bar.with_style(style),
        Err(_) => bar,
    }
}

/// Makes a directory, if there is none, and sees whether it can be written to.
pub fn writable(directory: &Path) -> std::io::Result<()> {
    std::fs::create_dir_all(directory)?;
    let probe = directory.join(format!(".probe-{}", std::process::id()));
    std::fs::write(&probe, b"")?;
    std::fs::remove_file(probe)
}
