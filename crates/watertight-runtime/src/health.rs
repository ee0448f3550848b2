//! How the components of a running app are: what its steward knows, and what is seen in the seats.

use std::time::Duration;

use watertight_model::{
    app::Component,
    health::{ComponentHealth, HealthState, InstanceHealth},
    supervision::{InstanceState, Member, Standing},
    usage::CellUsage,
};

use crate::{app::LoadedApp, clock::Moment, host::CellData};

pub(crate) fn of<T: CellData>(app: &LoadedApp<T>, spec: &Component) -> ComponentHealth {
    let (states, standing, record) = app.office(spec.residence.scope).look(|steward| {
        let states: Vec<_> = steward.states(spec.id).collect();
        (states, steward.standing(spec.id), steward.record(spec.id))
    });
    let seen = app.component(spec.id).residents.seen();
    let instances: Vec<_> = states
        .into_iter()
        .map(|(number, state)| {
            // One that is being replaced has two for a while; it is the one that takes calls that counts.
            let seats = seen.iter().filter(|seat| seat.number == number);
            let seat = seats.min_by_key(|seat| seat.leaving);
            InstanceHealth {
                number,
                state,
                cell: seat.map(|seat| seat.cell),
                age_ms: seat.map_or(0, |seat| millis(Moment::now().since(seat.since))),
                calls: seat.map_or(0, |seat| seat.calls),
                in_flight: seat.map_or(0, |seat| seat.in_flight),
                usage: seat.map_or_else(CellUsage::default, |seat| seat.usage),
            }
        })
        .collect();
    let (state, reason) = match &standing {
        None => (HealthState::OnDemand, None),
        Some(Standing::Down(why)) => (HealthState::Down, Some(why.to_string())),
        Some(Standing::Open) => (together(&instances), None),
    };
    let group = app.model().supervision.holder(Member::Component(spec.id)).map(|group| group.name.clone());
    ComponentHealth {
        id: spec.id,
        component: spec.name.clone(),
        lifetime: spec.lifetime,
        group,
        state,
        reason,
        instances,
        restarts: record.restarts,
        recycled: record.recycled,
        last_failure: record.last_failure,
    }
}

fn together(instances: &[InstanceHealth]) -> HealthState {
    let up = |of: &&InstanceHealth| matches!(of.state, InstanceState::Up | InstanceState::Renewing);
    match instances.iter().filter(up).count() {
        0 => HealthState::Starting,
        up if up == instances.len() => HealthState::Up,
        _ => HealthState::Partial,
    }
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}
