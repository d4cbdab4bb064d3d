//! Texts that end in a number, as spans: a series of a million names is one span, and two spans that meet are found without writing a
//! single name down.
//!
//! A text is taken apart in one way only: the digits at its end are its number, what stands before them is its stem. So two spans have a
//! text in common exactly when stem and number of digits are the same and their numbers overlap.

use std::collections::BTreeSet;

/// Most digits at a text's end that are its number: what 128 bits can say. Digits before them belong to the stem.
const NUMBER_MAX: usize = 36;

/// What one row of the configuration calls its devices, as far as the texts have one length.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Span<'a, T> {
    pub(super) stem: &'a str,
    /// Digits of the numbers, with their zeros.
    pub(super) width: usize,
    pub(super) low: u128,
    pub(super) high: u128,
    /// Which device of its row `low` is; those behind it count on.
    pub(super) offset: u64,
    pub(super) tag: T,
}

impl<T> Span<'_, T> {
    /// Which device of its row has this number.
    pub(super) fn offset_of(&self, number: u128) -> u64 {
        self.offset.saturating_add(u64::try_from(number.saturating_sub(self.low)).unwrap_or(u64::MAX))
    }
    /// The text with this number.
    pub(super) fn text(&self, number: u128) -> String {
        let number = if self.width == 0 { String::new() } else { format!("{number:0width$}", width = self.width) };
        format!("{}{number}", self.stem)
    }
}

/// A text's stem and the digits at its end.
fn apart(text: &str, most: usize) -> (&str, &str) {
    let digits = text.bytes().rev().take(most).take_while(u8::is_ascii_digit).count();
    text.split_at_checked(text.len().saturating_sub(digits)).unwrap_or((text, ""))
}

/// Stem and digits of a text: equal for all texts of a span.
pub(super) fn group_of(text: &str) -> (&str, usize) {
    let (stem, digits) = apart(text, NUMBER_MAX);
    (stem, digits.len())
}

/// A single text.
pub(super) fn point<T>(text: &str, tag: T) -> Span<'_, T> {
    let (stem, digits) = apart(text, NUMBER_MAX);
    let number = digits.parse().unwrap_or(0);
    Span { stem, width: digits.len(), low: number, high: number, offset: 0, tag }
}

/// `count` texts: `prefix` and a number from `first` on, filled up with zeros to `digits`. Numbers that have more digits make a span of
/// their own for each length.
pub(super) fn spans<T: Copy>(prefix: &str, first: u64, count: u64, digits: usize, tag: T) -> Vec<Span<'_, T>> {
    let mut made = Vec::new();
    let Some(last) = count.checked_sub(1).map(|more| first.saturating_add(more)) else { return made };
    let mut from = first;
    while from <= last {
        let digits = digits.max(from.checked_ilog10().map_or(1, |n| n as usize + 1));
        let fit = u32::try_from(digits).ok().and_then(|d| 10u64.checked_pow(d)).map_or(u64::MAX, |n| n - 1);
        let to = last.min(fit);
        let (stem, leading) = apart(prefix, NUMBER_MAX.saturating_sub(digits));
        let base = leading.parse::<u128>().unwrap_or(0) * 10u128.pow(u32::try_from(digits).unwrap_or(0));
        let (low, high) = (base + u128::from(from), base + u128::from(to));
        made.push(Span { stem, width: leading.len() + digits, low, high, offset: from - first, tag });
        match to.checked_add(1) {
            Some(next) => from = next,
            None => break,
        }
    }
    made
}

/// How one span counts against others.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) struct Kind {
    /// One text only, of a row that is compared with others of its sort elsewhere.
    pub(super) point: bool,
    /// Nobody else may have it, whatever it is to them.
    pub(super) alone: bool,
}

/// Most that a span is compared with, of each kind: of those that overlap all but the few of its own row clash.
const COMPARED: usize = 4;

