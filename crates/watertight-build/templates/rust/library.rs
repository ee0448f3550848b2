//! The library's interface, as `wit/world.wit` has it.

mod greeting;

wit_bindgen::generate!({ path: "wit", world: "library" });

struct Library;

impl exports::app::{{ident}}::greeting::Guest for Library {
    fn greet(name: String) -> String {
        greeting::greet(&name)
    }
}

export!(Library);
