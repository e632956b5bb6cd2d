//! `bench`: a table of what is timed, and of ours beside PyTorch.

use anyhow::Result;
use serde_json::json;
use std::path::Path;

use crate::args::Bench;
use crate::bench::duel::{self, DUELS, Duel, Needs, Peers};
use crate::bench::{self, Row, captions};
use crate::exit::{Failed, Refusal};

pub fn run(args: Bench) -> Result<()> {
    let needs = Needs { encoder: args.encoder.as_deref() };
    if let Some(work) = &args.serve {
        return duel::serve(work, needs);
    }
    let only = args.only.as_deref();
    let chosen = |name: &str, slow: bool| only.map_or(!slow, |only| name.contains(only));
    let rows: Vec<&Row> = bench::ROWS.iter().filter(|row| chosen(row.name, row.slow)).collect();
    let duels: Vec<&Duel> = DUELS.iter().filter(|duel| chosen(duel.name, false)).collect();
    if rows.is_empty() && duels.is_empty() {
        let names = bench::ROWS.iter().map(|row| row.name);
        let names: Vec<_> = names.chain(DUELS.iter().map(|duel| duel.name)).collect();
        return Err(Refusal::new(format!("no such row; they are {}", names.join(", "))).into());
    }
    let mut over = values(&rows, args.json)?;
    let beside = rows.iter().any(|row| row.name == captions::SELF_BLEU.name);
    if args.peer && only.is_some() && beside {
        over += self_bleu(&args.python, args.json)?;
    }
    let textgan_pytorch = args.textgan_pytorch.as_deref();
    let peers = args.peer.then_some(Peers { python: &args.python, textgan_pytorch });
    over += comparisons(&duels, peers, needs, args.json)?;
    match over {
        0 => Ok(()),
        _ => {
            eprintln!("{over} of {} rows are over their bars", rows.len() + duels.len());
            Err(Failed.into())
        }
    }
}

/// Rows of one value; returns how many are over their bars.
fn values(rows: &[&Row], json: bool) -> Result<usize> {
    let mut over = 0;
    if !json && !rows.is_empty() {
        println!("{:24} {:>14} {:>8}  what", "row", "median", "at most");
    }
    for row in rows {
        let value = (row.measure)()?;
        over += usize::from(row.bar.is_some_and(|bar| value > bar));
        if json {
            let line = json!({
                "name": row.name, "value": value, "unit": row.unit, "bar": row.bar,
            });
            println!("{line}");
        } else {
            let bar = row.bar.map_or(String::new(), |bar| bar.to_string());
            let value = format!("{value:.3} {}", row.unit);
            println!("{:24} {value:>14} {bar:>8}  {}", row.name, row.what);
        }
    }
    Ok(over)
}

/// Our Self-BLEU beside other programs'; returns how many ratios are over their bars.
fn self_bleu(python: &Path, json: bool) -> Result<usize> {
    let (ours, peers) = captions::beside_peers(python)?;
    let mut over = 0;
    for peer in &peers {
        let (ratio, bar) = (ours / peer.seconds, peer.bar());
        over += usize::from(ratio > bar);
        if json {
            let line = json!({
                "name": captions::SELF_BLEU.name, "ours_s": ours, "peer_s": peer.seconds,
                "ratio": ratio, "bar": bar, "peer": peer.name, "timed": peer.timed,
            });
            println!("{line}");
        } else {
            println!(
                "  ours {ours:.3} s, {} {:.1} s ({} captions timed): ratio {ratio:.6}, at most {bar}",
                peer.name, peer.seconds, peer.timed
            );
        }
    }
    Ok(over)
}

/// Ours beside the peer's fastest; returns how many are over their bars.
fn comparisons(
    duels: &[&Duel],
    peers: Option<Peers<'_>>,
    needs: Needs<'_>,
    json: bool,
) -> Result<usize> {
    let mut over = 0;
    if duels.is_empty() {
        return Ok(over);
    }
    if !json {
        println!(
            "\n{} threads, {}; medians of calls in alternating rounds",
            rayon::current_num_threads(),
            textgan_nn::kernels::InstructionSet::current().name()
        );
        println!(
            "{:34} {:>9} {:>9} {:>6} {:>7} {:>8} {:>8}  what; the peer's fastest",
            "row", "ours, ms", "peer, ms", "ratio", "at most", "ours, MB", "peer, MB"
        );
    }
    for duel in duels {
        let peak = bench::operations(duel.name).map(|operations| (operations, duel::peak_rate()));
        let Some(outcome) = duel.fight(peers, needs)? else { continue };
        let peer = outcome.peer.as_ref();
        let ratio = peer.map(|peer| outcome.ours_ms / peer.ms);
        over += usize::from(ratio.is_some_and(|ratio| ratio > duel.bar));
        // What the products alone would take at the rate of the best one.
        let least_ms = peak.map(|(operations, peak)| operations / peak / 1e6);
        let share = least_ms.map(|least| least / outcome.ours_ms);
        let least = least_ms.zip(peer).map(|(least, peer)| least / peer.ms);
        if json {
            let line = json!({
                "name": duel.name, "ours_ms": outcome.ours_ms, "peer_ms": peer.map(|peer| peer.ms),
                "ratio": ratio, "bar": duel.bar, "peer": peer.map(|peer| &peer.name),
                "ours_mb": outcome.ours_mb, "peer_mb": peer.map(|peer| peer.mb),
                "share_of_peak": share, "least_ratio": least,
            });
            println!("{line}");
            continue;
        }
        let number = |value: Option<f64>, digits: usize| {
            value.map_or("-".to_owned(), |value| format!("{value:.digits$}"))
        };
        println!(
            "{:34} {:>9.2} {:>9} {:>6} {:>7.2} {:>8.0} {:>8}  {}{}{}",
            duel.name,
            outcome.ours_ms,
            number(peer.map(|peer| peer.ms), 2),
            number(ratio, 3),
            duel.bar,
            outcome.ours_mb,
            number(peer.map(|peer| peer.mb), 0),
            duel.what,
            share.map_or(String::new(), |share| format!("; {:.0} % of the peak", 100.0 * share))
                + &least.map_or(String::new(), |least| format!(" (at the peak {least:.2})")),
            peer.map_or(String::new(), |peer| format!("; {}", peer.name)),
        );
    }
    Ok(over)
}