/// Tells which spans overlap where one of them should stand alone, leaving out two points. Of many that overlap one span at least one is told.
pub(super) fn overlaps<'s, 'a, T>(
    spans: &'s mut [Span<'a, T>],
    kind: impl Fn(&T) -> Kind,
    mut tell: impl FnMut(&'s Span<'a, T>, &'s Span<'a, T>),
) {
    spans.sort_unstable_by(|a, b| (a.stem, a.width, a.low, a.high).cmp(&(b.stem, b.width, b.low, b.high)));
    let spans: &'s [Span<'a, T>] = spans;
    for group in spans.chunk_by(|a, b| (a.stem, a.width) == (b.stem, b.width)) {
        // Those that reach up to here, by their ends: for points and spans, alone or not.
        let mut open: [BTreeSet<(u128, usize)>; 4] = Default::default();
        let place = |k: Kind| usize::from(k.point) * 2 + usize::from(k.alone);
        for (index, span) in group.iter().enumerate() {
            let own = kind(&span.tag);
            for point in [false, true].into_iter().filter(|point| !(own.point && *point)) {
                for alone in [true, false].into_iter().filter(|alone| own.alone || *alone) {
                    let Some(open) = open.get_mut(place(Kind { point, alone })) else { continue };
                    while open.first().is_some_and(|(high, _)| *high < span.low) {
                        open.pop_first();
                    }
                    open.iter().take(COMPARED).filter_map(|(_, o)| group.get(*o)).for_each(|other| tell(other, span));
                }
            }
            if let Some(open) = open.get_mut(place(own)) {
                open.insert((span.high, index));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn texts(prefix: &str, first: u64, count: u64, digits: usize) -> Vec<String> {
        let made = spans(prefix, first, count, digits, ());
        made.iter().flat_map(|s| (s.low..=s.high).map(|n| (s.offset_of(n), s.text(n)))).map(|(_, text)| text).collect()
    }

    #[test]
    fn spans_are_the_texts_that_would_be_written() {
        for (prefix, first, count, digits) in [("SEP", 1, 120, 4), ("7", 95, 10, 2), ("", 9_998, 4, 4), ("A0", 0, 3, 1)]
        {
            let written: Vec<String> = (first..first + count).map(|n| format!("{prefix}{n:0digits$}")).collect();
            assert_eq!(texts(prefix, first, count, digits), written);
        }
        assert!(spans("x", 5, 0, 3, ()).is_empty());
        assert_eq!(spans("", u64::MAX, 3, 18, ()).len(), 1);
    }

    #[test]
    fn a_text_is_in_the_span_that_would_write_it_and_in_no_other() {
        let long = "1".repeat(60);
        for (prefix, digits) in [("SEP00", 4), (long.as_str(), 6), ("", 4), ("a-b", 1)] {
            let span = spans(prefix, 7, 2, digits, ())[0];
            let text = format!("{prefix}{:0digits$}", 8);
            let found = point(&text, ());
            assert_eq!((found.stem, found.width), (span.stem, span.width));
            assert_eq!(group_of(&text), (span.stem, span.width));
            assert_eq!((found.low, span.high), (span.high, found.high));
            assert_eq!(found.text(found.low), text);
        }
        assert_eq!(point("phone", ()).text(0), "phone");
    }

    fn told(spans: &mut [Span<'_, (char, Kind)>]) -> Vec<String> {
        let mut told = Vec::new();
        overlaps(spans, |(_, kind)| *kind, |a, b| told.push(format!("{}{}", a.tag.0, b.tag.0)));
        told.sort();
        told
    }

    /// Every pair that shares a written text, one of them alone, not both points: found by writing all texts down.
    fn written(spans: &[Span<'_, (char, Kind)>]) -> BTreeSet<String> {
        let all = |s: &Span<'_, (char, Kind)>| (s.low..=s.high).map(|n| s.text(n)).collect::<BTreeSet<_>>();
        let mut pairs = BTreeSet::new();
        for (n, a) in spans.iter().enumerate() {
            for b in spans.iter().skip(n + 1) {
                let counts = (a.tag.1.alone || b.tag.1.alone) && !(a.tag.1.point && b.tag.1.point);
                if counts && !all(a).is_disjoint(&all(b)) {
                    pairs.insert([a.tag.0.min(b.tag.0), a.tag.0.max(b.tag.0)].iter().collect());
                }
            }
        }
        pairs
    }

    #[test]
    fn what_is_told_is_what_comes_of_writing_all_texts_down() {
        let (alone, line) = (Kind { point: false, alone: true }, Kind { point: false, alone: false });
        let (name, number) = (Kind { point: true, alone: true }, Kind { point: true, alone: false });
        let cases: [&[Span<'_, (char, Kind)>]; 4] = [
            &[
                spans("P", 1, 50, 3, ('a', alone))[0],
                spans("P0", 40, 20, 2, ('b', alone))[0],
                point("P060", ('c', name)),
            ],
            &[
                spans("", 1000, 99, 4, ('a', line))[0],
                spans("10", 5, 9, 2, ('b', line))[0],
                point("1006", ('c', number)),
            ],
            &[spans("", 1000, 99, 4, ('a', line))[0], point("1006", ('b', name)), point("1006", ('c', number))],
            &[
                spans("x", 1, 9, 1, ('a', alone))[0],
                spans("x", 1, 9, 2, ('b', alone))[0],
                spans("x1", 0, 9, 1, ('c', line))[0],
            ],
        ];
        for spans in cases {
            let expected = written(spans);
            let told: BTreeSet<String> = told(&mut spans.to_vec())
                .into_iter()
                .map(|p| {
                    let mut letters: Vec<char> = p.chars().collect();
                    letters.sort_unstable();
                    letters.into_iter().collect()
                })
                .collect();
            assert_eq!(told, expected);
        }
    }
}
