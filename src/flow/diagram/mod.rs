//! The model, and a history's way through it, as a picture.
//!
//! *Problem.* The table has more than a hundred steps, and a drawing with an arrow for each cannot
//! be read.
//!
//! *Approach.* Steps that many phases share go through junctions, found in the table itself. A test
//! reads the drawing back and compares it with the table: no step must be lost or added.

mod dot;
mod mermaid;

use super::automaton::Reading;
use super::explain::{StatusText, deviates, words};
use super::history::History;
use super::phase::Phase;
use super::scenario::Scenario;
use super::set::Set;
use crate::status::Holder;

/// A picture of the model as a [Mermaid](https://mermaid.js.org) flowchart, which code hosts draw by
/// themselves; made from the phase table.
///
/// A box is a [`Phase`]: the status that it shows and the stage below it. Boxes are in groups,
/// one a scenario. Most of the table's steps are the same few over and over, so that they are
/// drawn through three junctions, and each scenario has one arrow for all its boxes marked `↻`:
/// from those the lab may start something new. Nothing is lost by that. A dashed arrow skips a
/// quiet status that may have been missed.
///
/// How it looks, and so the text, may change with any release. [`History::mermaid`] draws the way of a
/// history into it.
///
/// ```
/// assert!(lab_connector::flow::mermaid().contains("rescan --> at_lab_again"));
/// ```
#[must_use]
pub fn mermaid() -> String {
    mermaid::Mermaid(&Picture::new(None)).to_string()
}

/// The same picture as [`mermaid()`] draws, in the language of
/// [Graphviz](https://graphviz.org): `dot -Tsvg` draws it.
#[must_use]
pub fn dot() -> String {
    dot::Dot(&Picture::new(None)).to_string()
}

impl History {
    /// The picture of the model, see [`mermaid`](super::mermaid), and in it the way of this history:
    /// after each arrival the phases that were possible, by its index; those that are possible now
    /// stand out. An arrival that deviates has `!` after its index, and no arrow leads to it.
    ///
    /// Statuses are all that is printed; the text of an unknown one is escaped and cut short.
    #[must_use]
    pub fn mermaid(&self) -> String {
        mermaid::Mermaid(&Picture::new(Some(self))).to_string()
    }

    /// The same picture in the language of [Graphviz](https://graphviz.org).
    ///
    /// ```
    /// use lab_connector::flow::History;
    ///
    /// let history = History::complete(["Lab Review", "iTero Milling"]);
    /// assert!(history.dot().starts_with("digraph flow {"));
    /// ```
    ///
    /// This is *Ready for Download*, *Lab Review*, *iTero Milling*, *Lab Review*, known from the first
    /// event: only the review after interpretation 2 is possible at the end.
    ///
    #[doc = include_str!("../../../docs/flow-path.svg")]
    #[must_use]
    pub fn dot(&self) -> String {
        dot::Dot(&Picture::new(Some(self))).to_string()
    }
}

/// What is drawn, in either language.
struct Picture {
    edges: Vec<Edge>,
    path: Option<Path>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Edge {
    from: Node,
    to: Node,
    /// It skips a phase that is seen only by asking.
    skips: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Node {
    /// Before the first event.
    Start,
    Phase(Phase),
    /// Every phase of the scenario from which the lab may start something new.
    Group(Scenario),
    Junction(Junction),
}

/// A node for all its targets at once: an arrow to it is an arrow to each of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Junction {
    First,
    Again,
    Modeled,
}

/// A history's way.
struct Path {
    /// For each phase the arrivals after which it was possible.
    possible: Vec<Vec<Visit>>,
    now: Set<Phase>,
    /// Which of the edges were taken.
    taken: Vec<bool>,
    arrivals: Vec<String>,
}

#[derive(Clone, Copy)]
struct Visit {
    index: usize,
    deviates: bool,
}

impl Junction {
    const ALL: [Junction; 3] = [Junction::First, Junction::Again, Junction::Modeled];

