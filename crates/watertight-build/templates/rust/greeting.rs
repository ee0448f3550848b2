//! What the component does, apart from how it is called: this can be tested anywhere.

pub fn greet(name: &str) -> String {
    format!("Hello, {}!", if name.is_empty() { "world" } else { name })
}

#[cfg(test)]
mod tests {
    use super::greet;

    #[test]
    fn someone_is_greeted_by_name() {
        assert_eq!(greet("Ada"), "Hello, Ada!");
    }

    #[test]
    fn everyone_is_greeted_without_one() {
        assert_eq!(greet(""), "Hello, world!");
    }
}
