//! Operations of the likelihood-ratio game against their composed twins, against the formula in
//! `f64`, and against themselves on other threads and instruction sets.

use candle_core::{DType, Device, Tensor, Var};
use textgan_nn::kernels::{InstructionSet, Precision};
use textgan_nn::ops::{
    self, HeadInput, JudgeKind, LogRatios, PolicyLoss, RatioOptions, SampledTokens, composed,
};
use textgan_random::Key;

const F32: Precision = Precision::F32;

/// Two models over the same rows: hidden state and head of the policy, then of the judge.
struct Case {
    rows: usize,
    vocab: usize,
    tensors: [Tensor; 4],
    /// No row samples an excluded token, except where both weights are zero.
    tokens: Vec<u32>,
    /// Some zero, some negative; likewise the other weights.
    weights: Vec<f32>,
    sampled_weights: Vec<f32>,
    excluded: Vec<u32>,
    bound: f32,
    judge: JudgeKind,
}

const WIDTHS: [usize; 2] = [6, 9];

impl Case {
    fn new(rows: usize, vocab: usize, excluded: &[u32]) -> Self {
        let stream = &mut Key::root(11).child(&format!("{rows} {vocab}")).stream();
        let mut draw = |dims: [usize; 2]| {
            let values = (0..dims[0] * dims[1]).map(|_| 0.7 * stream.normal()).collect();
            Tensor::from_vec(values, &dims, &Device::Cpu).unwrap()
        };
        let [width, judge_width] = WIDTHS;
        let tensors = [
            draw([rows, width]),
            draw([vocab, width]),
            draw([rows, judge_width]),
            draw([vocab, judge_width]),
        ];
        let mut weight =
            |i: usize, n: usize| if i % n == 1 { 0.0 } else { 0.3 * stream.normal() + 0.1 };
        let weights: Vec<f32> = (0..rows).map(|i| weight(i, 4)).collect();
        let sampled_weights: Vec<f32> = (0..rows).map(|i| weight(i, 2)).collect();
        let token = |i: usize| loop {
            let token = stream.below(vocab as u64) as u32;
            if !excluded.contains(&token) {
                return if i % 4 == 1 { excluded.first().copied().unwrap_or(token) } else { token };
            }
        };
        let tokens = (0..rows).map(token).collect();
        let excluded = excluded.to_vec();
        let (bound, judge) = (1.5, JudgeKind::LanguageModel);
        Self { rows, vocab, tensors, tokens, weights, sampled_weights, excluded, bound, judge }
    }

    fn all() -> Vec<Self> {
        // The last one has more rows than a chunk, so that gradients of the head add up over chunks.
        [(1, 5), (9, 40), (60, 17), (1100, 23)]
            .into_iter()
            .flat_map(|(rows, vocab)| {
                [Self::new(rows, vocab, &[]), Self::new(rows, vocab, &[0, 2])]
            })
            .collect()
    }

    fn options(&self, precision: Precision) -> RatioOptions<'_> {
        RatioOptions { judge: self.judge, bound: self.bound, excluded: &self.excluded, precision }
    }

    fn sampled(&self) -> Option<SampledTokens<'_>> {
        Some(SampledTokens { tokens: &self.tokens, weights: &self.sampled_weights })
    }

    fn name(&self) -> String {
        format!("{} rows of {} without {:?}", self.rows, self.vocab, self.excluded)
    }
}

type Expected = dyn Fn(
    HeadInput<'_>,
    HeadInput<'_>,
    &[f32],
    Option<SampledTokens<'_>>,
    RatioOptions<'_>,
) -> textgan_nn::Result<PolicyLoss>;

