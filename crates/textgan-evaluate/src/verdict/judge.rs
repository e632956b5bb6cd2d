//! Whether the game made the generator better than everything that a claim must beat.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use textgan_metrics::{Interval, difference_at, interval_at};

use super::sampled::{SELF_BLEU, common, mean};
use super::{LEVEL, Matched, Outcome, Pairing, Sampled};
use crate::Result;
use crate::evaluation::Sweep;

/// Two measures of a sweep that make a curve: what is compared, and what is equal there.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Pair {
    /// The measure that is compared, such as `grammatical`.
    pub quality: String,
    /// The measure that is equal, such as `distinct-3`.
    pub diversity: String,
}

impl Default for Pair {
    fn default() -> Self {
        Self { quality: "bleu-4".to_owned(), diversity: "self-bleu-4".to_owned() }
    }
}

/// The model beside one rival, both decoded alike; on each side a list of training seeds, or one run.
#[derive(Clone, Debug)]
pub struct Duel<'a> {
    /// What the rival is called, such as `likelihood`.
    pub name: String,
    /// The model's sweeps.
    pub model: Vec<&'a Sweep>,
    /// The rival's.
    pub rival: Vec<&'a Sweep>,
    /// Whether the samples of both were drawn from the same noise and streams.
    pub pairing: Pairing,
}

/// The model beside one rival, on one pair of measures.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Rival {
    /// Its name.
    pub name: String,
    /// The range of the diversity measure that both curves reach.
    pub range: [f64; 2],
    /// The model's quality, averaged over that range.
    pub model: f64,
    /// The rival's.
    pub rival: f64,
    /// Model minus rival, turned so that more is better.
    pub advantage: Interval,
    /// The same at some places of the range.
    #[serde(default)]
    pub places: Vec<At>,
}

/// Two curves at one place.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct At {
    /// The value of the diversity measure.
    pub at: f64,
    /// The model's quality there.
    pub model: f64,
    /// The rival's.
    pub rival: f64,
    /// Model minus rival, turned so that more is better; the intervals of all places and pairs of
    /// measures hold together.
    pub advantage: Interval,
}

/// What was found on one pair of measures.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Finding {
    /// The measures.
    pub pair: Pair,
    /// The whole: better only if better than every rival; worse if worse than the baseline.
    pub outcome: Outcome,
    /// Place of the rival that comes nearest to the model, or is furthest beyond it.
    pub best: usize,
    /// Each rival that has a range in common with the model; the baseline first.
    pub rivals: Vec<Rival>,
}

impl Finding {
    /// The share of the places of the shared range at which the model is better than every rival.
    pub fn better_over(&self) -> f64 {
        let places = self.rivals.iter().map(|rival| rival.places.len()).max().unwrap_or(0);
        let better = |place: usize| {
            let at =
                |rival: &Rival| rival.places.get(place).is_some_and(|at| is_better(&at.advantage));
            self.rivals.iter().all(at)
        };
        (0..places).filter(|&place| better(place)).count() as f64 / places.max(1) as f64
    }
}

/// The verdict on a game.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Judgement {
    /// The whole.
    pub outcome: Outcome,
    /// The same in words.
    pub sentence: String,
    /// Whether the baseline had learned all that its likelihood had to give, where that was measured.
    #[serde(default)]
    pub converged: Option<bool>,
    /// How often a game that changes nothing may be called better.
    pub level: f64,
    /// By pair of measures.
    pub findings: Vec<Finding>,
}

/// Places of the shared range at which two curves are read.
const PLACES: usize = 9;

