//! Which rows of the training split a step reads: a function of the step alone.

use std::collections::BTreeMap;
use std::ops::Range;

use textgan_random::Key;

/// An endless sequence of batches over some rows, reshuffled every epoch.
///
/// The order of an epoch is a permutation with a name, and a batch's place in it follows from its
/// number, so there is no reading position to save. Every row is read once an epoch. The batches
/// of an epoch differ in size by at most one row, so none is a leftover of three sentences.
#[derive(Clone, Debug)]
pub(crate) struct Batches {
    rows: Vec<usize>,
    lengths: Vec<usize>,
    per_epoch: usize,
    window: usize,
    key: Key,
    /// The epoch at hand, and its batches.
    current: Option<(u64, Vec<Vec<usize>>)>,
    /// The rows by their lengths, once somebody has asked for that.
    by_length: Option<BTreeMap<usize, Vec<usize>>>,
}

impl Batches {
    /// Batches of about `batch_size` of `rows`, whose sentence lengths are `lengths`; within
    /// `window` batches, rows are sorted by length.
    pub fn new(
        rows: Vec<usize>,
        lengths: Vec<usize>,
        batch_size: usize,
        window: usize,
        key: Key,
    ) -> Self {
        debug_assert_eq!(rows.len(), lengths.len());
        let per_epoch = rows.len().div_ceil(batch_size).max(1);
        Self { rows, lengths, per_epoch, window, key, current: None, by_length: None }
    }

    /// Batches an epoch.
    pub fn per_epoch(&self) -> u64 {
        self.per_epoch as u64
    }

    /// The rows of batch `number`, counted from 0 over all epochs.
    pub fn batch(&mut self, number: u64) -> Vec<usize> {
        let epoch = number / self.per_epoch();
        let place = (number % self.per_epoch()) as usize;
        match &self.current {
            Some((at, batches)) if *at == epoch => batches[place].clone(),
            _ => self.current.insert((epoch, self.epoch(epoch))).1[place].clone(),
        }
    }

    /// For each of `lengths` a row of that length, or of the nearest there is (the shorter of two), drawn
    /// from the stream of `key`.
    pub fn of_lengths(&mut self, lengths: impl Iterator<Item = usize>, key: &Key) -> Vec<usize> {
        let rows = self.by_length.get_or_insert_with(|| {
            let mut rows = BTreeMap::<usize, Vec<usize>>::new();
            for (&row, &length) in self.rows.iter().zip(&self.lengths) {
                rows.entry(length).or_default().push(row);
            }
            rows
        });
        let mut stream = key.stream();
        let nearest = |length: usize| {
            let (below, above) = (rows.range(..=length).next_back(), rows.range(length..).next());
            let distance = |&(other, _): &(&usize, &Vec<usize>)| other.abs_diff(length);
            below.into_iter().chain(above).min_by_key(distance)
        };
        lengths
            .filter_map(|length| {
                let (_, rows) = nearest(length)?;
                Some(rows[stream.below(rows.len() as u64) as usize])
            })
            .collect()
    }

    fn range(&self, batch: usize) -> Range<usize> {
        let cut = |batch: usize| batch * self.rows.len() / self.per_epoch;
        cut(batch)..cut(batch + 1)
    }

    /// The batches of `epoch`: rows shuffled, sorted by length within each window, cut, and the
    /// batches shuffled in turn, so that lengths come in no order.
    fn epoch(&self, epoch: u64) -> Vec<Vec<usize>> {
        let key = self.key.index(epoch);
        let mut places: Vec<usize> = (0..self.rows.len()).collect();
        key.child("rows").stream().shuffle(&mut places);
        if self.window > 1 {
            for first in (0..self.per_epoch).step_by(self.window) {
                let last = (first + self.window).min(self.per_epoch) - 1;
                places[self.range(first).start..self.range(last).end]
                    .sort_by_key(|&place| self.lengths[place]);
            }
        }
        let rows =
            |range: Range<usize>| places[range].iter().map(|&place| self.rows[place]).collect();
        let mut batches: Vec<Vec<usize>> =
            (0..self.per_epoch).map(|batch| rows(self.range(batch))).collect();
        key.child("batches").stream().shuffle(&mut batches);
        batches
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn batches(rows: usize, window: usize) -> Batches {
        let lengths = (0..rows).map(|row| row * 7 % 13).collect();
        Batches::new((100..100 + rows).collect(), lengths, 8, window, Key::root(1).child("batches"))
    }

    #[test]
    fn an_epoch_reads_every_row_once() {
        for rows in [1, 7, 8, 9, 50, 64] {
            for window in [1, 3, 100] {
                let mut batches = batches(rows, window);
                for epoch in 0..3 {
                    let first = epoch * batches.per_epoch();
                    let numbers = first..first + batches.per_epoch();
                    let all: Vec<Vec<usize>> =
                        numbers.map(|number| batches.batch(number)).collect();
                    let sizes: Vec<usize> = all.iter().map(Vec::len).collect();
                    let spread =
                        sizes.iter().max().unwrap_or(&0) - sizes.iter().min().unwrap_or(&0);
                    assert!(spread <= 1, "{rows} rows, window {window}: sizes {sizes:?}");
                    let mut read = all.concat();
                    read.sort_unstable();
                    assert_eq!(read, (100..100 + rows).collect::<Vec<_>>());
                }
            }
        }
    }

    #[test]
    fn a_batch_depends_on_its_number_alone() {
        let mut forward = batches(50, 3);
        let all: Vec<_> = (0..30).map(|number| forward.batch(number)).collect();
        for number in (0..30).rev() {
            assert_eq!(batches(50, 3).batch(number as u64), all[number]);
        }
        assert_ne!(all[0], all[7], "epochs have their own orders");
    }

    #[test]
    fn rows_of_a_length_are_of_that_length() {
        let (rows, lengths) = ((10..16).collect(), vec![3, 5, 3, 9, 5, 3]);
        let mut batches = Batches::new(rows, lengths, 2, 1, Key::root(1));
        let key = Key::root(2);
        let drawn = batches.of_lengths([9, 8, 0, 40].into_iter(), &key);
        assert_eq!((drawn[0], drawn[1], drawn[3]), (13, 13, 13));
        assert!([10, 12, 15].contains(&drawn[2]));
        // 7 is as far from 5 as from 9.
        assert!(
            batches.of_lengths([7; 9].into_iter(), &key).iter().all(|row| [11, 14].contains(row))
        );
        let mut threes = batches.of_lengths([3; 60].into_iter(), &key);
        threes.sort_unstable();
        threes.dedup();
        assert_eq!(threes, [10, 12, 15], "all of them are drawn");
    }

    #[test]
    fn windows_make_lengths_alike() {
        let spread = |window: usize| -> usize {
            let mut batches = batches(640, window);
            let length = |row: usize| (row - 100) * 7 % 13;
            let spread = |rows: Vec<usize>| {
                let lengths: Vec<usize> = rows.into_iter().map(length).collect();
                lengths.iter().max().unwrap_or(&0) - lengths.iter().min().unwrap_or(&0)
            };
            (0..80).map(|number| spread(batches.batch(number))).sum()
        };
        assert!(spread(10) * 3 < spread(1), "{} {}", spread(10), spread(1));
    }
}