/// Loss, facts and gradients of the policy.
fn expected_policy(
    case: &Case,
    sampled: bool,
    precision: Precision,
    operation: &Expected,
) -> (f32, LogRatios, [Vec<f32>; 2]) {
    let [hidden, head, judge_hidden, judge_head] =
        case.tensors.each_ref().map(|x| Var::from_tensor(x).unwrap());
    let policy = HeadInput { hidden: &hidden, head: &head };
    let judge = HeadInput { hidden: &judge_hidden, head: &judge_head };
    let sampled = case.sampled().filter(|_| sampled);
    let PolicyLoss { loss, ratios } =
        operation(policy, judge, &case.weights, sampled, case.options(precision)).unwrap();
    let store = loss.backward().unwrap();
    assert!(store.get(&judge_hidden).is_none() && store.get(&judge_head).is_none());
    let gradients = [hidden, head].map(|x| numbers(store.get(&x).unwrap()));
    (loss.to_scalar().unwrap(), ratios, gradients)
}

/// Log-probabilities of targets and the gradients of their sum, weighted by `0.5 i - 1` modulo 3.
fn target_log_probs(case: &Case, fused: bool, precision: Precision) -> (Vec<f32>, [Vec<f32>; 2]) {
    let [hidden, head, ..] = case.tensors.each_ref().map(|x| Var::from_tensor(x).unwrap());
    let operation = match fused {
        true => ops::head_target_log_probs,
        false => composed::head_target_log_probs,
    };
    let log_probs =
        operation(&hidden, &head, &case.tokens, &case.weights, &case.excluded, precision).unwrap();
    let probe = Tensor::new(probe(case.rows), &Device::Cpu).unwrap();
    let store = (&log_probs * probe).unwrap().sum_all().unwrap().backward().unwrap();
    (numbers(&log_probs), [hidden, head].map(|x| numbers(store.get(&x).unwrap())))
}

/// The logistic loss on a sum of log-probabilities, less two a row: value and derivative.
fn logistic(number: usize, log_probs: &[f32], derivatives: &mut [f32]) -> f32 {
    let sign = if number.is_multiple_of(2) { 1.0 } else { -1.0 };
    let ratio = sign * log_probs.iter().map(|x| 0.5 * x + 1.0).sum::<f32>();
    derivatives.fill(-0.5 * sign / (1.0 + ratio.exp()));
    (-ratio).max(0.0) + (-ratio.abs()).exp().ln_1p()
}

/// The logistic loss of groups of so many rows, log-probabilities and gradients.
fn group_loss(case: &Case, group: usize, fused: bool) -> (f32, Vec<f32>, [Vec<f32>; 2]) {
    let [hidden, head, ..] = case.tensors.each_ref().map(|x| Var::from_tensor(x).unwrap());
    let operation = match fused {
        true => ops::head_group_loss,
        false => composed::head_group_loss,
    };
    let Case { tokens, weights, excluded, .. } = case;
    let ops::GroupLoss { loss, log_probs } =
        operation(&hidden, &head, tokens, weights, group, excluded, F32, logistic).unwrap();
    let store = loss.backward().unwrap();
    let gradients = [hidden, head].map(|x| numbers(store.get(&x).unwrap()));
    (loss.to_scalar().unwrap(), log_probs, gradients)
}

