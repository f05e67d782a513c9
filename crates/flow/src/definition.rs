//! What a flow means, as its state remembers it, and which of it may change while the flow runs.
//!
//! A definition is a list of keys of the configuration with their values in one canonical spelling. Keys that may change
//! at any time (`out_of_orderness`, `allowed_lateness`, `early`, `join.limit`) are not in it, nor are ratios, which
//! follow from the measures that they divide. Measures may be added and removed. Everything else is the flow's identity:
//! with another value the counts that are kept would be wrong.

use event::EventTime;
use serde::{Deserialize, Serialize};

use crate::{
    Ctr, Flow,
    calendar::Unit,
    matching::Match,
    measure::{Aggregation, Fed, Source},
    window::{WindowKind, Windows},
};

/// What a flow means.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Definition {
    /// The keys that may not change, with their values.
    pub fixed: Vec<(String, String)>,
    /// The stored measures in the order of their columns.
    pub measures: Vec<DefinedMeasure>,
}

/// A stored measure.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DefinedMeasure {
    /// Its name.
    pub name: String,
    /// What it counts.
    pub meaning: String,
    /// Windows that begin earlier lack events, because the measure was added later: its value is NULL there.
    pub since: EventTime,
}

/// A key with another value than the state was made with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Edit {
    /// The dotted key below the flow.
    pub key: String,
    /// Its value when the state was made; empty if it had none.
    pub before: String,
    /// Its value now; empty if it has none.
    pub now: String,
}

impl Flow {
    /// What the flow means.
    pub fn definition(&self) -> Definition {
        let by: Vec<String> =
            self.by.iter().map(|(column, pointer)| format!("{column} = {pointer}")).collect();
        let mut fixed = vec![
            ("by".to_owned(), by.join(", ")),
            ("window".to_owned(), window(&self.windows)),
            ("time".to_owned(), format!("{:?}", self.time).to_lowercase()),
        ];
        fixed.extend(self.events.as_ref().map(|events| ("where".to_owned(), events.to_string())));
        if let Some(ctr) = &self.ctr {
            fixed.push(("views".to_owned(), ctr.views.to_string()));
            fixed.push(("clicks".to_owned(), ctr.clicks.to_string()));
        }
        if let Some(join) = &self.join {
            let on = format!("{} = {}, within {}", join.view, join.click, join.within);
            fixed.push(("join".to_owned(), on));
        }
        let measures = self.fed.iter().map(|fed| DefinedMeasure {
            name: fed.name.clone(),
            meaning: meaning(fed),
            since: EventTime::MIN,
        });
        Definition { fixed, measures: measures.collect() }
    }

    /// The text by which version 2 of the state recognised a flow; it could hold nothing but views and clicks.
    pub fn version_2(&self) -> Option<String> {
        if self.ctr.is_none() || self.events.is_some() {
            return None;
        }
        let (Some(_), keys) = (self.version_2_window(), self.version_2_keys()) else { return None };
        Some(keys.map(|(key, value)| format!("{key} {value}")).join("; "))
    }

    /// The first key with another value than in a text of version 2, if the flow is not that of the text.
    pub fn edited_since_version_2(&self, text: &str) -> Option<Edit> {
        if self.version_2().is_some_and(|now| now == text) {
            return None;
        }
        let edit = |key: &str, before: &str, now: &str| {
            Some(Edit { key: key.to_owned(), before: before.to_owned(), now: now.to_owned() })
        };
        let keys = self.version_2_keys();
        let names = keys.each_ref().map(|(key, _)| *key);
        let before = split_version_2(text, &names).unwrap_or_default();
        for ((key, now), before) in keys.iter().zip(before) {
            if now != before {
                return edit(key, before, now);
            }
        }
        match &self.events {
            Some(events) => edit("where", "", &events.to_string()),
            // No flow of version 2 has this text.
            None => edit("by", text, &self.version_2().unwrap_or_default()),
        }
    }

