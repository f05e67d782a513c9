//! `[flows.measures]`: one table entry for each measure, in the order of the file.

use event::{pointer::Pointer, shape};
use serde::{Deserialize, Deserializer};

use super::{FlowError, NOTHING};
use crate::{
    matching::MatchSettings,
    measure::{Aggregation, Fed, Kind, MOST, Measure, Source},
};

/// The measures in the order of the file.
#[derive(Clone, Debug, Default)]
pub struct MeasuresSettings(pub Vec<(String, MeasureSettings)>);

/// One measure: exactly one of `count`, `sum`, `min`, `max`, `distinct` and `ratio`.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct MeasureSettings {
    /// The number of events that match; `{}` counts all events of the flow.
    ///
    /// Example: `count = { "/type" = "view" }`
    #[serde(default)]
    pub count: Option<MatchSettings>,
    /// The exact sum of a number.
    ///
    /// Example: `sum = "/price"`
    #[serde(default)]
    pub sum: Option<Pointer>,
    /// The smallest number.
    ///
    /// Example: `min = "/price"`
    #[serde(default)]
    pub min: Option<Pointer>,
    /// The largest number.
    ///
    /// Example: `max = "/price"`
    #[serde(default)]
    pub max: Option<Pointer>,
    /// The estimated number of different values; the standard error is 1.63 %.
    ///
    /// Example: `distinct = "/user_id"`
    #[serde(default)]
    pub distinct: Option<Pointer>,
    /// One measure divided by another: the names of two measures that are not ratios. Of two counts, `NAME_low` and
    /// `NAME_high` are Wilson's interval.
    ///
    /// Example: `ratio = ["clicks", "views"]`
    #[serde(default)]
    pub ratio: Option<Quotient>,
    /// Which events feed `sum`, `min`, `max` or `distinct`.
    ///
    /// Default: all events of the flow
    ///
    /// Example: `where = { "/type" = "purchase" }`
    #[serde(default, rename = "where")]
    pub events: Option<MatchSettings>,
    /// With `distinct`: whether a column `NAME_sketch` has the sketch, so that windows can be merged in SQL.
    ///
    /// Default: `false`
    ///
    /// Example: `sketch = true`
    #[serde(default)]
    pub sketch: Option<bool>,
    /// With `ratio`: a factor above 0.
    ///
    /// Default: `1`
    ///
    /// Example: `per = 1000`
    #[serde(default)]
    pub per: Option<Factor>,
}

/// The measures that a ratio divides: numerator and denominator.
#[derive(Clone, Debug, Deserialize)]
#[serde(try_from = "Vec<String>")]
pub struct Quotient(pub [String; 2]);

/// A number, written with or without a fraction.
#[derive(Clone, Copy, Debug, Deserialize)]
pub struct Factor(pub f64);

impl TryFrom<Vec<String>> for Quotient {
    type Error = &'static str;

    fn try_from(names: Vec<String>) -> Result<Self, &'static str> {
        let names = names.try_into();
        names.map(Self).map_err(|_| "expected the names of two measures, such as [\"clicks\", \"views\"]")
    }
}

/// What `count`, `ratio` and so on make of a measure, before ratios know the columns.
enum Declared {
    Fed(Aggregation),
    Ratio([String; 2]),
}

impl MeasuresSettings {
    /// What is stored, and the measures in the order of their columns: those of views and clicks come first.
    pub(super) fn resolve(
        &self,
        has_ctr: bool,
        has_join: bool,
    ) -> Result<(Vec<Fed>, Vec<Measure>), FlowError> {
        let (mut fed, mut measures) = (Vec::new(), Vec::new());
        if has_ctr {
            shorthand(has_join, &mut fed, &mut measures);
        }
        let mut ratios = Vec::new();
        for (name, settings) in &self.0 {
            let key = format!("measures.{name}");
            if name.is_empty() {
                return Err(FlowError::new(
                    "measures",
                    "a measure has an empty name; the name is also that of its column",
                ));
            }
            match settings.declared(&key)? {
                Declared::Fed(aggregation) => {
                    measures.push(Measure { name: name.clone(), kind: Kind::Fed(fed.len()) });
                    let events = settings.matched(&key)?;
                    fed.push(Fed { name: name.clone(), aggregation, events, source: Source::Events });
                }
                Declared::Ratio(of) => {
                    ratios.push((measures.len(), key, of, settings.factor()));
                    // Replaced below: the measures of a ratio may come after it.
                    measures.push(Measure { name: name.clone(), kind: Kind::Fed(usize::MAX) });
                }
            }
        }
        for (number, key, [of, over], per) in ratios {
            let is_ratio = |name: &str| {
                self.0.iter().any(|(known, settings)| known == name && settings.ratio.is_some())
                    || !fed.iter().any(|fed: &Fed| fed.name == name)
                        && measures.iter().any(|known: &Measure| known.name == name)
            };
            if let Some(name) = [&of, &over].into_iter().find(|name| is_ratio(name)) {
                let reason = format!("{name:?} is a ratio itself; divide two measures that are not ratios");
                return Err(FlowError::new(format!("{key}.ratio"), reason));
            }
            let [of, over] = [of, over].map(|name| stored(&key, &name, &fed));
            let (of, over) = (of?, over?);
            let is_count = |column: usize| fed[column].aggregation == Aggregation::Count;
            let interval = is_count(of) && is_count(over);
            measures[number].kind = Kind::Ratio { of, over, per, interval };
        }
        if fed.is_empty() {
            return Err(FlowError::new(
                "measures",
                "the flow counts nothing; write views = { ... } and clicks = { ... }, or at least one measure that is not a \
                 ratio",
            ));
        }
        if fed.len() > MOST {
            return Err(FlowError::new(
                "measures",
                format!("a flow has at most {MOST} measures that are not ratios"),
            ));
        }
        Ok((fed, measures))
    }
}

