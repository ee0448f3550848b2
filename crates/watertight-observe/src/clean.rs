//! Text of others, made harmless: guests and clients choose what names, log lines and values say, and a terminal obeys what it reads.

use std::borrow::Cow;

/// The text, with what moves a cursor, changes a colour or turns the writing round shown as an escape.
#[must_use]
pub fn clean(text: &str) -> Cow<'_, str> {
    let harmful = |c: char| {
        (c.is_control() && c != '\t')
            || matches!(c, '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}' | '\u{200e}' | '\u{200f}' | '\u{61c}')
    };
    if !text.contains(harmful) {
        return Cow::Borrowed(text);
    }
    Cow::Owned(text.chars().fold(String::with_capacity(text.len() + 8), |mut clean, c| {
        if harmful(c) {
            clean.extend(c.escape_default());
        } else {
            clean.push(c);
        }
        clean
    }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_that_a_terminal_obeys_is_left() {
        for (text, shown) in [
            ("plain, äöü, 漢字\tand tabs", "plain, äöü, 漢字\tand tabs"),
            ("\u{1b}]0;title\u{7}", "\\u{1b}]0;title\\u{7}"),
            ("\u{9b}31m", "\\u{9b}31m"),
            ("one\r\ntwo", "one\\r\\ntwo"),
            ("\u{202e}eno\u{2066}\u{61c}", "\\u{202e}eno\\u{2066}\\u{61c}"),
        ] {
            assert_eq!(clean(text), shown);
        }
    }
}
