//! The `xtask` binary.

// The stages allocate and free large buffers all the time; the system's allocator gives pages back
// and faults them in again.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> std::process::ExitCode {
    xtask::main()
}
