//! Long tasks beside each other.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};
use std::thread;

use crate::{Error, Result};

/// Does `task` for each of `items`, several at a time, and gives what came of each, in their order.
///
/// Each task has rayon threads of its own, so that none is held up by the work of another; together
/// they are as many as the pool at hand has. What tasks compute must not depend on that.
///
/// # Errors
/// The error of the first item that has one; later items may not have been begun then.
pub(crate) fn beside<T: Sync, R: Send>(
    items: &[T],
    task: impl Fn(&T) -> Result<R> + Sync,
) -> Result<Vec<R>> {
    let threads = rayon::current_num_threads();
    let workers = threads.min(items.len());
    if workers <= 1 {
        return items.iter().map(task).collect();
    }
    let (next, found) = (AtomicUsize::new(0), Mutex::new(Vec::new()));
    let work = || -> Result<()> {
        let pool = rayon::ThreadPoolBuilder::new()
            .num_threads(threads / workers)
            .build()
            .map_err(|error| Error::Threads { message: error.to_string() })?;
        while let index = next.fetch_add(1, Ordering::Relaxed)
            && let Some(item) = items.get(index)
        {
            let result = pool.install(|| task(item));
            if result.is_err() {
                next.store(items.len(), Ordering::Relaxed);
            }
            found.lock().unwrap_or_else(PoisonError::into_inner).push((index, result));
        }
        Ok(())
    };
    thread::scope(|scope| {
        let workers: Vec<_> = (0..workers).map(|_| scope.spawn(work)).collect();
        workers.into_iter().try_for_each(|worker| match worker.join() {
            Ok(result) => result,
            Err(panic) => std::panic::resume_unwind(panic),
        })
    })?;
    let mut found = found.into_inner().unwrap_or_else(PoisonError::into_inner);
    found.sort_by_key(|(index, _)| *index);
    found.into_iter().map(|(_, result)| result).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pool(threads: usize) -> rayon::ThreadPool {
        rayon::ThreadPoolBuilder::new().num_threads(threads).build().expect("a pool")
    }

    #[test]
    fn results_keep_their_order_and_threads_are_shared() {
        let items: Vec<usize> = (0..20).collect();
        for (threads, each) in [(1, 1), (3, 1), (40, 2)] {
            let found = pool(threads)
                .install(|| beside(&items, |&item| Ok((item, rayon::current_num_threads()))))
                .expect("no errors");
            assert_eq!(found, items.iter().map(|&item| (item, each)).collect::<Vec<_>>());
        }
    }

    #[test]
    fn an_error_ends_it() {
        let begun = AtomicUsize::new(0);
        let items = [0; 1000];
        let fails = |_: &usize| -> Result<()> {
            begun.fetch_add(1, Ordering::Relaxed);
            Err(Error::Interrupted)
        };
        let error = pool(2).install(|| beside(&items, fails)).expect_err("an error");
        assert!(matches!(error, Error::Interrupted) && begun.into_inner() <= 4);
    }
}
