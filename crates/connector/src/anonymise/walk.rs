//! The one pass over an event: checks it, cuts and replaces, and records where pseudonyms are needed.
//!
//! Pseudonyms are filled in afterwards, because the event's time, which selects the key, may follow the IDs. Until then
//! a placeholder of the same length takes their place.

use std::{borrow::Cow, ops::Range, sync::Arc};

use event::{
    EventTime,
    events::event_time,
    json::{Member, Scanner, Text, Token, without_byte_order_mark},
    pick::Value,
};

use super::{
    PLACEHOLDER, Reject, RejectCode,
    duplicates::Names,
    number,
    observer::{Observer, Outcome, Visible},
    order::{Followed, Orders, Parent},
    rules::{Fate, Node, Place, Rules},
    spans::{Items, Spans},
    url,
};
use crate::keyring::{Key, PSEUDONYM_LENGTH};

/// An event that passed, before its pseudonyms are filled in.
pub(super) struct Walked {
    pub(super) data: Vec<u8>,
    pub(super) time: Option<EventTime>,
}

/// Memory that is kept from record to record.
#[derive(Clone, Debug, Default)]
pub(super) struct Scratch {
    names: Names,
    spots: Vec<Spot>,
    /// IDs whose hashed text is not part of the input.
    decoded: String,
}

/// The position of a pseudonym, and what it is made of.
#[derive(Clone, Debug)]
struct Spot {
    /// Its start in the output.
    at: usize,
    id: Id,
}

#[derive(Clone, Debug)]
enum Id {
    /// A range of the input.
    Written(Range<usize>),
    /// A range of `Scratch::decoded`.
    Decoded(Range<usize>),
}

/// Reads an event once.
pub(super) fn walk<W: Observer>(
    rules: &mut Rules,
    input: &[u8],
    scratch: &mut Scratch,
    observer: &mut W,
) -> Result<Walked, Reject> {
    let mut orders = rules.take_orders();
    let walked = walk_with(rules, input, (scratch, &mut orders), observer);
    rules.put_orders(orders);
    walked
}

fn walk_with<W: Observer>(
    rules: &Rules,
    input: &[u8],
    (scratch, orders): (&mut Scratch, &mut Orders),
    observer: &mut W,
) -> Result<Walked, Reject> {
    scratch.names.clear();
    scratch.spots.clear();
    scratch.decoded.clear();
    let scanner = Scanner::object(input)?;
    let spans = Spans::new(input, input.len() - without_byte_order_mark(input).len());
    let mut walk = Walk { rules, input, scanner, spans, scratch, orders, time: None, observer, hidden: None };
    walk.object(rules.root(), Parent::Event)?;
    walk.scanner.finish()?;
    Ok(Walked { data: walk.spans.finish(), time: walk.time })
}

impl Scratch {
    /// Fills in the pseudonyms.
    pub(super) fn fill(&self, input: &[u8], data: &mut [u8], key: &Key) {
        for spot in &self.spots {
            let pseudonym = key.pseudonym(self.id(spot, input));
            data[spot.at..spot.at + PSEUDONYM_LENGTH].copy_from_slice(&pseudonym);
        }
    }

    /// The pseudonym of an ID that occurs in the event, once pseudonyms are filled in. The Kafka key often is one.
    pub(super) fn pseudonym<'d>(&self, id: &[u8], input: &[u8], data: &'d [u8]) -> Option<&'d [u8]> {
        let spot = self.spots.iter().find(|spot| self.id(spot, input) == id)?;
        Some(&data[spot.at..spot.at + PSEUDONYM_LENGTH])
    }

    fn id<'i>(&'i self, spot: &Spot, input: &'i [u8]) -> &'i [u8] {
        match &spot.id {
            Id::Written(range) => &input[range.clone()],
            Id::Decoded(range) => &self.decoded.as_bytes()[range.clone()],
        }
    }
}

struct Walk<'w, 'a, W> {
    rules: &'w Rules,
    input: &'a [u8],
    scanner: Scanner<'a>,
    spans: Spans<'a>,
    scratch: &'w mut Scratch,
    orders: &'w mut Orders,
    time: Option<EventTime>,
    observer: &'w mut W,
    /// The outcome of the enclosing value that is dropped.
    hidden: Option<Outcome>,
}

