//! What a trained vocabulary promises, for every kind.

use textgan_tokenizer::{Error, Kind, Tokenizer, TokenizerConfig, Trainer, special};

const KINDS: [Kind; 4] = [Kind::Word, Kind::ByteBpe, Kind::Unigram, Kind::Character];

/// Sentences with many ties in frequency and many rare characters, which is where an order that
/// leaks from a hash table shows.
fn sentences() -> Vec<String> {
    let mut state = 12_345_u64;
    let mut below = move |bound: u64| {
        state =
            state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 33) % bound
    };
    let syllables = ["ba", "ke", "mo", "tra", "in", "st", "er", "lu", "qu", "ix"];
    let words: Vec<String> = (0..400)
        .map(|i| {
            let mut word: String =
                (0..1 + below(4)).map(|_| syllables[below(10) as usize]).collect();
            if i % 5 == 0 {
                word.push(char::from_u32(0x4e00 + i).expect("a character"));
            }
            word
        })
        .collect();
    (0..1_500)
        .map(|_| {
            let sentence: Vec<&str> = (0..3 + below(6))
                .map(|_| {
                    let spread = 1 + below(400);
                    words[below(spread) as usize].as_str()
                })
                .collect();
            sentence.join(" ")
        })
        .collect()
}

fn config(kind: Kind, vocabulary_size: Option<usize>) -> TokenizerConfig {
    TokenizerConfig { kind, vocabulary_size, ..TokenizerConfig::default() }
}

fn train(config: &TokenizerConfig, texts: &[String]) -> Result<Tokenizer, Error> {
    let mut trainer = Trainer::new(config)?;
    for portion in texts.chunks(100) {
        trainer.feed(portion)?;
    }
    Ok(trainer.finish()?.0)
}

fn size_for(kind: Kind) -> Option<usize> {
    match kind {
        Kind::ByteBpe => Some(400),
        Kind::Unigram => Some(220),
        _ => None,
    }
}

#[test]
fn the_same_text_gives_the_same_bytes_with_any_number_of_threads() {
    let texts = sentences();
    for kind in KINDS {
        let config = config(kind, size_for(kind));
        let mut versions = Vec::new();
        for threads in [1, 2, 3, 8, 2, 1, 4] {
            let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
            let tokenizer = pool.install(|| train(&config, &texts)).unwrap();
            versions.push(tokenizer.to_json().unwrap());
        }
        versions.dedup();
        assert_eq!(versions.len(), 1, "{kind:?}: the bytes of tokenizer.json differ between runs");
    }
}

#[test]
fn a_written_file_reads_back_as_the_same_tokenizer() {
    let texts = sentences();
    let folder = tempfile::tempdir().unwrap();
    for kind in KINDS {
        let tokenizer = train(&config(kind, size_for(kind)), &texts).unwrap();
        let path = folder.path().join("tokenizer.json");
        std::fs::write(&path, tokenizer.to_json().unwrap()).unwrap();
        let again = Tokenizer::load(&path).unwrap();
        assert_eq!(again.to_json().unwrap(), tokenizer.to_json().unwrap(), "{kind:?}");
        for text in &texts[..50] {
            assert_eq!(again.encode(text).unwrap(), tokenizer.encode(text).unwrap(), "{kind:?}");
        }
        assert_eq!(Tokenizer::adopt(&path).unwrap().to_json().unwrap(), again.to_json().unwrap());
    }
}

#[test]
fn texts_of_the_corpus_survive_the_round_trip() {
    let texts = sentences();
    for kind in KINDS {
        let tokenizer = train(&config(kind, size_for(kind)), &texts).unwrap();
        for text in &texts {
            let tokens = tokenizer.encode(text).unwrap();
            assert!(tokens.iter().all(|&id| id >= 4), "{kind:?}: {text}");
            assert_eq!(&tokenizer.decode(&tokens).unwrap(), text, "{kind:?}");
        }
    }
}

#[test]
fn special_tokens_have_their_ids_and_no_text_becomes_one() {
    let texts = sentences();
    for kind in KINDS {
        let tokenizer = train(&config(kind, size_for(kind)), &texts).unwrap();
        for (id, name) in (0..).zip(special::NAMES) {
            assert_eq!(tokenizer.token(id).as_deref(), Some(name), "{kind:?}");
            let tokens = tokenizer.encode(&format!("{name} {name}")).unwrap();
            assert!(!tokens.iter().any(|&id| special::is_control(id)), "{kind:?}: {tokens:?}");
        }
        let padded = [special::BEGIN, 7, special::END, special::PAD];
        assert_eq!(tokenizer.decode(&padded).unwrap(), tokenizer.decode(&[7]).unwrap(), "{kind:?}");
        let outside = tokenizer.vocab_size() as u32;
        assert!(matches!(tokenizer.decode(&[outside]), Err(Error::UnknownId { .. })));
    }
}

