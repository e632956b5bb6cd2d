use rayon::ThreadPoolBuilder;

/// Stack of a thread that works on graphs: how deep a backward pass goes is the graph's business. It is address space
/// until it is used.
pub const STACK: usize = 16 << 20;

/// Does `work` on a thread that its operations are shared out from, with as many others as rayon has.
///
/// An operation that is called from a thread outside rayon's is handed over to them each time, and waited for, which takes
/// longer than a small one: on two threads a training of a small LSTM takes a fifth less time here. The threads are the
/// work's own, so that several works of a process never wait for each other; called on a thread of a rayon pool, it works
/// with that pool.
pub fn in_threads<T: Send>(work: impl FnOnce() -> T + Send) -> T {
    if rayon::current_thread_index().is_some() {
        return work();
    }
    let threads = rayon::current_num_threads();
    match ThreadPoolBuilder::new().num_threads(threads).stack_size(STACK).build() {
        Ok(pool) => pool.install(work),
        // Slower, and the same.
        Err(_) => work(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn work_is_on_a_thread_of_its_pool() {
        let (inside, threads) = in_threads(|| {
            let nested = in_threads(rayon::current_thread_index);
            assert_eq!(nested, rayon::current_thread_index(), "no pool within a pool");
            (rayon::current_thread_index().is_some(), rayon::current_num_threads())
        });
        assert!(inside);
        assert_eq!(threads, rayon::current_num_threads());
    }
}
