//! Throwing cells out, and having them replaced, because an operator says so; and which cells there are.
//!
//! What is thrown out fails as it would if it had failed by itself: what runs is broken off at its next step, its callers get what the
//! manifest says, and its supervisor restarts it. What is replaced finishes the calls it has. None of it waits for a guest.

use std::time::Duration;

use watertight_model::{
    app::{ComponentId, Wall},
    event::CellId,
    usage::CellUsage,
};

use crate::{app::RunningApp, clock::Moment, host::CellData};

/// A cell that lives.
#[derive(Clone, Copy, Debug)]
pub struct LivingCell {
    /// Which one.
    pub cell: CellId,
    /// Of which component.
    pub component: ComponentId,
    /// For how long.
    pub age: Duration,
    /// What it uses.
    pub usage: CellUsage,
    /// Its place among the residents of its component, if it is one.
    pub resident: Option<Resident>,
}

/// What is known of a resident besides.
#[derive(Clone, Copy, Debug)]
pub struct Resident {
    /// Its number among those of its component, from 0.
    pub number: u32,
    /// Calls that it has had.
    pub calls: u64,
    /// Calls that it has now.
    pub in_flight: u32,
    /// It gets no more.
    pub leaving: bool,
}

impl<T: CellData> RunningApp<T> {
    /// The cells of a component that live in this process; not more than so many.
    #[must_use]
    pub fn cells(&self, component: ComponentId, most: usize) -> Vec<LivingCell> {
        if self.app().component(component).wall == Wall::Fused {
            return Vec::new();
        }
        let loaded = self.0.component(component);
        let seen = loaded.residents.seen();
        let living = loaded.living.named(most).into_iter().map(|(cell, account)| {
            let seat = seen.iter().find(|seat| seat.cell == cell);
            LivingCell {
                cell,
                component,
                age: Moment::now().since(account.since()),
                usage: account.usage(),
                resident: seat.map(|seat| Resident {
                    number: seat.number,
                    calls: seat.calls,
                    in_flight: seat.in_flight,
                    leaving: seat.leaving,
                }),
            }
        });
        living.collect()
    }

    /// Throws out the cells of a component that live in this process, or this one. Says how many.
    pub fn eject(&self, component: ComponentId, which: Option<CellId>) -> u64 {
        if self.app().component(component).wall == Wall::Fused {
            return 0;
        }
        let loaded = self.0.component(component);
        if self.app().component(component).is_resident() {
            return loaded.residents.eject(which);
        }
        let living = loaded.living.named(usize::MAX);
        let meant = living.iter().filter(|(cell, _)| which.is_none_or(|which| which == *cell));
        meant.map(|(_, account)| account.cut().eject()).count() as u64
    }

    /// Has the residents of a component in this process replaced; says how many there are. Other components have nothing to replace:
    /// every call tree makes its own cells.
    pub fn restart(&self, component: ComponentId) -> u64 {
        if !self.app().component(component).is_resident() {
            return 0;
        }
        self.0.component(component).residents.restart(component)
    }
}
