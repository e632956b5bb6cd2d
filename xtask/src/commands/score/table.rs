//! The scores as a table for people, on stderr.

use super::audit::Audit;
use super::{BLEU, COUNTED, Numbered, Scores};

/// Prints all scores, beside what the references have where they have it.
pub fn print(
    scores: &Scores,
    samples: &Numbered<'_>,
    references: &Numbered<'_>,
    train: Option<&Numbered<'_>>,
) {
    let (real, own) = (&scores.references.variety, &scores.variety);
    eprintln!(
        "{} samples of {}, {} references of {}; words as they stand between spaces",
        samples.tokens.len(),
        samples.texts.path().display(),
        references.tokens.len(),
        references.texts.path().display()
    );
    eprintln!("{:24} {:>10} {:>11}", "measure", "samples", "references");
    let reals = scores.references.self_bleu.as_deref();
    for (i, n) in BLEU.into_iter().enumerate() {
        line(&format!("bleu-{n}"), scores.bleu[i], None);
    }
    for (i, n) in BLEU.into_iter().enumerate() {
        line(&format!("self-bleu-{n}"), scores.self_bleu[i], reals.map(|real| real[i]));
    }
    line("corpus-bleu-4", scores.corpus_bleu, None);
    for (i, n) in BLEU.into_iter().enumerate() {
        line(&format!("ms-jaccard-{n}"), scores.ms_jaccard[i], None);
    }
    line("embsim", scores.embsim.cosine, None);
    for (name, own, real) in [
        ("distinct", &own.distinct, &real.distinct),
        ("unique-ngrams", &own.unique_ngrams, &real.unique_ngrams),
        ("ngram-entropy", &own.ngram_entropy, &real.ngram_entropy),
    ] {
        for (i, n) in COUNTED.into_iter().enumerate() {
            line(&format!("{name}-{n}"), own[i], Some(real[i]));
        }
    }
    line("distinct-sentences", own.distinct_sentences, Some(real.distinct_sentences));
    match own.zipf {
        Some(zipf) => line("zipf", zipf, real.zipf),
        None => eprintln!("{:24} {:>10}", "zipf", "-"),
    }
    line("length-mean", own.lengths.mean, Some(real.lengths.mean));
    line("length-deviation", own.lengths.deviation, Some(real.lengths.deviation));
    line("length-distance", scores.length_distance, None);
    if let (Some(audit), Some(train)) = (&scores.memorisation, train) {
        print_audit(audit, samples, train);
    }
}

fn line(name: &str, samples: f64, references: Option<f64>) {
    let references = references.map_or(String::new(), |value| format!("{value:.4}"));
    let line = format!("{name:24} {samples:>10.4} {references:>11}");
    eprintln!("{}", line.trim_end());
}

fn print_audit(audit: &Audit, samples: &Numbered<'_>, train: &Numbered<'_>) {
    let (own, real) = (&audit.samples, &audit.references);
    eprintln!();
    eprintln!(
        "memorisation: against {} sentences of {}",
        train.tokens.len(),
        train.texts.path().display()
    );
    eprintln!("{:24} {:>10} {:>11}", "measure", "samples", "references");
    line("exact-copies", own.exact_copies, Some(real.exact_copies));
    line("longest-run-mean", own.longest_run.mean, Some(real.longest_run.mean));
    let (runs, real_runs) = (&own.longest_run, &real.longest_run);
    for (name, own, real) in [
        ("longest-run-median", runs.median, real_runs.median),
        ("longest-run-90%", runs.p90, real_runs.p90),
        ("longest-run-99%", runs.p99, real_runs.p99),
        ("longest-run-max", runs.max, real_runs.max),
    ] {
        eprintln!("{name:24} {own:>10} {real:>11}");
    }
    line("longest-run-share", own.longest_run_share, Some(real.longest_run_share));
    line("longest-run-distance", audit.longest_run_distance, None);
    line("nearest-distance", own.nearest_distance, Some(real.nearest_distance));
    eprintln!("(nearest-distance: of {} samples, edits over the longer length)", own.looked_up);
    eprintln!();
    eprintln!("longest copied runs:");
    for run in &audit.longest_runs {
        eprintln!("  {} tokens: {}", run.length, run.text);
        eprintln!(
            "    at {}, from {}",
            samples.texts.place(run.sample_line - 1),
            train.texts.place(run.train_line - 1)
        );
    }
    eprintln!("nearest training sentences:");
    for pair in &audit.nearest {
        eprintln!("  {} edits from {}", pair.distance, samples.texts.place(pair.sample_line - 1));
        eprintln!("    {}", pair.sample);
        eprintln!("    {}  ({})", pair.train, train.texts.place(pair.train_line - 1));
    }
}
