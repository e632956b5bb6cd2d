//! The page as a whole.

use crate::html::Text;
use crate::section::Section;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use sha2::{Digest, Sha256};

const STYLE: &str = include_str!("../assets/style.css");
const SCRIPT: &str = include_str!("../assets/script.js");

pub(crate) fn page(name: &str, sections: &[Section], live: bool) -> String {
    let name = if name.is_empty() { "run" } else { name };
    let mut nav = String::new();
    let mut main = String::new();
    // A page that grows has what there is; what is absent is told when the run has ended.
    let there = sections.iter().filter(|section| !live || section.body.is_ok());
    for Section { id, title, body } in there {
        nav += &format!("<li><a href=\"#{id}\">{title}</a></li>");
        let body = match body {
            Ok(html) => html.clone(),
            Err(absent) => format!("<p class=\"absent\">{absent}</p>"),
        };
        main += &format!(
            "<section id=\"{id}\" aria-labelledby=\"h-{id}\"><h2 id=\"h-{id}\">{title}</h2>{body}</section>\n"
        );
    }
    let (status, script) = match live {
        true => (
            " <span id=\"live\" role=\"status\">live</span>",
            "<script type=\"module\" src=\"live.js\"></script>",
        ),
        false => ("", ""),
    };
    let policy = policy(live);
    format!(
        "<!doctype html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n<meta http-equiv=\"Content-Security-Policy\" content=\"{policy}\">\n<meta name=\"color-scheme\" content=\"light dark\">\n<title>{0} \u{2013} textgan report</title>\n<style>{STYLE}</style>\n</head>\n<body>\n<a class=\"skip\" href=\"#main\">Skip to the report</a>\n<header><p class=\"kind\">textgan report{status}</p><h1>{0}</h1><nav aria-label=\"Sections\"><ul>{nav}</ul></nav></header>\n<main id=\"main\">\n{main}</main>\n<footer><p>Made from the artifacts of the run alone; nothing is loaded from anywhere.</p></footer>\n<script>{SCRIPT}</script>{script}\n</body>\n</html>\n",
        Text(name)
    )
}

/// What the page may load: its own style and script, known by their hashes; served live, its server's script too.
fn policy(live: bool) -> String {
    let (style, script) = (hash(STYLE), hash(SCRIPT));
    let own = if live { " 'self'; connect-src 'self'" } else { "" };
    format!(
        "default-src 'none'; style-src '{style}'; img-src data:; base-uri 'none'; form-action 'none'; script-src '{script}'{own}"
    )
}

fn hash(text: &str) -> String {
    format!("sha256-{}", STANDARD.encode(Sha256::digest(text)))
}