#[test]
fn a_word_vocabulary_is_ordered_by_frequency_and_bounded() {
    let texts = ["c b a b".to_owned(), "b a <unk> d".to_owned()];
    let bounded = train(&config(Kind::Word, Some(6)), &texts).unwrap();
    assert_eq!(bounded.vocab_size(), 6);
    assert_eq!(bounded.encode("b a c <unk>").unwrap(), [4, 5, 1, 1]);

    let frequent = TokenizerConfig { min_frequency: 2, ..TokenizerConfig::default() };
    assert_eq!(train(&frequent, &texts).unwrap().vocab_size(), 4 + 2);
}

#[test]
fn a_size_is_exact_where_it_is_asked_for() {
    let texts = sentences();
    for kind in [Kind::ByteBpe, Kind::Unigram] {
        let size = size_for(kind);
        assert_eq!(Some(train(&config(kind, size), &texts).unwrap().vocab_size()), size);

        match train(&config(kind, Some(100_000)), &texts) {
            Err(Error::VocabularyTooLarge { requested: 100_000, reached }) => {
                let fits = train(&config(kind, Some(reached)), &texts).unwrap();
                assert_eq!(fits.vocab_size(), reached, "{kind:?}: the fix that the message names");
            }
            other => panic!("{kind:?}: {other:?}"),
        }
        let mut trainer = Trainer::new(&config(kind, None)).unwrap();
        trainer.feed(&texts).unwrap();
        let (tokenizer, vocabulary) = trainer.finish().unwrap();
        assert!(tokenizer.vocab_size() < 4_000);
        assert!(vocabulary.note.unwrap().contains(&tokenizer.vocab_size().to_string()));
    }
}

#[test]
fn what_cannot_work_is_refused_with_the_fix() {
    let texts = sentences();
    let unigram = train(&config(Kind::Unigram, Some(50)), &texts).unwrap_err();
    let Error::VocabularyTooSmall { needed, .. } = unigram else { panic!("{unigram}") };
    train(&config(Kind::Unigram, Some(needed)), &texts).unwrap();

    for kind in KINDS {
        for empty in [&[][..], &[String::new()][..]] {
            let error = train(&config(kind, None), empty).unwrap_err();
            assert!(matches!(error, Error::NothingToLearn { .. }), "{kind:?}: {error}");
        }
    }
    let rare = TokenizerConfig { min_frequency: 1_000_000, ..TokenizerConfig::default() };
    assert!(train(&rare, &texts).unwrap_err().to_string().contains("min_frequency (1000000)"));

    for (bad, key) in [
        (TokenizerConfig { max_length: 0, ..TokenizerConfig::default() }, "max_length"),
        (config(Kind::Word, Some(4)), "vocabulary_size"),
        (config(Kind::ByteBpe, Some(100)), "vocabulary_size"),
        (config(Kind::Word, Some(usize::MAX)), "vocabulary_size"),
        (config(Kind::File, None), "path"),
        (TokenizerConfig { path: Some("x".into()), ..TokenizerConfig::default() }, "path"),
    ] {
        let message = Trainer::new(&bad).err().expect("refused").to_string();
        assert!(message.starts_with(&format!("[tokenizer] {key}: ")), "{message}");
    }
}

#[test]
fn a_bad_file_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("tokenizer.json");
    for content in ["", "{}", "[]", r#"{"version": "1.0", "model": {"type": "BPE"}}"#] {
        std::fs::write(&path, content).unwrap();
        for result in [Tokenizer::load(&path), Tokenizer::adopt(&path)] {
            let message = result.unwrap_err().to_string();
            assert!(message.starts_with(path.to_str().unwrap()), "{content}: {message}");
        }
    }
    let missing = Tokenizer::load(folder.path().join("nothing.json")).unwrap_err().to_string();
    assert!(missing.contains("nothing.json"), "{missing}");
}

/// SMILES: an atom in brackets, one of two letters and a ring closure of two digits are one token.
#[test]
fn characters_can_be_kept_together() {
    let together = Some(r"\[[^\]]*\]|Br|Cl|%\d\d".to_owned());
    let config = TokenizerConfig { kind: Kind::Character, together, ..TokenizerConfig::default() };
    let smiles = "Clc1c([nH]%12)cBr".to_owned();
    let tokenizer = train(&config, std::slice::from_ref(&smiles)).unwrap();
    let tokens = tokenizer.encode(&smiles).unwrap();
    let names: Vec<String> = tokens.iter().map(|&id| tokenizer.token(id).unwrap()).collect();
    assert_eq!(names, ["Cl", "c", "1", "c", "(", "[nH]", "%12", ")", "c", "Br"]);
    assert_eq!(tokenizer.decode(&tokens).unwrap(), smiles);
    let refused = |kind, together: &str| {
        let together = Some(together.to_owned());
        let config = TokenizerConfig { kind, together, ..TokenizerConfig::default() };
        config.validate().unwrap_err().to_string()
    };
    assert!(refused(Kind::Word, "Cl").contains("together"));
    assert!(refused(Kind::Character, "(").contains("no regular expression"));
}
