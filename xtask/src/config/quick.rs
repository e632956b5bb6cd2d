//! Experiments to try.

use super::RootConfig;

/// Makes any experiment one of about a minute: few steps, few texts, whatever it was.
pub(super) fn shorten<O>(config: &mut RootConfig<O>) {
    const STEPS: u64 = 60;
    for source in &mut config.corpus.sources {
        match source {
            textgan_corpus::Source::Files(files) => {
                files.limit = Some(files.limit.unwrap_or(u64::MAX).min(20_000));
            }
            textgan_corpus::Source::Synthetic(synthetic) => {
                synthetic.documents = synthetic.documents.min(5_000);
            }
            textgan_corpus::Source::Oracle(oracle) => {
                oracle.documents = oracle.documents.min(5_000)
            }
            _ => {}
        }
    }
    for phase in &mut config.phase {
        let settings = &mut phase.settings;
        settings.steps = Some(settings.steps.map_or(STEPS, |steps| steps.min(STEPS)));
        (settings.epochs, settings.converge, settings.gate) = (None, None, None);
        settings.schedule.warmup_steps = settings.schedule.warmup_steps.min(STEPS / 6);
        settings.evaluation.samples = settings.evaluation.samples.min(100);
    }
    let train = &mut config.train;
    train.controls.clear();
    train.validation_sentences = train.validation_sentences.min(200);
    train.validation_noise = train.validation_noise.min(4);
    let evaluate = &mut config.evaluate;
    evaluate.samples = evaluate.samples.min(200);
    evaluate.batches = evaluate.batches.min(5);
    evaluate.greedy_texts = evaluate.greedy_texts.min(100);
    evaluate.noise_vectors = evaluate.noise_vectors.min(8);
    evaluate.likelihood_texts = Some(evaluate.likelihood_texts.unwrap_or(usize::MAX).min(200));
    evaluate.sweep.clear();
    evaluate.controls.clear();
    (evaluate.language_model, evaluate.two_sample) = (None, None);
    if evaluate.temperatures.len() > 1 {
        (evaluate.temperatures, evaluate.self_bleu_bound) = (vec![1.0], None);
    }
    config.generate.count = config.generate.count.min(20);
}
