//! A cell: one instance of a component, alone in its own store.

use std::{sync::Arc, time::Instant};

use watertight_model::{
    app::ComponentId,
    event::{CellId, Denial, Event, EventSink, LogStream},
};

use crate::host::CellData;

/// The runtime's part of a cell's state.
pub struct CellCore<T: CellData> {
    id: CellId,
    component: ComponentId,
    events: Arc<dyn EventSink>,
    deadline: Instant,
    denied: Vec<String>,
    marker: std::marker::PhantomData<fn() -> T>,
}

impl<T: CellData> std::fmt::Debug for CellCore<T> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("CellCore").field("id", &self.id).field("component", &self.component).finish_non_exhaustive()
    }
}

/// Denials that one cell reports, so that a guest cannot flood the log with new ones.
const MAX_DENIALS_PER_CELL: usize = 32;

impl<T: CellData> CellCore<T> {
    /// The cell's id.
    #[must_use]
    pub fn id(&self) -> CellId {
        self.id
    }

    /// The component this is a cell of.
    #[must_use]
    pub fn component(&self) -> ComponentId {
        self.component
    }

    /// When the call that this cell is busy with must have ended.
    #[must_use]
    pub fn deadline(&self) -> Instant {
        self.deadline
    }

    /// Reports a use that was not granted, once per cell and remedy.
    pub fn deny(&mut self, denial: Denial) {
        if self.denied.len() < MAX_DENIALS_PER_CELL && !self.denied.contains(&denial.remedy) {
            self.denied.push(denial.remedy.clone());
            self.events.emit(Event::Denied { component: self.component, denial });
        }
    }

    /// Reports a line that the guest wrote.
    pub fn log(&self, stream: LogStream, line: String) {
        self.events.emit(Event::Log { component: self.component, stream, line });
    }

    /// Where this cell's events go.
    #[must_use]
    pub fn events(&self) -> &Arc<dyn EventSink> {
        &self.events
    }
}
