use std::collections::BTreeSet;

use super::*;
use crate::status::Symbol;

type Steps = BTreeSet<(String, String)>;

/// What a reader of the picture takes from it, by its text alone.
#[derive(Default)]
struct ParsedDrawing {
    edges: Vec<(String, String)>,
    dashed: Steps,
    /// Phases that bear the mark, with their group.
    marked: Vec<(String, String)>,
}

impl ParsedDrawing {
    fn in_dot(text: &str) -> ParsedDrawing {
        let mut seen = ParsedDrawing::default();
        let mut group = String::new();
        for line in text.lines().map(str::trim) {
            if let Some(cluster) = line.strip_prefix("subgraph cluster_") {
                group = format!("s{}", &cluster[..1]);
            } else if line == "}" {
                group.clear();
            } else if let Some((from, rest)) = line.split_once(" -> ") {
                let (to, attributes) = rest.split_once(' ').unwrap_or((rest, ""));
                let from = match attributes.split_once("ltail=cluster_") {
                    Some((_, number)) => format!("s{}", &number[..1]),
                    None => from.to_owned(),
                };
                seen.edge(&from, to, attributes.contains("dashed"));
            } else if let Some((name, _)) = line.split_once(" [label=<<b>") {
                seen.phase(name, line, &group);
            }
        }
        seen
    }

    fn in_mermaid(text: &str) -> ParsedDrawing {
        let mut seen = ParsedDrawing::default();
        let mut group = String::new();
        for line in text.lines().map(str::trim) {
            if let Some(subgraph) = line.strip_prefix("subgraph ") {
                group = subgraph[..2].to_owned();
            } else if line == "end" {
                group.clear();
            } else if let Some((from, to)) = line.split_once(" --> ") {
                seen.edge(from, to, false);
            } else if let Some((from, to)) = line.split_once(" -.-> ") {
                seen.edge(from, to, true);
            } else if let Some((name, _)) = line.split_once("(\"<b>") {
                seen.phase(name, line, &group);
            }
        }
        seen
    }

    fn edge(&mut self, from: &str, to: &str, dashed: bool) {
        let edge = (from.to_owned(), to.to_owned());
        if dashed {
            self.dashed.insert(edge.clone());
        }
        self.edges.push(edge);
    }

    fn phase(&mut self, name: &str, line: &str, group: &str) {
        if line.contains('↻') {
            self.marked.push((name.to_owned(), group.to_owned()));
        }
    }

    /// Every step from phase to phase, and from the start.
    fn steps(&self) -> Steps {
        let mut steps = Steps::new();
        for (from, to) in &self.edges {
            if Junction::ALL.iter().any(|junction| junction.name() == from) {
                continue;
            }
            let sources: Vec<&str> = match from.strip_prefix('s') {
                Some(number) if number.parse::<u8>().is_ok() => {
                    let in_group = self.marked.iter().filter(|(_, group)| group == from);
                    in_group.map(|(phase, _)| phase.as_str()).collect()
                }
                _ => vec![from],
            };
            for target in self.targets(to) {
                steps.extend(sources.iter().map(|s| ((*s).to_owned(), target.clone())));
            }
        }
        steps
    }

    fn targets(&self, to: &str) -> Vec<String> {
        if !Junction::ALL.iter().any(|junction| junction.name() == to) {
            return vec![to.to_owned()];
        }
        let out = self.edges.iter().filter(|(from, _)| from == to);
        out.flat_map(|(_, target)| self.targets(target)).collect()
    }
}

fn table() -> Steps {
    let mut steps = Steps::new();
    for to in Phase::beginnings().iter() {
        steps.insert(("start".to_owned(), to.to_string()));
    }
    for from in Phase::ALL {
        for to in from.may_be_followed_by().iter() {
            steps.insert((from.to_string(), to.to_string()));
        }
    }
    steps
}

fn seen(history: Option<&History>) -> [ParsedDrawing; 2] {
    [
        ParsedDrawing::in_dot(&history.map_or_else(dot, History::dot)),
        ParsedDrawing::in_mermaid(&history.map_or_else(mermaid, History::mermaid)),
    ]
}

