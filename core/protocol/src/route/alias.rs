//! A draw by weight in constant time: the alias method (Walker 1977, Vose 1991).
//!
//! Each of n columns holds one n-th of the chance. A column belongs to one entry up to a threshold
//! and to another above it, its alias; so a draw is one column, one comparison. The table is made
//! anew, in n steps, whenever weights change; draws never walk it.
//!
//! ```text
//!   weights 3 1 2   →   columns   [0 | 0]   [1 half | 0]   [2 | 2]      each a third of the draws
//! ```
use alloc::vec::Vec;

/// Entries to draw from, by weight.
#[derive(Clone, Debug, Default)]
pub(super) struct AliasTable {
    columns: Vec<Column>,
    /// Kept for the next time.
    small: Vec<u32>,
    large: Vec<u32>,
    scaled: Vec<u64>,
}

#[derive(Clone, Copy, Debug)]
struct Column {
    /// Below it (of 2³²) the column's own entry is drawn, else the alias.
    threshold: u64,
    entry: u32,
    alias: u32,
}

impl AliasTable {
    /// Makes the table of these entries and weights. Entries with weight 0 are never drawn.
    pub(super) fn rebuild(&mut self, entries: impl Iterator<Item = (u32, u32)>) {
        let AliasTable { columns, small, large, scaled } = self;
        columns.clear();
        scaled.clear();
        let mut sum = 0u64;
        for (entry, weight) in entries.filter(|(_, weight)| *weight > 0) {
            columns.push(Column { threshold: 1 << 32, entry, alias: entry });
            scaled.push(u64::from(weight));
            sum += u64::from(weight);
        }
        small.clear();
        large.clear();
        let count = columns.len() as u64;
        for (column, part) in scaled.iter_mut().enumerate() {
            // In units of which a column holds `sum`.
            *part *= count;
            if *part < sum { small.push(column as u32) } else { large.push(column as u32) }
        }
        while let (Some(less), Some(more)) = (small.pop(), large.pop()) {
            let (less, more) = (less as usize, more as usize);
            let threshold = (u128::from(scaled[less]) << 32) / u128::from(sum);
            columns[less].threshold = threshold as u64;
            columns[less].alias = columns[more].entry;
            scaled[more] -= sum - scaled[less];
            if scaled[more] < sum { small.push(more as u32) } else { large.push(more as u32) }
        }
    }

    /// How many entries may be drawn.
    pub(super) fn len(&self) -> usize {
        self.columns.len()
    }

    /// An entry by its weight; `None` if no entry has any.
    #[inline]
    pub(super) fn draw(&self, random: u64) -> Option<u32> {
        let index = ((random >> 32) * self.columns.len() as u64) >> 32;
        let column = self.columns.get(index as usize)?;
        let own = (random & 0xffff_ffff) < column.threshold;
        Some(if own { column.entry } else { column.alias })
    }

    /// Any other entry, if there is one.
    pub(super) fn other(&self, than: u32) -> Option<u32> {
        let mut entries = self.columns.iter().map(|column| column.entry);
        entries.find(|entry| *entry != than).or(Some(than))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::vec;

    #[test]
    fn draws_follow_the_weights() {
        for weights in [vec![1], vec![3, 1, 2], vec![1, 10_000], vec![0, 7, 0, 7], vec![5; 100]] {
            let mut table = AliasTable::default();
            let entries = weights.iter().enumerate().map(|(n, weight)| (n as u32, *weight));
            table.rebuild(entries);
            let sum: u32 = weights.iter().sum();
            let mut counts = vec![0u32; weights.len()];
            // Evenly through all columns and thresholds: no luck is needed.
            let draws = 1u64 << 20;
            for draw in 0..draws {
                let random = draw.wrapping_mul(0x9e37_79b9_7f4a_7c15);
                counts[table.draw(random).unwrap() as usize] += 1;
            }
            for (count, weight) in counts.iter().zip(&weights) {
                let expect = draws as f64 * f64::from(*weight) / f64::from(sum);
                let stray = (f64::from(*count) - expect).abs();
                assert!(stray <= expect * 0.02 + 20.0, "{weights:?}: {count}, not {expect}");
            }
        }
    }

    #[test]
    fn nothing_is_drawn_where_nothing_weighs() {
        let mut table = AliasTable::default();
        assert_eq!(table.draw(7), None);
        table.rebuild([(0, 0), (1, 0)].into_iter());
        assert_eq!((table.draw(u64::MAX), table.len()), (None, 0));
    }
}
