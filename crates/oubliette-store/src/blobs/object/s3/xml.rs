//! The little XML that S3 answers with, as a tree.

use quick_xml::Reader;
use quick_xml::escape::resolve_predefined_entity;
use quick_xml::events::Event;

/// Elements inside each other; S3's answers have four.
const DEEPEST: usize = 16;

/// An element.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Node {
    pub name: String,
    pub text: String,
    pub children: Vec<Node>,
}

impl Node {
    /// The text of the first child of this name; empty without one.
    pub(super) fn text_of(&self, name: &str) -> &str {
        self.children.iter().find(|child| child.name == name).map_or("", |child| &child.text)
    }

    /// The text of the first child of this name, unless it is absent or empty.
    pub(super) fn some_text(&self, name: &str) -> Option<String> {
        Some(self.text_of(name)).filter(|text| !text.is_empty()).map(ToOwned::to_owned)
    }

    /// Children of this name.
    pub(super) fn all<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a Node> {
        self.children.iter().filter(move |child| child.name == name)
    }

    /// Whether the first child of this name says `true`.
    pub(super) fn says(&self, name: &str) -> bool {
        self.text_of(name) == "true"
    }
}

/// The outermost element; `None` when this is no XML we know. Namespaces and attributes are left out.
pub(super) fn parse(bytes: &[u8]) -> Option<Node> {
    let text = std::str::from_utf8(bytes).ok()?;
    let mut reader = Reader::from_str(text);
    // The open elements, outermost first, below a root that is none.
    let mut open = vec![Node::default()];
    loop {
        match reader.read_event().ok()? {
            Event::Start(start) => {
                if open.len() > DEEPEST {
                    return None;
                }
                let name = String::from_utf8(start.local_name().as_ref().to_vec()).ok()?;
                open.push(Node { name, ..Node::default() });
            }
            Event::Empty(empty) => {
                let name = String::from_utf8(empty.local_name().as_ref().to_vec()).ok()?;
                open.last_mut()?.children.push(Node { name, ..Node::default() });
            }
            Event::End(_) => {
                let done = open.pop()?;
                open.last_mut()?.children.push(done);
            }
            Event::Text(part) => open.last_mut()?.text.push_str(&part.decode().ok()?),
            Event::CData(part) => open.last_mut()?.text.push_str(&part.decode().ok()?),
            Event::GeneralRef(reference) => {
                let node = open.last_mut()?;
                match reference.resolve_char_ref().ok()? {
                    Some(character) => node.text.push(character),
                    None => node.text.push_str(resolve_predefined_entity(&reference.decode().ok()?)?),
                }
            }
            Event::Eof => break,
            Event::Comment(_) | Event::Decl(_) | Event::PI(_) | Event::DocType(_) => {}
        }
    }
    let root = open.pop().filter(|_| open.is_empty())?;
    root.children.into_iter().next()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn elements_in_any_order_are_found_with_their_text() {
        let text = br#"<?xml version="1.0"?>
            <ListVersionsResult xmlns="http://s3.amazonaws.com/doc/2006-03-01/"><IsTruncated>false</IsTruncated>
            <Version><Key>a&amp;b&#x41;</Key></Version><DeleteMarker><Key>c</Key></DeleteMarker>
            <Version><Key>d</Key><VersionId/></Version></ListVersionsResult>"#;
        let root = parse(text).unwrap();
        assert_eq!(root.name, "ListVersionsResult");
        let keys: Vec<_> = root.all("Version").map(|node| node.text_of("Key")).collect();
        assert_eq!(keys, ["a&bA", "d"]);
        assert_eq!(root.all("DeleteMarker").count(), 1);
        assert!(!root.says("IsTruncated"));
        assert_eq!(root.all("Version").last().unwrap().some_text("VersionId"), None);
    }

    #[test]
    fn what_is_no_xml_is_refused() {
        for text in ["", "no", "<a>", "<a></b>", "<a>&unknown;</a>", &"<a>".repeat(1000)] {
            assert_eq!(parse(text.as_bytes()), None, "{text:.40}");
        }
    }
}