/// Against the twin, and against the loss built on differentiable log-probabilities. The largest
/// case has more rows than a chunk, which ends where a group does; one group is longer than a chunk.
#[test]
fn losses_of_groups_are_those_of_their_log_probabilities() {
    for case in Case::all() {
        let divisors = [1, 3, 20, 1100].into_iter().filter(|group| case.rows % group == 0);
        for group in divisors {
            let name = format!("{} in groups of {group}", case.name());
            let fused = group_loss(&case, group, true);
            let twin = group_loss(&case, group, false);
            assert!((fused.0 - twin.0).abs() < 1e-5 * twin.0.abs().max(1.0), "{name}");
            assert_close(&name, &fused.1, &twin.1, 1e-5);
            for (gradient, twin) in fused.2.iter().zip(&twin.2) {
                assert_close(&name, gradient, twin, 3e-5);
            }

            let [hidden, head, ..] = case.tensors.each_ref().map(|x| Var::from_tensor(x).unwrap());
            let Case { tokens, weights, excluded, .. } = &case;
            let log_probs =
                ops::head_target_log_probs(&hidden, &head, tokens, weights, excluded, F32).unwrap();
            let groups = case.rows / group;
            let signs: Vec<f32> = (0..groups).map(|i| [1.0, -1.0][i % 2]).collect();
            let any = |weights: &[f32]| f32::from(u8::from(weights.iter().any(|&w| w != 0.0)));
            let counts: Vec<f32> = weights.chunks(group).map(any).collect();
            let ratios = ((log_probs * 0.5).unwrap() + 1.0).unwrap();
            let ratios = ratios.reshape((groups, group)).unwrap().sum(1).unwrap();
            let ratios = (ratios * Tensor::new(signs, &Device::Cpu).unwrap()).unwrap();
            let losses = ops::softplus(&ratios.neg().unwrap()).unwrap();
            let losses = (losses * Tensor::new(counts, &Device::Cpu).unwrap()).unwrap();
            let store = losses.sum_all().unwrap().backward().unwrap();
            for (x, gradient) in [hidden, head].iter().zip(&fused.2) {
                assert_close(&name, gradient, &numbers(store.get(x).unwrap()), 1e-4);
            }
        }
    }
}

fn probe(rows: usize) -> Vec<f32> {
    (0..rows).map(|i| 0.5 * (i % 3) as f32 - 0.5).map(|x| if rows == 1 { 1.0 } else { x }).collect()
}

fn numbers(x: &Tensor) -> Vec<f32> {
    x.flatten_all().unwrap().to_vec1().unwrap()
}

fn assert_close(what: &str, left: &[f32], right: &[f32], tolerance: f32) {
    let size = right.iter().map(|x| x.abs()).fold(1e-3, f32::max);
    assert_eq!(left.len(), right.len(), "{what}");
    for (i, (l, r)) in left.iter().zip(right).enumerate() {
        assert!((l - r).abs() <= tolerance * size, "{what}: number {i} is {l}, expected {r}");
    }
}

fn assert_ratios_close(what: &str, left: &LogRatios, right: &LogRatios, tolerance: f32) {
    assert_close(what, &left.expected, &right.expected, tolerance);
    assert_close(what, &left.sampled, &right.sampled, tolerance);
    assert_close(what, &left.log_probs, &right.log_probs, tolerance);
}

#[test]
fn fused_and_composed_agree() {
    let realness = |case| Case { judge: JudgeKind::Realness, ..case };
    for case in Case::all().into_iter().chain(Case::all().into_iter().map(realness)) {
        let name = format!("{} {:?}", case.name(), case.judge);
        let (log_probs, gradients) = target_log_probs(&case, true, F32);
        let (twin, twin_gradients) = target_log_probs(&case, false, F32);
        assert_close(&name, &log_probs, &twin, 1e-5);
        for (gradient, twin) in gradients.iter().zip(&twin_gradients) {
            assert_close(&name, gradient, twin, 3e-5);
        }
        for sampled in [false, true] {
            let (loss, ratios, gradients) =
                expected_policy(&case, sampled, F32, &ops::head_expected_policy_loss);
            let (twin, twin_ratios, twin_gradients) =
                expected_policy(&case, sampled, F32, &composed::head_expected_policy_loss);
            assert!((loss - twin).abs() < 1e-4 * twin.abs().max(1.0), "{name}: {loss}, not {twin}");
            assert_ratios_close(&name, &ratios, &twin_ratios, 1e-5);
            for (gradient, twin) in gradients.iter().zip(&twin_gradients) {
                assert_close(&name, gradient, twin, 3e-5);
            }
            assert_eq!(ratios.sampled.is_empty(), !sampled);
        }
    }
}

