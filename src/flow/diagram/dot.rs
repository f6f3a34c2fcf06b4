//! The picture in the language of Graphviz, DOT.
//!
//! Text of an unknown status is foreign: it must be escaped before it is written.

use std::fmt;

use super::{BoxStyle, Edge, Junction, Node, Picture, is_marked, label, legend, phases_of};
use crate::flow::phase::Phase;
use crate::flow::scenario::Scenario;

pub(super) struct Dot<'a>(pub(super) &'a Picture);

impl fmt::Display for Dot<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let picture = self.0;
        f.write_str(
            "digraph flow {\n\
             \x20 graph [compound=true, newrank=true, nodesep=0.2, ranksep=0.4, fontname=\"Helvetica,Arial,sans-serif\", fontsize=11]\n\
             \x20 node [shape=box, style=\"rounded,filled\", fontname=\"Helvetica,Arial,sans-serif\", fontsize=11, margin=\"0.1,0.04\", height=0.3]\n\
             \x20 edge [color=\"#555555\", arrowsize=0.6]\n",
        )?;
        write!(f, "  label=<")?;
        for line in legend(picture) {
            write!(f, "{}<br/>", HtmlText(line))?;
        }
        writeln!(f, ">")?;
        if let Some(path) = &picture.path {
            write!(
                f,
                "  arrivals [shape=note, style=filled, fillcolor=\"#ffffff\", label=\""
            )?;
            for line in path.arrivals() {
                // `\l` ends a line and aligns it to the left; `\n` would centre it.
                write!(f, "{}\\l", QuotedText(line))?;
            }
            writeln!(f, "\"]")?;
        }
        writeln!(
            f,
            "  start [shape=circle, label=\"\", width=0.15, height=0.15, fillcolor=\"#555555\"]"
        )?;
        for junction in Junction::ALL {
            let [first, second] = junction.label();
            writeln!(
                f,
                "  {} [style=\"filled\", color=\"#555555\", fillcolor=\"#eeeeee\", label=\"{first}\\n{second}\"]",
                junction.name()
            )?;
        }
        for phase in phases_of(None) {
            self.phase(f, phase)?;
        }
        for scenario in Scenario::ALL {
            let number = scenario.number();
            writeln!(f, "  subgraph cluster_{number} {{")?;
            writeln!(
                f,
                "    label=<<b>{number} {}</b>>",
                HtmlText(scenario.title())
            )?;
            writeln!(f, "    style=rounded; color=\"#999999\"")?;
            for phase in phases_of(Some(scenario)) {
                f.write_str("  ")?;
                self.phase(f, phase)?;
            }
            writeln!(f, "  }}")?;
        }
        // After the nodes: DOT makes a node of a name that it meets first in an edge, outside of
        // its group.
        for (at, edge) in picture.edges.iter().enumerate() {
            let taken = picture.path.as_ref().map(|path| path.taken[at]);
            self.edge(f, edge, taken)?;
        }
        f.write_str("}\n")
    }
}

impl Dot<'_> {
    fn phase(&self, f: &mut fmt::Formatter<'_>, phase: Phase) -> fmt::Result {
        let (status, stage, visits) = label(self.0, phase);
        let [fill, border, text] = BoxStyle::of(self.0, phase).colours();
        write!(f, "  {phase} [label=<<b>{}</b>", HtmlText(&status))?;
        write!(f, "<br/><font point-size=\"9\">{}</font>", HtmlText(&stage))?;
        if !visits.is_empty() {
            write!(
                f,
                "<br/><font point-size=\"10\" color=\"#8a1c00\"><b>{visits}</b></font>"
            )?;
        }
        writeln!(
            f,
            ">, fillcolor=\"{fill}\", color=\"{border}\", fontcolor=\"{text}\"]"
        )
    }

    fn edge(&self, f: &mut fmt::Formatter<'_>, edge: &Edge, taken: Option<bool>) -> fmt::Result {
        let mut attributes = Vec::new();
        let from = match edge.from {
            Node::Start => "start",
            Node::Phase(phase) => phase.as_str(),
            Node::Junction(junction) => junction.name(),
            Node::Group(scenario) => {
                // DOT joins nodes; `ltail` cuts the arrow at the border of the group.
                let Some(phase) = phases_of(Some(scenario)).filter(|p| is_marked(*p)).last() else {
                    return Ok(());
                };
                // No weight: it may be long, the arrows within the group shall be short.
                attributes.push(format!("ltail=cluster_{}, weight=0", scenario.number()));
                phase.as_str()
            }
        };
        let to = match edge.to {
            Node::Phase(phase) => phase.as_str(),
            Node::Junction(junction) => junction.name(),
            // No edge leads there.
            Node::Start | Node::Group(_) => return Ok(()),
        };
        if edge.skips {
            attributes.push("style=dashed".into());
        }
        match taken {
            Some(true) => attributes.push("color=\"#8a4b00\", penwidth=2".into()),
            Some(false) => attributes.push("color=\"#cccccc\"".into()),
            None if edge.skips => attributes.push("color=\"#aaaaaa\"".into()),
            None => {}
        }
        if attributes.is_empty() {
            writeln!(f, "  {from} -> {to}")
        } else {
            writeln!(f, "  {from} -> {to} [{}]", attributes.join(", "))
        }
    }
}

/// Text within `<…>`.
struct HtmlText<'a>(&'a str);

impl fmt::Display for HtmlText<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.chars().try_for_each(|c| match c {
            '&' => f.write_str("&amp;"),
            '<' => f.write_str("&lt;"),
            '>' => f.write_str("&gt;"),
            c => write!(f, "{c}"),
        })
    }
}

/// Text within `"…"`.
struct QuotedText<'a>(&'a str);

impl fmt::Display for QuotedText<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.chars().try_for_each(|c| match c {
            '"' => f.write_str("\\\""),
            '\\' => f.write_str("\\\\"),
            // Graphviz reads entities in labels.
            '&' => f.write_str("&amp;"),
            c => write!(f, "{c}"),
        })
    }
}
