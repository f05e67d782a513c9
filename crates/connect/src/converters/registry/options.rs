//! Keys of the three converters that change the values for a sink.

use crate::define::Values;

/// Their values. A converter has the default for a key that it does not have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Options {
    /// `enhanced.*.schema.support`: names have their package.
    pub(super) is_enhanced: bool,
    /// `generalized.sum.type.support`: other names for unions.
    pub(super) is_generalised: bool,
    /// `flatten.singleton.unions`.
    pub(super) flattens_singletons: bool,
    /// `int.for.enums`.
    pub(super) has_numbers_for_enums: bool,
    /// `optional.for.nullables`: only fields with `optional` are optional.
    pub(super) is_optional_by_keyword: bool,
    /// `optional.for.proto2`: an absent `optional` field is null, and not its default.
    pub(super) has_optional_for_proto2: bool,
    /// `wrapper.for.nullables`: wrappers are their values.
    pub(super) unwraps_nullables: bool,
    /// `wrapper.for.raw.primitives`: a record that is a wrapper is its value.
    pub(super) unwraps_records: bool,
    /// `generate.index.for.unions`: the name of a union has its number.
    pub(super) numbers_unions: bool,
    /// `flatten.unions`: the fields of a union are fields of its message.
    pub(super) flattens_unions: bool,
    /// `use.optional.for.nonrequired`.
    pub(super) is_optional_unless_required: bool,
    /// `ignore.default.for.nullables`.
    pub(super) ignores_defaults: bool,
}

impl Options {
    pub(super) fn of(values: &Values) -> Self {
        let is = |key: &str| values.is_true(key);
        let is_or = |key: &str| values.text(key).is_none() || is(key);
        Self {
            is_enhanced: is("enhanced.avro.schema.support") || is("enhanced.protobuf.schema.support"),
            is_generalised: is("generalized.sum.type.support"),
            flattens_singletons: is_or("flatten.singleton.unions"),
            has_numbers_for_enums: is("int.for.enums"),
            is_optional_by_keyword: is("optional.for.nullables"),
            has_optional_for_proto2: is_or("optional.for.proto2"),
            unwraps_nullables: is("wrapper.for.nullables"),
            unwraps_records: is_or("wrapper.for.raw.primitives"),
            numbers_unions: is_or("generate.index.for.unions"),
            flattens_unions: is("flatten.unions"),
            is_optional_unless_required: is("use.optional.for.nonrequired"),
            ignores_defaults: is("ignore.default.for.nullables"),
        }
    }

    /// The name of the schema of a union. Confluent's converters count unions that are generalised, which no sink sees.
    pub(super) fn union_name(self, name: &str) -> String {
        if self.is_generalised { "connect_union".to_owned() } else { name.to_owned() }
    }
}