    /// Its targets. The sets come from the table: where a history may begin, what the
    /// lab can start with a case that it merely has, and what these two have in common.
    fn targets(self) -> Set<Phase> {
        let first = Phase::beginnings();
        let again = Phase::Kept.may_be_followed_by();
        match self {
            Junction::First => first,
            Junction::Again => again,
            Junction::Modeled => first.iter().filter(|p| again.contains(*p)).collect(),
        }
    }

    const fn name(self) -> &'static str {
        match self {
            Junction::First => "first",
            Junction::Again => "again",
            Junction::Modeled => "modeled",
        }
    }

    /// Two lines.
    const fn label(self) -> [&'static str; 2] {
        match self {
            Junction::First => ["the case", "begins"],
            Junction::Again => ["↻ the lab starts", "something new"],
            Junction::Modeled => ["the lab asks for", "modeling or milling"],
        }
    }
}

impl Picture {
    fn new(history: Option<&History>) -> Self {
        let edges = edges();
        let path = history.map(|history| Path::new(history, &edges));
        Picture { edges, path }
    }
}

/// The table's steps, condensed.
fn edges() -> Vec<Edge> {
    let modeled = Junction::Modeled.targets();
    let mut edges = vec![edge(Node::Start, Node::Junction(Junction::First))];
    // Not `Modeled`: it hangs below the other two.
    for junction in [Junction::First, Junction::Again] {
        let targets = junction.targets();
        edges.push(edge(
            Node::Junction(junction),
            Node::Junction(Junction::Modeled),
        ));
        let own = targets.iter().filter(|phase| !modeled.contains(*phase));
        edges.extend(own.map(|to| Edge {
            from: Node::Junction(junction),
            to: Node::Phase(to),
            skips: skips(targets, to),
        }));
    }
    edges.extend(modeled.iter().map(|to| Edge {
        from: Node::Junction(Junction::Modeled),
        to: Node::Phase(to),
        skips: skips(modeled, to),
    }));
    for phase in Phase::ALL {
        let junction = junction_after(phase);
        if let Some(junction) = junction {
            let from = match (junction, phase.scenario()) {
                (Junction::Again, Some(scenario)) => Node::Group(scenario),
                _ => Node::Phase(phase),
            };
            let edge = edge(from, Node::Junction(junction));
            // All marked phases of a scenario share one arrow.
            if !edges.contains(&edge) {
                edges.push(edge);
            }
        }
        let drawn = junction.map_or(Set::EMPTY, Junction::targets);
        let own: Set<Phase> = phase
            .may_be_followed_by()
            .iter()
            .filter(|to| {
                // The way on within a scenario is drawn even where a junction includes it.
                let on = phase.scenario().is_some() && to.scenario() == phase.scenario();
                !drawn.contains(*to) || on && *to > phase
            })
            .collect();
        edges.extend(own.iter().map(|to| Edge {
            from: Node::Phase(phase),
            to: Node::Phase(to),
            skips: skips(own, to),
        }));
    }
    edges
}

fn edge(from: Node, to: Node) -> Edge {
    Edge {
        from,
        to,
        skips: false,
    }
}

/// The junction through which a phase is left, beside its own arrows.
fn junction_after(phase: Phase) -> Option<Junction> {
    let next = phase.may_be_followed_by();
    [Junction::Again, Junction::First]
        .into_iter()
        .find(|junction| {
            // All of them: an arrow to a junction is an arrow to each of its targets, so one that
            // is missing would be drawn.
            let mut targets = junction.targets().iter();
            targets.all(|target| next.contains(target))
        })
}

/// Whether the lab may start something new in this phase.
fn is_marked(phase: Phase) -> bool {
    junction_after(phase) == Some(Junction::Again)
}

