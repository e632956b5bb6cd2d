//! The page as a whole.

use crate::html::Text;
use crate::section::Section;

const STYLE: &str = include_str!("../assets/style.css");
const SCRIPT: &str = include_str!("../assets/script.js");

pub(crate) fn page(name: &str, sections: &[Section]) -> String {
    let name = if name.is_empty() { "run" } else { name };
    let mut nav = String::new();
    let mut main = String::new();
    for Section { id, title, body } in sections {
        nav += &format!("<li><a href=\"#{id}\">{title}</a></li>");
        let body = match body {
            Ok(html) => html.clone(),
            Err(absent) => format!("<p class=\"absent\">{absent}</p>"),
        };
        main += &format!(
            "<section id=\"{id}\" aria-labelledby=\"h-{id}\"><h2 id=\"h-{id}\">{title}</h2>{body}</section>\n"
        );
    }
    format!(
        "<!doctype html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n<meta name=\"color-scheme\" content=\"light dark\">\n<title>{0} \u{2013} textgan report</title>\n<style>\n{STYLE}</style>\n</head>\n<body>\n<a class=\"skip\" href=\"#main\">Skip to the report</a>\n<header><p class=\"kind\">textgan report</p><h1>{0}</h1><nav aria-label=\"Sections\"><ul>{nav}</ul></nav></header>\n<main id=\"main\">\n{main}</main>\n<footer><p>Made from the artifacts of the run alone; nothing is loaded from anywhere.</p></footer>\n<script>\n{SCRIPT}</script>\n</body>\n</html>\n",
        Text(name)
    )
}
