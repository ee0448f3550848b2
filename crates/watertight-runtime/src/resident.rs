//! The resident cells of one component: they outlive call trees, until they fail.

use parking_lot::Mutex;
use tokio::sync::Notify;
use wasmtime::component::ResourceAny;
use watertight_model::{event::CellId, failure::FailureKind};

use crate::{cell::Cell, clock::Moment, driver::Driver, host::CellData, meter};

/// Resources that wait to be dropped in a resident cell; past this, the cell keeps them until it ends.
const MAX_BURIED: usize = 1 << 16;

pub(crate) struct Residents<T: CellData> {
    state: Mutex<State<T>>,
    freed: Notify,
    /// The cell of a component with component-model async: one, which takes one call tree at a time.
    pub(crate) driver: tokio::sync::Mutex<Option<Driver<T>>>,
}

struct State<T: CellData> {
    #[expect(clippy::vec_box, reason = "cells are lent and given back by pointer")]
    resting: Vec<Box<Cell<T>>>,
    lent: Vec<CellId>,
    /// Resources whose holders died, to be dropped when their cell is entered next.
    buried: Vec<(CellId, ResourceAny)>,
    closed: bool,
}

impl<T: CellData> Default for Residents<T> {
    fn default() -> Self {
        let state = State { resting: Vec::new(), lent: Vec::new(), buried: Vec::new(), closed: false };
        Self { state: Mutex::new(state), freed: Notify::new(), driver: tokio::sync::Mutex::new(None) }
    }
}

impl<T: CellData> Residents<T> {
    /// Takes the cell that rested last: its memory is warm.
    pub(crate) fn take(&self) -> Option<Box<Cell<T>>> {
        let mut state = self.state.lock();
        let cell = state.resting.pop()?;
        state.lent.push(cell.id());
        Some(cell)
    }

    pub(crate) async fn take_exactly(&self, id: CellId, deadline: Moment) -> Result<Option<Box<Cell<T>>>, FailureKind> {
        loop {
            let freed = self.freed.notified();
            {
                let mut state = self.state.lock();
                if let Some(place) = state.resting.iter().position(|cell| cell.id() == id) {
                    state.lent.push(id);
                    return Ok(Some(state.resting.swap_remove(place)));
                }
                if !state.lent.contains(&id) {
                    return Ok(None);
                }
            }
            meter::until(freed, deadline).await.ok_or(FailureKind::Deadline)?;
        }
    }

    /// Notes that a fresh cell is on loan.
    pub(crate) fn lend(&self, id: CellId) {
        self.state.lock().lent.push(id);
    }

    pub(crate) fn give_back(&self, id: Option<CellId>, sound: Option<Box<Cell<T>>>) {
        let mut state = self.state.lock();
        state.lent.retain(|lent| Some(*lent) != id);
        let surplus = if state.closed {
            sound
        } else {
            state.resting.extend(sound);
            None
        };
        drop(state);
        // A store is dropped outside the lock.
        drop(surplus);
        self.freed.notify_waiters();
    }

    /// Keeps a resource whose holder died, for its owner to drop.
    pub(crate) fn bury(&self, cell: CellId, resource: ResourceAny) {
        let mut state = self.state.lock();
        if state.buried.len() < MAX_BURIED {
            state.buried.push((cell, resource));
        }
    }

    /// Lets go of what a cell that is gone has to drop.
    pub(crate) fn forget(&self, id: CellId) {
        self.state.lock().buried.retain(|(cell, _)| *cell != id);
    }

    /// The resources that one cell has to drop.
    pub(crate) fn buried(&self, cell: CellId) -> Vec<ResourceAny> {
        let mut state = self.state.lock();
        if state.buried.is_empty() {
            return Vec::new();
        }
        let (mine, others) = std::mem::take(&mut state.buried).into_iter().partition(|(owner, _)| *owner == cell);
        state.buried = others;
        let mine: Vec<(CellId, ResourceAny)> = mine;
        mine.into_iter().map(|(_, resource)| resource).collect()
    }

    /// Lets every cell go, now or when its call ends.
    pub(crate) fn close(&self) {
        let mut state = self.state.lock();
        state.closed = true;
        let resting = std::mem::take(&mut state.resting);
        drop(state);
        drop(resting);
    }
}
