//! The tree of fields of a sample, with counts. Its memory is bounded: too many names are folded into one.

use std::{
    collections::{BTreeMap, hash_map::RandomState},
    hash::BuildHasher as _,
};

use connector::anonymise::{Observer, Outcome, Step, Visible};
use event::Pointer;

use super::{
    distinct::Distinct,
    looks::{Look, looks},
};

/// Maximum number of member names of an object that are shown separately.
const MAX_NAMES: usize = 200;
/// Maximum number of nodes.
const MAX_PLACES: usize = 20_000;

/// All nodes; the first is the record.
#[derive(Debug)]
pub(super) struct Places {
    pub(super) all: Vec<Place>,
    /// The path from the record to the current node.
    path: Vec<usize>,
    record: u64,
    hasher: RandomState,
}

/// A place: a name, or everything in an array, below another place.
#[derive(Clone, Debug, Default)]
pub(super) struct Place {
    /// The configuration names it.
    pub(super) known: bool,
    /// It is where events keep their time.
    pub(super) is_time: bool,
    pub(super) members: BTreeMap<Box<str>, usize>,
    /// Every element, and the members that are not shown separately.
    pub(super) star: Option<usize>,
    pub(super) counts: BTreeMap<Outcome, Count>,
    /// In how many records it is.
    pub(super) records: u64,
    last_record: u64,
    /// Members of unknown names: in the object that is being read, and in the one that had most of them.
    now: usize,
    pub(super) most: usize,
    /// The names of the members that are not shown separately.
    pub(super) names: Names,
}

/// Values with the same outcome.
#[derive(Clone, Debug, Default)]
pub(super) struct Count {
    pub(super) times: u64,
    pub(super) records: u64,
    last_record: u64,
    /// Texts and whole numbers that pass.
    pub(super) values: u64,
    pub(super) looks: [u64; Look::ALL.len()],
    pub(super) distinct: Distinct,
}

/// Names that are not shown separately.
#[derive(Clone, Debug, Default)]
pub(super) struct Names {
    pub(super) looks: [u64; Look::ALL.len()],
    pub(super) distinct: Distinct,
}

impl Default for Places {
    fn default() -> Self {
        Self { all: vec![Place::default()], path: vec![0], record: 0, hasher: RandomState::new() }
    }
}

impl Places {
    /// Marks names as known.
    pub(super) fn know(&mut self, pointer: &Pointer, is_time: bool) {
        let mut place = 0;
        for name in pointer.names() {
            place = self.member(place, name);
            self.all[place].known = true;
        }
        self.all[place].is_time = is_time;
    }

    pub(super) fn begin_record(&mut self) {
        self.record += 1;
        self.path.truncate(1);
        self.all[0].now = 0;
    }

    /// The place of every element, and of the members that are not shown separately.
    pub(super) fn star(&mut self, place: usize) -> usize {
        if let Some(star) = self.all[place].star {
            return star;
        }
        let star = self.all.len();
        self.all.push(Place::default());
        self.all[place].star = Some(star);
        star
    }

    fn member(&mut self, place: usize, name: &str) -> usize {
        if let Some(member) = self.all[place].members.get(name) {
            return *member;
        }
        let member = self.all.len();
        self.all.push(Place::default());
        self.all[place].members.insert(name.into(), member);
        member
    }

    /// The place of a member whose name the configuration does not know.
    fn unknown_member(&mut self, place: usize, name: &str) -> usize {
        let known = self.all[place].members.get(name).copied();
        if let Some(member) = known.filter(|member| self.all[*member].known) {
            return member;
        }
        let of_place = &mut self.all[place];
        of_place.now += 1;
        of_place.most = of_place.most.max(of_place.now);
        match known {
            Some(member) => member,
            None if self.all[place].members.len() < MAX_NAMES && self.all.len() < MAX_PLACES => {
                self.member(place, name)
            }
            None => self.fold_name(place, name),
        }
    }

    /// Counts a name as one of those that are not shown separately.
    pub(super) fn fold_name(&mut self, place: usize, name: &str) -> usize {
        let hash = self.hasher.hash_one(name);
        let names = &mut self.all[place].names;
        if names.distinct.add_hash(hash) {
            looks(name).for_each(|look| names.looks[look as usize] += 1);
        }
        self.star(place)
    }

    fn current(&self) -> usize {
        self.path.last().copied().unwrap_or(0)
    }
}

impl Observer for Places {
    fn enter(&mut self, step: Step<'_>) {
        let current = self.current();
        let next = match step {
            Step::Declared(name) => {
                let member = self.member(current, name);
                self.all[member].known = true;
                member
            }
            Step::Any(name) => self.fold_name(current, name),
            Step::Undeclared(name) => self.unknown_member(current, name),
            Step::Element => self.star(current),
        };
        let record = self.record;
        let place = &mut self.all[next];
        place.now = 0;
        if place.last_record != record {
            place.last_record = record;
            place.records += 1;
        }
        self.path.push(next);
    }

    fn value(&mut self, outcome: Outcome, visible: Visible<'_>) {
        let (current, record) = (self.current(), self.record);
        let count = self.all[current].counts.entry(outcome).or_default();
        count.times += 1;
        if count.last_record != record {
            count.last_record = record;
            count.records += 1;
        }
        match visible {
            Visible::Text(text) => count.see(text, &self.hasher),
            // Prices and shares identify no one.
            Visible::Number(number) if !number.contains(['.', 'e', 'E']) => count.see(number, &self.hasher),
            Visible::Number(_) | Visible::Nothing => {}
        }
    }

    fn leave(&mut self) {
        self.path.pop();
    }
}

impl Count {
    fn see(&mut self, text: &str, hasher: &RandomState) {
        self.values += 1;
        self.distinct.add_hash(hasher.hash_one(text));
        looks(text).for_each(|look| self.looks[look as usize] += 1);
    }

    /// A count by records.
    pub(super) fn of_records(records: u64) -> Self {
        Self { times: records, records, ..Self::default() }
    }

    /// Adds another.
    pub(super) fn merge(&mut self, other: &Self) {
        self.times += other.times;
        self.records += other.records;
        self.values += other.values;
        self.distinct.merge(&other.distinct);
        self.looks.iter_mut().zip(other.looks).for_each(|(ours, theirs)| *ours += theirs);
    }
}
