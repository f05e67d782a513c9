//! Log levels as `AQUEDUCT_LOG` sets them: `info`, `debug,rdkafka=info`, `warn,processor=trace`.
//!
//! A plain level applies to our own crates only. All others are capped at WARN, because the debug output of a client
//! library may quote the payloads that it processes. Only naming a target lifts its cap, and an operator who does that
//! accepts records in the log. This is decided when the program is started, never while it runs ([`Levels::lifts_beyond`]).
//! Names match whole path segments: `event` does not match `event_listener`.
//!
//! There are no filters by span or field value, so that no filter can lift the cap by accident. See
//! [`crate::telemetry`] for the output.

use std::{fmt, str::FromStr as _};

use tracing::{Metadata, Subscriber, level_filters::LevelFilter, subscriber::Interest};
use tracing_subscriber::{Layer, layer::Context};

use crate::ServiceError;

/// A level for our own crates, one for all others, and levels for named targets.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Levels {
    our_crates: &'static [&'static str],
    base: LevelFilter,
    /// Longest name first, so that the first match is the most specific.
    named: Vec<(String, LevelFilter)>,
}

impl Levels {
    /// Parses levels; an empty text means INFO. `our_crates` are the names of the crates to which a plain level applies.
    ///
    /// # Errors
    /// [`ServiceError::Levels`] with the part that is no level.
    pub fn parse(text: &str, our_crates: &'static [&'static str]) -> Result<Self, ServiceError> {
        let mut levels = Self { our_crates, base: LevelFilter::INFO, named: Vec::new() };
        for part in text.split(',').map(str::trim).filter(|part| !part.is_empty()) {
            let (target, level) = part.split_once('=').map_or(("", part), |(t, l)| (t.trim(), l.trim()));
            let Ok(level) = LevelFilter::from_str(level) else {
                return Err(ServiceError::Levels { part: part.to_owned() });
            };
            if target.is_empty() && part.contains('=') {
                return Err(ServiceError::Levels { part: part.to_owned() });
            }
            if target.is_empty() {
                levels.base = level;
            } else {
                levels.named.retain(|(name, _)| name != target);
                levels.named.push((target.to_owned(), level));
            }
        }
        levels.named.sort_by(|a, b| b.0.len().cmp(&a.0.len()).then_with(|| a.0.cmp(&b.0)));
        Ok(levels)
    }

    /// The most verbose level that is logged for this target.
    pub fn of(&self, target: &str) -> LevelFilter {
        if let Some((_, level)) = self.named.iter().find(|(name, _)| is_within(target, name)) {
            return *level;
        }
        if self.our_crates.iter().any(|name| is_within(target, name)) {
            return self.base;
        }
        self.base.min(LevelFilter::WARN)
    }

    /// The first target outside our crates for which these levels allow more than WARN, and more than `start` did.
    pub fn lifts_beyond(&self, start: &Self) -> Option<&str> {
        let is_ours = |target: &str| self.our_crates.iter().any(|name| is_within(target, name));
        let lifted = |(target, level): &&(String, LevelFilter)| {
            !is_ours(target) && *level > LevelFilter::WARN && *level > start.of(target)
        };
        self.named.iter().find(lifted).map(|(target, _)| target.as_str())
    }

    fn lets_through(&self, metadata: &Metadata<'_>) -> bool {
        *metadata.level() <= self.of(metadata.target())
    }

    fn most(&self) -> LevelFilter {
        self.named.iter().map(|(_, level)| *level).fold(self.base, Ord::max)
    }
}

/// Whether `target` is the module `name` or lies within it.
fn is_within(target: &str, name: &str) -> bool {
    target.strip_prefix(name).is_some_and(|rest| rest.is_empty() || rest.starts_with("::"))
}

impl fmt::Display for Levels {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.base)?;
        self.named.iter().try_for_each(|(name, level)| write!(f, ",{name}={level}"))
    }
}

impl<S: Subscriber> Layer<S> for Levels {
    fn register_callsite(&self, metadata: &'static Metadata<'static>) -> Interest {
        if self.lets_through(metadata) { Interest::always() } else { Interest::never() }
    }

    fn enabled(&self, metadata: &Metadata<'_>, _: Context<'_, S>) -> bool {
        self.lets_through(metadata)
    }

    fn max_level_hint(&self) -> Option<LevelFilter> {
        Some(self.most())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const OWN: &[&str] = &["connector", "event"];

    fn check(text: &str, expected: &[(&str, LevelFilter)]) {
        let levels = Levels::parse(text, OWN).expect("levels");
        for (target, level) in expected {
            assert_eq!(levels.of(target), *level, "{text}: {target}");
        }
        assert_eq!(Levels::parse(&levels.to_string(), OWN).expect("a valid text"), levels);
    }

    #[test]
    fn others_are_capped_unless_named() {
        use LevelFilter as L;
        check("", &[("connector", L::INFO), ("connector::io", L::INFO), ("rdkafka", L::WARN)]);
        check("trace", &[("event", L::TRACE), ("event_listener", L::WARN), ("h2::codec", L::WARN)]);
        check("error", &[("event", L::ERROR), ("h2", L::ERROR)]);
        check("off", &[("event", L::OFF), ("h2", L::OFF)]);
        check("rdkafka=debug", &[("connector", L::INFO), ("rdkafka::client", L::DEBUG), ("tonic", L::WARN)]);
        check(
            " DEBUG , connector::io=trace,connector=warn, ",
            &[("event", L::DEBUG), ("connector", L::WARN), ("connector::io::kafka", L::TRACE)],
        );
        check("h2=info,h2=error", &[("h2", L::ERROR)]);
    }

    #[test]
    fn an_invalid_level_is_named() {
        for (text, part) in
            [("loud", "loud"), ("info,h2=loud", "h2=loud"), ("=info", "=info"), ("[span]", "[span]")]
        {
            let error = Levels::parse(text, OWN).expect_err(text).to_string();
            assert!(error.starts_with(&format!("invalid log level {part:?}")), "{error}");
        }
    }

    #[test]
    fn others_are_lifted_at_the_start_only() {
        let start = Levels::parse("info,rdkafka=debug", OWN).expect("levels");
        let lifts = |text: &str| {
            let levels = Levels::parse(text, OWN).expect("levels");
            levels.lifts_beyond(&start).map(str::to_owned)
        };
        for text in
            ["trace", "connector::io=trace", "h2=warn,tonic=off", "rdkafka=debug", "rdkafka::client=info"]
        {
            assert_eq!(lifts(text), None, "{text}");
        }
        assert_eq!(lifts("warn,h2=info"), Some("h2".to_owned()));
        assert_eq!(lifts("rdkafka=trace"), Some("rdkafka".to_owned()));
        assert_eq!(lifts("event_listener=debug"), Some("event_listener".to_owned()));
    }

    proptest! {
        #[test]
        fn plain_levels_cap_third_parties_at_warn(level in "off|error|warn|info|debug|trace", target in "[a-z_]{1,12}") {
            let levels = Levels::parse(&level, OWN).expect("a level");
            prop_assert!(OWN.contains(&target.as_str()) || levels.of(&target) <= LevelFilter::WARN);
        }

        #[test]
        fn any_text_parses_or_fails(text in ".{0,40}") {
            let _ = Levels::parse(&text, OWN);
        }
    }
}
