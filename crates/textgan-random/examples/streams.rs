//! Draws by name: the same name gives the same draw, whatever else was drawn.
//!
//! `cargo run -p textgan-random --example streams`

use textgan_random::Key;

fn main() {
    let experiment = Key::root(42);
    for step in 0..3 {
        let mut noise = experiment.child("noise").index(step).stream();
        println!("step {step}: {:+.4} {:+.4}", noise.normal(), noise.normal());
    }

    // Step 1 again, alone, and from its second draw on.
    let mut noise = experiment.child("noise").index(1).stream();
    let _ = noise.normal();
    println!("step 1, second draw: {:+.4}", noise.normal());
}
