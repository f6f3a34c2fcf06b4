//! What was handed out, held against what was true.
//!
//! Not asked for, since nobody can know it (see *What cannot be known* in `inbox::plan`):
//!
//! - An arrival in the same status as the last one that was seen, where answers do not tell the
//!   order's files apart and nothing was seen in between, or only a quiet status that the case has
//!   had before. What was shown only to a
//!   download, which asks for a new URL, the inbox has not seen.
//! - Where a listing showed an order as it was before, that is recorded as if the case had gone
//!   back: such a delivery is counted as stale. What is read of that case from then on is not held
//!   against the truth, nor is what such a state is alike; and what is handed out from then on may
//!   have the files of that state, where the service still gives them.
//! - Candidates, where an arrival before was missed, or where a milled model was finished unseen
//!   and the case made anew: the model of cases follows what was seen.
//! - Deliveries behind one whose files the service gives no more, as the case is with somebody else
//!   and such services (`Elsewhere`) show then no files or nothing: those of an order wait for each
//!   other.
//!
//! And where a process died, or nobody knows whether an answer came, an arrival may have been seen
//! by the service's account and by nobody: it is asked for only if a later round could see it.

use std::collections::HashMap;
use std::path::Path;
use std::time::Duration;

use lab_connector::OrderId;
use lab_connector::flow::Phase;
use lab_connector::simulator::{ClockMode, ShownState, Simulator};
use sha2::{Digest as _, Sha256};

use super::mix;
use super::process::millis;
use super::world::{Out, World};
use crate::watch::canary;

/// The processes' clock lags behind the service's while people go on, and histories that the
/// service tells have its own times.
const LAG: u64 = 15 * 60 * 1000;

const UNEXPLAINED: u32 = 100;

/// Of a delivery that a listing which lagged behind explains.
const STALE: u32 = 60;

/// The digests of the files that the service had, by order and revision. Each is made once: to make
/// the file anew whenever it is asked for was the most that the soak did.
#[derive(Debug, Default)]
pub(super) struct Digests(HashMap<(OrderId, u32), Vec<Digest>>);

type Digest = [u8; 32];

impl Digests {
    /// The last revision at which the service had such a file of the order.
    pub(super) fn revision(
        &mut self,
        service: &Simulator,
        order: &OrderId,
        path: &Path,
    ) -> Option<u32> {
        let digest: Digest = Sha256::digest(std::fs::read(path).ok()?).into();
        let last = service.truth(order)?.shown.last()?.revision;
        let of = |revision: u32| {
            let kinds = ["IDE", "IMAGE_GALLERY"].iter();
            let files = kinds.filter_map(|kind| service.file(order, revision, kind));
            files.map(|file| Sha256::digest(&file).into()).collect()
        };
        (1..=last).rev().find(|revision| {
            let known = self.0.entry((order.clone(), *revision));
            known.or_insert_with(|| of(*revision)).contains(&digest)
        })
    }
}

/// How many lines of a text hold what they must not.
pub(super) fn leaks(text: &str) -> u64 {
    text.lines().filter(|line| canary(line).is_some()).count() as u64
}

pub(super) fn judge(world: &mut World) {
    for order in world.orders() {
        judge_order(world, &order);
    }
}

