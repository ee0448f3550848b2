//! What happens to residents, as keys.

use serde::ser::SerializeMap;
use watertight_model::supervision::{Change, End, Subject};

use super::nanos;
use crate::names::Names;

pub(super) fn serialize<M: SerializeMap>(
    map: &mut M,
    names: &Names,
    of: Subject,
    change: Change,
) -> Result<(), M::Error> {
    map.serialize_entry("event", "supervised")?;
    match of {
        Subject::Instance { component, number } => {
            map.serialize_entry("component", names.component(component))?;
            map.serialize_entry("resident", &number)?;
        }
        Subject::Component(component) => map.serialize_entry("component", names.component(component))?,
        Subject::Group(group) => map.serialize_entry("group", names.group(group))?,
        Subject::App => map.serialize_entry("app", names.app())?,
    }
    match change {
        Change::Started => map.serialize_entry("change", "started"),
        Change::Stopped => map.serialize_entry("change", "stopped"),
        Change::Recycled { why } => {
            map.serialize_entry("change", "recycled")?;
            map.serialize_entry("why", &why)
        }
        Change::Kept { failure } => {
            map.serialize_entry("change", "kept")?;
            map.serialize_entry("failure", &failure)
        }
        Change::Ended { end } => {
            map.serialize_entry("change", "ended")?;
            ended(map, end)
        }
        Change::Restarting { end, attempt, backoff } => {
            map.serialize_entry("change", "restarting")?;
            ended(map, end)?;
            map.serialize_entry("attempt", &attempt)?;
            map.serialize_entry("backoff_ns", &nanos(backoff))
        }
        Change::GaveUp { end, intensity, rest } => {
            map.serialize_entry("change", "gave-up")?;
            ended(map, end)?;
            map.serialize_entry("max", &intensity.max)?;
            map.serialize_entry("within_ns", &nanos(intensity.within))?;
            map.serialize_entry("rest_ns", &rest.map(nanos))
        }
    }
}

fn ended<M: SerializeMap>(map: &mut M, end: End) -> Result<(), M::Error> {
    match end {
        End::Normal => map.serialize_entry("end", "normal"),
        End::CutOff => map.serialize_entry("end", "cut-off"),
        End::Failed(failure) => {
            map.serialize_entry("end", "failed")?;
            map.serialize_entry("failure", &failure)
        }
    }
}