#[test]
fn the_condensed_edges_are_exactly_the_steps_of_the_table() {
    let table = table();
    assert!(table.len() > 100, "{}", table.len());
    let history = History::complete([Symbol::F, Symbol::I, Symbol::D]);
    for history in [None, Some(&history)] {
        for seen in seen(history) {
            assert_eq!(seen.steps(), table);
            // And it is worth it.
            assert!(seen.edges.len() * 2 < table.len(), "{}", seen.edges.len());
        }
    }
}

#[test]
fn dashed_edges_skip_a_quiet_phase() {
    for seen in seen(None) {
        let dashed = |from: &str, to: &str| {
            let edge = (from.to_owned(), to.to_owned());
            assert!(seen.edges.contains(&edge), "{edge:?}");
            seen.dashed.contains(&edge)
        };
        for (from, to) in [
            ("first", "at_lab"),
            ("again", "at_lab_again"),
            ("modeled", "review_p"),
            ("review_m", "milling_m"),
            ("review_g", "review2"),
            ("interp2", "finished_g"),
        ] {
            assert!(dashed(from, to), "{from} {to}");
        }
        for (from, to) in [
            ("first", "scan"),
            ("again", "rescan"),
            ("rescan", "at_lab_again"),
            ("s4", "again"),
            ("modeling_p", "review_p"),
            ("review_m", "reviewed_m"),
            // Review 2 lies between, but it is listed: nobody would miss it.
            ("interp2", "milling_g"),
            ("reviewed2", "milling_g"),
        ] {
            assert!(!dashed(from, to), "{from} {to}");
        }
    }
}

#[test]
fn a_history_is_drawn_with_the_phases_that_were_possible() {
    let history = History::complete(["F", "R", "Elsewhere", "I", "R", "F", "I"].map(|text| {
        let symbol = text.chars().next().and_then(Symbol::from_letter);
        match symbol {
            Some(symbol) if text.len() == 1 => symbol.status(),
            _ => crate::OrderStatus::from(text),
        }
    }));
    let picture = Picture::new(Some(&history));
    let path = picture.path.as_ref().unwrap();
    let mut expected = vec![String::new(); Phase::ALL.len()];
    for (index, reading) in history.readings().enumerate() {
        if history.arrivals()[index].status().symbol().is_none() {
            continue;
        }
        for phase in reading.phases().iter() {
            let text = &mut expected[phase as usize];
            if !text.is_empty() {
                text.push(' ');
            }
            text.push_str(&index.to_string());
            if history.deviations().any(|deviation| deviation == index) {
                text.push('!');
            }
        }
    }
    for phase in Phase::ALL {
        assert_eq!(path.visits(phase), expected[phase as usize], "{phase}");
    }
    assert_eq!(path.visits(Phase::Interp2), "3 6!");
    assert_eq!(path.now, history.read().phases());
    assert!(path.look(Phase::Interp2) == BoxStyle::Now);
    assert!(path.look(Phase::Review2) == BoxStyle::Before);
    assert!(path.look(Phase::KeptAgain) == BoxStyle::Never);
    assert_eq!(
        path.arrivals().collect::<Vec<_>>(),
        [
            "0 Ready for Download",
            "1 Lab Review",
            "2 \"Elsewhere\"",
            "3 iTero Milling",
            "4 Lab Review",
            "5 Ready for Download",
            "6! iTero Milling"
        ]
    );
}