fn judge_order(world: &mut World, order: &OrderId) {
    let truth = world.service.truth(order).unwrap();
    let id = order.as_str().to_owned();
    let range = (id.clone(), 0)..=(id.clone(), u32::MAX);
    let (ordinals, outs): (Vec<u32>, Vec<Out>) = world
        .outs
        .range(range)
        .map(|((_, ordinal), out)| (*ordinal, out.clone()))
        .unzip();
    let sure = |at: usize| truth.shown[at].seen && !world.unsure.contains(&(id.clone(), at));
    let tells_files = mix::tells_files(&world.behaviour);
    let seen = |at: usize| truth.shown[at].seen;
    let is_listed = |at: usize| truth.shown[at].status.is_listed();
    // Of a quiet status that the case has had before one answer says nothing, and nobody counts
    // how often it was fetched.
    let agreed = |at: usize| sure(at) && (is_listed(at) || !is_repeated(&truth.shown, at));
    let alike = |at: usize| !tells_files && is_alike(&truth.shown, at, &agreed, &seen);
    let was_long_enough = |at: usize| is_long_enough(world, &id, &truth.shown, at);
    let must: Vec<bool> = (0..truth.shown.len())
        .map(|at| is_listed(at) && sure(at) && !alike(at) && was_long_enough(at))
        .collect();
    let is_stale = |out: &Out| {
        let mut spans = world.stale.iter();
        let during = |(from, to): &(u64, u64)| *from <= out.at && out.at <= to + 60_000;
        // A time that a history does not tell may be any.
        out.doubtful || (out.after_stale && (out.at == 0 || spans.any(during)))
    };
    let stale: Vec<bool> = outs.iter().map(is_stale).collect();
    let fits = explain(&truth.shown, &outs, &must, &stale);
    let lagged = (0..outs.len()).any(|at| fits[at].is_none() && stale[at]);
    let mut sums = super::Sums::default();
    let mut story = Vec::new();
    let mut disturbed = false;
    for (at, fit) in fits.iter().enumerate() {
        sums.deliveries += 1;
        let (out, ordinal) = (&outs[at], ordinals[at]);
        let Some(state) = *fit else {
            if stale[at] {
                sums.stale += 1;
                disturbed = true;
            } else if !disturbed {
                sums.double += 1;
                story.push(format!("DOUBLE: {id}-{ordinal} never arrived: {out:?}"));
            }
            continue;
        };
        let shown = &truth.shown[state];
        if stale[at] && !shown.seen {
            // Only a listing that lagged behind has shown this state.
            sums.stale += 1;
            disturbed = true;
            continue;
        }
        let old = |file: &&std::path::PathBuf| {
            let is = world.digests.revision(&world.service, order, file);
            is.is_some_and(|is| is < shown.revision)
        };
        // A delivery has the order as it was listed last.
        let is_misled = disturbed || (lagged && out.after_stale);
        if let Some(file) = out.files.iter().find(old)
            && !is_misled
        {
            sums.corrupt += 1;
            story.push(format!("CORRUPT: {} is old: {shown:?}", file.display()));
        }
        if disturbed || is_clouded(&truth.shown, &fits, out, state, &sure) {
            continue;
        }
        sums.judged += 1;
        if !has_scenario(out, shown) {
            sums.wrong += 1;
            story.push(format!("WRONG: {id}-{ordinal} is {shown:?}, not {out:?}"));
        }
    }
    for (at, shown) in truth.shown.iter().enumerate() {
        let delivered = fits.contains(&Some(at));
        // A broken answer may have shown enough of a state to deliver it.
        let seen = |at: usize| seen(at) || fits.contains(&Some(at));
        if !delivered && !tells_files && is_alike(&truth.shown, at, &agreed, &seen) {
            sums.alike += u64::from(is_listed(at) && shown.seen);
        } else if must[at] {
            sums.owed += 1;
            let waits = world.withheld.contains(&id);
            if !delivered && (tells_files || !disturbed) && !waits {
                sums.lost += 1;
                story.push(format!("LOST: {id} {shown:?}"));
            }
        } else if !delivered && is_listed(at) && shown.seen {
            if sure(at) {
                sums.alike += 1;
            } else {
                sums.unsure += 1;
            }
        }
    }
    let tells_histories = world.behaviour.history;
    let numbered = ordinals.iter().copied().eq((1..).take(ordinals.len()));
    if !tells_histories && !numbered {
        sums.lost += 1;
        story.push(format!("LOST: {id} was handed out as {ordinals:?}"));
    }
    if !story.is_empty() {
        for shown in &truth.shown {
            let place = (
                id.clone(),
                truth.shown.iter().position(|s| s == shown).unwrap_or(0),
            );
            let unsure = world.unsure.contains(&place);
            story.push(format!("  {} unsure {unsure} {shown:?}", millis(shown.at)));
        }
        for out in &outs {
            story.push(format!("  {out:?}"));
        }
    }
    for line in story {
        world.say(line);
    }
    world.sums += sums;
}

