//! The page that tells a developer what is wrong. It loads itself again until nothing is.

/// The page; the text stands in it as it is, whatever it holds.
pub(super) fn html(title: &str, text: &str) -> String {
    let [title, text] = [title, text].map(escaped);
    include_str!("page.html").replace("{{title}}", &title).replace("{{text}}", &text)
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
        let page = html("a <b>", "<script>alert(\"x\") && {{text}}</script>");
        assert!(page.contains("a &lt;b&gt;"), "{page}");
        assert!(
            page.contains("&lt;script&gt;alert(&quot;x&quot;) &amp;&amp; &#123;&#123;text}}&lt;/script&gt;"),
            "{page}"
        );
        assert!(!page.contains("<script"), "{page}");
    }
}
