use candle_core::Tensor;

use crate::{BOS, EOS, Error, PAD, Result};

/// A batch of token sequences as a generator predicts them and a discriminator reads them.
///
/// Row `i` holds the content tokens and then [`EOS`]; [`PAD`] fills it up to the longest row. A
/// sequence that was cut at the maximum length has no `EOS`.
///
/// ```
/// use textgan_models::{BOS, EOS, PAD, Sequences};
///
/// let batch = Sequences::from_rows(&[&[7, 8], &[9]], None, 16)?;
/// assert_eq!((batch.batch(), batch.time()), (2, 3));
/// assert_eq!(batch.targets(), [7, 8, EOS, 9, EOS, PAD]);
/// assert_eq!(batch.inputs(), [BOS, 7, 8, BOS, 9, EOS]);
/// assert_eq!(batch.weights(), [1., 1., 1., 1., 1., 0.]);
/// assert_eq!(batch.row(1), [9]);
/// # Ok::<(), textgan_models::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sequences {
    targets: Vec<u32>,
    lengths: Vec<usize>,
    batch: usize,
    time: usize,
    labels: Option<Vec<u32>>,
    /// What is read in place of the targets one position later.
    read: Option<Vec<u32>>,
}

impl Sequences {
    /// A batch of whole texts: content tokens only, `EOS` is appended here. A row longer than
    /// `max_length` content tokens is cut there and gets no `EOS`.
    ///
    /// # Errors
    /// When there are no rows, or not one label a row.
    pub fn from_rows(rows: &[&[u32]], labels: Option<&[u32]>, max_length: usize) -> Result<Self> {
        let cut: Vec<(&[u32], bool)> = rows
            .iter()
            .map(|row| (&row[..row.len().min(max_length)], row.len() <= max_length))
            .collect();
        Self::assemble(&cut, labels)
    }

    /// A batch of sampled texts: content tokens, and whether the row was ended by `EOS` (or cut).
    ///
    /// # Errors
    /// When there are no rows, not one flag or label a row, or a row without any token.
    pub fn from_samples<R: AsRef<[u32]>>(
        rows: &[R],
        ended: &[bool],
        labels: Option<&[u32]>,
    ) -> Result<Self> {
        if rows.len() != ended.len() {
            let message = format!("{} flags for {} rows", ended.len(), rows.len());
            return Err(Error::argument("ended", message));
        }
        let rows: Vec<(&[u32], bool)> =
            rows.iter().map(AsRef::as_ref).zip(ended.iter().copied()).collect();
        Self::assemble(&rows, labels)
    }

    fn assemble(rows: &[(&[u32], bool)], labels: Option<&[u32]>) -> Result<Self> {
        if let Some(labels) = labels
            && labels.len() != rows.len()
        {
            let message = format!("{} labels for {} rows", labels.len(), rows.len());
            return Err(Error::argument("labels", message));
        }
        let lengths: Vec<usize> =
            rows.iter().map(|(content, ended)| content.len() + usize::from(*ended)).collect();
        if let Some(row) = lengths.iter().position(|&length| length == 0) {
            return Err(Error::argument("rows", format!("row {row} has no token")));
        }
        let Some(&time) = lengths.iter().max() else {
            return Err(Error::argument("rows", "a batch needs at least one row"));
        };
        let mut targets = vec![PAD; rows.len() * time];
        for ((content, ended), target) in rows.iter().zip(targets.chunks_exact_mut(time)) {
            target[..content.len()].copy_from_slice(content);
            if *ended {
                target[content.len()] = EOS;
            }
        }
        let labels = labels.map(<[_]>::to_vec);
        Ok(Self { targets, lengths, batch: rows.len(), time, labels, read: None })
    }

    /// The same texts to predict, of which a generator reads `inputs` instead, `[batch, time]`: words that it
    /// might have written itself (scheduled sampling).
    ///
    /// # Errors
    /// When there is not one input a target.
    pub fn reading(&self, inputs: Vec<u32>) -> Result<Self> {
        if inputs.len() != self.targets.len() {
            let message = format!("{} for {} targets", inputs.len(), self.targets.len());
            return Err(Error::argument("inputs", message));
        }
        Ok(Self { read: Some(inputs), ..self.clone() })
    }

    /// What a generator has to predict, `[batch, time]`.
    pub fn targets(&self) -> &[u32] {
        &self.targets
    }

    /// Tokens of each row, `EOS` included, padding not.
    pub fn lengths(&self) -> &[usize] {
        &self.lengths
    }

    /// The number of rows.
    pub fn batch(&self) -> usize {
        self.batch
    }

    /// The longest length.
    pub fn time(&self) -> usize {
        self.time
    }

    /// One label a row, when there are labels.
    pub fn labels(&self) -> Option<&[u32]> {
        self.labels.as_deref()
    }

    /// What a generator reads: the targets one position later, after [`BOS`]: `[batch, time]`. Unless it is told to
    /// [read](Self::reading) others.
    pub fn inputs(&self) -> Vec<u32> {
        if let Some(read) = &self.read {
            return read.clone();
        }
        let mut inputs = Vec::with_capacity(self.targets.len());
        for targets in self.targets.chunks_exact(self.time) {
            inputs.push(BOS);
            inputs.extend_from_slice(&targets[..self.time - 1]);
        }
        inputs
    }