impl<'w, W: Observer> Walk<'w, '_, W> {
    /// The members of an object that was opened.
    fn object(&mut self, place: Place, parent: Parent) -> Result<(), Reject> {
        let mut items = Items::opened(self.scanner.position());
        // An observer receives all names.
        let mut followed = if W::IS_ENABLED { None } else { self.orders.follow(parent, place) };
        if let Some(followed) = &mut followed {
            while let Some((start, inside, parent)) = self.orders.next(followed, &mut self.scanner) {
                self.item(&mut items, start, (inside, parent))?;
            }
        }
        let has_others = self.other_members(&mut items, place, followed)?;
        if followed.is_none() && !has_others {
            self.report_value(Visible::Nothing);
        }
        Ok(())
    }

    /// The members of an object from the first one on that its order does not have; the ones before are in `followed`.
    /// Returns whether there are any.
    fn other_members(
        &mut self,
        items: &mut Items,
        place: Place,
        mut followed: Option<Followed>,
    ) -> Result<bool, Reject> {
        let Some(mut member) = self.scanner.next_member()? else { return Ok(false) };
        let mut level = self.scratch.names.open();
        let mut is_learning = false;
        if let Some(followed) = followed {
            for name in self.orders.found(followed) {
                self.scratch.names.add(&mut level, self.input, Cow::Owned(name.to_owned()), 0);
            }
            is_learning = self.orders.is_wrong(followed);
        }
        loop {
            // By its decoded text: an escaped name could be a declared name in disguise.
            let name = member.name.decode();
            let inside = self.rules.member(place, &name);
            if W::IS_ENABLED {
                self.observer.enter(self.rules.step(place, &name));
            }
            if !self.scratch.names.add(&mut level, self.input, name, member.start + 1) {
                return Err(Reject::at(RejectCode::DuplicateMember, member.start));
            }
            let mut parent = Parent::Unknown;
            if is_learning && let Some(followed) = &mut followed {
                let text = as_predicted(self.input, &member);
                let learned = text.and_then(|text| self.orders.learn(followed, text, inside));
                is_learning = learned.is_some();
                parent = learned.unwrap_or(Parent::Unknown);
            }
            self.item(items, member.start, (inside, parent))?;
            match self.scanner.next_member()? {
                Some(next) => member = next,
                None => break,
            }
        }
        self.scratch.names.close(&level);
        Ok(true)
    }

    /// The elements of an array that was opened.
    fn array(&mut self, place: Place, parent: Parent) -> Result<(), Reject> {
        let mut items = Items::of_array(self.scanner.position());
        let mut index = 0;
        while self.scanner.next_element()? {
            let start = self.scanner.position();
            if W::IS_ENABLED {
                self.observer.enter(self.rules.step_to_element(place, index));
            }
            self.item(&mut items, start, (self.rules.element(place, index), parent))?;
            index += 1;
        }
        if index == 0 {
            self.report_value(Visible::Nothing);
        }
        Ok(())
    }

    /// A member or element that begins at `start`; its value follows.
    fn item(
        &mut self,
        items: &mut Items,
        start: usize,
        (place, parent): (Place, Parent),
    ) -> Result<(), Reject> {
        let at = self.scanner.position();
        let token = self.scanner.value()?;
        let node = self.rules.node(place);
        if node.is_some_and(|node| node.time) {
            self.time = time(token);
        }
        if passes(place, node, token) {
            self.spans.keep(items, start);
            match node {
                Some(node) => self.declared((place, parent), node, token, at)?,
                None => self.inside((place, parent), token)?,
            }
        } else {
            let before = self.spans.hide(items);
            let outer = self.hidden;
            self.hidden = outer.or(Some(why_hidden(node)));
            self.inside((place, parent), token)?;
            self.hidden = outer;
            self.spans.show(self.scanner.position(), before);
        }
        items.ended(self.scanner.position());
        if W::IS_ENABLED {
            self.observer.leave();
        }
        Ok(())
    }

    /// A value that is forwarded, at a node.
    fn declared(
        &mut self,
        place: (Place, Parent),
        node: &'w Node,
        token: Token<'_>,
        at: usize,
    ) -> Result<(), Reject> {
        let unexpected = |pointer| Err(Reject::declared(RejectCode::UnexpectedShape, pointer, at));
        match (&node.fate, token) {
            (fate, Token::Null) => {
                self.report(outcome(fate), Visible::Nothing);
                Ok(())
            }
            (Fate::Pseudonymise(pointer), Token::Object | Token::Array) => unexpected(pointer),
            (Fate::StripQuery(pointer), Token::Text(text)) => self.strip(text, pointer, at),
            (Fate::StripQuery(pointer), _) => unexpected(pointer),
            (Fate::Pseudonymise(_), Token::Text(text)) => {
                self.pseudonymise(text, at);
                Ok(())
            }
            (Fate::Pseudonymise(pointer), Token::Number(number)) => {
                let id = number::canonical(number)
                    .ok_or_else(|| Reject::declared(RejectCode::Number, pointer, at))?;
                let id = self.remember(&id);
                self.pseudonym(at, id);
                Ok(())
            }
            (Fate::Pseudonymise(_), Token::True | Token::False) => {
                self.pseudonym(at, Id::Written(at..self.scanner.position()));
                Ok(())
            }
            (Fate::Keep | Fate::Lead | Fate::Drop | Fate::Remove, _) => {
                let unfit = match token {
                    Token::Object => &None,
                    Token::Array => &node.named_below,
                    _ => &node.below,
                };
                unfit.as_ref().map_or_else(|| self.inside(place, token), unexpected)
            }
        }
    }

    /// The content of a value; nothing for a scalar.
    fn inside(&mut self, (place, parent): (Place, Parent), token: Token<'_>) -> Result<(), Reject> {
        match token {
            Token::Object => self.object(place, parent),
            Token::Array => self.array(place, parent),
            Token::Text(text) if W::IS_ENABLED && self.hidden.is_none() => {
                self.report_value(Visible::Text(&text.decode()));
                Ok(())
            }
            Token::Number(number) => {
                self.report_value(Visible::Number(number));
                Ok(())
            }
            _ => {
                self.report_value(Visible::Nothing);
                Ok(())
            }
        }
    }

    /// Reports a value that is not changed: it is forwarded, or is inside of something that is dropped.
    fn report_value(&mut self, visible: Visible<'_>) {
        match self.hidden {
            None => self.report(Outcome::Forwarded, visible),
            Some(outcome) => self.report(outcome, Visible::Nothing),
        }
    }

    fn report(&mut self, outcome: Outcome, visible: Visible<'_>) {
        if W::IS_ENABLED {
            self.observer.value(outcome, visible);
        }
    }

    fn pseudonymise(&mut self, text: Text<'_>, at: usize) {
        let id = if text.is_escaped() {
            self.remember(&text.decode())
        } else {
            Id::Written(at + 1..self.scanner.position() - 1)
        };
        self.pseudonym(at, id);
    }

    /// Makes room for a pseudonym in place of the scalar that began at `at`.
    fn pseudonym(&mut self, at: usize, id: Id) {
        let start = self.spans.replace(at, self.scanner.position(), &[b"\"", &PLACEHOLDER, b"\""]);
        self.scratch.spots.push(Spot { at: start + 1, id });
        self.report(Outcome::Pseudonymised, Visible::Nothing);
    }

    fn remember(&mut self, id: &str) -> Id {
        let start = self.scratch.decoded.len();
        self.scratch.decoded.push_str(id);
        Id::Decoded(start..self.scratch.decoded.len())
    }

    fn strip(&mut self, text: Text<'_>, pointer: &Arc<str>, at: usize) -> Result<(), Reject> {
        let decoded = text.decode();
        let clean = url::strip(&decoded).ok_or_else(|| Reject::declared(RejectCode::NotAUrl, pointer, at))?;
        if *clean != *decoded {
            let json = serde_json::to_vec(&clean).expect("a string is valid JSON");
            self.spans.replace(at, self.scanner.position(), &[&json]);
        }
        self.report(Outcome::QueryStripped, Visible::Text(&clean));
        Ok(())
    }
}

