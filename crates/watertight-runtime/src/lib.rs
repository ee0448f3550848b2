//! Engines, the compile cache, cells and the membrane between them.
//!
//! ```text
//! CompiledApp ── start ──▶ RunningApp ── enter ──▶ Root ── run ──▶ guest code
//!   assembled,               linked,                one call tree:
//!   compiled, pools planned  engines running        cells, deadline, budgets
//! ```
//!
//! It knows nothing of WASI, HTTP or terminals: what guests can reach comes from a [`Host`], what starts them from the crates above.

mod account;
mod airlock;
mod app;
mod cache;
mod cell;
mod clock;
mod compile;
mod cut;
mod demote;
mod driver;
mod eject;
mod engine;
mod failure;
mod ferry;
mod gate;
mod health;
pub mod host;
mod inject;
mod leftover;
mod membrane;
mod meter;
mod pool;
mod postmortem;
mod public;
mod record;
mod resident;
mod root;
mod slice;
mod supervise;
mod tap;
mod trace;
mod tree;

pub use account::{Account, Charge, Holdings};
pub use app::{AppView, CompiledApp, LoadError, NoProgress, Progress, RunningApp};
pub use cache::{CacheCounts, CacheError, CompileCache, Origin, cache_counts};
pub use cell::CellCore;
pub use compile::{CompileError, Needs};
pub use eject::LivingCell;
pub use engine::{EngineKind, engine_for_snapshots};
pub use failure::{ExitStatus, memory_spent};
pub use ferry::{FarCall, Ferry, ReceiveError};
pub use host::{CellData, Host, HostResource};
pub use membrane::{Answers, CallFailed, EdgeError, Part, PlayError, PublicResult, StandIns, Uncarried};
pub use pool::{MAPPINGS_PER_CELL, MachineLimits, PoolError, PoolPlan, Share};
pub use postmortem::{CORE_FILE, Morgue, Postmortem, Remains};
pub use public::{NotCalled, PublicFunction, PublicFunctions};
pub use record::{Described, MAX_RECORDED_FRAME, Recorded, RecordedCall, RecordedFrame};
pub use root::Root;
pub use tap::{About, Catch, TapFilter, Tapped, TappedCall, TooManyTaps};
pub use trace::{Recording, Traced};
/// Values and types of exports, for those who call them by name.
pub use wasmtime::component::{Val, types};