    /// The keys of version 2 in their order, with today's values.
    fn version_2_keys(&self) -> [(&'static str, String); 8] {
        let by: Vec<String> = self.by.iter().map(|(column, pointer)| format!("{column}={pointer}")).collect();
        let matched =
            |of: fn(&Ctr) -> &Match| self.ctr.as_ref().map_or_else(String::new, |ctr| of(ctr).to_string());
        let join =
            self.join.as_ref().map(|join| format!("{}={} within {}", join.view, join.click, join.within));
        [
            ("by", by.join(",")),
            ("views", matched(|ctr| &ctr.views)),
            ("clicks", matched(|ctr| &ctr.clicks)),
            ("window", self.version_2_window().unwrap_or_else(|| window(&self.windows))),
            ("time", format!("{:?}", self.time)),
            ("out_of_orderness", self.out_of_orderness.to_string()),
            ("allowed_lateness", self.allowed_lateness.to_string()),
            ("join", join.unwrap_or_default()),
        ]
    }

    fn version_2_window(&self) -> Option<String> {
        match &self.windows {
            WindowKind::Aligned(Windows::Sliding(sliding)) => {
                Some(format!("{}/{}", sliding.size(), sliding.period()))
            }
            WindowKind::Aligned(Windows::Calendar(_)) | WindowKind::Sessions { .. } => None,
        }
    }
}

/// The values of these keys in a text of version 2.
fn split_version_2<'a>(text: &'a str, keys: &[&str]) -> Option<Vec<&'a str>> {
    let mut values = Vec::with_capacity(keys.len());
    let mut rest = text.strip_prefix(keys.first()?)?.strip_prefix(' ')?;
    for key in &keys[1..] {
        let (value, after) = rest.split_once(&format!("; {key} "))?;
        values.push(value);
        rest = after;
    }
    values.push(rest);
    Some(values)
}

impl Definition {
    /// The first key that may not have changed since `before`, but has.
    pub fn edited(&self, before: &Self) -> Option<Edit> {
        let value = |definition: &Self, key: &str| {
            let found = definition.fixed.iter().find(|(other, _)| other == key);
            found.map_or_else(String::new, |(_, value)| value.clone())
        };
        for (key, _) in self.fixed.iter().chain(&before.fixed) {
            let (before, now) = (value(before, key), value(self, key));
            if before != now {
                return Some(Edit { key: key.clone(), before, now });
            }
        }
        let mut both = self.measures.iter().filter_map(|now| Some((now, before.measure(&now.name)?)));
        let (now, before) = both.find(|(now, before)| now.meaning != before.meaning)?;
        Some(Edit {
            key: format!("measures.{}", now.name),
            before: before.meaning.clone(),
            now: now.meaning.clone(),
        })
    }

    /// For each measure its place in another definition, if it has the same meaning there.
    pub fn places_in(&self, other: &Self) -> Vec<Option<usize>> {
        let place = |measure: &DefinedMeasure| {
            other
                .measures
                .iter()
                .position(|known| known.name == measure.name && known.meaning == measure.meaning)
        };
        self.measures.iter().map(place).collect()
    }

    fn measure(&self, name: &str) -> Option<&DefinedMeasure> {
        self.measures.iter().find(|measure| measure.name == name)
    }
}

fn window(kind: &WindowKind) -> String {
    match kind {
        WindowKind::Sessions { gap } => format!("session {gap}"),
        WindowKind::Aligned(Windows::Sliding(sliding)) => {
            format!("{} every {}", sliding.size(), sliding.period())
        }
        WindowKind::Aligned(Windows::Calendar(calendar)) => {
            let unit = match calendar.unit() {
                Unit::Day => "day",
                Unit::Week => "week",
                Unit::Month => "month",
            };
            format!("{unit} in {}", calendar.zone())
        }
    }
}

fn meaning(fed: &Fed) -> String {
    let what = match &fed.aggregation {
        Aggregation::Count => "count".to_owned(),
        Aggregation::Sum(at) => format!("sum {at}"),
        Aggregation::Min(at) => format!("min {at}"),
        Aggregation::Max(at) => format!("max {at}"),
        // Whether rows carry the sketch changes nothing that is kept.
        Aggregation::Distinct { at, .. } => format!("distinct {at}"),
    };
    match (fed.source, &fed.events) {
        (Source::Views, _) => format!("{what} of views"),
        (Source::Clicks, _) => format!("{what} of clicks"),
        (Source::Join, _) => format!("{what} of views with a click"),
        (Source::Events, Some(events)) => format!("{what} where {events}"),
        (Source::Events, None) => what,
    }
}
