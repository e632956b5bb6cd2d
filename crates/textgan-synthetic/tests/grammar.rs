//! The grammar formalism, on grammars small enough to enumerate by hand.

use std::collections::BTreeMap;
use textgan_random::Key;
use textgan_synthetic::{Error, Grammar};

const SMALL: &str = r#"
format = 1
name = "small"
start = "sentence mood"
label = "mood"
rank_offset = 0.0

[features]
mood = ["3: calm", "1: loud"]
number = ["one", "many"]

[rules]
"sentence mood" = ["2: <np number> <verb number mood>", "1: <np number> <verb number mood> <adverb mood>"]
"np number" = ["<noun number>", "<noun number> <tail>"]
tail = ["near <noun number>"]
"verb one calm" = ["sleeps"]
"verb many calm" = ["sleep"]
"verb one loud" = ["3: barks", "howls"]
"verb many loud" = ["3: bark", "howl"]
"adverb loud" = ["<often>", "loudly"]
"adverb calm" = ["quietly", ""]
often = ["often"]

[words]
"noun number" = ["dog / dogs", "old cat / old cats"]
"#;

/// All sentences with the sum of their probabilities, by walking `next_words`.
fn enumerate(grammar: &Grammar) -> BTreeMap<String, f64> {
    let mut sentences = BTreeMap::new();
    let mut open = vec![(String::new(), 1.0)];
    while let Some((prefix, probability)) = open.pop() {
        for (word, p) in grammar.next_words(&prefix).unwrap() {
            match word {
                None => *sentences.entry(prefix.clone()).or_insert(0.0) += probability * p,
                Some(word) => {
                    open.push((format!("{prefix} {word}").trim().to_owned(), probability * p))
                }
            }
        }
    }
    sentences
}

#[test]
fn probabilities_sum_to_one_and_agree_with_log_prob() {
    let grammar = Grammar::from_toml(SMALL).unwrap();
    let sentences = enumerate(&grammar);
    assert!((sentences.values().sum::<f64>() - 1.0).abs() < 1e-12);
    for (sentence, probability) in &sentences {
        let exact = grammar.log_prob(sentence).unwrap().exp();
        assert!((exact - probability).abs() < 1e-12, "{sentence}: {exact} {probability}");
        let posterior = grammar.label_posterior(sentence).unwrap();
        assert!((posterior.iter().sum::<f64>() - 1.0).abs() < 1e-12);
    }
    // By hand: calm 3/4, plain 2/3, number 1/2, no tail 1/2, `dog` 1 of (1, 1/2).
    // The empty adverb gives the same sentence once more: 1/3 x 1/2 on top of 2/3.
    let expected = 0.75 * (2.0 / 3.0 + 1.0 / 6.0) * 0.5 * 0.5 * (2.0 / 3.0);
    assert!((grammar.log_prob("dog sleeps").unwrap().exp() - expected).abs() < 1e-12);
    assert!(grammar.grammatical("dogs near old cat bark loudly"));
    assert!(!grammar.grammatical("dogs near old cat barks loudly"));
    assert!(!grammar.grammatical("dog sleeps loudly"));
}

#[test]
fn an_ambiguous_grammar_says_which_sentence_and_offers_an_estimate() {
    let grammar = Grammar::from_toml(SMALL).unwrap();
    let Err(Error::Ambiguous { sentence }) = grammar.entropy() else {
        panic!("two ways to say nothing")
    };
    assert!(["dog sleeps", "dogs sleep"].contains(&sentence.as_str()), "{sentence}");
    let exact: f64 = enumerate(&grammar).values().map(|p| -p * p.ln()).sum();
    let estimate = grammar.estimate_entropy(20_000, &mut Key::root(4).stream()).unwrap();
    assert!((estimate.mean - exact).abs() < 4.0 * estimate.standard_error, "{estimate:?} {exact}");
    // Coverage still works, with the most likely derivation.
    assert_eq!(grammar.coverage(&["dog sleeps"]).unwrap().grammatical, 1.0);
}

