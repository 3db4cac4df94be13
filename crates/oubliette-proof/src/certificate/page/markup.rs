//! HTML being written: tags are constants of this crate, values go in only escaped.

use std::fmt::Display;

/// The text of a page so far.
pub(super) struct Markup(pub String);

impl Markup {
    /// Markup of ours.
    pub fn raw(&mut self, markup: &'static str) -> &mut Self {
        self.0.push_str(markup);
        self
    }

    /// A value: whatever it holds, it is text of the page and nothing else.
    pub fn text(&mut self, value: impl Display) -> &mut Self {
        for c in value.to_string().chars() {
            match c {
                '&' => self.0.push_str("&amp;"),
                '<' => self.0.push_str("&lt;"),
                '>' => self.0.push_str("&gt;"),
                '"' => self.0.push_str("&quot;"),
                '\'' => self.0.push_str("&#39;"),
                c => self.0.push(c),
            }
        }
        self
    }

    /// A paragraph.
    pub fn paragraph(&mut self, value: impl Display) -> &mut Self {
        self.raw("<p>").text(value).raw("</p>\n")
    }

    /// The beginning of a section.
    pub fn section(&mut self, heading: &'static str) -> &mut Self {
        self.raw("<section>\n<h2>").text(heading).raw("</h2>\n")
    }

    /// A table of names and values begins.
    pub fn facts(&mut self) -> &mut Self {
        self.raw("<table>\n")
    }

    /// A row of it. The value is written in a direction of its own, so that it cannot turn what is around it.
    pub fn fact(&mut self, name: &'static str, value: impl Display) -> &mut Self {
        self.raw("<tr><th scope=\"row\">").text(name).raw("</th><td><bdi>").text(value).raw("</bdi></td></tr>\n")
    }

    /// A list.
    pub fn list(&mut self, items: impl IntoIterator<Item = impl Display>) -> &mut Self {
        self.raw("<ul>\n");
        for item in items {
            self.raw("<li>").text(item).raw("</li>\n");
        }
        self.raw("</ul>\n")
    }
}
