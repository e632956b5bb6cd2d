/// The order in which a recurrent layer reads a sequence.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Direction {
    /// From the first token to the last.
    Forward,
    /// From the last token to the first.
    Reverse,
}

/// How the rows of a shard are visited, position by position.
///
/// Rows are kept longest first, so those that have a token at a position are always the first few
/// and no work is done on padding. Active rows are numbered through all visits: number
/// `visit.first + r` belongs to row `order[r]` at position `visit.time`.
#[derive(Debug)]
pub(crate) struct Walk {
    /// The rows, longest first.
    pub(crate) order: Vec<usize>,
    /// One a position, in the direction of the walk.
    pub(crate) visits: Vec<Visit>,
}

/// One position of a [`Walk`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Visit {
    pub(crate) time: usize,
    /// How many rows have a token here.
    pub(crate) active: usize,
    /// How many active rows were visited before.
    pub(crate) first: usize,
}

impl Walk {
    pub(crate) fn new(lengths: &[usize], time: usize, direction: Direction) -> Self {
        let mut order: Vec<usize> = (0..lengths.len()).collect();
        order.sort_by_key(|&row| std::cmp::Reverse(lengths[row]));
        let mut first = 0;
        let mut visit = |time| {
            let active = order.partition_point(|&row| lengths[row] > time);
            first += active;
            Visit { time, active, first: first - active }
        };
        let visits = match direction {
            Direction::Forward => (0..time).map(&mut visit).collect(),
            Direction::Reverse => (0..time).rev().map(&mut visit).collect(),
        };
        Self { order, visits }
    }

    /// How many rows are active in all visits together: the sum of the lengths.
    pub(crate) fn total(&self) -> usize {
        self.visits.iter().map(|visit| visit.active).sum()
    }

    /// Number, row and position of every active row.
    pub(crate) fn places(&self) -> impl Iterator<Item = (usize, usize, usize)> {
        self.visits.iter().flat_map(|visit| {
            let rows = self.order[..visit.active].iter().enumerate();
            rows.map(|(r, &row)| (visit.first + r, row, visit.time))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn longest_rows_come_first_and_padding_is_not_visited() {
        let walk = Walk::new(&[1, 3, 0, 3], 4, Direction::Forward);
        assert_eq!(walk.order, [1, 3, 0, 2]);
        let active: Vec<usize> = walk.visits.iter().map(|visit| visit.active).collect();
        assert_eq!(active, [3, 2, 2, 0]);
        assert_eq!(walk.total(), 7);
        let places: Vec<_> = walk.places().collect();
        assert_eq!(places[..4], [(0, 1, 0), (1, 3, 0), (2, 0, 0), (3, 1, 1)]);

        let walk = Walk::new(&[1, 2], 2, Direction::Reverse);
        let places: Vec<_> = walk.places().collect();
        assert_eq!(places, [(0, 1, 1), (1, 1, 0), (2, 0, 0)]);
    }
}