/// The name in quotes with its colon, if they are written without escapes and spaces.
fn as_predicted<'a>(input: &'a [u8], member: &Member<'_>) -> Option<&'a [u8]> {
    let text = &input[member.start..member.start + member.name.raw().len() + 3];
    (!member.name.is_escaped() && text.ends_with(b":")).then_some(text)
}

/// Whether anything of a value is forwarded. A `null` on the way to something that is forwarded counts as missing.
fn passes(place: Place, node: Option<&Node>, token: Token<'_>) -> bool {
    match node.map(|node| &node.fate) {
        None => place == Place::Kept,
        Some(Fate::Drop | Fate::Remove) => false,
        Some(Fate::Lead) => token != Token::Null,
        Some(Fate::Keep | Fate::Pseudonymise(_) | Fate::StripQuery(_)) => true,
    }
}

fn why_hidden(node: Option<&Node>) -> Outcome {
    if node.is_some_and(|node| matches!(node.fate, Fate::Remove)) {
        Outcome::Removed
    } else {
        Outcome::Dropped
    }
}

/// The outcome of a `null` that is forwarded.
fn outcome(fate: &Fate) -> Outcome {
    match fate {
        Fate::Pseudonymise(_) => Outcome::Pseudonymised,
        Fate::StripQuery(_) => Outcome::QueryStripped,
        Fate::Keep | Fate::Lead | Fate::Drop | Fate::Remove => Outcome::Forwarded,
    }
}

fn time(token: Token<'_>) -> Option<EventTime> {
    match token {
        Token::Text(text) => event_time(&Value::Text(text.decode())),
        Token::Number(number) => event_time(&Value::Number(number)),
        _ => None,
    }
}
