use textgan_random::Key;

/// Whether a forward pass belongs to training, and if so, which random stream its dropout has.
///
/// ```
/// use textgan_nn::Mode;
/// use textgan_random::Key;
///
/// let step = Key::root(1).child("dropout").index(17);
/// assert_eq!(Mode::Train(&step).key("layers.0"), Some(step.child("layers.0")));
/// assert_eq!(Mode::Evaluate.key("layers.0"), None);
/// ```
#[derive(Clone, Copy, Debug)]
pub enum Mode<'a> {
    /// No dropout.
    Evaluate,
    /// Dropout, drawn from the children of this key. Use another key for each step.
    Train(&'a Key),
}

impl Mode<'_> {
    /// The key that the layer `name` draws from, in training.
    pub fn key(self, name: &str) -> Option<Key> {
        match self {
            Self::Evaluate => None,
            Self::Train(key) => Some(key.child(name)),
        }
    }
}
