//! The page that tells a developer what is wrong.

/// What is wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Wrong {
    /// The app: the page loads itself again until it is well.
    App,
    /// One request: it is not made again by itself, since it may have done something.
    Request,
}

/// The page; the text stands in it as it is, whatever it holds.
pub(super) fn html(wrong: Wrong, title: &str, text: &str) -> String {
    let (refresh, next) = match wrong {
        Wrong::App => {
            ("<meta http-equiv=\"refresh\" content=\"1\">\n", "this page loads itself again until the app is well")
        }
        Wrong::Request => ("", "the request failed; make it again when you have changed something"),
    };
    let [title, text] = [title, text].map(escaped);
    let page = include_str!("page.html").replace("{{refresh}}", refresh).replace("{{next}}", next);
    page.replace("{{title}}", &title).replace("{{text}}", &text)
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;")
        .replace('<', "&lt;")
        .replace('>', "&gt;")
        .replace('"', "&quot;")
        .replace("{{", "&#123;&#123;")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_tool_says_is_shown_and_never_run() {
        let page = html(Wrong::App, "a <b>", "<script>alert(\"x\") && {{text}}</script>");
        assert!(page.contains("a &lt;b&gt;"), "{page}");
        assert!(
            page.contains("&lt;script&gt;alert(&quot;x&quot;) &amp;&amp; &#123;&#123;text}}&lt;/script&gt;"),
            "{page}"
        );
        assert!(!page.contains("<script") && page.contains("http-equiv=\"refresh\""), "{page}");
        assert!(!html(Wrong::Request, "a", "b").contains("refresh"));
    }
}
