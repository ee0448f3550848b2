//! The one place that says what a failure is. What its caller sees is said by the [airlock](crate::airlock).

use watertight_model::{
    app::{Component, Limit},
    failure::{CallError, FailureKind},
};

use crate::{inject::Injected, membrane::Malformed, resident::Refused};

/// The runtime itself broke off a guest.
#[derive(Clone, Copy, Debug, thiserror::Error)]
#[error("{kind}")]
pub(crate) struct Interrupted {
    pub(crate) kind: FailureKind,
}

/// An operator threw a cell out.
#[derive(Clone, Copy, Debug, thiserror::Error)]
#[error("an operator threw the cell out")]
pub(crate) struct ThrownOut;

/// The error that breaks off a guest whose memory is spent by what the host keeps for it, where WASI has no error to return.
#[must_use]
pub fn memory_spent() -> wasmtime::Error {
    Interrupted { kind: FailureKind::Memory }.into()
}

/// A dependency failed and its caller could not be told by a value.
#[derive(Debug, thiserror::Error)]
#[error("its dependency {0}")]
pub(crate) struct DependencyFailed(pub(crate) CallError);

/// Classifies what went wrong while `component` ran. `memory_denied` says that its memory budget had stopped it from growing.
pub(crate) fn classify(error: &wasmtime::Error, component: &Component, memory_denied: bool) -> CallError {
    let failed = |kind, detail: String| CallError { kind, component: component.name.clone(), detail };
    if let Some(interrupted) = error.downcast_ref::<Interrupted>() {
        return budget(interrupted.kind, component);
    }
    if let Some(thrown_out) = error.downcast_ref::<ThrownOut>() {
        return failed(FailureKind::WallLost, thrown_out.to_string());
    }
    if let Some(injected) = error.downcast_ref::<Injected>() {
        return failed(injected.kind, injected.to_string());
    }
    if let Some(error) = error.downcast_ref::<CallError>() {
        return error.clone();
    }
    if memory_denied {
        return budget(FailureKind::Memory, component);
    }
    if let Some(dependency) = error.downcast_ref::<DependencyFailed>() {
        return failed(FailureKind::Trap, dependency.to_string());
    }
    if let Some(malformed) = error.downcast_ref::<Malformed>() {
        return failed(FailureKind::BadValue, malformed.to_string());
    }
    if error.is::<wasmtime::PoolConcurrencyLimitError>() {
        return failed(FailureKind::NoCapacity, format!("the pool is used up: {error}"));
    }
    match error.downcast_ref::<wasmtime::Trap>() {
        Some(wasmtime::Trap::StackOverflow) => failed(FailureKind::StackOverflow, "its stack ran out".into()),
        Some(trap) => failed(FailureKind::Trap, trap.to_string()),
        None if error.is::<wasmtime::ThrownException>() => {
            failed(FailureKind::Trap, "it threw an exception that nothing in it catches".into())
        }
        None if error.is::<ExitStatus>() => failed(FailureKind::Exit, "it called exit".into()),
        None => {
            let cause = error.root_cause().to_string();
            if holds_too_much(&cause) {
                return failed(FailureKind::Memory, format!("it holds more handles than a cell may: {cause}"));
            }
            let kind = if breaks_abi(&cause) { FailureKind::BadValue } else { FailureKind::Host };
            failed(kind, cause)
        }
    }
}

/// Whether this is what Wasmtime says of a guest that has as many handles, tasks or resources of the host as a cell may.
fn holds_too_much(cause: &str) -> bool {
    cause.contains("handle limit exceeded") || cause.contains("table has no free keys")
}