/// In bf16 the twin rounds the two sides of every product forward; what comes back is rounded by the
/// fused one only.
#[test]
fn products_of_bf16_stay_near() {
    let (case, bf16) = (Case::new(60, 17, &[0, 2]), Precision::Bf16);
    let fused = expected_policy(&case, true, bf16, &ops::head_expected_policy_loss);
    let twin = expected_policy(&case, true, bf16, &composed::head_expected_policy_loss);
    assert_ratios_close("bf16", &fused.1, &twin.1, 1e-3);
    let exact = expected_policy(&case, true, F32, &ops::head_expected_policy_loss);
    assert_ne!(fused.0, exact.0);
    for (gradient, exact) in fused.2.iter().zip(&exact.2) {
        assert_close("bf16", gradient, exact, 0.04);
    }
    let (fused, exact) = (target_log_probs(&case, true, bf16), target_log_probs(&case, true, F32));
    assert_close("bf16", &fused.0, &exact.0, 0.02);
    for (gradient, exact) in fused.1.iter().zip(&exact.1) {
        assert_close("bf16", gradient, exact, 0.04);
    }
}

/// `ln softmax` over the support, in `f64`; minus infinity outside of it.
fn log_softmax(hidden: &[f64], head: &[Vec<f64>], excluded: &[u32]) -> Vec<f64> {
    let dot = |row: &Vec<f64>| hidden.iter().zip(row).map(|(x, y)| x * y).sum::<f64>();
    let mut logits: Vec<f64> = head.iter().map(dot).collect();
    excluded.iter().for_each(|&id| logits[id as usize] = f64::NEG_INFINITY);
    let log_sum = logits.iter().map(|x| x.exp()).sum::<f64>().ln();
    logits.iter().map(|x| x - log_sum).collect()
}

fn matrix(x: &Tensor) -> Vec<Vec<f64>> {
    x.to_dtype(DType::F64).unwrap().to_vec2().unwrap()
}

/// `d` of every row and token, zero outside of the support.
fn log_ratios(case: &Case) -> Vec<Vec<f64>> {
    let [hidden, head, judge_hidden, judge_head] = case.tensors.each_ref().map(matrix);
    let bound = f64::from(case.bound);
    let row = |(hidden, judge_hidden): (&Vec<f64>, &Vec<f64>)| {
        let q = log_softmax(hidden, &head, &case.excluded);
        let m = log_softmax(judge_hidden, &judge_head, &case.excluded);
        let d =
            |(q, m): (&f64, &f64)| if q.is_finite() { (m - q).clamp(-bound, bound) } else { 0.0 };
        q.iter().zip(&m).map(d).collect()
    };
    hidden.iter().zip(&judge_hidden).map(row).collect()
}

/// The formula, with `d` as given.
fn formula(case: &Case, policy: &[Vec<Vec<f64>>; 2], d: &[Vec<f64>], sampled: bool) -> f64 {
    let [hidden, head] = policy;
    let mut loss = 0.0;
    for (i, hidden) in hidden.iter().enumerate() {
        let q = log_softmax(hidden, head, &case.excluded);
        let expected: f64 = q.iter().zip(&d[i]).map(|(q, d)| q.exp() * d).sum();
        loss -= f64::from(case.weights[i]) * expected;
        if sampled && case.sampled_weights[i] != 0.0 {
            loss -= f64::from(case.sampled_weights[i]) * q[case.tokens[i] as usize];
        }
    }
    loss
}

