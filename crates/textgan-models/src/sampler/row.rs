use textgan_random::Stream;

use crate::{BOS, EOS};

/// A text while it is being sampled.
pub(super) struct Row {
    pub stream: Stream,
    /// The token to be fed.
    pub next: u32,
    /// The content tokens so far.
    pub tokens: Vec<u32>,
    /// How many more there may be.
    pub left: usize,
    pub state: State,
}

#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum State {
    Open,
    Ended,
    Cut,
    Failed,
}

impl Row {
    /// An empty text of at most `left` content tokens.
    pub fn new(stream: Stream, left: usize) -> Self {
        Self { stream, next: BOS, tokens: Vec::with_capacity(left), left, state: State::Open }
    }

    pub fn is_open(&self) -> bool {
        self.state == State::Open
    }

    /// Goes on with a token, or fails without one. Whether the token became part of the text: in a
    /// full one only the end does.
    pub fn take(&mut self, token: Option<u32>) -> bool {
        self.state = match token {
            None => State::Failed,
            Some(EOS) => State::Ended,
            Some(_) if self.left == 0 => State::Cut,
            Some(token) => {
                self.next = token;
                self.tokens.push(token);
                self.left -= 1;
                State::Open
            }
        };
        matches!(self.state, State::Open | State::Ended)
    }
}
