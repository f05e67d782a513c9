//! `ReplaceField`: drops fields, and gives others new names.

use std::{
    borrow::Cow,
    collections::{BTreeMap, HashMap},
    sync::Arc,
};

use rustc_hash::FxHashSet;

use super::{Built, Options, Part, Plugin, Transform, Verdict, replace_null_with_default, updates::Updates};
use crate::{
    data::{DataError, Datum, Field, Member, Record, Schema, Value},
    define::{Importance, Key, Kind, list},
};

const STEP: &str = "ReplaceField";

pub(super) const PLUGIN: Plugin = Plugin {
    class: "org.apache.kafka.connect.transforms.ReplaceField",
    has_parts: true,
    keys: || {
        vec![
            Key::new("exclude", Kind::List)
                .with_default("")
                .unique()
                .doc("Fields to drop, even if `include` has them."),
            Key::new("include", Kind::List)
                .with_default("")
                .unique()
                .doc("The only fields to keep; empty for all."),
            Key::new("renames", Kind::List)
                .with_default("")
                .custom(|text| renames(text).map(drop))
                .doc("New names, as `old:new`."),
            replace_null_with_default(),
        ]
        .into_iter()
        .map(|key| key.importance(Importance::Medium))
        .collect()
    },
    build,
    protects: |options| !options.list("exclude").is_empty() || !options.list("include").is_empty(),
};

/// New names by old ones.
fn renames(text: &str) -> Result<BTreeMap<String, String>, String> {
    let pair = |text: String| {
        let invalid =
            || format!("Invalid value {text} for configuration renames: Invalid rename mapping: {text}");
        let (old, new) = text.split_once(':').filter(|(_, new)| !new.contains(':')).ok_or_else(invalid)?;
        if new.is_empty() { Err(invalid()) } else { Ok((old.to_owned(), new.to_owned())) }
    };
    list(text).into_iter().map(pair).collect()
}

struct ReplaceField {
    part: Part,
    exclude: FxHashSet<String>,
    include: FxHashSet<String>,
    renames: BTreeMap<String, String>,
    replaces_nulls: bool,
    updates: Updates<(Arc<Schema>, Arc<[usize]>)>,
}

fn build(options: &Options<'_>) -> Built {
    let renames =
        renames(options.text("renames").unwrap_or_default()).map_err(|problem| ("renames", problem))?;
    Ok(Box::new(ReplaceField {
        part: options.part,
        exclude: options.list("exclude").into_iter().collect(),
        include: options.list("include").into_iter().collect(),
        renames,
        replaces_nulls: options.is_true("replace.null.with.default"),
        updates: Updates::default(),
    }))
}

impl Transform for ReplaceField {
    fn apply(&mut self, record: &mut Record<'_>) -> Result<Verdict, DataError> {
        let datum = self.part.of(record);
        match datum {
            Datum { value: Value::Null, .. } => {}
            Datum { schema: None, value: Value::Object(members) } => self.members(members),
            Datum { schema: Some(schema), value: Value::Struct(values) } => {
                let Self { exclude, include, renames, updates, .. } = self;
                let rules = Rules { exclude, include, renames };
                let (updated, places) = updates.of(schema, |schema| rules.schema(schema))?;
                let kept = places.iter().map(|place| {
                    let value = std::mem::replace(&mut values[*place], Value::Null);
                    match (&schema.fields[*place].schema.default, value.is_null() && self.replaces_nulls) {
                        (Some(default), true) => default.clone(),
                        _ => value,
                    }
                });
                *datum = Datum { value: Value::Struct(kept.collect()), schema: Some(updated) };
            }
            Datum { schema, value } => {
                let expected = if schema.is_some() { "a struct" } else { "an object" };
                let found = value.type_name();
                return Err(DataError::new(STEP, format!("expected {expected} and found {found}")));
            }
        }
        Ok(Verdict::Keep)
    }
}

impl ReplaceField {
    fn members(&self, members: &mut Vec<Member<'_>>) {
        let rules = Rules { exclude: &self.exclude, include: &self.include, renames: &self.renames };
        members.retain(|member| rules.keeps(&member.name));
        if self.renames.is_empty() {
            return;
        }
        for member in members.iter_mut() {
            if let Some(name) = self.renames.get(&*member.name) {
                member.name = Cow::Owned(name.clone());
            }
        }
        // A new name can be that of another field. Kafka keeps either; here it is the last one, once.
        // Names are of a record, so their hashes need a secret.
        let mut last: HashMap<String, usize> = HashMap::new();
        for (place, member) in members.iter().enumerate() {
            last.insert(member.name.clone().into_owned(), place);
        }
        let mut place = 0;
        members.retain(|member| {
            place += 1;
            last.get(&*member.name) == Some(&(place - 1))
        });
    }
}

struct Rules<'t> {
    exclude: &'t FxHashSet<String>,
    include: &'t FxHashSet<String>,
    renames: &'t BTreeMap<String, String>,
}

impl Rules<'_> {
    fn keeps(&self, name: &str) -> bool {
        !self.exclude.contains(name) && (self.include.is_empty() || self.include.contains(name))
    }

    fn schema(&self, schema: &Schema) -> Result<(Arc<Schema>, Arc<[usize]>), DataError> {
        let kept = schema.fields.iter().enumerate().filter(|(_, field)| self.keeps(&field.name));
        let (places, kept): (Vec<usize>, Vec<&Field>) = kept.unzip();
        let mut names = FxHashSet::default();
        let renamed = |field: &Field| {
            let name = self
                .renames
                .get(&*field.name)
                .map_or_else(|| field.name.clone(), |name| name.as_str().into());
            if !names.insert(name.clone()) {
                return Err(DataError::new(STEP, "two fields would have one name"));
            }
            Ok(Field { name, schema: field.schema.clone() })
        };
        let fields = kept.into_iter().map(renamed).collect::<Result<_, _>>()?;
        Ok((Arc::new(schema.with_fields(fields)), places.into()))
    }
}
