//! `bench`: a table of timed rows.

use anyhow::Result;

use crate::args::Bench;
use crate::bench::{self, Row};
use crate::exit::Refusal;

pub fn run(args: Bench) -> Result<()> {
    let filter = args.filter.as_deref();
    // Rows that take minutes run only when they are asked for.
    let chosen: Vec<&Row> = bench::ROWS
        .iter()
        .filter(|row| filter.map_or(!row.slow, |filter| row.name.contains(filter)))
        .collect();
    if chosen.is_empty() {
        let names: Vec<_> = bench::ROWS.iter().map(|row| row.name).collect();
        return Err(Refusal::new(format!("no such row; they are {}", names.join(", "))).into());
    }
    if !args.json {
        println!("{:24} {:>14}  {:10} what", "row", "median", "bar");
    }
    for row in chosen {
        let value = (row.measure)()?;
        if args.json {
            let line = serde_json::json!({
                "row": row.name, "value": value, "unit": row.unit, "bar": row.bar, "what": row.what,
                "threads": rayon::current_num_threads(),
            });
            println!("{line}");
        } else {
            let value = format!("{value:.3} {}", row.unit);
            println!("{:24} {value:>14}  {:10} {}", row.name, row.bar, row.what);
        }
    }
    Ok(())
}
