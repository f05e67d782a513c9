//! Which member names are shown. A name that is not in the configuration may be an ID (`{"u-4711": 3}`), so
//! it is shown only if it looks and behaves like the name of a field. All other names of an object are one
//! place, `*`.

use super::{
    looks::looks,
    places::{Place, Places},
};

/// The longest name of a field.
const LONGEST: usize = 40;
/// Number of digits that the name of a field may contain.
const DIGITS: usize = 3;

impl Places {
    /// Folds the names of all fields.
    pub(super) fn fold(&mut self, records: u64) {
        self.all[0].records = records;
        self.fold_at(0);
    }

    fn fold_at(&mut self, place: usize) {
        let of_place = &self.all[place];
        let unknown = |member: &usize| !self.all[*member].known;
        let usual = |member: &usize| self.all[*member].records * 2 >= of_place.records;
        let rare = of_place.members.values().filter(|member| unknown(member) && !usual(member)).count();
        let they_vary = of_place.star.is_some() || rare > 2 * of_place.most + 1;
        let hidden: Vec<(Box<str>, usize)> = of_place
            .members
            .iter()
            .filter(|(name, member)| {
                let varies = they_vary && !usual(member);
                unknown(member) && (varies || !is_field(name, &self.all[**member], of_place.records))
            })
            .map(|(name, member)| (name.clone(), *member))
            .collect();
        for (name, member) in hidden {
            self.all[place].members.remove(&name);
            let star = self.fold_name(place, &name);
            self.merge(star, member);
        }
        let of_place = &self.all[place];
        let inner: Vec<usize> = of_place.members.values().chain(&of_place.star).copied().collect();
        inner.into_iter().for_each(|inner| self.fold_at(inner));
    }

    /// Adds the counts at and below `from`.
    fn merge(&mut self, into: usize, from: usize) {
        let taken = std::mem::take(&mut self.all[from]);
        let place = &mut self.all[into];
        place.records += taken.records;
        place.most = place.most.max(taken.most);
        place.known |= taken.known;
        place.is_time |= taken.is_time;
        place.names.distinct.merge(&taken.names.distinct);
        place.names.looks.iter_mut().zip(taken.names.looks).for_each(|(ours, theirs)| *ours += theirs);
        for (outcome, count) in &taken.counts {
            place.counts.entry(*outcome).or_default().merge(count);
        }
        if let Some(from) = taken.star {
            let into = self.star(into);
            self.merge(into, from);
        }
        for (name, from) in taken.members {
            match self.all[into].members.get(&name).copied() {
                Some(same) => self.merge(same, from),
                None => {
                    self.all[into].members.insert(name, from);
                }
            }
        }
    }
}

/// Whether a name looks like that of a field and recurs like one.
fn is_field(name: &str, place: &Place, records: u64) -> bool {
    let begins = name.starts_with(|c: char| c.is_alphabetic() || "_$".contains(c));
    let goes_on = name.chars().all(|c| c.is_alphanumeric() || "_$-.:".contains(c));
    let digits = name.chars().filter(char::is_ascii_digit).count();
    begins
        && goes_on
        && digits <= DIGITS
        && name.chars().count() <= LONGEST
        && looks(name).next().is_none()
        && place.records >= 2
        && place.records * 200 >= records
}
