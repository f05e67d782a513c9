//! Observes the anonymiser: which fields a record has, and the outcome of each.
//!
//! It is called by the pass that writes the output, so a report cannot differ from what is published. Values are passed
//! only if they are forwarded.

/// An observer. Fields are entered and left like folders; a value belongs to the field that was entered last.
pub trait Observer {
    /// Whether the anonymiser calls it at all.
    const IS_ENABLED: bool = true;

    /// Enters a member or an element.
    fn enter(&mut self, step: Step<'_>);

    /// The outcome of the value of the current field: a scalar, or an empty object or array.
    fn value(&mut self, outcome: Outcome, visible: Visible<'_>);

    /// Leaves the current field.
    fn leave(&mut self);
}

/// One step down, and whether its name is known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step<'a> {
    /// To a member or element that the configuration names.
    Declared(&'a str),
    /// To a member that a `*` of the configuration matches.
    Any(&'a str),
    /// To a member that the configuration does not name. Its name may be the ID of a person.
    Undeclared(&'a str),
    /// To an element that the configuration does not name.
    Element,
}

/// The outcome of a value.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Outcome {
    /// It is forwarded unchanged.
    Forwarded,
    /// It is forwarded without user name, password, query and fragment.
    QueryStripped,
    /// It is replaced with its pseudonym.
    Pseudonymised,
    /// It is removed because of `remove`.
    Removed,
    /// It is dropped because `forward` does not name it.
    Dropped,
}

/// A value, if it is forwarded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Visible<'a> {
    /// A string that is forwarded, decoded.
    Text(&'a str),
    /// A number that is forwarded, as it is written.
    Number(&'a str),
    /// Anything that is not forwarded, and values without information: `null`, `true`, `false`, empty objects and
    /// arrays.
    Nothing,
}

/// Observes nothing, at no cost.
pub(super) struct NoopObserver;

impl Observer for NoopObserver {
    const IS_ENABLED: bool = false;

    fn enter(&mut self, _: Step<'_>) {}

    fn value(&mut self, _: Outcome, _: Visible<'_>) {}

    fn leave(&mut self) {}
}
