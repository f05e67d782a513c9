//! Looking on while a record is anonymised: which places it has, and what becomes of each.
//!
//! It is told by the very pass that writes the output, so that a report cannot differ from what is published.
//! Values are shown only where they pass.

/// Looks on. Places are entered and left like folders; the last one entered is where a value stands.
pub trait Witness {
    /// Whether it wants to be told anything.
    const LOOKS: bool = true;

    /// A step down to a member or an element.
    fn enter(&mut self, step: Step<'_>);

    /// What becomes of the value here: a scalar, or an object or array with nothing in it.
    fn value(&mut self, outcome: Outcome, sight: Sight<'_>);

    /// A step up.
    fn leave(&mut self);
}

/// One step down, and who knows its name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step<'a> {
    /// To a member or element that the configuration names.
    Declared(&'a str),
    /// To a member for which a `*` of the configuration stands.
    Any(&'a str),
    /// To a member that the configuration does not know. Its name may be somebody's id.
    Undeclared(&'a str),
    /// To an element that the configuration does not name.
    Element,
}

/// What becomes of a value.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Outcome {
    /// It passes as it is.
    Forwarded,
    /// It passes without user name, password, query and fragment.
    QueryStripped,
    /// Its pseudonym passes.
    Pseudonymised,
    /// It is taken out, as `remove` says.
    Removed,
    /// It does not pass, as `forward` does not name it.
    Dropped,
}

/// A value, where it passes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sight<'a> {
    /// A string that passes, as a reader will see it.
    Text(&'a str),
    /// A number that passes, as it is written.
    Number(&'a str),
    /// Anything that does not pass, and what says nothing: `null`, `true`, `false`, an empty object or array.
    Nothing,
}

/// Nobody looks on: costs nothing.
pub(super) struct Nobody;

impl Witness for Nobody {
    const LOOKS: bool = false;

    fn enter(&mut self, _: Step<'_>) {}

    fn value(&mut self, _: Outcome, _: Sight<'_>) {}

    fn leave(&mut self) {}
}
