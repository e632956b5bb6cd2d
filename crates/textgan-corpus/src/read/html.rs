//! What a reader sees of a web page.

use crate::Unit;
use scraper::{ElementRef, Html, Node, Selector};

/// Elements whose content is not text of the page.
const UNSEEN: &[&str] = &[
    "audio", "canvas", "datalist", "head", "iframe", "noscript", "object", "script", "select",
    "style", "svg", "template", "textarea", "title", "video",
];

/// Elements that stand on lines of their own.
const BLOCKS: &[&str] = &[
    "address",
    "article",
    "aside",
    "blockquote",
    "body",
    "dd",
    "details",
    "dialog",
    "div",
    "dl",
    "dt",
    "fieldset",
    "figcaption",
    "figure",
    "footer",
    "form",
    "h1",
    "h2",
    "h3",
    "h4",
    "h5",
    "h6",
    "header",
    "hgroup",
    "hr",
    "html",
    "li",
    "main",
    "nav",
    "ol",
    "p",
    "pre",
    "section",
    "summary",
    "table",
    "tbody",
    "td",
    "tfoot",
    "th",
    "thead",
    "tr",
    "ul",
];

/// Elements whose content is not markup.
const RAW: &[&str] =
    &["iframe", "noembed", "noframes", "script", "style", "textarea", "title", "xmp"];

/// Elements that have no content, or whose end is understood when the next begins.
const UNNESTED: &[&str] = &[
    "area", "base", "br", "col", "dd", "dt", "embed", "hr", "img", "input", "li", "link", "meta",
    "option", "p", "param", "source", "tbody", "td", "tfoot", "th", "thead", "tr", "track", "wbr",
];

/// The deepest nesting that is parsed. Parsing a page takes time, and with formatting elements memory
/// too, that grows with the square of its depth; browsers stop at 512.
pub(crate) const MAX_DEPTH: usize = 1000;

/// The most attributes of one tag. Parsing it takes time that grows with their square.
const MAX_ATTRIBUTES: usize = 1000;

/// Why a page would take too long to parse, if it would: its tags nest deeper than [`MAX_DEPTH`], or one has
/// more than [`MAX_ATTRIBUTES`]. They are counted without parsing.
pub(crate) fn cannot_be_parsed(page: &str) -> Option<String> {
    let bytes = page.as_bytes();
    let mut depth = 0_usize;
    let mut at = 0;
    while let Some(tag) = find(bytes, at, b"<") {
        at = tag + 1;
        let rest = &bytes[at..];
        if rest.starts_with(b"!--") {
            at = find(bytes, at + 3, b"-->").unwrap_or(bytes.len());
            continue;
        }
        let closing = rest.first() == Some(&b'/');
        let name = &rest[usize::from(closing)..];
        let length = name.iter().take_while(|b| b.is_ascii_alphanumeric()).count();
        // A name longer than any in the lists is in none of them.
        let name = String::from_utf8_lossy(&name[..length.min(16)]).to_ascii_lowercase();
        if length > 0 && has_many_attributes(&rest[usize::from(closing) + length..]) {
            return Some(format!("a tag has more than {MAX_ATTRIBUTES} attributes"));
        }
        if length == 0 || UNNESTED.contains(&name.as_str()) {
            continue;
        }
        if closing {
            depth = depth.saturating_sub(1);
        } else if RAW.contains(&name.as_str()) {
            at = find_end_tag(bytes, at, &name);
        } else {
            depth += 1;
            if depth > MAX_DEPTH {
                return Some(format!("its tags nest more than {MAX_DEPTH} deep"));
            }
        }
    }
    None
}

/// Whether a tag, given from behind its name on, has more than [`MAX_ATTRIBUTES`].
fn has_many_attributes(tag: &[u8]) -> bool {
    let mut at = 0;
    let skip = |at: usize, what: &dyn Fn(u8) -> bool| {
        at + tag[at..].iter().take_while(|&&byte| what(byte)).count()
    };
    for _ in 0..=MAX_ATTRIBUTES {
        at = skip(at, &|byte| byte.is_ascii_whitespace() || byte == b'/');
        if matches!(tag.get(at), None | Some(b'>')) {
            return false;
        }
        // A name has one byte at least, even if it is an equals sign.
        at = skip(at + 1, &|byte| !byte.is_ascii_whitespace() && !b"/>=".contains(&byte));
        let equals = skip(at, &|byte| byte.is_ascii_whitespace());
        if tag.get(equals) != Some(&b'=') {
            continue;
        }
        at = skip(equals + 1, &|byte| byte.is_ascii_whitespace());
        at = match tag.get(at) {
            Some(&quote @ (b'"' | b'\'')) => {
                (skip(at + 1, &|byte| byte != quote) + 1).min(tag.len())
            }
            _ => skip(at, &|byte| !byte.is_ascii_whitespace() && byte != b'>'),
        };
    }
    true
}

fn find(bytes: &[u8], from: usize, pattern: &[u8]) -> Option<usize> {
    let from = from.min(bytes.len());
    bytes[from..].windows(pattern.len()).position(|window| window == pattern).map(|at| from + at)
}

fn find_end_tag(bytes: &[u8], mut from: usize, name: &str) -> usize {
    while let Some(at) = find(bytes, from, b"</") {
        from = at + 2;
        if bytes
            .get(from..from + name.len())
            .is_some_and(|found| found.eq_ignore_ascii_case(name.as_bytes()))
        {
            return from;
        }
    }
    bytes.len()
}

