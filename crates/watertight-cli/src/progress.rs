//! What compiling tells about its progress: a bar for a compile that takes longer than half a second, on terminals only; and counts.

use std::{
    cell::{Cell, RefCell},
    sync::mpsc::{self, RecvTimeoutError},
    thread::JoinHandle,
    time::Duration,
};

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use watertight::{
    Origin, Progress,
    model::app::{App, Component, Wall},
};

use crate::terminal::{self, Look};

/// A compile that ends before this shows nothing.
const PATIENCE: Duration = Duration::from_millis(500);

/// Follows the compiles of one app.
#[derive(Debug)]
pub(crate) struct CompileProgress {
    look: Look,
    total: usize,
    compiled: Cell<usize>,
    cached: Cell<usize>,
    unkept: Cell<usize>,
    bar: RefCell<Option<Bar>>,
}

/// A bar that shows itself when it is time.
#[derive(Debug)]
struct Bar {
    /// Dropped when the compile is done.
    done: Option<mpsc::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl CompileProgress {
    pub(crate) fn new(app: &App, look: Look) -> Self {
        let total = app.components.iter().filter(|component| component.wall == Wall::Cell).count();
        let none = || Cell::new(0);
        Self { look, total, compiled: none(), cached: none(), unkept: none(), bar: RefCell::new(None) }
    }

    /// Components that were compiled now.
    pub(crate) fn compiled(&self) -> usize {
        self.compiled.get()
    }

    /// Components that were compiled now, and could not be written to the cache.
    pub(crate) fn unkept(&self) -> usize {
        self.unkept.get()
    }

    /// Components that the cache had.
    pub(crate) fn cached(&self) -> usize {
        self.cached.get()
    }
}

impl Progress for CompileProgress {
    fn compiling(&self, component: &Component, bytes: usize) {
        if self.look != Look::Plain {
            let number = self.compiled.get() + self.unkept.get() + self.cached.get() + 1;
            let kib = bytes.div_ceil(1024);
            let message = format!("[{number}/{}] compiling {} ({kib} KiB)", self.total, component.name);
            *self.bar.borrow_mut() = Bar::show_later(message, number - 1, self.total, self.look);
        }
    }

    fn ready(&self, _: &Component, origin: Origin) {
        *self.bar.borrow_mut() = None;
        let count = match origin {
            Origin::Compiled => &self.compiled,
            Origin::Cached => &self.cached,
            Origin::Unkept => &self.unkept,
        };
        count.set(count.get() + 1);
    }

    fn loaded_each_time(&self, component: &Component, why: &str) {
        let entry = component.script.as_ref().map_or("its script", |script| script.entry.as_str());
        let name = entry.rsplit('/').next().unwrap_or(entry);
        terminal::tell(&format!("{}: {name} is loaded in each request, which may take long: {why}\n", component.name));
    }
}

impl Bar {
    fn show_later(message: String, done_before: usize, total: usize, look: Look) -> Option<Self> {
        let (done, wait) = mpsc::channel();
        let thread = std::thread::Builder::new().name("progress".to_owned()).spawn(move || {
            if wait.recv_timeout(PATIENCE) != Err(RecvTimeoutError::Timeout) {
                return;
            }
            let bar = ProgressBar::with_draw_target(Some(total as u64), ProgressDrawTarget::stderr());
            let template = match look {
                Look::Colours => "{spinner:.cyan} {msg} {bar:24.cyan/blue} {elapsed}",
                Look::Plain | Look::Terminal => "{spinner} {msg} {bar:24} {elapsed}",
            };
            if let Ok(style) = ProgressStyle::with_template(template) {
                bar.set_style(style);
            }
            let bar = bar.with_elapsed(PATIENCE);
            bar.set_message(message);
            bar.set_position(done_before as u64);
            bar.enable_steady_tick(Duration::from_millis(100));
            // Nothing is ever sent: this ends when the sender is dropped.
            let _ = wait.recv();
            bar.finish_and_clear();
        });
        // Without a thread there is no bar, and the compile goes on.
        thread.ok().map(|thread| Self { done: Some(done), thread: Some(thread) })
    }
}

impl Drop for Bar {
    fn drop(&mut self) {
        self.done = None;
        if let Some(thread) = self.thread.take() {
            // It must have cleared its line before anything else is said. A panic in it spoils a line, nothing more.
            let _ = thread.join();
        }
    }
}