#[test]
fn the_policy_gradient_is_that_of_the_formula() {
    for case in [Case::new(9, 12, &[]), Case::new(13, 12, &[0, 2])] {
        let d = log_ratios(&case);
        let policy = [matrix(&case.tensors[0]), matrix(&case.tensors[1])];
        for sampled in [false, true] {
            let (loss, ratios, gradients) =
                expected_policy(&case, sampled, F32, &ops::head_expected_policy_loss);
            assert!((f64::from(loss) - formula(&case, &policy, &d, sampled)).abs() < 1e-5);
            for (i, expected) in ratios.expected.iter().enumerate() {
                let counts = case.weights[i] != 0.0 || sampled && case.sampled_weights[i] != 0.0;
                let q = log_softmax(&policy[0][i], &policy[1], &case.excluded);
                let exact: f64 = q.iter().zip(&d[i]).map(|(q, d)| q.exp() * d).sum();
                let exact = if counts { exact } else { 0.0 };
                assert!((f64::from(*expected) - exact).abs() < 1e-5);
            }
            for (argument, gradient) in gradients.iter().enumerate() {
                let width = WIDTHS[0];
                for (place, gradient) in gradient.iter().enumerate() {
                    let value = |step: f64| {
                        let mut moved = policy.clone();
                        moved[argument][place / width][place % width] += step;
                        formula(&case, &moved, &d, sampled)
                    };
                    let slope = (value(1e-5) - value(-1e-5)) / 2e-5;
                    assert!(
                        (f64::from(*gradient) - slope).abs() < 2e-5,
                        "{}: argument {argument}, number {place}: {gradient}, slope {slope}",
                        case.name()
                    );
                }
            }
        }
    }
}

#[test]
fn the_gradient_of_target_log_probs_is_that_of_the_formula() {
    for case in [Case::new(9, 12, &[]), Case::new(13, 12, &[0, 2])] {
        let policy = [matrix(&case.tensors[0]), matrix(&case.tensors[1])];
        let probe = probe(case.rows);
        let value = |policy: &[Vec<Vec<f64>>; 2]| -> f64 {
            let counted = (0..case.rows).filter(|&i| case.weights[i] != 0.0);
            let row = |i: usize| {
                let log_probs = log_softmax(&policy[0][i], &policy[1], &case.excluded);
                f64::from(probe[i]) * log_probs[case.tokens[i] as usize]
            };
            counted.map(row).sum()
        };
        let (log_probs, gradients) = target_log_probs(&case, true, F32);
        let sum: f64 = log_probs.iter().zip(&probe).map(|(x, y)| f64::from(x * y)).sum();
        assert!((sum - value(&policy)).abs() < 1e-4);
        for (argument, gradient) in gradients.iter().enumerate() {
            for (place, gradient) in gradient.iter().enumerate() {
                let moved = |step: f64| {
                    let mut moved = policy.clone();
                    moved[argument][place / WIDTHS[0]][place % WIDTHS[0]] += step;
                    value(&moved)
                };
                let slope = (moved(1e-5) - moved(-1e-5)) / 2e-5;
                assert!((f64::from(*gradient) - slope).abs() < 2e-5, "{gradient}, slope {slope}");
            }
        }
    }
}

/// Tokens out of the support are as if the heads did not have them, and their rows get a gradient
/// of exactly zero.
#[test]
fn excluded_tokens_are_as_if_absent() {
    let case = Case::new(60, 17, &[0, 2]);
    let keep: Vec<u32> = (0..17).filter(|id| !case.excluded.contains(id)).collect();
    let keep = Tensor::new(keep, &Device::Cpu).unwrap();
    let without = |head: &Tensor| head.index_select(&keep, 0).unwrap();
    let [hidden, head, judge_hidden, judge_head] = &case.tensors;
    // 0 stands for skipped rows, 1 becomes 0, and from 3 on two are missing.
    let renamed = |&id: &u32| if id < 2 { 0 } else { id.max(3) - 2 };
    let smaller = Case {
        vocab: 15,
        tensors: [hidden.clone(), without(head), judge_hidden.clone(), without(judge_head)],
        tokens: case.tokens.iter().map(renamed).collect(),
        weights: case.weights.clone(),
        sampled_weights: case.sampled_weights.clone(),
        excluded: Vec::new(),
        ..case
    };
    let check = |dhead: &[f32], expected: &[f32]| {
        let rows: Vec<&[f32]> = dhead.chunks(WIDTHS[0]).collect();
        assert!(rows[0].iter().chain(rows[2]).all(|&x| x == 0.0));
        let kept = [&rows[1..2], &rows[3..]].concat().concat();
        assert_close("head", &kept, expected, 1e-5);
    };
    let left = expected_policy(&case, true, F32, &ops::head_expected_policy_loss);
    let right = expected_policy(&smaller, true, F32, &ops::head_expected_policy_loss);
    assert_ratios_close("facts", &left.1, &right.1, 1e-5);
    assert_close("hidden", &left.2[0], &right.2[0], 1e-5);
    check(&left.2[1], &right.2[1]);
    let left = target_log_probs(&case, true, F32);
    let right = target_log_probs(&smaller, true, F32);
    assert_close("log-probabilities", &left.0, &right.0, 1e-5);
    check(&left.1[1], &right.1[1]);
}

