//! The order of members, which a producer rarely changes.
//!
//! A member whose name is written as that of an earlier event at the same place need not be looked up in the rules. Names
//! of one order differ from each other, so an object in which all of them were found, in their order, has no duplicates.

use event::json::Scanner;

use super::rules::Place;

/// The orders of the objects of an event, of one set of rules. The first one is that of the event itself.
#[derive(Clone, Debug, Default)]
pub(super) struct Orders {
    all: Vec<Order>,
    /// Orders that no member leads to any more.
    free: Vec<usize>,
}

/// The members of an object, as they were written last.
#[derive(Clone, Debug, Default)]
struct Order {
    /// The place of the object. Elements of one array may have different rules.
    at: Option<Place>,
    members: Vec<Known>,
    /// How often an object had another member than the ones that are known.
    wrong: u8,
}

#[derive(Clone, Debug)]
struct Known {
    /// The name in quotes with its colon.
    text: Box<[u8]>,
    place: Place,
    /// The order of the object in it, or of the objects in its array.
    inside: Option<usize>,
}

/// Where the order of an object is remembered: at a member of another order.
#[derive(Clone, Copy, Debug)]
pub(super) enum Parent {
    /// The object is the event.
    Event,
    /// A member, by its number in an order.
    Member(usize, usize),
    /// Nowhere: the member is not known.
    Unknown,
}

/// How far the members of an object were found in its order.
#[derive(Clone, Copy, Debug)]
pub(super) struct Followed {
    order: usize,
    /// The number of the next member that is expected.
    next: usize,
    /// One bit for each member that was found.
    found: u64,
}

/// Members of an order; one bit each.
const MEMBERS: usize = u64::BITS as usize;
/// Longer names are looked up each time.
const NAME_BYTES: usize = 64;
/// Orders of a set of rules.
const ORDERS: usize = 64;
/// How many members may be missing before the next one.
const MISSING: usize = 3;
/// An order is learned again after this many objects with another member: two kinds of events that alternate would
/// otherwise replace each other's.
const PATIENCE: u8 = 32;

impl Orders {
    /// Begins to follow the order of an object at a place; `None` if none can be remembered.
    #[inline]
    pub(super) fn follow(&mut self, parent: Parent, place: Place) -> Option<Followed> {
        let order = match parent {
            Parent::Event => {
                if self.all.is_empty() {
                    self.all.push(Order::default());
                }
                0
            }
            Parent::Unknown => return None,
            Parent::Member(order, member) => match self.all[order].members[member].inside {
                Some(inside) => inside,
                None => {
                    let new = self.add()?;
                    *self.all[order].members[member].inside.insert(new)
                }
            },
        };
        let Order { at, members, .. } = &mut self.all[order];
        if members.is_empty() {
            *at = Some(place);
        }
        (*at == Some(place)).then_some(Followed { order, next: 0, found: 0 })
    }

    /// The next member, if the order has it: its position, the place of its value, and where an order inside of it is
    /// remembered. The scanner has then read its name.
    #[inline]
    pub(super) fn next(
        &self,
        followed: &mut Followed,
        scanner: &mut Scanner<'_>,
    ) -> Option<(usize, Place, Parent)> {
        let members = &self.all[followed.order].members;
        for (number, known) in members.iter().enumerate().skip(followed.next).take(MISSING) {
            if let Some(start) = scanner.next_member_is(&known.text) {
                followed.next = number + 1;
                followed.found |= 1 << number;
                return Some((start, known.place, Parent::Member(followed.order, number)));
            }
        }
        None
    }

    /// The names that were found, without quotes.
    pub(super) fn found(&self, followed: Followed) -> impl Iterator<Item = &str> {
        let members = self.all[followed.order].members.iter().zip(0..);
        members.filter(move |(_, number)| followed.found >> number & 1 == 1).map(|(known, _)| {
            let name = &known.text[1..known.text.len() - 2];
            std::str::from_utf8(name).expect("it was learned from a text")
        })
    }

    /// The object has another member than the ones that are known. Returns whether its order is to be learned from here
    /// on.
    pub(super) fn is_wrong(&mut self, followed: Followed) -> bool {
        let order = &mut self.all[followed.order];
        if followed.next == order.members.len() {
            return true;
        }
        order.wrong += 1;
        if order.wrong < PATIENCE {
            return false;
        }
        order.wrong = 0;
        self.forget(followed.order, followed.next);
        true
    }

    /// Adds a member to the end of an order that is being learned. `text` is its name in quotes with its colon, without
    /// escapes. `None` if it cannot be added; then nothing after it may be.
    pub(super) fn learn(&mut self, followed: &mut Followed, text: &[u8], place: Place) -> Option<Parent> {
        let members = &mut self.all[followed.order].members;
        // One that was skipped may follow later. Two members with one name would hide a duplicate.
        let is_known = members.iter().any(|known| *known.text == *text);
        if is_known || members.len() == MEMBERS || text.len() > NAME_BYTES {
            return None;
        }
        members.push(Known { text: text.into(), place, inside: None });
        followed.next = members.len();
        Some(Parent::Member(followed.order, members.len() - 1))
    }

    fn add(&mut self) -> Option<usize> {
        if let Some(free) = self.free.pop() {
            return Some(free);
        }
        if self.all.len() == ORDERS {
            return None;
        }
        self.all.push(Order::default());
        Some(self.all.len() - 1)
    }

    /// Forgets the members of an order from this number on, and the orders inside of them.
    fn forget(&mut self, order: usize, from: usize) {
        for known in self.all[order].members.split_off(from) {
            if let Some(inside) = known.inside {
                self.forget(inside, 0);
                self.all[inside].wrong = 0;
                self.free.push(inside);
            }
        }
    }
}