/// Whether this is what Wasmtime says of a guest that breaks the Canonical ABI: it has no type for that, only these words. One that
/// is not known here is put down to the host, which costs the guest the same.
fn breaks_abi(cause: &str) -> bool {
    const PARTS: [&str; 12] = [
        "pointer not aligned",
        "pointer out of bounds",
        "unknown handle index",
        "handle is not a",
        "handle is a stream of",
        "handle is a future of",
        "is not a resource",
        "is not an own resource",
        "own resource from a borrow",
        "resource while borrowed",
        "borrow handles still remain",
        "handle index ",
    ];
    PARTS.iter().any(|part| cause.contains(part))
}

/// The failure of a spent budget, with the key that raises it.
pub(crate) fn budget(kind: FailureKind, component: &Component) -> CallError {
    let name = &component.name;
    let spent = &component.budget;
    let detail = match kind {
        FailureKind::Cpu => {
            format!("it ran for more than its {:?} of cpu: raise component.{name}.budget.cpu", spent.cpu)
        }
        FailureKind::Memory => {
            format!("it asked for more than its {} of memory: raise component.{name}.budget.memory", spent.memory)
        }
        FailureKind::Deadline => "its deadline passed".to_owned(),
        FailureKind::QueueFull | FailureKind::Shed => {
            let limit = Limit { concurrency: component.calls_at_once(), queue: spent.queue };
            let key = format!("component.{name}.budget");
            if limit.concurrency < spent.concurrency {
                // Residents that run one call each: no other number lets more of them run.
                return over(kind, name, limit, &format!("component.{name}.instances"), &format!("{key}.queue"));
            }
            return turned_away(kind, name, limit, &key);
        }
        FailureKind::Injected => "it was made to fail by an injected fault".to_owned(),
        FailureKind::DeadHandle => "the cell that made this resource is gone".to_owned(),
        FailureKind::Down => "it was stopped in the middle of the call".to_owned(),
        FailureKind::Trap
        | FailureKind::StackOverflow
        | FailureKind::BadValue
        | FailureKind::Exit
        | FailureKind::NoCapacity
        | FailureKind::HostPanic
        | FailureKind::Host
        | FailureKind::WallLost
        | FailureKind::BreakerOpen => kind.to_string(),
    };
    CallError { kind, component: name.clone(), detail }
}

/// The failure of a call whose arguments, on their way, are more than the memory that their sender has left.
pub(crate) fn overdrawn(sender: &Component) -> CallError {
    let (name, memory) = (&sender.name, sender.budget.memory);
    let detail = format!(
        "what it passes on does not fit into its {memory} of memory, beside what it holds: raise component.{name}.budget.memory"
    );
    CallError { kind: FailureKind::Memory, component: name.clone(), detail }
}

/// The failure of a call that got no resident.
pub(crate) fn refused(refused: Refused, component: &Component) -> CallError {
    let kind = refused.kind();
    match refused {
        Refused::Down(detail) => CallError { kind, component: component.name.clone(), detail },
        Refused::Late | Refused::Dead => budget(kind, component),
    }
}

/// The failure of a call that a gate turned away, with the table of the manifest that sets its limit.
pub(crate) fn turned_away(kind: FailureKind, component: &str, limit: Limit, key: &str) -> CallError {
    over(kind, component, limit, &format!("{key}.concurrency"), "queue")
}

/// The same, with the key of each of the two numbers.
fn over(kind: FailureKind, component: &str, limit: Limit, concurrency_key: &str, queue_key: &str) -> CallError {
    let Limit { concurrency, queue } = limit;
    let calls = if concurrency == 1 { "1 call".to_owned() } else { format!("{concurrency} calls") };
    let detail = if kind == FailureKind::Shed {
        format!("it would have waited past its deadline, {calls} running: raise {concurrency_key}")
    } else {
        format!("{calls} running and {queue} waiting already: raise {concurrency_key} or {queue_key}")
    };
    CallError { kind, component: component.to_owned(), detail }
}

/// A guest ended itself by an exit; the host crate says so with this, so that it can be told from a trap.
#[derive(Clone, Copy, Debug, thiserror::Error)]
#[error("exit with status {0}")]
pub struct ExitStatus(pub i32);