/// Whether `to`, one of the `steps` out of a node, can also be reached over another one of
/// them, by quiet phases only.
fn skips(steps: Set<Phase>, to: Phase) -> bool {
    let quiet = |phase: Phase| !phase.shows().is_delivery() && phase != to;
    let mut over: Set<Phase> = steps.iter().filter(|phase| quiet(*phase)).collect();
    // The set only grows, so the loop ends.
    loop {
        let before = over;
        for phase in before.iter() {
            let next = phase.may_be_followed_by();
            if next.contains(to) {
                return true;
            }
            // Within the steps only: what lies beyond them is another step, drawn elsewhere.
            let on = next.iter().filter(|p| quiet(*p) && steps.contains(*p));
            over = over.union(on.collect());
        }
        if over == before {
            return false;
        }
    }
}

impl Path {
    fn new(history: &History, edges: &[Edge]) -> Self {
        let mut path = Path {
            possible: vec![Vec::new(); Phase::ALL.len()],
            now: Set::EMPTY,
            taken: vec![false; edges.len()],
            arrivals: Vec::new(),
        };
        let mut reading = if history.is_complete() {
            Reading::complete()
        } else {
            Reading::partial()
        };
        for (index, arrival) in history.arrivals().iter().enumerate() {
            let status = arrival.status();
            let deviates = deviates(reading, arrival);
            let mark = if deviates { "!" } else { "" };
            path.arrivals
                .push(format!("{index}{mark} {}", StatusText(status)));
            // It is listed among the arrivals, and moves nothing.
            if status.symbol().is_none() {
                continue;
            }
            let before = reading.phases();
            reading = reading.observe(status);
            path.now = reading.phases();
            for to in path.now.iter() {
                // A phase is its row's index, see `phase`.
                path.possible[to as usize].push(Visit { index, deviates });
                if deviates {
                    continue;
                }
                // A partial history begins anywhere: no arrow leads there.
                if before.is_empty() && history.is_complete() {
                    path.take(edges, Node::Start, to);
                }
                for from in before.iter() {
                    if from.may_be_followed_by().contains(to) {
                        path.take(edges, Node::Phase(from), to);
                    }
                }
            }
        }
        path
    }

    /// Marks the edges by which one step of the table is drawn.
    fn take(&mut self, edges: &[Edge], from: Node, to: Phase) {
        let to = Node::Phase(to);
        let find = |from, to| edges.iter().position(|e| e.from == from && e.to == to);
        // A step that has its own arrow is drawn by that one only.
        if let Some(direct) = find(from, to) {
            self.taken[direct] = true;
            return;
        }
        let into = match from {
            Node::Phase(phase) => junction_after(phase),
            _ => Some(Junction::First),
        };
        // A step without an arrow of its own and without a junction: there is none, as a test reads
        // the drawing back.
        let Some(into) = into else { return };
        let from = match from {
            Node::Phase(phase) if into == Junction::Again => {
                phase.scenario().map_or(from, Node::Group)
            }
            _ => from,
        };
        let modeled = Node::Junction(Junction::Modeled);
        let junction = Node::Junction(into);
        let steps = match find(junction, to) {
            Some(last) => [find(from, junction), Some(last), None],
            None => [
                find(from, junction),
                find(junction, modeled),
                find(modeled, to),
            ],
        };
        for step in steps.into_iter().flatten() {
            self.taken[step] = true;
        }
    }

    /// The indexes at a phase: the last few.
    fn visits(&self, phase: Phase) -> String {
        // As many indexes as fit into a box of usual width.
        const SHOWN: usize = 4;
        let visits = &self.possible[phase as usize];
        let mut text = String::new();
        if visits.len() > SHOWN {
            text.push('…');
        }
        for visit in &visits[visits.len().saturating_sub(SHOWN)..] {
            if !text.is_empty() {
                text.push(' ');
            }
            text.push_str(&visit.index.to_string());
            if visit.deviates {
                text.push('!');
            }
        }
        text
    }