/// The measures that `views` and `clicks` are short for.
fn shorthand(has_join: bool, fed: &mut Vec<Fed>, measures: &mut Vec<Measure>) {
    let mut count = |name: &str, source| {
        fed.push(Fed { name: name.to_owned(), aggregation: Aggregation::Count, events: None, source });
        fed.len() - 1
    };
    let (views, clicks) = (count("views", Source::Views), count("clicks", Source::Clicks));
    let mut add = |name: &str, kind| measures.push(Measure { name: name.to_owned(), kind });
    let share = |of| Kind::Ratio { of, over: views, per: 1.0, interval: of == clicks };
    add("views", Kind::Fed(views));
    add("clicks", Kind::Fed(clicks));
    add("ctr", share(clicks));
    if has_join {
        let attributed = count("attributed_clicks", Source::Join);
        add("attributed_clicks", Kind::Fed(attributed));
        add("ctr_attributed", share(attributed));
    }
}

/// The column of a measure that a ratio names.
fn stored(key: &str, name: &str, fed: &[Fed]) -> Result<usize, FlowError> {
    fed.iter().position(|fed| fed.name == name).ok_or_else(|| {
        let known: Vec<&str> = fed.iter().map(|fed| fed.name.as_str()).collect();
        let nearest = known.iter().map(|known| (strsim::damerau_levenshtein(known, name), known)).min();
        let hint = match nearest {
            Some((distance, known)) if distance <= 2 && distance < name.chars().count() => {
                format!("did you mean {known:?}?")
            }
            _ if known.is_empty() => "declare it in [flows.measures]".to_owned(),
            _ => format!("a ratio takes two of: {}", known.join(", ")),
        };
        FlowError::new(format!("{key}.ratio"), format!("there is no measure {name:?} to divide; {hint}"))
    })
}

impl MeasureSettings {
    fn declared(&self, key: &str) -> Result<Declared, FlowError> {
        let at = |at: &Option<Pointer>, new: fn(Pointer) -> Aggregation| {
            at.clone().map(|at| Declared::Fed(new(at)))
        };
        let sketch = self.sketch.unwrap_or(false);
        let all = [
            ("count", self.count.as_ref().map(|_| Declared::Fed(Aggregation::Count))),
            ("sum", at(&self.sum, Aggregation::Sum)),
            ("min", at(&self.min, Aggregation::Min)),
            ("max", at(&self.max, Aggregation::Max)),
            ("distinct", self.distinct.clone().map(|at| Declared::Fed(Aggregation::Distinct { at, sketch }))),
            ("ratio", self.ratio.clone().map(|Quotient(names)| Declared::Ratio(names))),
        ];
        let mut declared = all.into_iter().filter_map(|(word, declared)| Some((word, declared?)));
        let Some((word, first)) = declared.next() else {
            return Err(FlowError::new(key, "write one of count, sum, min, max, distinct and ratio"));
        };
        if let Some((other, _)) = declared.next() {
            let reason = format!("a measure is either {word} or {other}; write two measures");
            return Err(FlowError::new(format!("{key}.{other}"), reason));
        }
        self.check_options(key, word)?;
        Ok(first)
    }

    /// Every option that is written has an effect.
    fn check_options(&self, key: &str, word: &str) -> Result<(), FlowError> {
        let wrong = |option: &str, reason: &str| Err(FlowError::new(format!("{key}.{option}"), reason));
        if self.sketch.is_some() && word != "distinct" {
            return wrong("sketch", "has an effect only with distinct; remove it");
        }
        if self.per.is_some() && word != "ratio" {
            return wrong("per", "has an effect only with ratio; remove it");
        }
        if self.events.is_some() && word == "ratio" {
            return wrong("where", "has no effect on a ratio; move it to the measures that are divided");
        }
        if self.events.is_some() && word == "count" {
            return wrong(
                "where",
                "has no effect on a count, which has its own condition: count = { \"/type\" = \"view\" }",
            );
        }
        match self.per {
            Some(Factor(per)) if !(per.is_finite() && per > 0.0) => {
                wrong("per", "must be a finite number above 0, such as 1000")
            }
            _ => Ok(()),
        }
    }

    fn matched(&self, key: &str) -> Result<Option<crate::matching::Match>, FlowError> {
        if let Some(count) = &self.count {
            // An empty match of a count is all events of the flow.
            return Ok(count.resolve());
        }
        let Some(events) = &self.events else { return Ok(None) };
        events.resolve().map(Some).ok_or_else(|| FlowError::new(format!("{key}.where"), NOTHING))
    }

    fn factor(&self) -> f64 {
        self.per.map_or(1.0, |Factor(per)| per)
    }
}

/// The names of a measure's columns.
pub(super) fn columns_of(measure: &Measure, fed: &[Fed]) -> Vec<String> {
    let named =
        |suffixes: &[&str]| suffixes.iter().map(|suffix| format!("{}{suffix}", measure.name)).collect();
    match measure.kind {
        Kind::Ratio { interval: true, .. } => named(&["", "_low", "_high"]),
        Kind::Ratio { .. } => named(&[""]),
        Kind::Fed(column) => match fed[column].aggregation {
            Aggregation::Distinct { sketch: true, .. } => named(&["", "_sketch"]),
            _ => named(&[""]),
        },
    }
}

impl<'de> Deserialize<'de> for MeasuresSettings {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let expected = "a table of measures such as { views = { count = { \"/type\" = \"view\" } } }";
        shape::pairs(deserializer, expected).map(Self)
    }
}
