//! `watertight worker`: one worker of `serve`, started by it.

use std::sync::Arc;

use watertight::worker;
use watertight_observe::Bus;

use crate::{
    args::Worker,
    events::{self, Wanted},
    failure::Failure,
};

pub(crate) fn worker(args: &Worker) -> Result<(), Failure> {
    let runtime = super::runtime()?;
    let mut bus: Option<Arc<Bus>> = None;
    let served = runtime.block_on(worker::work(&args.orders, |app, wanted: Wanted| {
        events::show_tracing(wanted.events.verbose);
        // A worker that cannot write its log serves nevertheless.
        let made = events::of_server(&wanted, app).unwrap_or_default();
        bus.insert(made).clone()
    }));
    drop(runtime);
    if let Some(bus) = bus {
        events::finish(&bus);
    }
    Ok(served?)
}
