//! Where plans are filed: by the component's types and the tuple's index in them.
//!
//! Wasmtime lifts and lowers through static trait functions that know the type but nothing of ours, so the plan is found
//! by the type. It is compiled when Wasmtime checks that type, at load; a call only looks it up.

use std::{
    cell::RefCell,
    collections::HashMap,
    sync::{Arc, LazyLock},
};

use parking_lot::RwLock;
use wasmtime::component::__internal::{ComponentTypes, InstanceType, InterfaceType};

use super::plan::{Plan, Unsupported};

/// The address of a component's types, which its plans keep alive, and a type in them.
type Key = (usize, InterfaceType);

static PLANS: LazyLock<RwLock<HashMap<Key, Arc<Plan>>>> = LazyLock::new(RwLock::default);

/// Plans that this thread used lately. Each entry keeps the types at its address alive, so an address in here never names others.
const RECENT: usize = 64;
type Recent = (Key, Arc<Plan>);

thread_local! {
    static RECENTLY: RefCell<[Option<Recent>; RECENT]> = const { RefCell::new([const { None }; RECENT]) };
}

thread_local! {
    /// The tuples that are being looked at: see [`watch`].
    static WATCHED: RefCell<Vec<InterfaceType>> = const { RefCell::new(Vec::new()) };
}

/// Runs what checks the types of a function, and gives the tuples that it checked.
pub(super) fn watch<R>(check: impl FnOnce() -> R) -> (R, Vec<InterfaceType>) {
    WATCHED.take();
    let result = check();
    (result, WATCHED.take())
}

/// Notes a tuple for [`watch`]: Wasmtime shows it to a static function, which knows nothing of who asked.
pub(super) fn note(ty: InterfaceType) {
    WATCHED.with_borrow_mut(|watched| watched.push(ty));
}

/// A type that was never checked was asked for: a bug of the host, not of a guest.
#[derive(Debug, thiserror::Error)]
#[error("no plan was compiled for this type")]
pub(super) struct NoPlan;

/// Compiles the plan of a tuple, unless it is there already.
pub(super) fn file(ty: InterfaceType, types: &InstanceType<'_>) -> Result<(), Unsupported> {
    let key = (Arc::as_ptr(types.types).addr(), ty);
    if !PLANS.read().contains_key(&key) {
        let plan = Arc::new(Plan::compile(ty, types)?);
        PLANS.write().insert(key, plan);
    }
    Ok(())
}

/// Finds the plan of a tuple.
pub(super) fn find(types: &ComponentTypes, ty: InterfaceType) -> Result<Arc<Plan>, NoPlan> {
    let key = (std::ptr::from_ref(types).addr(), ty);
    RECENTLY.with_borrow_mut(|recent| {
        let place = &mut recent[place(key)];
        if let Some((known, plan)) = place
            && *known == key
        {
            return Ok(Arc::clone(plan));
        }
        let plan = PLANS.read().get(&key).map(Arc::clone).ok_or(NoPlan)?;
        *place = Some((key, Arc::clone(&plan)));
        Ok(plan)
    })
}

/// Forgets the plans of a component that is being unloaded.
pub(crate) fn forget(types: &Arc<ComponentTypes>) {
    let address = Arc::as_ptr(types).addr();
    PLANS.write().retain(|(types, _), _| *types != address);
}

/// Calls look up tuples; the payloads of streams share a place.
fn place((address, ty): Key) -> usize {
    let index = if let InterfaceType::Tuple(tuple) = ty { tuple.as_u32() as usize } else { 0 };
    ((address >> 4) ^ index) % RECENT
}
