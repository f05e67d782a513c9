//! What a flow means, as its state remembers it, and which of it may change while the flow runs.
//!
//! A definition is a list of keys of the configuration with their values in one canonical spelling. Keys that may change
//! at any time (`out_of_orderness`, `allowed_lateness`, `early`, `join.limit`) are not in it, nor are ratios, which
//! follow from the measures that they divide. Measures may be added and removed. Everything else is the flow's identity:
//! with another value the counts that are kept would be wrong.

use event::EventTime;
use serde::{Deserialize, Serialize};

use crate::{
    Flow,
    calendar::Unit,
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
        let (Some(ctr), None, WindowKind::Aligned(Windows::Sliding(sliding))) =
            (&self.ctr, &self.events, &self.windows)
        else {
            return None;
        };
        let join =
            self.join.as_ref().map(|join| format!("{}={} within {}", join.view, join.click, join.within));
        let by: Vec<String> = self.by.iter().map(|(column, pointer)| format!("{column}={pointer}")).collect();
        Some(format!(
            "by {}; views {}; clicks {}; window {}/{}; time {:?}; out_of_orderness {}; allowed_lateness {}; join {}",
            by.join(","),
            ctr.views,
            ctr.clicks,
            sliding.size(),
            sliding.period(),
            self.time,
            self.out_of_orderness,
            self.allowed_lateness,
            join.unwrap_or_default(),
        ))
    }
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