#[test]
fn skipped_rows_have_zeros() {
    let case = Case::new(60, 17, &[0, 2]);
    let (log_probs, [dhidden, _]) = target_log_probs(&case, true, F32);
    let (_, ratios, [policy_dhidden, _]) =
        expected_policy(&case, true, F32, &ops::head_expected_policy_loss);
    let zero = |x: &[f32], row: usize| x[row * WIDTHS[0]..][..WIDTHS[0]].iter().all(|&x| x == 0.0);
    for (row, log_prob) in log_probs.iter().enumerate() {
        let skipped = case.weights[row] == 0.0;
        assert_eq!(*log_prob == 0.0, skipped);
        // The probe of every third row is zero.
        assert_eq!(zero(&dhidden, row), skipped || row % 3 == 1);
        let skipped = skipped && case.sampled_weights[row] == 0.0;
        assert_eq!(ratios.expected[row] == 0.0, skipped);
        assert_eq!(zero(&policy_dhidden, row), skipped);
    }
    let nothing = Case { weights: vec![0.0; 60], sampled_weights: vec![0.0; 60], ..case };
    let (loss, _, gradients) =
        expected_policy(&nothing, true, F32, &ops::head_expected_policy_loss);
    assert_eq!(loss, 0.0);
    assert!(gradients.concat().iter().all(|&x| x == 0.0));
}

#[test]
fn log_ratios_without_a_gradient_are_the_facts() {
    for case in Case::all() {
        let [hidden, head, judge_hidden, judge_head] = &case.tensors;
        let policy = HeadInput { hidden, head };
        let judge = HeadInput { hidden: judge_hidden, head: judge_head };
        let options = case.options(F32);
        let alone =
            ops::head_log_ratios(policy, judge, &case.tokens, &case.weights, options).unwrap();
        let facts = expected_policy(&case, true, F32, &ops::head_expected_policy_loss).1.sampled;
        let counted = |x: f32, weight: &f32| if *weight == 0.0 { 0.0 } else { x };
        let facts: Vec<f32> =
            facts.into_iter().zip(&case.weights).map(|(x, weight)| counted(x, weight)).collect();
        assert_close(&case.name(), &alone, &facts, 1e-5);
        assert!(case.rows < 60 || alone.contains(&case.bound));
    }
}

#[test]
fn other_dtypes_are_composed() {
    let case = Case::new(60, 17, &[0, 2]);
    let doubles = case.tensors.each_ref().map(|x| x.to_dtype(DType::F64).unwrap());
    let [hidden, head, judge_hidden, judge_head] = &doubles;
    let policy = HeadInput { hidden, head };
    let judge = HeadInput { hidden: judge_hidden, head: judge_head };
    let options = case.options(F32);
    let loss =
        ops::head_expected_policy_loss(policy, judge, &case.weights, case.sampled(), options)
            .unwrap();
    assert_eq!(loss.loss.dtype(), DType::F64);
    let facts = expected_policy(&case, true, F32, &ops::head_expected_policy_loss).1;
    assert_ratios_close("f64", &loss.ratios, &facts, 1e-5);
    let alone = ops::head_log_ratios(policy, judge, &case.tokens, &case.weights, options).unwrap();
    assert_eq!(alone.len(), 60);
}