    /// How a phase is drawn.
    fn look(&self, phase: Phase) -> BoxStyle {
        let visits = &self.possible[phase as usize];
        match visits.last() {
            None => BoxStyle::Never,
            Some(_) if !self.now.contains(phase) => BoxStyle::Before,
            Some(_) => BoxStyle::Now,
        }
    }

    /// The arrivals, one a line: the last ones of a long history.
    fn arrivals(&self) -> impl Iterator<Item = &str> {
        // More lines would be higher than the rest of the picture.
        const SHOWN: usize = 16;
        let left_out = self.arrivals.len().saturating_sub(SHOWN);
        let more = (left_out > 0).then_some("…");
        more.into_iter()
            .chain(self.arrivals[left_out..].iter().map(String::as_str))
    }
}

/// How a phase is drawn: in the picture of the model by who holds the case, in that of a history
/// by whether it was possible.
#[derive(Clone, Copy, PartialEq, Eq)]
enum BoxStyle {
    Held(Holder),
    Never,
    Before,
    Now,
}

impl BoxStyle {
    const ALL: [BoxStyle; 7] = [
        BoxStyle::Held(Holder::Doctor),
        BoxStyle::Held(Holder::System),
        BoxStyle::Held(Holder::Lab),
        BoxStyle::Held(Holder::Align),
        BoxStyle::Never,
        BoxStyle::Before,
        BoxStyle::Now,
    ];

    fn of(picture: &Picture, phase: Phase) -> BoxStyle {
        match (&picture.path, phase.shows().status().holder()) {
            (Some(path), _) => path.look(phase),
            (None, Some(holder)) => BoxStyle::Held(holder),
            (None, None) => BoxStyle::Never,
        }
    }

    const fn name(self) -> &'static str {
        match self {
            BoxStyle::Held(Holder::Doctor) => "doctor",
            BoxStyle::Held(Holder::System) => "system",
            BoxStyle::Held(Holder::Lab) => "lab",
            BoxStyle::Held(Holder::Align) => "align",
            BoxStyle::Never => "never",
            BoxStyle::Before => "before",
            BoxStyle::Now => "now",
        }
    }

    /// Fill, border and text.
    const fn colours(self) -> [&'static str; 3] {
        match self {
            BoxStyle::Held(Holder::Doctor | Holder::System) => ["#fff4cc", "#b58900", "#222222"],
            BoxStyle::Held(Holder::Lab) => ["#dcecfb", "#2b6cb0", "#222222"],
            BoxStyle::Held(Holder::Align) => ["#ece3f7", "#7b4bb0", "#222222"],
            BoxStyle::Never => ["#ffffff", "#bbbbbb", "#777777"],
            BoxStyle::Before => ["#fdf0df", "#c9873a", "#222222"],
            BoxStyle::Now => ["#f6b860", "#8a4b00", "#000000"],
        }
    }
}

/// The two lines of a phase's box, and the indexes of the arrivals, if a history is drawn.
fn label(picture: &Picture, phase: Phase) -> (String, String, String) {
    let mark = if is_marked(phase) { " ↻" } else { "" };
    let status = format!("{}{mark}", phase.shows().status());
    let visits = picture.path.as_ref().map(|path| path.visits(phase));
    (status, words(phase.stage()), visits.unwrap_or_default())
}

/// The text below the picture.
fn legend(picture: &Picture) -> [&'static str; 3] {
    let colours = match picture.path {
        None => "Yellow: with the doctor. Blue: with the lab. Violet: with Align.",
        Some(_) => {
            "Filled: possible now. Pale: was possible. Numbers: after which arrival; ! deviates."
        }
    };
    [
        "↻ the lab may start something new from here (one arrow for all of a group).",
        "Dashed: a quiet step was not seen.",
        colours,
    ]
}

fn phases_of(scenario: Option<Scenario>) -> impl Iterator<Item = Phase> {
    Phase::ALL
        .into_iter()
        .filter(move |phase| phase.scenario() == scenario)
}

#[cfg(test)]
mod tests;