/// Whether a state was shown long enough to be owed. A status that the case has had before counts when
/// a later answer agrees, and each time twice as many have to.
fn is_long_enough(world: &World, id: &str, shown: &[ShownState], at: usize) -> bool {
    let symbol = shown[at].status.symbol();
    let before = shown[..at].iter();
    let before = before.filter(|one| one.status.symbol() == symbol);
    let repeated = u32::try_from(before.count()).unwrap();
    let looks = world.good_looks.get(&(id.to_owned(), at));
    repeated == 0 || looks.copied().unwrap_or(0) > 1 << (repeated - 1).min(16)
}

/// Which true state each delivery is of, so that the fewest things are unexplained.
/// Of two deliveries that could be of the same one it is rather the one that no lagging listing
/// explains.
fn explain(
    shown: &[ShownState],
    outs: &[Out],
    must: &[bool],
    stale: &[bool],
) -> Vec<Option<usize>> {
    // From the end: the least that is unexplained from this delivery and this state on.
    let mut least = vec![vec![0_u32; shown.len() + 1]; outs.len() + 1];
    let missed = |at: usize| if must[at] { UNEXPLAINED } else { 0 };
    let matched = |out: usize, at: usize| {
        let fits = could_be(&outs[out], shown, at);
        fits.then(|| u32::from(!has_scenario(&outs[out], &shown[at])))
    };
    for out in (0..=outs.len()).rev() {
        for at in (0..=shown.len()).rev() {
            let mut ways = Vec::new();
            if at < shown.len() {
                ways.push(missed(at) + least[out][at + 1]);
            }
            if out < outs.len() {
                let cost = if stale[out] { STALE } else { UNEXPLAINED };
                ways.push(cost + least[out + 1][at]);
            }
            if at < shown.len()
                && out < outs.len()
                && let Some(cost) = matched(out, at)
            {
                ways.push(cost + least[out + 1][at + 1]);
            }
            least[out][at] = ways.into_iter().min().unwrap_or(0);
        }
    }
    let mut fits = vec![None; outs.len()];
    let (mut out, mut at) = (0, 0);
    while out < outs.len() {
        let here = least[out][at];
        if at < shown.len()
            && let Some(cost) = matched(out, at)
            && here == cost + least[out + 1][at + 1]
        {
            fits[out] = Some(at);
            (out, at) = (out + 1, at + 1);
        } else if at < shown.len() && here == missed(at) + least[out][at + 1] {
            at += 1;
        } else {
            out += 1;
        }
    }
    fits
}

/// Whether a delivery may be of this state, by what it shows and when it was seen.
fn could_be(out: &Out, shown: &[ShownState], at: usize) -> bool {
    let state = &shown[at];
    let same = state.status.symbol().map(|symbol| symbol.as_str()) == Some(&out.symbol);
    let end = shown.get(at + 1).map_or(u64::MAX, |next| millis(next.at));
    let begin = millis(state.at);
    let timed = out.at == 0 || (begin <= out.at + LAG && out.at <= end.saturating_add(LAG));
    // The doubtful delivery of a scan that came before it must not pass for this one.
    state.status.is_listed() && same && timed && begin <= out.handed_out
}

/// Whether the state may be in the same status as the last one that was seen before. That is the
/// last sure one, or any later one of which nobody knows whether it was seen.
fn is_alike(
    shown: &[ShownState],
    at: usize,
    sure: &impl Fn(usize) -> bool,
    seen: &impl Fn(usize) -> bool,
) -> bool {
    let symbol = |at: usize| shown[at].status.symbol();
    for before in (0..at).rev().filter(|before| seen(*before)) {
        if symbol(before) == symbol(at) {
            return true;
        }
        if sure(before) {
            break;
        }
    }
    false
}

fn is_repeated(shown: &[ShownState], at: usize) -> bool {
    let mut before = shown[..at].iter();
    before.any(|one| one.status.symbol() == shown[at].status.symbol())
}