/// One test, because the instruction set belongs to the whole process.
#[test]
fn bits_depend_on_no_number_of_threads_and_on_no_width() {
    let case = Case::new(1100, 23, &[0, 2]);
    let bits = |threads: usize| {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
        pool.install(|| {
            let (loss, ratios, gradients) =
                expected_policy(&case, true, F32, &ops::head_expected_policy_loss);
            let (log_probs, others) = target_log_probs(&case, true, F32);
            let (value, _, of_groups) = group_loss(&case, 20, true);
            let LogRatios { expected, sampled, log_probs: of_sampled } = ratios;
            let all = [vec![loss, value], expected, sampled, of_sampled, log_probs];
            let all = all.into_iter().chain(gradients).chain(others).chain(of_groups).flatten();
            all.map(f32::to_bits).collect::<Vec<u32>>()
        })
    };
    let mut fused = None;
    for set in InstructionSet::ALL {
        if set.select() != set {
            println!("this processor has no {}", set.name());
            continue;
        }
        let expected = bits(1);
        for threads in [1, 2, 4] {
            assert!(bits(threads) == expected, "{} on {threads} threads", set.name());
        }
        if set > InstructionSet::Portable {
            let same = *fused.get_or_insert_with(|| expected.clone()) == expected;
            assert!(same, "{} gives other bits than AVX2", set.name());
        }
    }
    InstructionSet::detected().select();
}

#[test]
fn what_does_not_fit_is_named() {
    let case = Case::new(5, 4, &[]);
    let [hidden, head, judge_hidden, judge_head] = &case.tensors;
    let ask = |tokens: &[u32], weights: &[f32], excluded: &[u32]| {
        ops::head_target_log_probs(hidden, head, tokens, weights, excluded, F32)
            .unwrap_err()
            .to_string()
    };
    assert_eq!(
        ask(&[1; 5], &[1.0; 4], &[]),
        "head_target_log_probs: number of rows and of weights differ: 5 and 4"
    );
    assert_eq!(
        ask(&[1, 1, 0, 1, 1], &[1.0; 5], &[0]),
        "head_target_log_probs: token 0 of row 2 is one of those that are excluded"
    );
    assert_eq!(
        ask(&[1; 5], &[0.0; 5], &[3, 1, 0, 2, 2]),
        "head_target_log_probs: every token is excluded"
    );
    let error = ops::head_group_loss(hidden, head, &[1; 5], &[1.0; 5], 2, &[], F32, logistic);
    assert_eq!(
        error.unwrap_err().to_string(),
        "head_group_loss: 5 rows are no whole number of groups of 2"
    );
    let policy = HeadInput { hidden, head };
    let judge = HeadInput { hidden: judge_hidden, head: judge_head };
    let kind = JudgeKind::LanguageModel;
    let options = RatioOptions { judge: kind, bound: 0.0, excluded: &[], precision: F32 };
    let error = ops::head_expected_policy_loss(policy, judge, &[1.0; 5], None, options);
    assert_eq!(
        error.unwrap_err().to_string(),
        "head_expected_policy_loss: the bound is 0, expected a positive number"
    );
    let options = RatioOptions { bound: 1.0, ..options };
    let error = ops::head_log_ratios(judge, judge, &[1; 5], &[1.0; 3], options);
    assert_eq!(
        error.unwrap_err().to_string(),
        "head_target_log_probs: number of rows and of weights differ: 5 and 3"
    );
    let narrow = judge_head.narrow(0, 0, 3).unwrap();
    let judge = HeadInput { hidden: judge_hidden, head: &narrow };
    let error = ops::head_expected_policy_loss(policy, judge, &[1.0; 5], None, options);
    assert_eq!(
        error.unwrap_err().to_string(),
        "head_expected_policy_loss: vocabulary of the policy and of the judge differ: 4 and 3"
    );
}
