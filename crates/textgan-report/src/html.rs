//! Text into HTML: escaping, numbers, names.

use std::fmt;

/// Text shown as it is: everything that could be markup is escaped.
pub(crate) struct Text<'a>(pub &'a str);

impl fmt::Display for Text<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut rest = self.0;
        while let Some(at) = rest.find(['&', '<', '>', '"', '\'']) {
            f.write_str(&rest[..at])?;
            f.write_str(match rest.as_bytes()[at] {
                b'&' => "&amp;",
                b'<' => "&lt;",
                b'>' => "&gt;",
                b'"' => "&quot;",
                _ => "&#39;",
            })?;
            rest = &rest[at + 1..];
        }
        f.write_str(rest)
    }
}

/// A count with its thousands apart.
pub(crate) fn count(number: u64) -> String {
    let digits = number.to_string();
    let mut out = String::new();
    for (i, digit) in digits.chars().enumerate() {
        if i > 0 && (digits.len() - i).is_multiple_of(3) {
            out.push(',');
        }
        out.push(digit);
    }
    out
}

/// A measured number, with digits enough to compare and no more.
pub(crate) fn value(number: f64) -> String {
    let size = number.abs();
    let text = match size {
        _ if !number.is_finite() => return "not defined".to_owned(),
        _ if size == 0.0 => "0".to_owned(),
        _ if size >= 10_000.0 => count(size.round() as u64),
        _ if size >= 100.0 => format!("{size:.1}"),
        _ if size >= 1.0 => format!("{size:.3}"),
        _ if size >= 0.001 => format!("{size:.4}"),
        _ => format!("{size:.1e}"),
    };
    if number < 0.0 { format!("\u{2212}{text}") } else { text }
}

/// A measured difference and its interval, signs shown, all with the decimals of the widest.
pub(crate) fn changes<const N: usize>(numbers: [f64; N]) -> [String; N] {
    let reach = numbers.iter().fold(0.0, |reach: f64, number| reach.max(number.abs()));
    let decimals = if reach >= 0.001 || reach == 0.0 { 4 } else { 6 };
    let decimals = if reach >= 10.0 { 2 } else { decimals };
    numbers.map(|number| {
        let text = format!("{:.decimals$}", number.abs());
        let zero = text.bytes().all(|b| b == b'0' || b == b'.');
        match number {
            _ if !number.is_finite() => "not defined".to_owned(),
            _ if zero => text,
            _ if number > 0.0 => format!("+{text}"),
            _ => format!("\u{2212}{text}"),
        }
    })
}

/// A share as a percentage.
pub(crate) fn percent(share: f64) -> String {
    format!("{:.2} %", 100.0 * share)
}

/// A name as people write it: `self-bleu-4` is Self-BLEU-4, `validation_loss` is Validation loss.
pub(crate) fn title(name: &str) -> String {
    let number = |word: &str| word.bytes().all(|b| b.is_ascii_digit());
    let mut out = String::new();
    for (i, word) in name.split(['-', '_', ' ']).enumerate() {
        if i > 0 {
            let glued = number(word) || (word == "bleu" && out == "Self");
            out.push(if glued { '-' } else { ' ' });
        }
        match word {
            "bleu" => out.push_str("BLEU"),
            "nll" => out.push_str("NLL"),
            "kl" => out.push_str("KL"),
            "lm" => out.push_str("LM"),
            "auc" => out.push_str("AUC"),
            "mauve" => out.push_str("MAUVE"),
            "frechet" => out.push_str("Fréchet distance"),
            _ if i == 0 => {
                let mut letters = word.chars();
                out.extend(letters.next().map(|c| c.to_ascii_uppercase()));
                out.push_str(letters.as_str());
            }
            _ => out.push_str(word),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn markup_is_text() {
        let hostile = r#"<script>"a" & 'b'</script>"#;
        assert_eq!(
            Text(hostile).to_string(),
            "&lt;script&gt;&quot;a&quot; &amp; &#39;b&#39;&lt;/script&gt;"
        );
    }

    #[test]
    fn numbers_and_names_read_well() {
        assert_eq!(count(0), "0");
        assert_eq!(count(1_234_567), "1,234,567");
        for (number, text) in [
            (0.0, "0"),
            (-0.0123, "\u{2212}0.0123"),
            (0.000_04, "4.0e-5"),
            (3.21349, "3.213"),
            (123.456, "123.5"),
            (1_234_567.8, "1,234,568"),
            (f64::NAN, "not defined"),
        ] {
            assert_eq!(value(number), text);
        }
        assert_eq!(changes([0.5, -0.000_01, 12.0]), ["+0.50", "0.00", "+12.00"]);
        assert_eq!(changes([0.002, -0.0004]), ["+0.0020", "\u{2212}0.0004"]);
        for (name, shown) in [
            ("self-bleu-4", "Self-BLEU-4"),
            ("bleu_4", "BLEU-4"),
            ("test-nll", "Test NLL"),
            ("validation_loss", "Validation loss"),
            ("test-nll-ratio", "Test NLL ratio"),
            ("auc_cut", "AUC cut"),
        ] {
            assert_eq!(title(name), shown);
        }
    }
}
