//! The WIT that a component is made for.

use std::path::Path;

use wit_parser::{Resolve, WorldId};

/// A folder of WIT, and the world of it that is meant.
pub(crate) struct World {
    pub(crate) resolve: Resolve,
    pub(crate) world: WorldId,
    pub(crate) name: String,
}

/// Reads a folder of WIT, or says what is wrong with it.
pub(crate) fn read(folder: &Path, world: Option<&str>) -> Result<World, String> {
    if !folder.is_dir() {
        return Err(format!(
            "there is no folder {}: its interfaces in WIT belong there; another can be named with `wit`",
            folder.display()
        ));
    }
    let mut resolve = Resolve { all_features: true, ..Resolve::default() };
    let (package, _) = resolve.push_dir(folder).map_err(|error| format!("{error:#}"))?;
    let selected = resolve.select_world(&[package], world);
    let world = selected.map_err(|error| {
        let names: Vec<_> = resolve.packages[package].worlds.keys().map(|name| format!("\"{name}\"")).collect();
        match names.as_slice() {
            [] => format!("{}: it has no world", folder.display()),
            names if world.is_none() => {
                format!("{} has several worlds: name one with `world`: {}", folder.display(), names.join(" or "))
            }
            _ => format!("{}: {error:#}", folder.display()),
        }
    })?;
    let name = resolve.worlds[world].name.clone();
    Ok(World { resolve, world, name })
}

impl World {
    /// Whether it imports or exports something whose name begins so, such as `wasi:http`.
    pub(crate) fn mentions(&self, start: &str) -> bool {
        let world = &self.resolve.worlds[self.world];
        let named = |key| self.resolve.name_world_key(key).starts_with(start);
        world.imports.keys().chain(world.exports.keys()).any(named)
    }

    /// The names of what it imports, without their versions.
    pub(crate) fn imports(&self) -> impl Iterator<Item = String> {
        let imports = self.resolve.worlds[self.world].imports.keys();
        imports.map(|key| {
            let name = self.resolve.name_world_key(key);
            name.split_once('@').map_or_else(|| name.clone(), |(name, _)| name.to_owned())
        })
    }

    /// Whether it has an async function, a stream or a future.
    pub(crate) fn is_async(&self) -> bool {
        self.resolve
            .interfaces
            .iter()
            .flat_map(|(_, interface)| interface.functions.values())
            .any(|f| f.kind.is_async())
            || self.resolve.types.iter().any(|(_, ty)| {
                matches!(ty.kind, wit_parser::TypeDefKind::Stream(_) | wit_parser::TypeDefKind::Future(_))
            })
    }
}
