//! Markdown to the pieces of a page. It knows nothing of files, pictures or colours: it names them and leaves them to its caller.

wit_bindgen::generate!({ path: "../../wit", world: "markdown" });

use exports::press::markdown::render::{Code, Guest, Page, Part, Picture};
use pulldown_cmark::{CodeBlockKind, Event, HeadingLevel, Options, Parser, Tag, TagEnd, html};

struct Markdown;

/// What the events are being gathered for.
enum Inside {
    Text,
    Code {
        language: Option<String>,
        text: String,
    },
    /// Depth counts pictures in a picture's description.
    Picture {
        source: String,
        alt: String,
        depth: u32,
    },
}

impl Guest for Markdown {
    fn render(markdown: String) -> Result<Page, String> {
        let mut page = Page { title: String::new(), parts: Vec::new() };
        let mut waiting: Vec<Event<'_>> = Vec::new();
        let mut inside = Inside::Text;
        let mut in_title = false;

        for event in Parser::new_ext(&markdown, Options::ENABLE_TABLES | Options::ENABLE_STRIKETHROUGH) {
            match (&mut inside, event) {
                (Inside::Text, Event::Start(Tag::CodeBlock(kind))) => {
                    flush(&mut waiting, &mut page.parts);
                    let language = match kind {
                        CodeBlockKind::Fenced(name) if !name.is_empty() => Some(name.into_string()),
                        CodeBlockKind::Fenced(_) | CodeBlockKind::Indented => None,
                    };
                    inside = Inside::Code { language, text: String::new() };
                }
                (Inside::Code { text, .. }, Event::Text(more)) => text.push_str(&more),
                (Inside::Code { language, text }, Event::End(TagEnd::CodeBlock)) => {
                    let (language, text) = (language.take(), std::mem::take(text));
                    page.parts.push(Part::Code(Code { language, text }));
                    inside = Inside::Text;
                }
                (Inside::Text, Event::Start(Tag::Image { dest_url, .. })) => {
                    flush(&mut waiting, &mut page.parts);
                    inside = Inside::Picture { source: dest_url.into_string(), alt: String::new(), depth: 0 };
                }
                (Inside::Picture { depth, .. }, Event::Start(Tag::Image { .. })) => *depth += 1,
                (Inside::Picture { depth, .. }, Event::End(TagEnd::Image)) if *depth > 0 => *depth -= 1,
                (Inside::Picture { source, alt, .. }, Event::End(TagEnd::Image)) => {
                    let (source, alt) = (std::mem::take(source), std::mem::take(alt));
                    page.parts.push(Part::Picture(Picture { source, alt }));
                    inside = Inside::Text;
                }
                (Inside::Picture { alt, .. }, Event::Text(more) | Event::Code(more)) => alt.push_str(&more),
                (Inside::Code { .. } | Inside::Picture { .. }, _) => {}
                // A page is text, not a program: raw HTML is shown, never run.
                (Inside::Text, Event::Html(raw) | Event::InlineHtml(raw)) => waiting.push(Event::Text(raw)),
                (Inside::Text, event) => {
                    match &event {
                        Event::Start(Tag::Heading { level: HeadingLevel::H1, .. }) => in_title = page.title.is_empty(),
                        Event::End(TagEnd::Heading(_)) => in_title = false,
                        Event::Text(text) | Event::Code(text) if in_title => page.title.push_str(text),
                        _ => {}
                    }
                    waiting.push(event);
                }
            }
        }
        flush(&mut waiting, &mut page.parts);
        Ok(page)
    }
}

fn flush(waiting: &mut Vec<Event<'_>>, parts: &mut Vec<Part>) {
    if !waiting.is_empty() {
        let mut text = String::new();
        html::push_html(&mut text, waiting.drain(..));
        parts.push(Part::Html(text));
    }
}

export!(Markdown);
