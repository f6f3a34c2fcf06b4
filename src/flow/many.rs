//! Many histories at once.

use std::fmt;

use super::automaton::Reading;
use crate::status::Symbol;

/// Reads many histories at once, each on from a reading to the next.
///
/// *Problem.* To read one history after the other is slow for two reasons: each look into the
/// table waits for the one before, and where a history ends cannot be predicted.
/// *Default.* This takes eight arrivals in one stride without looking where the history ends,
/// two histories side by side. Short histories then take about two thirds of the time.
/// *When not.* For a single history, or one that has to be brought into this form first,
/// [`Reading::observe`] comes to the same.
///
/// The symbols of all cases lie one after the other in `symbols`; `ends` says for each case
/// where its symbols end. `readings` holds for each case the reading to begin with:
/// [`Reading::complete`], [`Reading::partial`], or what was stored when the case was last read;
/// afterwards it holds the reading with the symbols taken in. Statuses without a symbol change
/// nothing and are left out. Nothing is allocated.
///
/// ```
/// use lab_connector::flow::{read_all, Reading, Scenario, Symbol::*};
///
/// let symbols = [F, /* next case */ R, I, /* next case */ F, F];
/// let ends = [1, 3, 5];
/// let mut readings = [Reading::complete(); 3];
/// read_all(&symbols, &ends, &mut readings)?;
///
/// assert_eq!(readings[0].scenario(), Some(Scenario::DirectToLab));
/// assert_eq!(readings[1].scenario(), None);
/// assert_eq!(readings[2].scenario(), Some(Scenario::AfterRescan));
/// # Ok::<(), lab_connector::flow::UnevenCases>(())
/// ```
///
/// # Errors
/// If there are not as many ends as readings, if an end lies before the one before it, or if the
/// last is not the end of `symbols`. Nothing was read then.
pub fn read_all(
    symbols: &[Symbol],
    ends: &[usize],
    readings: &mut [Reading],
) -> Result<(), UnevenCases> {
    let last = ends.last().copied().unwrap_or(0);
    if ends.len() != readings.len() || last != symbols.len() || !ends.is_sorted() {
        return Err(UnevenCases(()));
    }
    let mut start = 0;
    let (lanes, last) = readings.as_chunks_mut();
    let (lanes_ends, last_ends) = ends.as_chunks();
    for (readings, ends) in lanes.iter_mut().zip(lanes_ends) {
        side_by_side(symbols, start, ends, readings);
        start = ends[LANES - 1];
    }
    one_after_the_other(symbols, start, last_ends, last);
    Ok(())
}

/// The cases, their ends and their symbols do not fit together.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct UnevenCases(());

impl fmt::Display for UnevenCases {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the ends of the cases fit neither their number nor their symbols")
    }
}

impl std::error::Error for UnevenCases {}

/// How many arrivals are taken in without a branch between them.
const STRIDE: usize = 8;

/// How many cases take turns within a stride. More than two need more registers than there are
/// and measured slower.
const LANES: usize = 2;

#[inline]
fn side_by_side(
    symbols: &[Symbol],
    begin: usize,
    ends: &[usize; LANES],
    readings: &mut [Reading; LANES],
) {
    let mut start = begin;
    let mut lanes = [0; LANES];
    for (lane, end) in lanes.iter_mut().zip(ends) {
        match first_stride(symbols, start) {
            Some(stride) if end - start <= STRIDE => *lane = columns(stride, end - start),
            // Longer than a stride, or too near the end of `symbols`.
            _ => return one_after_the_other(symbols, begin, ends, readings),
        }
        start = *end;
    }
    *readings = Reading::observe_strides(*readings, lanes);
}

fn one_after_the_other(
    symbols: &[Symbol],
    mut start: usize,
    ends: &[usize],
    readings: &mut [Reading],
) {
    for (reading, end) in readings.iter_mut().zip(ends) {
        *reading = one(symbols, start, *end, *reading);
        start = *end;
    }
}

/// `start` and `end` lie in order and within `symbols`: the caller has looked.
fn one(symbols: &[Symbol], start: usize, end: usize, begin: Reading) -> Reading {
    let mut reading = begin;
    let mut at = start;
    while at < end {
        let Some(stride) = first_stride(symbols, at) else {
            let rest = symbols[at..end].iter();
            return rest.fold(reading, |reading, symbol| reading.observe(*symbol));
        };
        [reading] = Reading::observe_strides([reading], [columns(stride, end - at)]);
        at += STRIDE;
    }
    reading
}

#[inline]
fn first_stride(symbols: &[Symbol], start: usize) -> Option<&[Symbol; STRIDE]> {
    symbols.get(start..)?.first_chunk()
}

/// The columns of the first `count` symbols, one in each byte. What lies behind them belongs to
/// the next case; it becomes the column that changes nothing.
#[inline]
fn columns(stride: &[Symbol; STRIDE], count: usize) -> u64 {
    let columns = u64::from_le_bytes(stride.map(|symbol| symbol as u8));
    let behind = match count {
        0..STRIDE => u64::MAX << (8 * count),
        _ => 0,
    };
    columns | behind
}

#[cfg(test)]
mod tests {
    use super::*;
    use Symbol::{F, M, R};

    #[test]
    fn what_does_not_fit_is_refused_and_nothing_is_read() {
        for ends in [&[1][..], &[1, 2, 3], &[2, 1], &[1, 4], &[1, 2], &[]] {
            let mut readings = [Reading::complete(); 2];
            let result = read_all(&[F, F, R], ends, &mut readings);
            assert_eq!(result, Err(UnevenCases(())), "{ends:?}");
            assert_eq!(readings, [Reading::complete(); 2]);
        }
        assert_eq!(read_all(&[], &[], &mut []), Ok(()));
        assert!(read_all(&[F], &[], &mut []).is_err());
    }

    #[test]
    fn deviations_are_counted_within_a_stride_and_across_strides() -> Result<(), UnevenCases> {
        let symbols = [M; 320];
        let mut readings = [Reading::complete(); 5];
        read_all(&symbols, &[8, 8, 16, 20, 320], &mut readings)?;
        let counts = readings.map(Reading::deviations);
        assert_eq!(counts, [7, 0, 7, 3, 255]);
        Ok(())
    }
}
