//! The `[state]` section of the configuration. Windows and frontier use `cold_start`, `idle_after`, `hole_limit` and
//! `memory`.

use event::units::{ByteSize, Millis};
use serde::Deserialize;

use super::place;

/// The place of the state, and the limits that apply to it.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct StateSettings {
    /// Where the processor keeps its state: `file://FOLDER`, relative to the configuration file, or
    /// `gs://BUCKET/PATH`. A standby on another machine needs a bucket.
    ///
    /// Example: `checkpoints = "gs://shop-analytics-aqueduct/state"`
    pub checkpoints: String,
    /// Longest time between two checkpoints. Rows and acknowledgements wait for a checkpoint.
    ///
    /// Example: `period = "1s"`
    pub period: Millis,
    /// A standby takes over if no checkpoint was written for this long; at least twice `period`.
    ///
    /// Example: `takeover_after = "30s"`
    pub takeover_after: Millis,
    /// Without a state: how long the processor waits for lower offsets before it accepts the lowest one as the
    /// beginning.
    ///
    /// Example: `cold_start = "5m"`
    pub cold_start: Millis,
    /// Memory for the live state; the process needs at most 100 MB more. Beyond it the processor writes a last
    /// checkpoint and stops.
    ///
    /// Example: `memory = "4GiB"`
    pub memory: ByteSize,
    /// A partition without new events for this long does not hold the watermark back.
    ///
    /// Example: `idle_after = "1m"`
    pub idle_after: Millis,
    /// A published message that has not arrived after this long counts as lost, until it arrives. A topic that was
    /// removed from `[kafka] topics` holds rows back for as much time.
    ///
    /// Example: `hole_limit = "30m"`
    pub hole_limit: Millis,
}

/// A mistake in the section.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum StateProblem {
    /// The place is neither a folder nor a bucket.
    #[error("invalid place {0:?}; expected \"file://DIRECTORY\" or \"gs://BUCKET/PATH\"")]
    Checkpoints(String),
    /// The place is a bucket, which this build does not support.
    #[error(
        "{0:?} requires Cloud Storage, which this build does not include; use \"file://DIRECTORY\", or build with the default feature `cloud`"
    )]
    NotBuilt(String),
    /// A duration that must be positive is zero.
    #[error("must be longer than \"0s\"")]
    Zero(&'static str),
    /// A healthy processor would count as dead.
    #[error(
        "\"{takeover_after}\" is too short for period = \"{period}\": a standby would take over from a running processor; use at least \"{least}\""
    )]
    TakeoverAfter {
        /// The configured value.
        takeover_after: Millis,
        /// The configured value.
        period: Millis,
        /// The smallest valid value.
        least: Millis,
    },
}

impl Default for StateSettings {
    fn default() -> Self {
        Self {
            checkpoints: "file://./state".to_owned(),
            period: Millis(5_000),
            takeover_after: Millis(15_000),
            cold_start: Millis(60_000),
            memory: ByteSize(1 << 30),
            idle_after: Millis(10_000),
            hole_limit: Millis(600_000),
        }
    }
}

impl StateSettings {
    /// Everything that is found without opening the place. Empty if the section is valid.
    pub fn problems(&self) -> Vec<StateProblem> {
        let mut problems = Vec::new();
        match place::parse(&self.checkpoints) {
            None => problems.push(StateProblem::Checkpoints(self.checkpoints.clone())),
            Some(place::Place::Bucket { .. }) if !cfg!(feature = "cloud") => {
                problems.push(StateProblem::NotBuilt(self.checkpoints.clone()));
            }
            Some(_) => {}
        }
        for (key, value) in
            [("period", self.period), ("idle_after", self.idle_after), ("hole_limit", self.hole_limit)]
        {
            if value.0 == 0 {
                problems.push(StateProblem::Zero(key));
            }
        }
        let least = Millis(self.period.0.saturating_mul(2));
        if self.takeover_after < least {
            problems.push(StateProblem::TakeoverAfter {
                takeover_after: self.takeover_after,
                period: self.period,
                least,
            });
        }
        problems
    }
}

impl StateProblem {
    /// The key that the problem concerns.
    pub fn key(&self) -> &'static str {
        match self {
            Self::Checkpoints(_) | Self::NotBuilt(_) => "checkpoints",
            Self::Zero(key) => key,
            Self::TakeoverAfter { .. } => "takeover_after",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[cfg(not(feature = "cloud"))]
    #[test]
    fn a_build_without_the_cloud_refuses_buckets() {
        let settings = StateSettings { checkpoints: "gs://b/p".to_owned(), ..StateSettings::default() };
        let problem = StateProblem::NotBuilt("gs://b/p".to_owned());
        assert_eq!(settings.problems(), [problem.clone()]);
        assert_eq!(problem.key(), "checkpoints");
        let opened = crate::store::Store::open("gs://b/p", std::path::Path::new("."));
        assert!(matches!(opened, Err(crate::store::StoreError::Unusable { .. })));
    }

    #[test]
    fn the_defaults_are_sound_and_every_key_is_read() {
        let defaults = StateSettings::default();
        assert_eq!(defaults.problems(), []);
        assert_eq!(serde_json::from_str::<StateSettings>("{}").expect("no key is required"), defaults);
        let settings: StateSettings = serde_json::from_str(
            r#"{"checkpoints": "file:///state", "period": "1s", "takeover_after": "2s", "cold_start": "3s",
                "memory": "4MiB", "idle_after": "5s", "hole_limit": "6s"}"#,
        )
        .expect("every key is known");
        assert_eq!(settings.problems(), []);
        assert_eq!((settings.memory, settings.hole_limit), (ByteSize(4 << 20), Millis(6_000)));
        assert!(serde_json::from_str::<StateSettings>(r#"{"folder": "x"}"#).is_err());
    }

    #[test]
    fn problems_name_their_key() {
        let check = |settings: StateSettings, keys: &[&str]| {
            let found: Vec<_> = settings.problems().iter().map(StateProblem::key).collect();
            assert_eq!(found, keys);
        };
        check(StateSettings { checkpoints: "s3://b".to_owned(), ..Default::default() }, &["checkpoints"]);
        check(StateSettings { period: Millis(0), ..Default::default() }, &["period"]);
        let settings =
            StateSettings { takeover_after: Millis(9_999), idle_after: Millis(0), ..Default::default() };
        check(settings, &["idle_after", "takeover_after"]);
    }
}
