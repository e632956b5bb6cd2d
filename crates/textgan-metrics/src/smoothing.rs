//! What a precision of zero counts as: the smoothing methods of sentence BLEU.

/// NLTK's `SmoothingFunction` with its default parameters, methods 0 to 7 (Chen and Cherry, 2014).
///
/// A method turns the matches and n-grams of one sentence, order by order, into precisions.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Smoothing {
    /// Method 0: none. A precision of zero makes the score all but zero.
    None,
    /// Method 1, the one this field reports: no match counts as 0.1 matches.
    #[default]
    Epsilon,
    /// Method 2: one more match and one more n-gram from order 2 on (Lin and Och, 2004).
    AddOne,
    /// Method 3: the k-th order without a match counts as `1 / 2^k` matches (NIST's mteval).
    Geometric,
    /// Method 4: as method 3, and less the shorter the sentence: `ln(length) / (5 * 2^k)`.
    ///
    /// As in NLTK a sentence of one token is left alone, and its precisions of zero are left out.
    Length,
    /// Method 5: the mean of the precisions one order below (smoothed), here, and one above.
    ///
    /// As in NLTK the order above the last is always 5, whichever the last is.
    Neighbours,
    /// Method 6: from order 3 on, five more n-grams at the precision that the two orders below
    /// let expect (Gao and He, 2013).
    ///
    /// It has no value where no 3-gram (or, of lower orders, no 2-gram) matches.
    Expected,
    /// Method 7: method 4, then method 5.
    LengthNeighbours,
}

/// What the score of one sentence is made of.
#[derive(Clone, Copy)]
pub(crate) struct Counts<'a> {
    /// Matches of each order, clipped by the references.
    pub matches: &'a [u32],
    /// Tokens of the sentence.
    pub length: usize,
    /// Tokens of the closest reference.
    pub closest: usize,
}

/// The order that methods 5 and 7 look at after the last.
const ABOVE: usize = 5;
const EPSILON: f64 = 0.1;
const ALPHA: f64 = 5.0;
const K: f64 = 5.0;

impl Smoothing {
    /// All methods; each stands at the place of its number in NLTK.
    pub const ALL: [Self; 8] = [
        Self::None,
        Self::Epsilon,
        Self::AddOne,
        Self::Geometric,
        Self::Length,
        Self::Neighbours,
        Self::Expected,
        Self::LengthNeighbours,
    ];

    /// The method's number in NLTK.
    pub fn number(self) -> usize {
        self as usize
    }

    /// How many orders must be counted for scores up to `max_n`.
    pub(crate) fn orders(self, max_n: usize) -> usize {
        if self.looks_above() { max_n.max(ABOVE) } else { max_n }
    }

    /// Whether the precision of an order depends on which order is the last.
    pub(crate) fn looks_above(self) -> bool {
        matches!(self, Self::Neighbours | Self::LengthNeighbours)
    }

    /// The precisions of a sentence with a word in common with its references, as many as
    /// `precisions` has room for; whether they have a value.
    pub(crate) fn smooth(self, counts: Counts<'_>, precisions: &mut [f64]) -> bool {
        let mut without = 0;
        for (i, precision) in precisions.iter_mut().enumerate() {
            let (matched, possible) = (f64::from(counts.matches[i]), counts.possible(i));
            *precision = matched / possible;
            if self == Self::AddOne && i > 0 {
                *precision = (matched + 1.0) / (possible + 1.0);
            }
            if matched > 0.0 {
                continue;
            }
            without += 1;
            let half = 0.5_f64.powi(without);
            match self {
                Self::None => *precision = f64::MIN_POSITIVE,
                Self::Epsilon => *precision = EPSILON / possible,
                Self::Geometric => *precision = half / possible,
                Self::Length | Self::LengthNeighbours if counts.length > 1 => {
                    *precision = half * (counts.length as f64).ln() / K / possible;
                }
                Self::Expected if i < 3 => return false,
                _ => {}
            }
        }
        match self {
            Self::Neighbours | Self::LengthNeighbours => {
                let above = f64::from(counts.matches[ABOVE - 1]) / counts.possible(ABOVE - 1);
                let mut below = precisions[0] + 1.0;
                for i in 0..precisions.len() {
                    let next = precisions.get(i + 1).copied().unwrap_or(above);
                    below = (below + precisions[i] + next) / 3.0;
                    precisions[i] = below;
                }
            }
            Self::Expected => {
                for i in 2..precisions.len() {
                    let prior = precisions[i - 1].powi(2) / precisions[i - 2];
                    let grams = counts.length.saturating_sub(i) as f64;
                    precisions[i] =
                        (f64::from(counts.matches[i]) + ALPHA * prior) / (grams + ALPHA);
                }
            }
            _ => {}
        }
        true
    }
}

impl Counts<'_> {
    /// N-grams of order `i + 1`; one where the sentence is too short to have any.
    fn possible(&self, i: usize) -> f64 {
        self.length.saturating_sub(i).max(1) as f64
    }

    /// The factor by which a sentence shorter than its closest reference loses.
    pub fn brevity(&self) -> f64 {
        if self.length > self.closest {
            1.0
        } else {
            (1.0 - self.closest as f64 / self.length as f64).exp()
        }
    }
}