fn has_scenario(out: &Out, shown: &ShownState) -> bool {
    let scenario = shown.phase.scenario();
    scenario.is_none_or(|scenario| out.candidates.contains(&scenario.number()))
}

/// Whether something before this state was not seen that a reading stands on.
fn is_clouded(
    shown: &[ShownState],
    fits: &[Option<usize>],
    out: &Out,
    state: usize,
    sure: &impl Fn(usize) -> bool,
) -> bool {
    let first = fits.iter().flatten().next().copied();
    let begin = if out.complete { 0 } else { first.unwrap_or(0) };
    (begin..state).any(|at| {
        let missed = shown[at].status.is_listed() && !fits.contains(&Some(at));
        let finished = matches!(shown[at].phase, Phase::FinishedM | Phase::FinishedG);
        missed || (finished && !sure(at))
    })
}

/// The judge is only worth something if it finds what is amiss.
#[tokio::test]
async fn what_is_amiss_is_found() {
    let service = Simulator::builder().clock(ClockMode::Stepped);
    let service = service.start().await.unwrap();
    let order = service.scan("L-1").unwrap();
    service.advance(Duration::from_secs(7_200));
    service.return_to_doctor(&order).unwrap();
    service.rescan(&order).unwrap();
    let shown = service.truth(&order).unwrap().shown;
    let must: Vec<bool> = shown.iter().map(|one| one.status.is_listed()).collect();
    let places: Vec<usize> = (0..shown.len()).filter(|at| must[*at]).collect();
    let [first, second] = places[..] else {
        panic!("{shown:?}");
    };
    let out = |at: usize, scenario| Out::new("F", millis(shown[at].at), true, vec![scenario]);
    let (one, other) = (out(first, 1), out(second, 3));
    let both = [one.clone(), other.clone()];
    let fits = |outs: &[Out], stale: &[bool]| explain(&shown, outs, &must, stale);
    assert_eq!(fits(&both, &[false; 2]), [Some(first), Some(second)]);
    let twice = [one.clone(), one.clone()];
    assert_eq!(fits(&twice, &[false; 2]).iter().flatten().count(), 1);
    assert_eq!(fits(&twice, &[true, false]), [None, Some(first)]);
    assert_eq!(fits(&twice, &[false, true]), [Some(first), None]);
    let lost = fits(std::slice::from_ref(&other), &[false]);
    assert_eq!(lost, [Some(second)]);
    assert_eq!(fits(&both, &[true; 2]), [Some(first), Some(second)]);
    assert!(has_scenario(&other, &shown[second]) && !has_scenario(&one, &shown[second]));
    let mut early = other.clone();
    early.handed_out = millis(shown[second].at) - 1;
    assert_eq!(fits(&[early], &[true]), [Some(first)]);

    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("case.zip");
    let mut file = service.file(&order, 1, "IDE").unwrap().to_vec();
    std::fs::write(&path, &file).unwrap();
    let mut digests = Digests::default();
    assert_eq!(digests.revision(&service, &order, &path), Some(1));
    file[100] ^= 1;
    std::fs::write(&path, &file).unwrap();
    assert_eq!(digests.revision(&service, &order, &path), None);

    // F, S, S, F: is the last one alike, where the others were seen for sure, perhaps, or not?
    let between = &shown[first + 1];
    let four = [&shown[first], between, between, &shown[second]].map(Clone::clone);
    let [yes, perhaps, no] = [Some(true), Some(false), None];
    for (seen, alike) in [
        ([yes, yes, yes], false),
        ([yes, no, no], true),
        ([yes, no, yes], false),
        ([yes, no, perhaps], true),
        ([perhaps, yes, perhaps], false),
        ([perhaps, no, no], true),
        ([perhaps, perhaps, no], true),
        ([no, perhaps, perhaps], false),
    ] {
        let sure = |at: usize| seen.get(at) == Some(&yes);
        let is_seen = |at: usize| seen[at].is_some();
        assert_eq!(is_alike(&four, 3, &sure, &is_seen), alike, "{seen:?}");
    }

    let token = format!("fine\nnot so: access-{:032x}\nfine", 7);
    assert_eq!(leaks(&token), 1);
}
