use textgan_random::Key;

use super::pick::{self, Choice, Room};
use super::row::{Row, State};
use super::{Conditions, Prefix, Reader, Sampler, SamplingOptions};
use crate::special::SPECIALS;
use crate::{Error, Result, Sequences, UNK};

/// Sampled texts.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Samples {
    /// The content tokens of each row, the prompt included, `EOS` not.
    pub tokens: Vec<Vec<u32>>,
    /// Whether a row ended by itself; otherwise it was cut at the maximum length.
    pub ended: Vec<bool>,
    /// The log-probability (nats) of each content token, and of `EOS` where the row ended, under
    /// the generator's own distribution: temperature 1, nothing refused or cut. It is what
    /// [`token_log_probs`](crate::token_log_probs) gives for the same sequence.
    pub log_probs: Vec<Vec<f32>>,
}

impl Samples {
    /// The batch of these rows, as a generator scores it and a discriminator reads it.
    ///
    /// # Errors
    /// When there are no rows or not one label a row.
    pub fn sequences(&self, labels: Option<&[u32]>) -> Result<Sequences> {
        Sequences::from_samples(&self.tokens, &self.ended, labels)
    }

    /// The log-probability (nats) of the whole of row `index`.
    ///
    /// # Panics
    /// If there is no such row.
    pub fn log_prob(&self, index: usize) -> f32 {
        self.log_probs[index].iter().map(|&p| f64::from(p)).sum::<f64>() as f32
    }
}

/// Samples one text a row, each beginning with `prompt` (content tokens; may be empty).
///
/// Row `r` draws from `key.index(first_row + r)`: the same text whatever batch it is sampled in.
/// [`PAD`](crate::PAD) and [`BOS`](crate::BOS) are never chosen. A row that has `max_length` tokens may still end there
/// with `EOS`, as a real text of that length does; if it does not, it is cut.
///
/// # Errors
/// When sizes, prompt or options do not fit, or when the logits are not finite.
pub fn sample(
    sampler: &mut dyn Sampler,
    conditions: &Conditions<'_>,
    prompt: &[u32],
    options: &SamplingOptions,
    key: &Key,
    first_row: u64,
) -> Result<Samples> {
    let vocab = sampler.vocab_size();
    let max_length = options.max_length.unwrap_or(usize::MAX).min(sampler.max_length());
    check_prompt(prompt, vocab, max_length)?;
    let forced = |_, time: usize| prompt.get(time).copied();
    write(sampler, conditions, &|_| max_length, &forced, options, key, first_row)
}

/// Writes anew what is `blank` in `texts`, `[batch, time]`; what is not stays. Words are filled in from the left: each
/// knows what stands before it, not what stands after.
///
/// No row grows longer. It ends where it did, or where an end is filled in. One whose end is blank and filled in with anything else is
/// cut there. With everything blank, and as much room, it is [`sample`].
///
/// # Errors
/// As [`sample`], and when there is not one flag a place.
pub fn infill(
    sampler: &mut dyn Sampler,
    conditions: &Conditions<'_>,
    texts: &Sequences,
    blank: &[bool],
    options: &SamplingOptions,
    key: &Key,
    first_row: u64,
) -> Result<Samples> {
    let time = texts.time();
    let max_length = options.max_length.unwrap_or(usize::MAX).min(sampler.max_length());
    if blank.len() != texts.targets().len() {
        let message = format!("{} for {} places", blank.len(), texts.targets().len());
        return Err(Error::argument("blank", message));
    }
    if texts.batch() != conditions.rows {
        let message = format!("{} for {} rows", texts.batch(), conditions.rows);
        return Err(Error::argument("texts", message));
    }
    for row in 0..texts.batch() {
        check_prompt(texts.row(row), sampler.vocab_size(), max_length)?;
    }
    let room = |row: usize| texts.row(row).len();
    let forced = |row: usize, place: usize| match place < texts.lengths()[row] {
        true => (!blank[row * time + place]).then_some(texts.targets()[row * time + place]),
        // Where a text that was cut has no place any more: it is cut again.
        false => Some(UNK),
    };
    write(sampler, conditions, &room, &forced, options, key, first_row)
}