    /// [`inputs`](Self::inputs) without the padding, one text after the other: `[tokens]`.
    pub fn packed_inputs(&self) -> Vec<u32> {
        self.packed(&self.inputs())
    }

    /// [`targets`](Self::targets) without the padding, one text after the other: `[tokens]`.
    pub fn packed_targets(&self) -> Vec<u32> {
        self.packed(&self.targets)
    }

    fn packed(&self, padded: &[u32]) -> Vec<u32> {
        let rows = padded.chunks_exact(self.time).zip(&self.lengths);
        rows.flat_map(|(row, &length)| &row[..length]).copied().collect()
    }

    /// Rows of texts without padding, `[tokens, width]`, in their places: `[batch, time, width]`,
    /// zeros elsewhere.
    ///
    /// # Errors
    /// When there is not one row a token.
    pub fn pad(&self, packed: &Tensor) -> Result<Tensor> {
        let (tokens, width) = packed.dims2()?;
        if tokens != self.tokens() {
            let message = format!("{tokens} rows for {} tokens", self.tokens());
            return Err(Error::argument("packed", message));
        }
        let shape = (self.batch, self.time, width);
        if tokens == self.batch * self.time {
            return Ok(packed.reshape(shape)?);
        }
        let time = self.time;
        let place = |(row, &length): (usize, &usize)| {
            (row * time..row * time + length).map(|place| place as u32)
        };
        let places = self.lengths.iter().enumerate().flat_map(place);
        let places = Tensor::from_iter(places, packed.device())?;
        let zeros = Tensor::zeros((self.batch * time, width), packed.dtype(), packed.device())?;
        Ok(zeros.index_add(&places, packed, 0)?.reshape(shape)?)
    }

    /// 1 where `targets` holds a token, 0 where it is padding: `[batch, time]`.
    pub fn weights(&self) -> Vec<f32> {
        let mut weights = vec![0.0; self.targets.len()];
        for (row, &length) in weights.chunks_exact_mut(self.time).zip(&self.lengths) {
            row[..length].fill(1.0);
        }
        weights
    }

    /// The number of tokens, padding not counted.
    pub fn tokens(&self) -> usize {
        self.lengths.iter().sum()
    }

    /// The content of row `index`, without `EOS`.
    ///
    /// # Panics
    /// If there is no such row.
    pub fn row(&self, index: usize) -> &[u32] {
        let row = &self.targets[index * self.time..][..self.lengths[index]];
        row.strip_suffix(&[EOS]).unwrap_or(row)
    }

    /// The rows `indices`, in that order, padded to their own longest.
    ///
    /// # Errors
    /// When `indices` is empty.
    ///
    /// # Panics
    /// If there is no such row.
    pub fn select(&self, indices: &[usize]) -> Result<Self> {
        let rows: Vec<(&[u32], bool)> = indices
            .iter()
            .map(|&index| {
                let content = self.row(index);
                (content, content.len() < self.lengths[index])
            })
            .collect();
        let labels: Option<Vec<u32>> =
            self.labels.as_ref().map(|labels| indices.iter().map(|&i| labels[i]).collect());
        let mut chosen = Self::assemble(&rows, labels.as_deref())?;
        if let Some(read) = &self.read {
            let row = |&index: &usize| &read[index * self.time..][..chosen.time];
            chosen.read = Some(indices.iter().flat_map(row).copied().collect());
        }
        Ok(chosen)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_row_is_cut_and_has_no_end() -> Result<()> {
        let batch = Sequences::from_rows(&[&[4, 5, 6], &[7, 8], &[]], Some(&[0, 1, 1]), 2)?;
        assert_eq!(batch.targets(), [4, 5, PAD, 7, 8, EOS, EOS, PAD, PAD]);
        assert_eq!(batch.lengths(), [2, 3, 1]);
        assert_eq!([batch.row(0), batch.row(1), batch.row(2)], [&[4, 5][..], &[7, 8], &[]]);
        assert_eq!(batch.tokens(), 6);
        let part = batch.select(&[2, 0])?;
        assert_eq!(part.targets(), [EOS, PAD, 4, 5]);
        assert_eq!(part.labels(), Some(&[1, 0][..]));
        Ok(())
    }

    #[test]
    fn samples_and_texts_make_the_same_batch() -> Result<()> {
        let rows: [&[u32]; 2] = [&[4, 5], &[6]];
        let samples = Sequences::from_samples(&rows, &[true, true], None)?;
        assert_eq!(samples, Sequences::from_rows(&rows, None, 9)?);
        Ok(())
    }

    #[test]
    fn nonsense_is_refused() {
        assert!(Sequences::from_rows(&[], None, 3).is_err());
        assert!(Sequences::from_rows(&[&[4]], Some(&[]), 3).is_err());
        assert!(Sequences::from_samples(&[[]], &[false], None).is_err());
        assert!(Sequences::from_samples(&[[4]], &[], None).is_err());
    }
}