#[test]
fn the_edges_of_a_history_are_marked() {
    let taken = |symbols: &[Symbol], complete| {
        let history = if complete {
            History::complete(symbols.iter().copied())
        } else {
            History::partial(symbols.iter().copied())
        };
        let text = history.dot();
        let lines = text.lines().filter(|line| line.contains("penwidth=2"));
        lines
            .filter_map(|line| line.trim().split_once(" ["))
            .map(|(edge, _)| edge.to_owned())
            .collect::<Vec<_>>()
    };
    use Symbol::{F, I, R};
    assert_eq!(taken(&[F], true), ["start -> first", "first -> at_lab"]);
    assert_eq!(taken(&[F], false), [""; 0]);
    // A deviation is not led to.
    assert_eq!(taken(&[F, I], true), taken(&[F], true));
    assert_eq!(
        taken(&[R, I], false),
        [
            "review_m -> milling_m",
            "review_g -> interp2",
            "review_g -> milling_g",
            "review2 -> milling_g"
        ]
    );
    assert_eq!(
        taken(&[F, R], true),
        [
            "start -> first",
            "first -> at_lab",
            "again -> modeled",
            "modeled -> review_p",
            "modeled -> review_m",
            "modeled -> review_g",
            "kept -> again"
        ]
    );
}

#[test]
fn foreign_text_stays_text() {
    let history = History::complete(["\"];\nx --> y\\\"</b>&amp; `#35;`"]);
    let line = |text: String| {
        let arrivals = text.lines().find(|line| line.contains(" arrivals"));
        arrivals
            .or(text.lines().find(|line| line.contains("arrivals")))
            .map(str::to_owned)
    };
    assert_eq!(
        line(history.mermaid()).as_deref(),
        Some(
            "  arrivals[\"0 #34;#92;#8203;#34;#93;#59;#92;#8203;nx #45;#45;#62; y#92;#8203;\
             #92;#8203;#92;#8203;#34;#60;#47;b#62;#38;amp#59; #96;#35;35#59;#96;#34;\"]"
        )
    );
    let dot = line(history.dot());
    assert!(
        dot.as_deref().is_some_and(|line| line
            .ends_with(r#"label="0 \"\\\"];\\nx --> y\\\\\\\"</b>&amp;amp; `#35;`\"\l"]"#)),
        "{dot:?}"
    );
    for seen in seen(Some(&history)) {
        assert_eq!(seen.steps(), table());
    }
}

/// The checked-in pictures. `scripts/diagram` draws them again; it has this test write the
/// sources into the directory that it names.
#[test]
fn the_pictures_are_drawn_from_the_table() {
    let history = History::complete([Symbol::F, Symbol::R, Symbol::I, Symbol::R]);
    let pictures = [
        ("flow", dot(), include_str!("../../../docs/flow.svg")),
        (
            "flow-path",
            history.dot(),
            include_str!("../../../docs/flow-path.svg"),
        ),
    ];
    let directory = std::env::var_os("DIAGRAM_SOURCES").map(std::path::PathBuf::from);
    if let Some(directory) = directory {
        std::fs::write(directory.join("flow.mmd"), mermaid()).unwrap();
        for (name, dot, _) in &pictures {
            std::fs::write(directory.join(format!("{name}.stamp")), stamp(dot)).unwrap();
            std::fs::write(directory.join(format!("{name}.dot")), dot).unwrap();
        }
    }
    for (name, dot, svg) in pictures {
        assert!(
            svg.contains(&stamp(&dot)),
            "docs/{name}.svg is of another table: run scripts/diagram"
        );
        // Nothing was lost on the way.
        for edge in dot.lines().filter(|line| line.contains(" -> ")) {
            let nodes = edge.split('[').next().unwrap_or_default().trim();
            let title = nodes.replace(" -> ", "&#45;&gt;");
            assert!(svg.contains(&format!("<title>{title}</title>")), "{edge}");
        }
        // Else Markdown ends the block there.
        assert!(!svg.trim_end().lines().any(|line| line.trim().is_empty()));
    }
    assert!(
        include_str!("../../../docs/flow.mmd")
            .lines()
            .eq(mermaid().lines()),
        "docs/flow.mmd is of another table: run scripts/diagram"
    );
}

/// Names the DOT text a picture was drawn from: its FNV-1a hash.
fn stamp(dot: &str) -> String {
    let hash = dot.bytes().fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
    });
    format!("made by scripts/diagram from the DOT text with FNV-1a {hash:016x}")
}