/// Documents of a page: for [`Unit::Line`] each line, for [`Unit::Paragraph`] each block element
/// with text of its own (its `<br>` are line ends), for [`Unit::File`] the whole page, blocks
/// separated by a line end.
pub(crate) fn documents(page: &str, selector: &Selector, unit: Unit) -> Vec<String> {
    let page = Html::parse_document(page);
    let mut blocks = Blocks::default();
    for element in page.select(selector) {
        let nested =
            element.ancestors().filter_map(ElementRef::wrap).any(|outer| selector.matches(&outer));
        if !nested {
            blocks.element(element);
        }
    }
    let blocks = blocks.done;
    match unit {
        Unit::Paragraph => blocks,
        Unit::Line => blocks.iter().flat_map(|block| block.split('\n')).map(String::from).collect(),
        Unit::File if blocks.is_empty() => Vec::new(),
        Unit::File => vec![blocks.join("\n")],
    }
}

#[derive(Default)]
struct Blocks {
    done: Vec<String>,
    current: String,
    /// White space was passed since the last word.
    space: bool,
}

impl Blocks {
    /// Walks without recursion: pages can be nested deeper than a stack.
    fn element(&mut self, root: ElementRef<'_>) {
        let mut node = *root;
        loop {
            let descend = self.enter(node.value());
            if descend && let Some(child) = node.first_child() {
                node = child;
                continue;
            }
            loop {
                self.leave(node.value());
                if node.id() == root.id() {
                    self.end_block();
                    return;
                }
                if let Some(sibling) = node.next_sibling() {
                    node = sibling;
                    break;
                }
                match node.parent() {
                    Some(parent) => node = parent,
                    None => return self.end_block(),
                }
            }
        }
    }

    fn enter(&mut self, node: &Node) -> bool {
        match node {
            Node::Text(text) => self.text(text),
            Node::Element(element) => match element.name() {
                "br" => self.end_line(),
                name if UNSEEN.contains(&name) => return false,
                name if BLOCKS.contains(&name) => self.end_block(),
                _ => {}
            },
            _ => {}
        }
        true
    }

    fn leave(&mut self, node: &Node) {
        if node.as_element().is_some_and(|element| BLOCKS.contains(&element.name())) {
            self.end_block();
        }
    }

    fn text(&mut self, text: &str) {
        for character in text.chars() {
            if character.is_ascii_whitespace() {
                self.space = true;
                continue;
            }
            if self.space && !self.current.is_empty() && !self.current.ends_with('\n') {
                self.current.push(' ');
            }
            self.space = false;
            self.current.push(character);
        }
    }

    fn end_line(&mut self) {
        self.space = false;
        if !self.current.is_empty() && !self.current.ends_with('\n') {
            self.current.push('\n');
        }
    }

    fn end_block(&mut self) {
        self.space = false;
        let length = self.current.trim_end().len();
        self.current.truncate(length);
        if !self.current.is_empty() {
            self.done.push(std::mem::take(&mut self.current));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PAGE: &str = "<!doctype html><title>T</title><style>p{}</style>
        <body><nav>menu</nav><main><h1>A &amp; B</h1><p>one <b>bold</b>\n word<br>second line<script>x()</script></p>
        <div>loose<p>inner</p>tail</div><ul><li>i</li><li>j</li></ul></main>";

    fn read(selector: &str, unit: Unit) -> Vec<String> {
        documents(PAGE, &Selector::parse(selector).unwrap(), unit)
    }

    #[test]
    fn blocks_are_paragraphs() {
        let expected =
            ["menu", "A & B", "one bold word\nsecond line", "loose", "inner", "tail", "i", "j"];
        assert_eq!(read("body", Unit::Paragraph), expected);
    }

    #[test]
    fn a_selector_narrows() {
        assert_eq!(read("li", Unit::Paragraph), ["i", "j"]);
        assert_eq!(
            read("div, p", Unit::Line),
            ["one bold word", "second line", "loose", "inner", "tail"]
        );
        assert_eq!(read("p", Unit::File), ["one bold word\nsecond line\ninner"]);
        assert!(read("table", Unit::File).is_empty());
    }

    #[test]
    fn depth_is_counted_without_parsing() {
        let is_too_deep = |page: &str| cannot_be_parsed(page).is_some();
        let deep = |unit: &str| is_too_deep(&unit.repeat(MAX_DEPTH + 1));
        assert!(deep("<div>") && deep("<p><b class=x>") && deep("<DIV\n>") && deep("<x>"));
        assert!(
            !deep("<div></div>")
                && !deep("<p>")
                && !deep("<br/>")
                && !deep("<li>a")
                && !deep("a < b")
        );
        assert!(!is_too_deep(&format!("<script>{}</script>", "i<n;".repeat(2 * MAX_DEPTH))));
        assert!(!is_too_deep(&format!("<!--{}-->", "<div>".repeat(2 * MAX_DEPTH))));
        assert!(is_too_deep(&format!("<style></STYLE>{}", "<div>".repeat(2 * MAX_DEPTH))));
    }

    #[test]
    fn attributes_are_counted() {
        let tag = |attribute: &str, count: usize| {
            cannot_be_parsed(&format!("<p{}>text<b>", attribute.repeat(count)))
        };
        for attribute in [" a", " a=b", " a = 'x > y'", "/a=\"<\"", " a='"] {
            // The quote that never closes takes the rest of the page.
            let many = tag(attribute, MAX_ATTRIBUTES + 1).is_some();
            assert_eq!(many, attribute != " a='", "{attribute}");
            assert!(tag(attribute, MAX_ATTRIBUTES - 1).is_none(), "{attribute}");
        }
        assert!(cannot_be_parsed(&"<p a=1>x".repeat(5 * MAX_ATTRIBUTES)).is_none());
    }

    #[test]
    fn the_deepest_allowed_is_read() {
        let page = "<div>".repeat(MAX_DEPTH) + "deep";
        assert_eq!(documents(&page, &Selector::parse("body").unwrap(), Unit::File), ["deep"]);
    }
}
