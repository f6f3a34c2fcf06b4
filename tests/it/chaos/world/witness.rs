//! What the processes say and do, and what the service has shown them.

use std::path::Path;

use lab_connector::{Operation, OrderId};

use super::super::process::millis;
use super::{Out, World};
use crate::watch::canary;

/// What was heard in a phase.
#[derive(Debug, Default)]
pub(super) struct Phase {
    pub(super) good: bool,
    pub(super) unclear: bool,
    pub(super) died: bool,
    pub(super) unauthorized: bool,
    handed_out: u64,
    pub(super) open: Option<u64>,
}

impl World {
    /// Takes in what a process said.
    pub(super) fn hear(&mut self, line: &str, phase: &mut Phase) {
        self.say(format_args!("  {line}"));
        if canary(line).is_some() {
            self.sums.leaked += 1;
        }
        let words: Vec<&str> = line.split(' ').collect();
        let name = |at: usize| {
            let ordinal = words.get(at + 1)?.parse().ok()?;
            Some(((*words.get(at)?).to_owned(), ordinal))
        };
        match words[0] {
            "good" => {
                phase.good = true;
                self.sums.good_rounds += 1;
            }
            "leaked" => self.sums.leaked += 1,
            "unauthorized" => phase.unauthorized = true,
            "timeout" => phase.unclear = true,
            "problem" => {
                phase.unclear = true;
                self.sums.problems += 1;
            }
            "open" => phase.open = words[1].parse().ok(),
            "out" => self.handed_out(name(1).unwrap(), &words, phase),
            "file" => {
                let path = line.splitn(4, ' ').nth(3).unwrap();
                self.sums.files += 1;
                let order = OrderId::from(words[1]);
                let is = self
                    .digests
                    .revision(&self.service, &order, Path::new(path));
                if is.is_none() {
                    self.sums.corrupt += 1;
                    self.say("CORRUPT");
                }
                let out = self.outs.get_mut(&name(1).unwrap()).unwrap();
                out.files.push(path.into());
            }
            "acknowledging" => self.outs.get_mut(&name(1).unwrap()).unwrap().acknowledging = true,
            "acknowledged" => {
                let out = self.outs.get_mut(&name(1).unwrap()).unwrap();
                if std::mem::replace(&mut out.acknowledged, true) {
                    self.sums.double += 1;
                    self.say("DOUBLE: acknowledged twice");
                }
            }
            _ => {}
        }
    }

    fn handed_out(&mut self, name: (String, u32), words: &[&str], phase: &mut Phase) {
        phase.handed_out += 1;
        let after_stale = !self.stale.is_empty() || self.lagged();
        let candidates = words[6].split(',').filter_map(|number| number.parse().ok());
        let at = words[4].parse().unwrap();
        let mut out = Out::new(words[3], at, words[5] == "true", candidates.collect());
        out.after_stale = after_stale;
        out.handed_out = millis(self.service.now());
        out.doubtful = words.get(7) == Some(&"true");
        match self.outs.get_mut(&name) {
            None => {
                self.outs.insert(name, out);
            }
            Some(before) => {
                let again = before.acknowledged;
                let other = before.symbol != out.symbol || before.candidates != out.candidates;
                before.acknowledging = false;
                if again || other {
                    self.sums.double += 1;
                    self.say("DOUBLE: handed out again");
                }
            }
        }
    }

    /// Whether a listing has lagged behind since the last look at the calls.
    fn lagged(&self) -> bool {
        if !self.lags {
            return false;
        }
        let calls = self.service.calls();
        let mut new = calls.iter().filter(|call| call.number > self.calls);
        new.any(|call| call.faults.contains(&"stale_order"))
    }

    /// What was shown for the first time in a phase was seen, if all went well and it is shown
    /// still: otherwise the process may have died before it noted it, or an answer that was
    /// overtaken by a later one may have shown it. What is not sure becomes so by a later round
    /// that lists everything.
    pub(super) fn look(&mut self, phase: &Phase, one_round: bool, span: (u64, u64)) {
        let calls = self.service.calls();
        let new = calls.iter().filter(|call| call.number > self.calls);
        let mut listing_is_whole = true;
        let mut stale = false;
        for call in new {
            if call.operation == Operation::GetOrders {
                listing_is_whole &= call.faults.is_empty();
                stale |= call.faults.contains(&"stale_order");
            }
        }
        if stale {
            self.stale.push(span);
        }
        self.calls = self.service.call_count();
        let fine = one_round && phase.good && !phase.unclear && !phase.died;
        for order in self.orders() {
            let truth = self.service.truth(&order).unwrap();
            let last = truth.shown.len() - 1;
            for (at, shown) in truth.shown.iter().enumerate() {
                let place = (order.as_str().to_owned(), at);
                if !shown.seen {
                    continue;
                }
                let sure = fine && at == last;
                if sure && listing_is_whole && shown.status.is_listed() {
                    *self.good_looks.entry(place.clone()).or_default() += 1;
                }
                if self.seen.insert(place.clone()) {
                    if !sure {
                        self.unsure.insert(place);
                    }
                } else if sure && listing_is_whole && shown.status.is_listed() {
                    self.unsure.remove(&place);
                }
            }
        }
    }

    /// Whatever is there under a final name is whole.
    pub(super) fn files(&mut self) {
        let files = self.directory.path().join("files");
        for directory in std::fs::read_dir(&files).unwrap() {
            let directory = directory.unwrap().path();
            let name = directory.file_name().unwrap().to_str().unwrap().to_owned();
            let order = OrderId::from(name.rsplit_once('-').unwrap().0);
            for file in std::fs::read_dir(&directory).unwrap() {
                let path = file.unwrap().path();
                let text = path.to_str().unwrap();
                if canary(text).is_some() {
                    self.sums.leaked += 1;
                }
                let kept = [".part", ".json", ".new"];
                if kept.iter().any(|end| text.ends_with(end)) {
                    continue;
                }
                let is = self.digests.revision(&self.service, &order, &path);
                if is.is_none() {
                    self.sums.corrupt += 1;
                    self.say(format_args!("CORRUPT: {text}"));
                }
            }
        }
    }
}
