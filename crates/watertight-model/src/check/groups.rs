//! Groups of residents: their members are there, are resident, and stand in one place each.

use std::{collections::BTreeMap, ops::Range};

use super::{Checker, list};
use crate::{
    app::{Component, ComponentId, Edge, Lifetime, Wall},
    manifest::{At, nearest},
    problem::{Code, Problem},
    supervision::{Group, GroupId, Member, Supervision},
};

impl Checker<'_> {
    /// The groups, as far as their members are sound.
    pub(super) fn groups(&mut self) -> Vec<Group> {
        let mut taken: BTreeMap<Member, (usize, Range<usize>)> = BTreeMap::new();
        let mut groups = Vec::new();
        for (index, spec) in self.manifest.groups.iter().enumerate() {
            if self.manifest.components.iter().any(|component| component.name.value == spec.name.value) {
                let message = format!("`{}` names a component and a group", spec.name.value);
                let problem = Problem::new(Code::SameName, message)
                    .help("rename one of the two: the members of groups are named without saying which is meant");
                self.report(problem, spec.name.span.clone(), "");
            }
            let mut members = Vec::new();
            for name in spec.members.iter().flatten() {
                let Some(member) = self.member(name) else { continue };
                if let Some((other, first)) = taken.get(&member).filter(|(other, _)| *other != index) {
                    let message = format!(
                        "`{}` is a member of two groups, `{}` and `{}`",
                        name.value, self.manifest.groups[*other].name.value, spec.name.value
                    );
                    let problem = Problem::new(Code::TwoGroups, message)
                        .help("one supervisor restarts it: drop it from one, or make one group a member of the other")
                        .at(&self.manifest.source, name.span.clone(), "again")
                        .at(&self.manifest.source, first.clone(), "first");
                    self.problems.push(problem);
                    continue;
                }
                taken.insert(member, (index, name.span.clone()));
                members.push(member);
            }
            if spec.members.as_ref().is_some_and(Vec::is_empty) {
                let problem =
                    Problem::warning(Code::NoEffect, format!("the group `{}` has no members", spec.name.value))
                        .help("list resident components in `members`, or drop the group");
                self.report(problem, spec.name.span.clone(), "empty");
            }
            let id = GroupId(u32::try_from(index).unwrap_or(u32::MAX));
            let name = spec.name.value.clone();
            groups.push(Group { id, name, members, strategy: spec.strategy, intensity: spec.intensity });
        }
        self.group_circles(&groups);
        groups
    }

    /// A resident component or a group of this name; if there is none, that is reported.
    fn member(&mut self, name: &At<String>) -> Option<Member> {
        let id = |index| u32::try_from(index).unwrap_or(u32::MAX);
        let components = &self.manifest.components;
        if let Some(index) = components.iter().position(|component| component.name.value == name.value) {
            let spec = &components[index];
            if spec.lifetime == Lifetime::Resident && spec.wall == Wall::Cell {
                return Some(Member::Component(ComponentId(id(index))));
            }
            let message = format!("`{}` is not resident, and cannot be a member of a group", name.value);
            let problem = Problem::new(Code::NotResident, message)
                .help("its cells end with each call or request, and nothing is there to restart: set lifetime = \"resident\", or drop it here");
            self.report(problem, name.span.clone(), "not resident");
            return None;
        }
        let groups = || self.manifest.groups.iter().map(|group| group.name.value.as_str());
        if let Some(index) = groups().position(|group| group == name.value) {
            return Some(Member::Group(GroupId(id(index))));
        }
        let known = || components.iter().map(|component| component.name.value.as_str()).chain(groups());
        let help = match nearest(&name.value, known()) {
            Some(near) => format!("did you mean `{near}`?"),
            None => format!("the components and groups are {}", list(known())),
        };
        let problem = Problem::new(Code::UnknownMember, format!("the app has no component or group `{}`", name.value));
        self.report(problem.help(help), name.span.clone(), "no such member");
        None
    }

    /// A group that holds itself, directly or through others, has no beginning. Each has one holder, so the way up is the only way.
    fn group_circles(&mut self, groups: &[Group]) {
        let holder = |id: GroupId| groups.iter().find(|group| group.members.contains(&Member::Group(id)));
        let mut reported = vec![false; groups.len()];
        for group in groups {
            let mut way = vec![group];
            while let Some(next) = holder(way[way.len() - 1].id) {
                if next.id == group.id {
                    if !reported[group.id.0 as usize] {
                        let names: Vec<_> = way.iter().chain([&group]).map(|group| group.name.as_str()).collect();
                        let message = format!("the groups hold each other in a circle: {}", names.join(" in "));
                        let problem =
                            Problem::new(Code::Cycle, message).help("take one of them out of another's `members`");
                        let span = self.manifest.groups[group.id.0 as usize].name.span.clone();
                        way.iter().for_each(|group| reported[group.id.0 as usize] = true);
                        self.report(problem, span, "");
                    }
                    break;
                }
                if way.len() > groups.len() {
                    break;
                }
                way.push(next);
            }
        }
    }

    /// Keys that mean something only where cells stay.
    pub(super) fn residences(&mut self) {
        for component in 0..self.manifest.components.len() {
            let spec = self.spec(component);
            // What is fused has been told that it can have none of them.
            if spec.wall == Wall::Fused || spec.lifetime == Lifetime::Resident {
                self.recycling(component);
                continue;
            }
            for given in spec.resident_keys.clone() {
                let message =
                    format!("`{}` is not resident, and `{}` is for residents", self.name(component), given.value);
                let problem = Problem::new(Code::NotResident, message)
                    .help(format!("set lifetime = \"resident\", or drop `{}`", given.value));
                self.report(problem, given.span, "for residents only");
            }
        }
        let rest = self.manifest.top.rest.clone();
        if let (Some(rest), Some(_)) = (rest, self.manifest.top.intensity) {
            let problem = Problem::warning(Code::NoEffect, "`rest` has no effect where the app has an `intensity`")
                .help("drop one of the two: either what gave up rests, or the app restarts it and in the end is down");
            self.report(problem, rest.span, "no effect");
        }
    }

    /// A cell cannot hold more than its budget, and so never reaches a limit above it.
    fn recycling(&mut self, component: usize) {
        let spec = self.spec(component);
        let Some(memory) = spec.residence.recycle.memory.filter(|memory| *memory > spec.budget.memory) else { return };
        let given = spec.resident_keys.iter().find(|given| given.value == "recycle");
        let span = given.map_or_else(|| self.name_span(component), |given| given.span.clone());
        let message = format!("`{}` never holds {memory}: its budget is {}", self.name(component), spec.budget.memory);
        let problem =
            Problem::warning(Code::NoEffect, message).help("recycle it at less, or raise its `budget.memory`");
        self.report(problem, span, "never reached");
    }

    /// Who supervises whom.
    pub(super) fn supervision(&self, components: &[Component], edges: &[Edge], groups: Vec<Group>) -> Supervision {
        Supervision::of(components, edges, groups, self.manifest.top.intensity, self.manifest.top.rest())
    }
}
