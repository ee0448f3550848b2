//! Pages: the index, and one Markdown file as HTML with coloured code and thumbnails.

use std::fmt::Write as _;

use crate::answer::Answer;
use crate::content;
use crate::press::code::highlight;
use crate::press::image::thumbnail;
use crate::press::markdown::render::{self, Code, Part, Picture};
use crate::wasi::cli::environment::get_environment;

/// All pages, by their titles.
pub(crate) fn index() -> Answer {
    let mut list = String::from("<h1>press</h1>\n<ul class=\"index\">\n");
    for name in content::pages() {
        let source = content::source(&name).unwrap_or_default();
        let title = source.lines().find_map(|line| line.strip_prefix("# ")).unwrap_or(&name);
        let _ = writeln!(list, "<li><a href=\"/{}\">{}</a></li>", escaped(&name), escaped(title));
    }
    list.push_str("</ul>\n");
    Answer::html(200, around("press", &list))
}

/// One page; 404 if there is no such file.
pub(crate) fn page(name: &str) -> Answer {
    let Some(source) = content::source(name) else {
        return Answer::html(
            404,
            around("not here", "<h1>There is no such page</h1>\n<p><a href=\"/\">All pages</a></p>\n"),
        );
    };
    let page = match render::render(&source) {
        Ok(page) => page,
        Err(why) => {
            let body = format!(
                "<p class=\"missing\">shown as it is: {}</p>\n<pre>{}</pre>\n",
                escaped(&why),
                escaped(&source)
            );
            return Answer::html(200, around(name, &body));
        }
    };
    let mut body = String::new();
    for part in &page.parts {
        match part {
            Part::Html(html) => body.push_str(html),
            Part::Code(code) => body.push_str(&coloured(code)),
            Part::Picture(picture) => body.push_str(&small(picture)),
        }
    }
    let title = if page.title.is_empty() { name } else { &page.title };
    Answer::html(200, around(title, &body))
}

fn coloured(code: &Code) -> String {
    let html = match &code.language {
        Some(language) => highlight::highlight(&code.text, language).unwrap_or_else(|_| escaped(&code.text)),
        None => escaped(&code.text),
    };
    format!("<pre><code class=\"hljs\">{html}</code></pre>\n")
}

/// The thumbnail inside the page, with a link to the whole picture; or its place, if there can be none.
fn small(picture: &Picture) -> String {
    let alt = escaped(&picture.alt);
    let name = picture.source.trim_start_matches("pictures/");
    let made = match content::picture(name) {
        Some(bytes) => thumbnail::make(&bytes, crate::THUMBNAIL.0, crate::THUMBNAIL.1),
        None => Err("there is no such picture".to_owned()),
    };
    match made {
        Ok(jpeg) => format!(
            "<a class=\"picture\" href=\"/pictures/{}\"><img src=\"data:image/jpeg;base64,{}\" alt=\"{alt}\"></a>",
            escaped(name),
            base64(&jpeg)
        ),
        Err(why) => format!("<span class=\"picture missing\" title=\"{}\">no thumbnail: {alt}</span>", escaped(&why)),
    }
}

fn around(title: &str, body: &str) -> String {
    let theme = get_environment().into_iter().find_map(|(key, value)| (key == "THEME").then_some(value));
    let theme = escaped(theme.as_deref().unwrap_or("light"));
    let title = escaped(title);
    format!(
        "<!doctype html>\n<html lang=\"en\" data-theme=\"{theme}\">\n<head>\n<meta charset=\"utf-8\">\n\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n<title>{title}</title>\n\
         <link rel=\"stylesheet\" href=\"/style.css\">\n</head>\n<body>\n<nav><a href=\"/\">press</a></nav>\n<main>\n{body}</main>\n\
         <footer>Every dependency of this page ran in a compartment of its own.</footer>\n</body>\n</html>\n"
    )
}

fn escaped(text: &str) -> String {
    let mut html = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => html.push_str("&amp;"),
            '<' => html.push_str("&lt;"),
            '>' => html.push_str("&gt;"),
            '"' => html.push_str("&quot;"),
            c => html.push(c),
        }
    }
    html
}

fn base64(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut text = String::with_capacity(bytes.len().div_ceil(3) * 4);
    for group in bytes.chunks(3) {
        let bits = group.iter().fold(0, |bits, &byte| bits << 8 | u32::from(byte)) << (8 * (3 - group.len()));
        for digit in 0..4 {
            let index = (bits >> (18 - 6 * digit)) & 63;
            text.push(if digit <= group.len() { char::from(DIGITS[index as usize]) } else { '=' });
        }
    }
    text
}
