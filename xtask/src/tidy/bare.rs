//! Rust without its comments and literals, so that a rule about code is not met or broken by words about code.
//!
//! It is a scanner, not a parser: it knows where comments and literals begin and end, and nothing else.

/// `text` with every comment and literal blanked: the same lines and the same places, and only code left.
pub(super) fn bare(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(first) = rest.chars().next() {
        match opaque(rest, out.chars().next_back().is_some_and(is_word)) {
            Some(len) => {
                out.extend(rest[..len].bytes().map(|byte| if byte == b'\n' { '\n' } else { ' ' }));
                rest = &rest[len..];
            }
            None => {
                // A letter beyond ASCII becomes as many spaces as it has bytes: places stay what they were.
                match first.is_ascii() {
                    true => out.push(first),
                    false => out.extend(std::iter::repeat_n(' ', first.len_utf8())),
                }
                rest = &rest[first.len_utf8()..];
            }
        }
    }
    out
}

/// Every word of bare code, with its place.
pub(super) fn words(bare: &str) -> impl Iterator<Item = (usize, &str)> {
    let mut at = 0;
    bare.split(|letter| !is_word(letter)).filter_map(move |word| {
        let start = at;
        at += word.len() + 1;
        (!word.is_empty()).then_some((start, word))
    })
}

fn is_word(letter: char) -> bool {
    letter.is_ascii_alphanumeric() || letter == '_'
}

/// How long the comment or literal is that `rest` begins with, if it does.
fn opaque(rest: &str, in_word: bool) -> Option<usize> {
    if rest.starts_with("//") {
        return Some(rest.find('\n').unwrap_or(rest.len()));
    }
    if rest.starts_with("/*") {
        return Some(block_comment(rest));
    }
    let raw = if in_word { None } else { raw_string(rest) };
    match rest.as_bytes()[0] {
        _ if raw.is_some() => raw,
        b'"' => Some(string(rest)),
        b'\'' => character(rest),
        _ => None,
    }
}

fn block_comment(rest: &str) -> usize {
    let (mut depth, mut at) = (0, 0);
    while at < rest.len() {
        let here = &rest.as_bytes()[at..];
        match (here.starts_with(b"/*"), here.starts_with(b"*/")) {
            (true, _) => depth += 1,
            (_, true) => depth -= 1,
            (false, false) => {
                at += 1;
                continue;
            }
        }
        at += 2;
        if depth == 0 {
            return at;
        }
    }
    rest.len()
}

fn raw_string(rest: &str) -> Option<usize> {
    let prefix = ["br", "cr", "r"].into_iter().find(|prefix| rest.starts_with(prefix))?;
    let hashes = rest[prefix.len()..].bytes().take_while(|byte| *byte == b'#').count();
    let open = prefix.len() + hashes;
    let inside = rest[open..].strip_prefix('"')?;
    let end = format!("\"{}", "#".repeat(hashes));
    Some(inside.find(&end).map_or(rest.len(), |at| open + 1 + at + end.len()))
}

fn string(rest: &str) -> usize {
    let mut escaped = false;
    for (at, byte) in rest.bytes().enumerate().skip(1) {
        match byte {
            b'"' if !escaped => return at + 1,
            b'\\' => escaped = !escaped,
            _ => escaped = false,
        }
    }
    rest.len()
}

/// A character, unless the tick begins a lifetime.
fn character(rest: &str) -> Option<usize> {
    let inside = &rest[1..];
    if let Some(escape) = inside.strip_prefix('\\') {
        let first = escape.chars().next()?.len_utf8();
        return escape[first..].find('\'').map(|at| 2 + first + at + 1);
    }
    let first = inside.chars().next()?.len_utf8();
    inside[first..].starts_with('\'').then_some(1 + first + 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_code_is_left_and_it_stays_where_it_was() {
        let cases = [
            ("a // unsafe\nb", "a b"),
            ("a /* x /* y */ z */ b", "a b"),
            (r#"f("un\"safe", b)"#, "f( , b)"),
            (r##"f(r#"un"safe"#, b)"##, "f( , b)"),
            ("f(b\"x\", br\"y\")", "f(b , )"),
            (r"c == '\'' || c == 'x'", "c == || c =="),
            ("fn f<'a>(x: &'a str)", "fn f<'a>(x: &'a str)"),
            ("r#type + bar\"s\"", "r#type + bar"),
            ("\"é\" + é", "+"),
            ("\"never closed", ""),
        ];
        for (text, expected) in cases {
            let left = bare(text);
            assert_eq!(left.split_whitespace().collect::<Vec<_>>().join(" "), expected, "{text}");
            assert_eq!((left.len(), left.lines().count()), (text.len(), text.lines().count()), "{text}");
        }
    }

    #[test]
    fn words_have_their_places() {
        assert_eq!(words("fn a_b(c)").collect::<Vec<_>>(), [(0, "fn"), (3, "a_b"), (7, "c")]);
    }
}