/// Compares a model with its rivals, the baseline at its temperatures first, on pairs of measures that
/// were chosen beforehand.
///
/// A way of decoding (truncation, rejection) is open to the model as to its baseline, so there both are
/// decoded alike: a model that is better in every way of decoding is better in the best of them.
///
/// On each pair the advantage is the mean difference of quality at equal diversity over the range that
/// both curves reach. A claim to be better than all rivals needs each comparison to hold by itself
/// (an intersection-union test; Berger, 1982), so it costs no correction for their number; the pairs
/// share the error level ([`LEVEL`]) equally (Bonferroni).
///
/// `converged` says whether the baseline had learned all that its likelihood had to give, where that
/// was measured: a win over one that had not is no win.
///
/// # Errors
/// A pair whose measures a sweep lacks, or has without batches.
pub fn judge(duels: &[Duel<'_>], pairs: &[Pair], converged: Option<bool>) -> Result<Judgement> {
    judged(duels, pairs, converged, "game")
}

/// As [`judge`], of models and baselines that were trained apart: what differs is all of the training.
///
/// # Errors
/// As [`judge`].
pub fn judge_training(
    duels: &[Duel<'_>],
    pairs: &[Pair],
    converged: Option<bool>,
) -> Result<Judgement> {
    judged(duels, pairs, converged, "training")
}

fn judged(
    duels: &[Duel<'_>],
    pairs: &[Pair],
    converged: Option<bool>,
    what: &str,
) -> Result<Judgement> {
    let confidence = 1.0 - LEVEL / pairs.len().max(1) as f64;
    let mut findings = Vec::new();
    for pair in pairs {
        let mut found = Vec::new();
        for duel in duels {
            let (ours, theirs) = (sampled(&duel.model, pair)?, sampled(&duel.rival, pair)?);
            found.extend(beside(&ours, &theirs, duel, pair, confidence)?);
        }
        let advantage = |rival: &Rival| rival.advantage.mean;
        let order = |a: &usize, b: &usize| advantage(&found[*a]).total_cmp(&advantage(&found[*b]));
        let Some(best) = (0..found.len()).min_by(order) else { continue };
        let outcome = match () {
            () if found.iter().all(|rival| is_better(&rival.advantage)) => Outcome::Better,
            () if found[0].advantage.high < 0.0 => Outcome::Worse,
            () => Outcome::NotSeparated,
        };
        findings.push(Finding { pair: pair.clone(), outcome, best, rivals: found });
    }
    let any = |outcome| findings.iter().any(|finding| finding.outcome == outcome);
    let outcome = match (findings.is_empty(), any(Outcome::Better), any(Outcome::Worse)) {
        (true, ..) => Outcome::Apart,
        (_, true, true) => Outcome::Mixed,
        (_, true, false) => Outcome::Better,
        (_, false, true) => Outcome::Worse,
        (_, false, false) => Outcome::NotSeparated,
    };
    let sentence = sentence(what, outcome, &findings, converged);
    Ok(Judgement { outcome, sentence, converged, level: LEVEL, findings })
}

fn sampled(sweeps: &[&Sweep], pair: &Pair) -> Result<Vec<Sampled>> {
    sweeps.iter().map(|sweep| Sampled::of_pair(sweep, pair)).collect()
}

/// The mean advantage over the shared range, if there is one.
fn beside(
    ours: &[Sampled],
    theirs: &[Sampled],
    duel: &Duel<'_>,
    pair: &Pair,
    confidence: f64,
) -> Result<Option<Rival>> {
    let Some([low, high]) = common(ours.iter().chain(theirs), SELF_BLEU) else { return Ok(None) };
    let at = |place: usize| low + (place as f64 + 0.5) / PLACES as f64 * (high - low);
    let (Some(ours), Some(theirs)) = (read(ours, at), read(theirs, at)) else { return Ok(None) };
    let advantage = |ours: &[f64], theirs: &[f64], confidence| {
        if duel.pairing == Pairing::Paired && ours.len() == theirs.len() {
            let differences: Vec<f64> = ours.iter().zip(theirs).map(|(a, b)| a - b).collect();
            interval_at(&differences, confidence)
        } else {
            difference_at(ours, theirs, confidence)
        }
    };
    let sweep = duel.rival.first().copied();
    let [quality, diversity] =
        [Sampled::quality_sign(sweep, pair), Sampled::diversity_sign(sweep, pair)];
    let all_places = 1.0 - (1.0 - confidence) / PLACES as f64;
    let mut places = Vec::with_capacity(PLACES);
    for (place, (ours, theirs)) in ours.iter().zip(&theirs).enumerate() {
        places.push(At {
            at: diversity * at(place),
            model: quality * mean(ours),
            rival: quality * mean(theirs),
            advantage: advantage(ours, theirs, all_places)?,
        });
    }
    let (ours, theirs) = (over_places(&ours), over_places(&theirs));
    let range = if diversity < 0.0 { [-high, -low] } else { [low, high] };
    Ok(Some(Rival {
        name: duel.name.clone(),
        range,
        model: quality * mean(&ours),
        rival: quality * mean(&theirs),
        advantage: advantage(&ours, &theirs, confidence)?,
        places,
    }))
}

/// At each place, the quality of what is repeated: `[place][batch]` of one run, `[place][seed]` of
/// several.
fn read(side: &[Sampled], at: impl Fn(usize) -> f64) -> Option<Vec<Vec<f64>>> {
    let at_place = |place| {
        let batches = |sampled: &Sampled| sampled.at(Matched::Diversity, at(place), 0.0);
        match side {
            [run] => batches(run),
            seeds => seeds.iter().map(|seed| batches(seed).map(|batches| mean(&batches))).collect(),
        }
    };
    (0..PLACES).map(at_place).collect()
}

/// The mean over the places of each thing that is repeated.
fn over_places(places: &[Vec<f64>]) -> Vec<f64> {
    let repeated = places.first().map_or(0, Vec::len);
    (0..repeated)
        .map(|which| places.iter().map(|values| values[which]).sum::<f64>() / places.len() as f64)
        .collect()
}

/// One sentence, and a second one where the baseline may not have converged.
/// `what` made the generator what it is.
fn sentence(what: &str, outcome: Outcome, findings: &[Finding], converged: Option<bool>) -> String {
    let below = findings.iter().any(|finding| finding.rivals[finding.best].advantage.high < 0.0);
    let mut text = match outcome {
        Outcome::Better => format!("The {what} made the generator better: "),
        Outcome::Worse => format!("The {what} made the generator worse: "),
        Outcome::Mixed => {
            format!("The {what} made the generator better by one measure and worse by another: ")
        }
        Outcome::NotSeparated if below => {
            format!("The {what} gave nothing that others do not: ")
        }
        Outcome::NotSeparated => format!("The {what} made no difference that shows: "),
        Outcome::Apart => {
            return "The curves of model and baseline have no range in common: give \
                    evaluate.sweep more temperatures."
                .to_owned();
        }
    };
    let parts: Vec<String> = findings.iter().map(phrase).collect();
    text += &parts.join("; ");
    text.push('.');
    match converged {
        Some(true) => {}
        Some(false) => text += " But the baseline had not converged, so this is no claim.",
        None => text += " Whether the baseline had converged was not measured.",
    }
    text
}

fn phrase(finding: &Finding) -> String {
    let Finding { pair, outcome, best, rivals } = finding;
    let Pair { quality, diversity } = pair;
    let quality = named(quality);
    let (best, baseline) = (&rivals[*best], &rivals[0]);
    let numbers = |rival: &Rival| {
        let Interval { mean, low, high, .. } = rival.advantage;
        format!("{:.3} against {:.3}, {mean:+.3} [{low:+.3}, {high:+.3}]", rival.model, rival.rival)
    };
    match outcome {
        Outcome::Better => format!(
            "at equal {diversity} its {quality} is better than that of the best of {} rivals, {} ({}), \
             at {:.0} % of the places of the range even by itself",
            rivals.len(),
            best.name,
            numbers(best),
            100.0 * finding.better_over()
        ),
        Outcome::Worse => {
            format!(
                "at equal {diversity} its {quality} is worse than its baseline's ({})",
                numbers(baseline)
            )
        }
        _ if best.advantage.high < 0.0 => {
            format!(
                "at equal {diversity} its {quality} is below that of {} ({})",
                best.name,
                numbers(best)
            )
        }
        _ if best.advantage.low == 0.0 && best.advantage.high == 0.0 => {
            format!("at equal {diversity} its {quality} is that of {} exactly", best.name)
        }
        _ if best.advantage.low == best.advantage.high => format!(
            "at equal {diversity} its {quality} is {:.3} against {:.3} of {} in every batch, so that what chance does is not \
             known",
            best.model, best.rival, best.name
        ),
        _ => format!(
            "at equal {diversity} its {quality} is not separated from that of {} ({}; a difference of \
             {:.3} would have shown)",
            best.name,
            numbers(best),
            0.5 * (best.advantage.high - best.advantage.low)
        ),
    }
}

/// A measure as a sentence says it: one that is called by what it counts is a share.
fn named(quality: &str) -> String {
    let share = |counted: &str| {
        let rest = quality.strip_prefix(counted)?.replace('-', " ");
        Some(format!("share of {counted} texts{rest}"))
    };
    ["grammatical", "well-formed"].into_iter().find_map(share).unwrap_or_else(|| quality.to_owned())
}

/// Whether an advantage is there beyond chance.
fn is_better(advantage: &Interval) -> bool {
    advantage.excludes_zero() && advantage.low > 0.0
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::evaluation::{Better, Swept};

    /// A sweep over five temperatures whose quality is `above + slope * sameness`, with ten batches.
    fn sweep(above: f64, seed: u64) -> Sweep {
        let noise = |t: usize, batch: usize, which: u64| {
            let mut x = (t as u64 + 31 * batch as u64 + 977 * which + 7919 * seed)
                .wrapping_mul(0x9e37_79b9_7f4a_7c15);
            x ^= x >> 29;
            x = x.wrapping_mul(0xbf58_476d_1ce4_e5b9);
            ((x >> 11) as f64 / (1u64 << 53) as f64 - 0.5) * 0.01
        };
        let temperatures = [0.6, 0.7, 0.8, 0.9, 1.0];
        let diversity = |t: usize| 0.4 + 0.05 * t as f64;
        let measure = |name: &str, which: u64, value: &dyn Fn(usize) -> f64| Swept {
            name: name.to_owned(),
            better: Better::Higher,
            protocol: String::new(),
            values: (0..5).map(|t| Some(value(t))).collect(),
            batch_size: 100,
            batches: (0..5)
                .map(|t| (0..10).map(|batch| value(t) + noise(t, batch, which)).collect())
                .collect(),
        };
        let quality = move |t: usize| above + 0.9 - 0.4 * diversity(t);
        Sweep {
            parameter: "temperature".to_owned(),
            temperatures: temperatures.to_vec(),
            measures: vec![
                measure("grammatical", 1, &quality),
                measure("distinct-3", 2, &diversity),
            ],
            published: Vec::new(),
        }
    }

    fn pair() -> Pair {
        Pair { quality: "grammatical".to_owned(), diversity: "distinct-3".to_owned() }
    }

    fn duel<'a>(name: &str, model: &'a Sweep, rival: &'a Sweep) -> Duel<'a> {
        let pairing = Pairing::Independent;
        Duel { name: name.to_owned(), model: vec![model], rival: vec![rival], pairing }
    }

    /// Where no batch differs from another, there is no difference that would have shown.
    #[test]
    fn what_has_no_spread_is_said_to_have_none() {
        let said = |model: f64, rival: f64, spread: f64| {
            let mean = model - rival;
            let advantage = Interval { mean, low: mean - spread, high: mean + spread, batches: 10 };
            let name = "likelihood".to_owned();
            let (range, places) = ([0.0, 1.0], Vec::new());
            let rivals = vec![Rival { name, range, model, rival, advantage, places }];
            phrase(&Finding { pair: pair(), outcome: Outcome::NotSeparated, best: 0, rivals })
        };
        assert!(said(0.9, 0.9, 0.0).ends_with("is that of likelihood exactly"));
        assert!(said(1.0, 0.9, 0.0).contains("1.000 against 0.900 of likelihood in every batch"));
        assert!(said(0.91, 0.9, 0.02).contains("a difference of 0.020 would have shown"));
    }

    fn verdict(model: &Sweep, rivals: &[(&str, &Sweep)], converged: Option<bool>) -> Judgement {
        let duels: Vec<Duel<'_>> =
            rivals.iter().map(|(name, rival)| duel(name, model, rival)).collect();
        judge(&duels, &[pair()], converged).unwrap()
    }

    #[test]
    fn better_is_better_than_every_rival() {
        let (model, baseline, strong) = (sweep(0.05, 1), sweep(0.0, 2), sweep(0.049, 3));
        let alone = verdict(&model, &[("temperature", &baseline)], Some(true));
        assert_eq!(alone.outcome, Outcome::Better);
        let rival = &alone.findings[0].rivals[0];
        assert!((rival.advantage.mean - 0.05).abs() < 0.005, "{rival:?}");
        assert!(rival.range[0] >= 0.39 && rival.range[1] <= 0.61, "{rival:?}");
        assert!(alone.sentence.contains("better") && alone.sentence.contains("distinct-3"));
        assert_eq!((rival.places.len(), alone.findings[0].better_over()), (PLACES, 1.0));
        for at in &rival.places {
            assert!((at.model - at.rival - 0.05).abs() < 0.01, "{at:?}");
            assert!((rival.range[0]..=rival.range[1]).contains(&at.at), "{at:?}");
            let width = |interval: Interval| interval.high - interval.low;
            assert!(width(at.advantage) > width(rival.advantage));
        }
        let both = verdict(&model, &[("temperature", &baseline), ("likelihood", &strong)], None);
        assert_eq!(both.outcome, Outcome::NotSeparated);
        assert!(both.sentence.contains("likelihood") && both.sentence.contains("not measured"));
        // Better than its baseline, and no match for a control.
        let far = sweep(0.2, 4);
        let below =
            verdict(&model, &[("temperature", &baseline), ("likelihood", &far)], Some(true));
        assert_eq!(below.outcome, Outcome::NotSeparated);
        assert!(below.sentence.contains("is below that of likelihood"), "{}", below.sentence);
        assert!(!below.sentence.contains("no difference"), "{}", below.sentence);
        let worse = verdict(&baseline, &[("temperature", &model)], Some(false));
        assert_eq!(worse.outcome, Outcome::Worse);
        assert!(worse.sentence.contains("had not converged"), "{}", worse.sentence);
    }

    #[test]
    fn equal_models_are_rarely_separated() {
        let separated = (0..200)
            .filter(|&i| {
                let (a, b) = (sweep(0.0, 1000 + 2 * i), sweep(0.0, 1001 + 2 * i));
                verdict(&a, &[("temperature", &b)], None).outcome != Outcome::NotSeparated
            })
            .count();
        assert!(separated <= 18, "{separated} of 200 at a level of 5 %");
    }

    #[test]
    fn a_measure_that_is_not_there_is_named() {
        let sweep = sweep(0.0, 1);
        let pair = Pair { quality: "validity".to_owned(), ..pair() };
        let duel = duel("temperature", &sweep, &sweep);
        let error = judge(&[duel], &[pair], None).unwrap_err().to_string();
        assert!(error.contains("validity") && error.contains("grammatical"), "{error}");
    }
}
