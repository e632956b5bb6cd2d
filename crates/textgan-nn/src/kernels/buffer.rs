use std::ops::{Deref, DerefMut};
use std::sync::{Mutex, PoisonError};

/// What no step needs at the moment. A step makes buffers of the same sizes as the one before;
/// fresh memory for each would be zeroed by the system, page by page, every time.
static IDLE: Mutex<Vec<Vec<f32>>> = Mutex::new(Vec::new());

/// More buffers than this are not kept.
const KEPT: usize = 256;

/// Numbers to work in, which go back to a common store when they are dropped.
///
/// They begin with whatever was there before: a kernel writes all that it will read.
#[derive(Debug)]
pub(crate) struct Buffer(Vec<f32>);

impl Buffer {
    /// A buffer of this length, of arbitrary numbers.
    pub(crate) fn new(len: usize) -> Self {
        let mut idle = IDLE.lock().unwrap_or_else(PoisonError::into_inner);
        let fitting = |buffer: &&(usize, usize)| buffer.1 >= len && buffer.1 / 2 <= len;
        let sizes = idle.iter().map(Vec::capacity).enumerate().collect::<Vec<_>>();
        let best = sizes.iter().filter(fitting).min_by_key(|(_, size)| *size);
        let mut numbers = best.map(|&(i, _)| idle.swap_remove(i)).unwrap_or_default();
        drop(idle);
        numbers.resize(len, 0.0);
        Self(numbers)
    }
}

impl Drop for Buffer {
    fn drop(&mut self) {
        let mut idle = IDLE.lock().unwrap_or_else(PoisonError::into_inner);
        if idle.len() < KEPT {
            idle.push(std::mem::take(&mut self.0));
        }
    }
}

impl Deref for Buffer {
    type Target = [f32];

    fn deref(&self) -> &[f32] {
        &self.0
    }
}

impl DerefMut for Buffer {
    fn deref_mut(&mut self) -> &mut [f32] {
        &mut self.0
    }
}
