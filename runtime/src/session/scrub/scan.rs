//! Finds any of many texts in a long one, skipping most of it (S. Wu, U. Manber, "A fast algorithm for multi-pattern
//! searching", 1994), and tells where one of them may have begun at its end.
//!
//! Libraries for this rely on the optimiser: in an unoptimised dev build, this one is several times as fast.

use std::collections::{BTreeSet, HashMap};

/// Longer texts are searched for in parts, each on its own, so that little of a stream is held back.
pub(in super::super) const LONGEST: usize = 1024;
/// The widest window, so that a shift fits into a byte.
const WIDEST: usize = 200;
const BLOCKS: usize = 1 << 16;

pub(in super::super) struct Scanner {
    /// Sorted; none is empty.
    texts: Vec<Vec<u8>>,
    /// The length of the longest text.
    longest: usize,
    /// The number of leading bytes of each text that are compared first: the length of the shortest text, but at most
    /// `WIDEST`.
    window: usize,
    /// How far a window can move, by its last two bytes: 0 if a text may begin at the window.
    shifts: Vec<u8>,
    /// The texts by the last two bytes of their window, the longest first.
    ending: HashMap<usize, Vec<usize>>,
    /// Whether a text begins with these two bytes, or equals them.
    begins: Vec<bool>,
}

impl Scanner {
    /// Searches for these texts; an empty one is never found.
    pub(in super::super) fn new(texts: impl IntoIterator<Item = Vec<u8>>) -> Self {
        let mut parts = BTreeSet::new();
        for text in texts.into_iter().filter(|text| !text.is_empty()) {
            // The parts have about the same length: a short remainder would be found where it means nothing.
            let size = text.len().div_ceil(text.len().div_ceil(LONGEST));
            parts.extend(text.chunks(size).map(<[u8]>::to_vec));
        }
        let texts: Vec<Vec<u8>> = parts.into_iter().collect();
        let lengths = || texts.iter().map(Vec::len);
        let (longest, window) = (lengths().max().unwrap_or(0), lengths().min().unwrap_or(0).min(WIDEST));
        let most = if window > 1 { window - 1 } else { 1 };
        let mut shifts = vec![u8::try_from(most).unwrap_or(u8::MAX); BLOCKS];
        let mut ending: HashMap<usize, Vec<usize>> = HashMap::new();
        let mut begins = vec![false; BLOCKS];
        for (number, text) in texts.iter().enumerate() {
            for end in window.min(2)..=window {
                let shift = u8::try_from(window - end).unwrap_or(u8::MAX);
                if let Some(known) = shifts.get_mut(block(text, end, window)) {
                    *known = shift.min(*known);
                }
            }
            ending.entry(block(text, window, window)).or_default().push(number);
            if let [first, second, ..] = text.as_slice() {
                begins[usize::from(*first) << 8 | usize::from(*second)] = true;
            }
        }
        for numbers in ending.values_mut() {
            numbers.sort_by_key(|number| std::cmp::Reverse(texts[*number].len()));
        }
        Self { texts, longest, window, shifts, ending, begins }
    }

    pub(in super::super) fn is_empty(&self) -> bool {
        self.texts.is_empty()
    }

    /// The first position from `from` on where a text begins, and the length of the longest text there.
    pub(in super::super) fn find(&self, text: &[u8], from: usize) -> Option<(usize, usize)> {
        if self.is_empty() {
            return None;
        }
        let mut end = from + self.window;
        while end <= text.len() {
            let last = block(text, end, self.window);
            let shift = self.shifts[last];
            if shift != 0 {
                end += usize::from(shift);
                continue;
            }
            let start = end - self.window;
            for number in self.ending.get(&last).into_iter().flatten() {
                let wanted = self.texts[*number].as_slice();
                if text[start..].starts_with(wanted) {
                    return Some((start, wanted.len()));
                }
            }
            end += 1;
        }
        None
    }

    /// The first position where the rest of the input is only the beginning of a text; the input's length if there is
    /// none.
    pub(in super::super) fn unfinished(&self, text: &[u8]) -> usize {
        let mut at = text.len().saturating_sub(self.longest.saturating_sub(1));
        while at < text.len() {
            let rest = &text[at..];
            let may = match rest {
                [first, second, ..] => self.begins[usize::from(*first) << 8 | usize::from(*second)],
                _ => true,
            };
            if may {
                // The texts that begin with the rest follow each other; the first is the one to look at.
                let first = self.texts.partition_point(|known| known.as_slice() < rest);
                let mut next = self.texts.iter().skip(first).take(2);
                if next.any(|known| known.len() > rest.len() && known.starts_with(rest)) {
                    return at;
                }
            }
            at += 1;
        }
        at
    }
}

/// The last two bytes of a window that ends there, or its only byte.
fn block(text: &[u8], end: usize, window: usize) -> usize {
    let last = usize::from(text[end - 1]);
    if window > 1 { usize::from(text[end - 2]) << 8 | last } else { last }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn every_place_is_found(
            texts in prop::collection::vec("[ab]{1,5}", 0..5), text in "[abc]{0,40}",
        ) {
            let scanner = Scanner::new(texts.iter().map(|text| text.as_bytes().to_vec()));
            let bytes = text.as_bytes();
            let longest_at = |at: usize| {
                texts.iter().filter(|known| bytes[at..].starts_with(known.as_bytes())).map(String::len).max()
            };
            let wanted: Vec<_> = (0..bytes.len()).filter_map(|at| Some((at, longest_at(at)?))).collect();
            let (mut found, mut from) = (Vec::new(), 0);
            while let Some((at, length)) = scanner.find(bytes, from) {
                found.push((at, length));
                from = at + 1;
            }
            prop_assert_eq!(found, wanted);
            let begins = |at: &usize| {
                let rest = &bytes[*at..];
                texts.iter().any(|known| known.len() > rest.len() && known.as_bytes().starts_with(rest))
            };
            prop_assert_eq!(scanner.unfinished(bytes), (0..bytes.len()).find(begins).unwrap_or(bytes.len()));
        }
    }

    #[test]
    fn long_texts_are_found_in_parts() {
        let long: Vec<u8> =
            (0..3000_u32).map(|number| number.wrapping_mul(2_654_435_761).to_be_bytes()[0]).collect();
        let scanner = Scanner::new([long.clone()]);
        assert!(scanner.longest <= LONGEST && scanner.texts.iter().all(|part| part.len() == 1000));
        assert_eq!(scanner.find(&long, 1), Some((1000, 1000)));
        assert!(Scanner::new([Vec::new()]).is_empty());
    }
}
