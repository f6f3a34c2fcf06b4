//! Numbers of teeth in texts.
//!
//! *Problem.* Which of two systems an answer numbers teeth by is not documented, and the numbers overlap: a
//! number that is read wrongly is a crown for another tooth.
//! *Approach.* Numbers are read in the American way. A text that may mean other teeth names none.

/// The number of a tooth in the American way.
pub(crate) fn tooth_number(text: &str) -> Option<u8> {
    let number = text.trim().parse().ok()?;
    // Two-digit numbers of the FDI system reach 48 and overlap with these; which system an answer
    // uses is not known.
    (1..=32).contains(&number).then_some(number)
}

/// The teeth from one to another in the American way, if both are of one jaw: 1 to 16 are the upper ones.
pub(crate) fn teeth_between(from: u8, to: u8) -> Option<Vec<u8>> {
    if (from <= 16) != (to <= 16) {
        return None;
    }
    Some(if from <= to {
        (from..=to).collect()
    } else {
        (to..=from).rev().collect()
    })
}

/// The numbers in a text such as `14, 15` or `14-16`. None if it has a range that cannot be read: half of
/// what it says would look like all of it.
pub(super) fn listed(text: &str) -> Vec<u8> {
    listed_or_none(text).unwrap_or_default()
}

fn listed_or_none(text: &str) -> Option<Vec<u8>> {
    let mut teeth: Vec<u8> = Vec::new();
    let mut rest = text;
    let mut before = None;
    // How many ranges go on from each other, and whether one of them has teeth between its ends.
    let (mut chained, mut wide) = (0, false);
    while let Some(start) = rest.find(|c: char| c.is_ascii_digit()) {
        // Whatever stands between the numbers.
        let (sign, digits) = rest.split_at(start);
        let end = digits.find(|c: char| !c.is_ascii_digit());
        let (digits, after) = digits.split_at(end.unwrap_or(digits.len()));
        let number = tooth_number(digits);
        // A sign before the first number is none of a range.
        if rest.len() < text.len() && is_range(sign) {
            // Of two ends one may be no tooth.
            let between = range(before?, number?)?;
            chained += 1;
            wide |= between.len() > 2;
            // `3-5-7` may be three teeth or five. Of neighbours both are the same.
            if chained > 1 && wide {
                return None;
            }
            teeth.extend(between.into_iter().skip(1));
        } else {
            teeth.extend(number);
            (chained, wide) = (0, false);
        }
        before = number;
        rest = after;
    }
    Some(teeth)
}

/// Whether what stands between two numbers makes a range of them.
fn is_range(sign: &str) -> bool {
    // The lines of a list may begin with a dash.
    if sign.contains('\n') {
        return false;
    }
    let sign = sign.trim_matches(|c: char| c.is_whitespace() || c == '#');
    let dashes = ["-", "\u{2010}", "\u{2011}", "\u{2013}", "\u{2014}", ".."];
    dashes.contains(&sign) || sign.eq_ignore_ascii_case("to")
}

/// The teeth of a range that is written in a text: `18-21` are neighbours in the American way, and go from
/// one side to the other in that of the FDI. A range that means other teeth there is none.
fn range(from: u8, to: u8) -> Option<Vec<u8>> {
    let quadrant = |number: u8| match (number / 10, number % 10) {
        (quadrant @ 1..=4, 1..=8) => Some(quadrant),
        _ => None,
    };
    match (quadrant(from), quadrant(to)) {
        (Some(one), Some(other)) if one != other => None,
        _ => teeth_between(from, to),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_range_names_all_teeth_between() {
        for (text, teeth) in [
            ("14-16", &[14, 15, 16][..]),
            ("16 \u{2013} 14", &[16, 15, 14]),
            ("#3 to #5, 7", &[3, 4, 5, 7]),
            ("7, 9-11; 13", &[7, 9, 10, 11, 13]),
            ("14-15-16", &[14, 15, 16]),
            ("29-31", &[29, 30, 31]),
            ("14, 15 16/20", &[14, 15, 16, 20]),
            ("14", &[14]),
            ("- 14\n- 16", &[14, 16]),
            ("", &[]),
            // From jaw to jaw.
            ("14-19", &[]),
            // From quadrant to quadrant in the FDI's way.
            ("18-21", &[]),
            ("3, 18-21", &[]),
            // What lies between is not certain.
            ("3-5-7", &[]),
            ("3-5-6", &[]),
            ("3-4-6", &[]),
            // One end is no tooth.
            ("14-50", &[]),
            ("50-14", &[]),
        ] {
            assert_eq!(listed(text), teeth, "{text}");
        }
    }
}
