//! The picture in the language of Mermaid.
//!
//! Text of an unknown status is foreign: code hosts render the result as HTML, so it must be
//! escaped before it is written.

use std::fmt;

use super::{BoxStyle, Edge, Junction, Node, Picture, label, legend, phases_of};
use crate::flow::phase::Phase;
use crate::flow::scenario::Scenario;

pub(super) struct Mermaid<'a>(pub(super) &'a Picture);

impl fmt::Display for Mermaid<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let picture = self.0;
        // Else labels break at 200 pixels.
        f.write_str("%%{init: {\"flowchart\": {\"wrappingWidth\": 600}}}%%\nflowchart TB\n")?;
        if let Some(path) = &picture.path {
            f.write_str("  arrivals[\"")?;
            for (at, line) in path.arrivals().enumerate() {
                let between = if at > 0 { "<br/>" } else { "" };
                write!(f, "{between}{}", Text(line))?;
            }
            f.write_str("\"]\n")?;
        }
        f.write_str("  start((\" \"))\n")?;
        for junction in Junction::ALL {
            let [first, second] = junction.label();
            writeln!(f, "  {}{{{{\"{first}<br/>{second}\"}}}}", junction.name())?;
        }
        for phase in phases_of(None) {
            self.phase(f, phase)?;
        }
        for scenario in Scenario::ALL {
            let number = scenario.number();
            writeln!(f, "  subgraph s{number}[\"{number} {}\"]", scenario.title())?;
            for phase in phases_of(Some(scenario)) {
                f.write_str("  ")?;
                self.phase(f, phase)?;
            }
            f.write_str("  end\n")?;
        }
        for edge in &picture.edges {
            self.edge(f, edge)?;
        }
        if let Some(path) = &picture.path {
            // `linkStyle` names edges by their position, so the edges must be written in the order
            // of the table.
            for (at, taken) in path.taken.iter().enumerate() {
                if *taken {
                    writeln!(f, "  linkStyle {at} stroke:#8a4b00,stroke-width:3px")?;
                }
            }
        }
        f.write_str("  legend[\"")?;
        for (at, line) in legend(picture).into_iter().enumerate() {
            let between = if at > 0 { "<br/>" } else { "" };
            write!(f, "{between}{line}")?;
        }
        f.write_str("\"]\n")?;
        for look in BoxStyle::ALL {
            let [fill, border, text] = look.colours();
            let name = look.name();
            writeln!(
                f,
                "  classDef {name} fill:{fill},stroke:{border},color:{text}"
            )?;
        }
        for scenario in Scenario::ALL {
            let number = scenario.number();
            writeln!(f, "  style s{number} fill:none,stroke:#999999")?;
        }
        f.write_str("  style legend fill:none,stroke:none\n")
    }
}

impl Mermaid<'_> {
    fn phase(&self, f: &mut fmt::Formatter<'_>, phase: Phase) -> fmt::Result {
        let (status, stage, visits) = label(self.0, phase);
        write!(f, "  {phase}(\"<b>{status}</b><br/>{stage}")?;
        if !visits.is_empty() {
            write!(f, "<br/><b>{visits}</b>")?;
        }
        writeln!(f, "\"):::{}", BoxStyle::of(self.0, phase).name())
    }

    fn edge(&self, f: &mut fmt::Formatter<'_>, edge: &Edge) -> fmt::Result {
        let arrow = if edge.skips { "-.->" } else { "-->" };
        writeln!(f, "  {} {arrow} {}", Id(edge.from), Id(edge.to))
    }
}

struct Id(Node);

impl fmt::Display for Id {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Node::Start => f.write_str("start"),
            Node::Phase(phase) => f.write_str(phase.as_str()),
            Node::Group(scenario) => write!(f, "s{}", scenario.number()),
            Node::Junction(junction) => f.write_str(junction.name()),
        }
    }
}

/// Foreign text: whatever could mean something to Mermaid, to Markdown or to HTML becomes an
/// entity.
struct Text<'a>(&'a str);

impl fmt::Display for Text<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.chars().try_for_each(|c| {
            // Everything but these is an entity: which signs mean something differs by version.
            if c.is_alphanumeric() || matches!(c, ' ' | '!' | '…') {
                write!(f, "{c}")
            } else if c == '\\' {
                // The space of no width keeps Mermaid from reading `\n` as a line break.
                f.write_str("#92;#8203;")
            } else {
                write!(f, "#{};", u32::from(c))
            }
        })
    }
}