/// Samples one text a row, of `room` content tokens at most, with a token that is `forced` by row and place where
/// there is one.
fn write(
    sampler: &mut dyn Sampler,
    conditions: &Conditions<'_>,
    room: &dyn Fn(usize) -> usize,
    forced: &(dyn Fn(usize, usize) -> Option<u32> + Sync),
    options: &SamplingOptions,
    key: &Key,
    first_row: u64,
) -> Result<Samples> {
    options.validate()?;
    let vocab = sampler.vocab_size();
    sampler.begin(conditions)?;

    let mut rows: Vec<SampledRow> = (first_row..)
        .take(conditions.rows)
        .enumerate()
        .map(|(index, number)| SampledRow {
            index,
            row: Row::new(key.index(number).stream(), room(index)),
            room: Room::new(vocab),
            log_probs: Vec::with_capacity(room(index) + 1),
        })
        .collect();
    let mut finished = Vec::with_capacity(rows.len());
    let mut tokens: Vec<u32> = Vec::with_capacity(rows.len());

    for time in 0.. {
        tokens.clear();
        tokens.extend(rows.iter().map(|sampled| sampled.row.next));
        let mut readers: Vec<Reader<'_>> = Vec::with_capacity(rows.len());
        for sampled in &mut rows {
            let forced = forced(sampled.index, time);
            readers.push(Box::new(move |logits| sampled.advance(logits, forced, options)));
        }
        sampler.step_each(&tokens, &mut readers)?;
        drop(readers);
        if let Some(failed) = rows.iter().find(|sampled| sampled.row.state == State::Failed) {
            let message = format!("row {}, token {time}: not finite", failed.index);
            return Err(Error::argument("logits", message));
        }
        let open = rows.iter().filter(|sampled| sampled.row.is_open()).count();
        if open == 0 {
            break;
        }
        if open < rows.len() {
            // The last of those that go on take the places of those that ended.
            let mut last = rows.len();
            let mut prefixes = Vec::with_capacity(open);
            for place in 0..open {
                let mut row = place;
                if !rows[place].row.is_open() {
                    last = (open..last).rfind(|&row| rows[row].row.is_open()).unwrap_or(place);
                    row = last;
                }
                prefixes.push(Prefix { row, tokens: time + 1 });
            }
            for (place, prefix) in prefixes.iter().enumerate() {
                rows.swap(place, prefix.row);
            }
            finished.extend(rows.drain(open..));
            sampler.fork(&prefixes)?;
        }
    }
    finished.append(&mut rows);
    finished.sort_unstable_by_key(|sampled| sampled.index);
    let mut samples = Samples::default();
    for SampledRow { row, log_probs, .. } in finished {
        samples.ended.push(row.state == State::Ended);
        samples.tokens.push(row.tokens);
        samples.log_probs.push(log_probs);
    }
    Ok(samples)
}

fn check_prompt(prompt: &[u32], vocab: usize, max_length: usize) -> Result<()> {
    if prompt.len() > max_length {
        let message = format!("{} tokens, and a text has at most {max_length}", prompt.len());
        return Err(Error::argument("prompt", message));
    }
    let content = |id: u32| id == UNK || (SPECIALS..vocab as u32).contains(&id);
    match prompt.iter().find(|&&id| !content(id)) {
        Some(id) => {
            let message = format!("{id} is not a content token of a vocabulary of {vocab}");
            Err(Error::argument("prompt", message))
        }
        None => Ok(()),
    }
}

struct SampledRow {
    /// Its place in the result.
    index: usize,
    row: Row,
    room: Room,
    log_probs: Vec<f32>,
}

impl SampledRow {
    /// Takes the next token: the one that is `forced`, or a chosen one.
    fn advance(&mut self, logits: &[f32], forced: Option<u32>, options: &SamplingOptions) {
        let Self { row, room, log_probs, .. } = self;
        if !row.is_open() {
            return;
        }
        let choice = match forced {
            Some(token) => Some(Choice::forced(token)),
            None => pick::choose(logits, options, &mut row.stream, room),
        };
        let log_prob = choice.and_then(|choice| choice.log_prob(logits, room));
        if row.take(log_prob.and(choice).map(|choice| choice.token)) {
            log_probs.extend(log_prob);
        }
    }
}
