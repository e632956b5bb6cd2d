//! Rewriting of text, one pure function a step. `None` says that nothing changed.

use crate::UnicodeForm;
use unicode_normalization::{IsNormalized, UnicodeNormalization};
use unicode_normalization::{is_nfc_quick, is_nfd_quick, is_nfkc_quick, is_nfkd_quick};

/// Unicode normalisation (UAX #15).
pub(super) fn normalise(text: &str, form: UnicodeForm) -> Option<String> {
    if text.is_ascii() {
        return None;
    }
    let quick = match form {
        UnicodeForm::Nfc => is_nfc_quick(text.chars()),
        UnicodeForm::Nfkc => is_nfkc_quick(text.chars()),
        UnicodeForm::Nfd => is_nfd_quick(text.chars()),
        UnicodeForm::Nfkd => is_nfkd_quick(text.chars()),
    };
    if quick == IsNormalized::Yes {
        return None;
    }
    let normal: String = match form {
        UnicodeForm::Nfc => text.nfc().collect(),
        UnicodeForm::Nfkc => text.nfkc().collect(),
        UnicodeForm::Nfd => text.nfd().collect(),
        UnicodeForm::Nfkd => text.nfkd().collect(),
    };
    (normal != text).then_some(normal)
}

/// Removes control characters and their invisible kin.
pub(super) fn remove_control(text: &str) -> Option<String> {
    text.chars().any(is_control).then(|| text.chars().filter(|&c| !is_control(c)).collect())
}

fn is_control(c: char) -> bool {
    match c {
        // White space, though of the control category.
        '\t' | '\n' | '\u{B}' | '\u{C}' | '\r' | '\u{85}' => false,
        // Soft hyphen; zero-width space; word joiner; byte-order mark. The zero-width joiners
        // U+200C and U+200D stay: scripts and emoji are spelled with them.
        '\u{AD}' | '\u{200B}' | '\u{2060}' | '\u{FEFF}' => true,
        // Marks of text direction.
        '\u{200E}' | '\u{200F}' | '\u{202A}'..='\u{202E}' | '\u{2066}'..='\u{2069}' => true,
        // Noncharacters.
        '\u{FDD0}'..='\u{FDEF}' => true,
        c => c.is_control() || c as u32 & 0xFFFE == 0xFFFE,
    }
}

/// One space, or one line end, for each run of white space; none at the ends.
pub(super) fn collapse_whitespace(text: &str, keep_lines: bool) -> Option<String> {
    let mut out = String::with_capacity(text.len());
    let (mut space, mut line) = (false, false);
    for c in text.chars() {
        if c.is_whitespace() {
            space = true;
            line |= matches!(c, '\n' | '\r' | '\u{85}' | '\u{2028}' | '\u{2029}');
            continue;
        }
        if space && !out.is_empty() {
            out.push(if line && keep_lines { '\n' } else { ' ' });
        }
        (space, line) = (false, false);
        out.push(c);
    }
    (out != text).then_some(out)
}

/// Lower case, by the rules of Unicode.
pub(super) fn lower_case(text: &str) -> Option<String> {
    if text.is_ascii() && !text.bytes().any(|b| b.is_ascii_uppercase()) {
        return None;
    }
    let lower = text.to_lowercase();
    (lower != text).then_some(lower)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn steps_do_what_they_say() {
        let whitespace = |text: &str| collapse_whitespace(text, false);
        let lines = |text: &str| collapse_whitespace(text, true);
        let nfc = |text: &str| normalise(text, UnicodeForm::Nfc);
        let nfkc = |text: &str| normalise(text, UnicodeForm::Nfkc);
        type Rewrite<'a> = &'a dyn Fn(&str) -> Option<String>;
        let cases: &[(Rewrite<'_>, &str, Option<&str>)] = &[
            (&nfc, "e\u{301}", Some("é")),
            (&nfc, "é ﬁ", None),
            (&nfkc, "ﬁ Ａ", Some("fi A")),
            (&remove_control, "a\u{0}b\u{200B}c\u{FEFF}\u{202E}d\u{FFFE}", Some("abcd")),
            (&remove_control, "a\tb\nc", None),
            (&remove_control, "👩\u{200D}🚒", None),
            (&whitespace, "  a \t\n b\u{A0}c\u{3000}", Some("a b c")),
            (&whitespace, "a b c", None),
            (&whitespace, " \n", Some("")),
            (&lines, "a  b \n\n c\r\nd", Some("a b\nc\nd")),
            (&lower_case, "ÀB c", Some("àb c")),
            (&lower_case, "a b", None),
        ];
        for (step, text, expected) in cases {
            assert_eq!(step(text).as_deref(), *expected, "{text:?}");
        }
    }

    proptest! {
        #[test]
        fn every_step_is_idempotent(text in any::<String>()) {
            type Rewrite<'a> = &'a dyn Fn(&str) -> Option<String>;
            let steps: [Rewrite; 6] = [
                &|t| normalise(t, UnicodeForm::Nfc),
                &|t| normalise(t, UnicodeForm::Nfkd),
                &remove_control,
                &|t| collapse_whitespace(t, false),
                &|t| collapse_whitespace(t, true),
                &lower_case,
            ];
            for step in steps {
                let once = step(&text).unwrap_or_else(|| text.clone());
                prop_assert_eq!(step(&once), None);
            }
        }

        #[test]
        fn white_space_only_separates_words(text in "[ab \t\n]{0,40}") {
            let clean = collapse_whitespace(&text, false).unwrap_or_else(|| text.clone());
            prop_assert_eq!(clean, text.split_whitespace().collect::<Vec<_>>().join(" "));
        }
    }
}