#[test]
fn an_unambiguous_grammar_has_its_exact_entropy_and_lengths() {
    let grammar = Grammar::from_toml(&SMALL.replace(r#", """#, "")).unwrap();
    let sentences = enumerate(&grammar);
    let exact: f64 = sentences.values().map(|p| -p * p.ln()).sum();
    assert!((grammar.entropy().unwrap() - exact).abs() < 1e-12);
    let mut lengths = vec![0.0; grammar.length_distribution().len()];
    for (sentence, probability) in &sentences {
        lengths[sentence.split(' ').count()] += probability;
    }
    for (a, b) in lengths.iter().zip(grammar.length_distribution()) {
        assert!((a - b).abs() < 1e-12);
    }
    let mean: f64 = lengths.iter().enumerate().map(|(n, p)| n as f64 * p).sum();
    assert!((grammar.mean_length() - mean).abs() < 1e-12);
}

#[test]
fn a_sentence_of_two_labels_is_an_ambiguity_too() {
    let text = r#"
        format = 1
        name = "shared"
        start = "s side"
        label = "side"
        [features]
        side = ["left", "right"]
        [rules]
        "s left" = ["a b", "a c"]
        "s right" = ["a b", "d"]
    "#;
    let grammar = Grammar::from_toml(text).unwrap();
    let Err(Error::Ambiguous { sentence }) = grammar.entropy() else {
        panic!("`a b` has two labels")
    };
    assert_eq!(sentence, "a b");
    assert_eq!(grammar.label_posterior("a b"), Some(vec![0.5, 0.5]));
    assert!((grammar.log_prob("a b").unwrap().exp() - 0.5).abs() < 1e-12);
}

#[test]
fn sampling_follows_the_probabilities() {
    let grammar = Grammar::from_toml(SMALL).unwrap();
    let sentences = enumerate(&grammar);
    let n = 50_000;
    let mut counts: BTreeMap<String, f64> = BTreeMap::new();
    let mut stream = Key::root(8).stream();
    for _ in 0..n {
        *counts.entry(grammar.sample(&mut stream).0).or_default() += 1.0;
    }
    let statistic: f64 = sentences
        .iter()
        .map(|(s, p)| (counts.get(s).unwrap_or(&0.0) - n as f64 * p).powi(2) / (n as f64 * p))
        .sum();
    // Chi-squared with k - 1 degrees of freedom: mean k - 1, standard deviation sqrt(2 (k - 1)).
    let freedom = sentences.len() as f64 - 1.0;
    assert!(statistic < freedom + 5.0 * (2.0 * freedom).sqrt(), "{statistic} over {freedom}");
}

#[test]
fn mistakes_are_named() {
    let cases: &[(&str, &str, &str)] = &[
        ("format = 1", "format = 2", "in `format`: this version reads format 1"),
        ("tail = [\"near", "tail = [\"<tail> near", "tail -> tail` is recursive"),
        ("<often>", "<ofen>", "in `adverb loud`: `<ofen>` is not defined"),
        ("<often>", "often", "`often` is never used"),
        ("2: <np", "-2: <np", "a weight must be a number above zero"),
        ("dogs", "dogs / dogses", "has 3 of the 2 form(s)"),
        ("<adverb mood>", "<adverb mood number>", "in `adverb calm`: has 1 argument(s)"),
        ("<adverb mood>", "<adverb moody>", "`moody` in `<adverb>` is neither"),
        ("<adverb mood>", "<adverb mood", "a `<` is never closed"),
        (
            "\"verb many loud\"",
            "\"verb many calm \"",
            "no rule or word list gives `<verb many loud>`",
        ),
        ("label = \"mood\"", "label = \"number\"", "in `label`"),
        ("[\"one\", \"many\"]", "[\"one\", \"calm\"]", "`calm` is already in use"),
        ("name = \"small\"", "name = \"small\"\nrank = 3", "unknown field `rank`"),
        ("rank_offset = 0.0", "rank_offset = nan", "in `rank_offset`"),
    ];
    for (from, to, message) in cases {
        assert!(SMALL.contains(from), "{from}");
        let error = Grammar::from_toml(&SMALL.replacen(from, to, 1)).expect_err(to).to_string();
        assert!(error.contains(message), "{to}: {error}");
    }
    let error =
        Grammar::from_toml(SMALL).unwrap().sample_with_label("sad", &mut Key::root(0).stream());
    assert_eq!(
        error.unwrap_err().to_string(),
        "there is no label `sad`: the labels are calm, loud"
    );
}

#[test]
fn a_grammar_that_explodes_is_refused_before_memory_is() {
    // 40 doublings: 2^40 words.
    let mut text =
        String::from("format = 1\nname = \"big\"\nstart = \"s40\"\n[rules]\ns0 = [\"a\", \"b\"]\n");
    for n in 1..=40 {
        text += &format!("s{n} = [\"<s{0}> <s{0}>\"]\n", n - 1);
    }
    assert!(matches!(Grammar::from_toml(&text), Err(Error::TooLarge { .. })));
}
