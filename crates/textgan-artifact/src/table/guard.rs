//! Damaged Parquet, and a library that panics at it.

use parquet::errors::ParquetError;
use std::cell::Cell;
use std::panic::{AssertUnwindSafe, catch_unwind};

thread_local! {
    static GUARDED: Cell<bool> = const { Cell::new(false) };
}

/// Whether this thread is in [`guarded`], where a panic becomes an error: a program's panic hook need not tell of it.
pub fn is_guarded() -> bool {
    GUARDED.get()
}

/// Reads Parquet. The library takes much of what only a damaged file has (columns at negative places, fewer levels than a
/// page says) for a bug of its own and panics; here that is an error like the others.
///
/// # Errors
/// That of `read`, or what it said when it panicked. Whatever it was reading with is to be dropped then.
pub fn guarded<T>(read: impl FnOnce() -> Result<T, ParquetError>) -> Result<T, ParquetError> {
    let before = GUARDED.replace(true);
    let caught = catch_unwind(AssertUnwindSafe(read));
    GUARDED.set(before);
    caught.unwrap_or_else(|panic| {
        let said = panic.downcast_ref::<String>().map(String::as_str);
        let said = said.or_else(|| panic.downcast_ref::<&str>().copied()).unwrap_or("no reason");
        Err(ParquetError::General(format!("the file is damaged ({said})")))
    })
}
