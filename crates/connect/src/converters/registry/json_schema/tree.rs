//! Any JSON value as a tree, which a union can be matched with.

use std::borrow::Cow;

use event::json::{Error, Scanner, Token, without_byte_order_mark};

use super::error;
use crate::data::{Budget, DataError};

/// A JSON value. A name can occur several times; the last one counts.
pub(super) enum Tree<'a> {
    Null,
    Bool(bool),
    /// As it is written.
    Number(Cow<'a, str>),
    Text(Cow<'a, str>),
    Array(Vec<Tree<'a>>),
    Object(Vec<(Cow<'a, str>, Tree<'a>)>),
}

/// The one value of the bytes.
pub(super) fn parse<'a>(bytes: &'a [u8], budget: &mut Budget) -> Result<Tree<'a>, DataError> {
    let bytes = without_byte_order_mark(bytes);
    if bytes.trim_ascii_start().first() == Some(&b'{') {
        let mut scanner = Scanner::object(bytes).map_err(malformed)?;
        let tree = value(&mut scanner, Token::Object, budget)?;
        scanner.finish().map_err(malformed)?;
        return Ok(tree);
    }
    // The scanner reads objects only, so that another value is put into one.
    let wrapped = [b"{\"\":", bytes, b"}"].concat();
    let mut scanner = Scanner::object(&wrapped).map_err(malformed)?;
    let tree = value(&mut scanner, Token::Object, budget)?;
    scanner.finish().map_err(malformed)?;
    match tree {
        Tree::Object(mut members) if members.len() == 1 => {
            members.pop().map(|(_, tree)| tree.into_owned()).ok_or_else(|| error("invalid JSON"))
        }
        _ => Err(error("invalid JSON")),
    }
}

fn value<'a>(
    scanner: &mut Scanner<'a>,
    token: Token<'a>,
    budget: &mut Budget,
) -> Result<Tree<'a>, DataError> {
    budget.values(2)?;
    Ok(match token {
        Token::Null => Tree::Null,
        Token::True => Tree::Bool(true),
        Token::False => Tree::Bool(false),
        Token::Number(text) => Tree::Number(Cow::Borrowed(text)),
        Token::Text(text) => Tree::Text(text.decode()),
        Token::Array => {
            let mut elements = Vec::new();
            while scanner.next_element().map_err(malformed)? {
                let token = scanner.value().map_err(malformed)?;
                elements.push(value(scanner, token, budget)?);
            }
            Tree::Array(elements)
        }
        Token::Object => {
            let mut members = Vec::new();
            while let Some(member) = scanner.next_member().map_err(malformed)? {
                let token = scanner.value().map_err(malformed)?;
                members.push((member.name.decode(), value(scanner, token, budget)?));
            }
            Tree::Object(members)
        }
    })
}

impl Tree<'_> {
    fn into_owned(self) -> Tree<'static> {
        let owned = |text: Cow<'_, str>| Cow::Owned(text.into_owned());
        match self {
            Self::Null => Tree::Null,
            Self::Bool(value) => Tree::Bool(value),
            Self::Number(text) => Tree::Number(owned(text)),
            Self::Text(text) => Tree::Text(owned(text)),
            Self::Array(elements) => Tree::Array(elements.into_iter().map(Tree::into_owned).collect()),
            Self::Object(members) => Tree::Object(
                members.into_iter().map(|(name, tree)| (owned(name), tree.into_owned())).collect(),
            ),
        }
    }
}

fn malformed(found: Error) -> DataError {
    error(format!("invalid JSON at byte {}: {}", found.at, found.kind.code()))
}
