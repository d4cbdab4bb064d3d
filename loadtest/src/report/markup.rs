//! Elements and text of a page or picture. A tree is built and written at once, so markup is well-formed by construction, as HTML and
//! as XML alike, and text from outside cannot become markup. It must never offer a way to write raw text.

use std::fmt::{self, Display, Write as _};

/// An element with its attributes and children.
#[derive(Clone, Debug)]
pub(super) struct Element {
    name: &'static str,
    attributes: Vec<(&'static str, String)>,
    children: Vec<Node>,
}

/// What an element holds.
#[derive(Clone, Debug)]
pub(super) enum Node {
    /// An element.
    Element(Element),
    /// Text, escaped when written.
    Text(String),
    /// A style sheet of ours: constant, so nothing from outside is in it.
    Style(&'static str),
}

/// A new element.
pub(super) fn el(name: &'static str) -> Element {
    Element { name, attributes: Vec::new(), children: Vec::new() }
}

/// An element that holds only text.
pub(super) fn words(name: &'static str, text: impl Display) -> Element {
    el(name).text(text)
}

impl Element {
    pub(super) fn attr(mut self, name: &'static str, value: impl Display) -> Self {
        self.attributes.push((name, value.to_string()));
        self
    }
    pub(super) fn class(self, value: impl Display) -> Self {
        self.attr("class", value)
    }
    pub(super) fn text(mut self, text: impl Display) -> Self {
        self.children.push(Node::Text(text.to_string()));
        self
    }
    pub(super) fn child(mut self, child: Self) -> Self {
        self.children.push(Node::Element(child));
        self
    }
    pub(super) fn children(mut self, children: impl IntoIterator<Item = Self>) -> Self {
        self.children.extend(children.into_iter().map(Node::Element));
        self
    }
    pub(super) fn style(mut self, css: &'static str) -> Self {
        self.children.push(Node::Style(css));
        self
    }
}

impl Display for Element {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "<{}", self.name)?;
        for (name, value) in &self.attributes {
            write!(f, " {name}=\"")?;
            escape(f, value)?;
            f.write_char('"')?;
        }
        // HTML knows `meta` without an end, and `/>` is fine for both; any other element needs its end tag in HTML.
        if self.name == "meta" {
            return f.write_str("/>\n");
        }
        f.write_char('>')?;
        for child in &self.children {
            match child {
                Node::Element(element) => element.fmt(f)?,
                Node::Text(text) => escape(f, text)?,
                Node::Style(css) => f.write_str(css)?,
            }
        }
        write!(f, "</{}>", self.name)?;
        // Lines keep a page readable in an editor and in `git diff`.
        if matches!(self.name, "tr" | "p" | "section" | "svg" | "path" | "title" | "table" | "style" | "figure") {
            f.write_char('\n')?;
        }
        Ok(())
    }
}

fn escape(f: &mut fmt::Formatter<'_>, text: &str) -> fmt::Result {
    for c in text.chars() {
        match c {
            '&' => f.write_str("&amp;")?,
            '<' => f.write_str("&lt;")?,
            '>' => f.write_str("&gt;")?,
            '"' => f.write_str("&quot;")?,
            '\'' => f.write_str("&#39;")?,
            // Not allowed in XML, and a reader must see that something was there. Bidirectional overrides could make a name read as another.
            '\u{0}'..='\u{8}'
            | '\u{b}'
            | '\u{c}'
            | '\u{e}'..='\u{1f}'
            | '\u{7f}'..='\u{9f}'
            | '\u{fffe}'
            | '\u{ffff}'
            | '\u{202a}'..='\u{202e}'
            | '\u{2066}'..='\u{2069}' => f.write_char('\u{fffd}')?,
            _ => f.write_char(c)?,
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_and_attributes_cannot_become_markup() {
        let hostile = "</p><script>alert('1')</script>\" onload=\"x\u{0}\u{202e}&";
        let page = el("p").attr("title", hostile).text(hostile).to_string();
        let tree = roxmltree::Document::parse(&page).unwrap();
        assert_eq!(tree.descendants().filter(|n| n.is_element()).count(), 1);
        let seen = hostile.replace(['\u{0}', '\u{202e}'], "\u{fffd}");
        assert_eq!(tree.root_element().text(), Some(seen.as_str()));
        assert_eq!(tree.root_element().attribute("title"), Some(seen.as_str()));
    }
}
