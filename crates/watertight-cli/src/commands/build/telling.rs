//! What is said while components are made: a line for each that is done, and on terminals a line that tells what goes on.

use std::{
    sync::{Mutex, PoisonError},
    time::Duration,
};

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use watertight_build::{BuildError, Made, Outcome, Watch};

use crate::{
    args::Format,
    terminal::{self, Look},
};

/// Tells a person on standard error; machines get the result at the end.
pub(crate) struct Telling {
    format: Format,
    look: Look,
    bar: Option<ProgressBar>,
    running: Mutex<Vec<String>>,
}

impl Telling {
    pub(crate) fn new(total: usize, format: Format, look: Look) -> Self {
        let bar = (look != Look::Plain && format == Format::Text && total > 0).then(|| {
            let bar = ProgressBar::with_draw_target(Some(total as u64), ProgressDrawTarget::stderr());
            let template = match look {
                Look::Colours => "{spinner:.cyan} [{pos}/{len}] building {msg} {elapsed}",
                Look::Plain | Look::Terminal => "{spinner} [{pos}/{len}] building {msg} {elapsed}",
            };
            if let Ok(style) = ProgressStyle::with_template(template) {
                bar.set_style(style);
            }
            bar.enable_steady_tick(Duration::from_millis(100));
            bar
        });
        Self { format, look, bar, running: Mutex::default() }
    }

    fn say(&self, text: &str) {
        match &self.bar {
            _ if self.format == Format::Json => {}
            Some(bar) => bar.suspend(|| terminal::tell(text)),
            None => terminal::tell(text),
        }
    }

    fn change(&self, change: impl FnOnce(&mut Vec<String>)) {
        let mut running = self.running.lock().unwrap_or_else(PoisonError::into_inner);
        change(&mut running);
        if let Some(bar) = &self.bar {
            bar.set_message(running.join(", "));
        }
    }

    fn coloured(&self, word: &str, colour: u8) -> String {
        match self.look {
            Look::Colours => format!("\x1b[{colour}m{word:<9}\x1b[0m"),
            Look::Plain | Look::Terminal => format!("{word:<9}"),
        }
    }
}

impl Watch for Telling {
    fn started(&self, component: &str) {
        self.change(|running| running.push(component.to_owned()));
    }

    fn ended(&self, made: &Made) {
        self.change(|running| running.retain(|name| *name != made.component));
        if let Some(bar) = &self.bar {
            bar.inc(1);
        }
        let name = &made.component;
        let text = match &made.outcome {
            Outcome::Built { bytes, took } => {
                let (size, time) = (size(*bytes), seconds(*took));
                format!("{} {name:<20} {size:>10} {time:>8}\n", self.coloured("built", 32))
            }
            Outcome::Unchanged { bytes } => {
                format!("{} {name:<20} {:>10}\n", self.coloured("unchanged", 2), size(*bytes))
            }
            Outcome::Failed(BuildError::Tool { command, how, output }) => {
                let lines: String = output.trim_end().lines().map(|line| format!("  {line}\n")).collect();
                format!("{} {name}: `{command}` {how}\n{lines}", self.coloured("failed", 31))
            }
            Outcome::Failed(_) => format!("{} {name}\n", self.coloured("failed", 31)),
            Outcome::Left => return,
        };
        self.say(&text);
    }
}

impl Drop for Telling {
    fn drop(&mut self) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
    }
}

/// A size as people read it.
pub(crate) fn size(bytes: u64) -> String {
    let (tenths, unit) = match bytes {
        0..1024 => return format!("{bytes} B"),
        1024..0x10_0000 => (bytes * 10 / 1024, "KiB"),
        _ => (bytes / 1024 * 10 / 1024, "MiB"),
    };
    format!("{}.{} {unit}", tenths / 10, tenths % 10)
}

fn seconds(time: Duration) -> String {
    format!("{:.1} s", time.as_secs_f64())
}
