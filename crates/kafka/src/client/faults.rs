//! What an error of librdkafka means for a client.
//!
//! An error that is not known to pass ends the consumer: librdkafka skips a batch of records that it cannot read, and the
//! connector would take the skipped offsets for a gap.

use rdkafka::{config::RDKafkaLogLevel, error::KafkaError, types::RDKafkaErrorCode as Code};

use crate::{
    error::{Error, KafkaText},
    settings::KafkaConfig,
};

/// What to do about an error.
#[derive(Debug)]
pub(crate) enum Fault {
    /// Nothing: librdkafka retries.
    Passing(Code),
    /// A partition's position is outside its log.
    OutOfRange,
    /// The consumer has to end.
    Final(Error),
}

/// Judges an error that the consumer's poll returned.
pub(crate) fn judge(error: &KafkaError, config: &KafkaConfig) -> Fault {
    match error.rdkafka_error_code() {
        Some(Code::AutoOffsetReset | Code::OffsetOutOfRange | Code::LogTruncation) => Fault::OutOfRange,
        Some(code) => judge_code(code, &error.to_string(), config).map_or(Fault::Passing(code), Fault::Final),
        None => Fault::Final(Error::Consumer { source: error.into() }),
    }
}

/// The error, if brokers reject this user; `None` for all other codes, which may pass.
pub(crate) fn refusal(code: Code, reason: &str, config: &KafkaConfig) -> Option<Error> {
    judge_code(code, reason, config)
        .filter(|error| matches!(error, Error::Authentication { .. } | Error::Authorization { .. }))
}

/// The error with which a consumer ends at this code; `None` if the condition passes.
pub(crate) fn judge_code(code: Code, reason: &str, config: &KafkaConfig) -> Option<Error> {
    let source = KafkaText(reason.to_owned());
    let brokers = config.bootstrap_servers.clone();
    let group = config.group_id.clone();
    match code {
        code if passes(code) => None,
        Code::Authentication
        | Code::SaslAuthenticationFailed
        | Code::UnsupportedSASLMechanism
        | Code::IllegalSASLState
        | Code::SSL => Some(Error::Authentication { brokers, source }),
        Code::TopicAuthorizationFailed
        | Code::GroupAuthorizationFailed
        | Code::ClusterAuthorizationFailed => Some(Error::Authorization { brokers, group, source }),
        Code::FencedInstanceId | Code::UnreleasedInstanceId => {
            Some(Error::Fenced { group, instance: config.instance.clone().unwrap_or_default() })
        }
        Code::Fatal
        | Code::Inconsistent
        | Code::Application
        | Code::InvalidSessionTimeout
        | Code::InconsistentGroupProtocol
        | Code::InvalidGroupId
        | Code::UnsupportedVersion
        | Code::State => Some(Error::Consumer { source }),
        Code::BadMessage
        | Code::BadCompression
        | Code::InvalidMessage
        | Code::InvalidMessageSize
        | Code::InvalidRecord => Some(Error::Unreadable { source }),
        // This error does not advise to skip records: what is not damaged can be read once the cause is removed.
        code => Some(Error::Unknown { name: format!("{code:?} ({})", code as i32), source }),
    }
}

/// Conditions of brokers, leaders and groups that pass, or that a rebalance resolves.
fn passes(code: Code) -> bool {
    matches!(
        code,
        Code::NoError
            | Code::AllBrokersDown
            | Code::BrokerTransportFailure
            | Code::Resolve
            | Code::BrokerDestroy
            | Code::DestroyBroker
            | Code::NodeUpdate
            | Code::OperationTimedOut
            | Code::MessageTimedOut
            | Code::RequestTimedOut
            | Code::WaitingForCoordinator
            | Code::WaitCache
            | Code::InProgress
            | Code::PreviousInProgress
            | Code::Retry
            | Code::PollExceeded
            | Code::AssignmentLost
            | Code::UnknownPartition
            | Code::UnknownTopic
            | Code::UnknownTopicOrPartition
            | Code::UnknownTopicId
            | Code::UnknownBroker
            | Code::LeaderNotAvailable
            | Code::NotLeaderForPartition
            | Code::BrokerNotAvailable
            | Code::ReplicaNotAvailable
            | Code::NetworkException
            | Code::CoordinatorLoadInProgress
            | Code::CoordinatorNotAvailable
            | Code::NotCoordinator
            | Code::IllegalGeneration
            | Code::UnknownMemberId
            | Code::RebalanceInProgress
            | Code::MemberIdRequired
            | Code::KafkaStorageError
            | Code::FetchSessionIdNotFound
            | Code::InvalidFetchSessionEpoch
            | Code::FencedLeaderEpoch
            | Code::UnknownLeaderEpoch
            | Code::OffsetNotAvailable
            | Code::UnstableOffsetCommit
            | Code::PreferredLeaderNotAvailable
            | Code::EligibleLeadersNotAvailable
            | Code::ThrottlingQuotaExceeded
            | Code::RebootstrapRequired
    )
}

/// Whether librdkafka recovers from an error of a fetch on its own.
pub(crate) fn may_pass(error: &KafkaError) -> bool {
    let passing = [
        Code::BrokerTransportFailure,
        Code::AllBrokersDown,
        Code::Resolve,
        Code::OperationTimedOut,
        Code::RequestTimedOut,
        Code::LeaderNotAvailable,
        Code::NotLeaderForPartition,
        Code::NetworkException,
        Code::BrokerNotAvailable,
    ];
    matches!(error, KafkaError::MessageConsumption(code) if passing.contains(code))
}

/// librdkafka repeats its lines every second while a broker is unavailable, so they are below the default level. What
/// matters is logged once, elsewhere.
pub(crate) fn log(level: RDKafkaLogLevel, facility: &str, message: &str) {
    match level {
        RDKafkaLogLevel::Debug | RDKafkaLogLevel::Info | RDKafkaLogLevel::Notice => {
            tracing::trace!(target: "librdkafka", facility, message);
        }
        _ => tracing::debug!(target: "librdkafka", facility, message),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::settings::KafkaSettings;

    fn check(code: Code, expected: impl Fn(&Option<Error>) -> bool) {
        let text = "bootstrap_servers = 'localhost:1'\ntopics = ['events']\ngroup_id = 'g'";
        let settings: KafkaSettings = toml::from_str(text).expect("complete");
        let config = settings.resolve("host").expect("valid");
        let judged = judge_code(code, "reason", &config);
        assert!(expected(&judged), "{code:?}: {judged:?}");
    }

    #[test]
    fn only_corrupt_records_are_unreadable() {
        for code in [Code::BadMessage, Code::BadCompression, Code::InvalidMessage, Code::InvalidRecord] {
            check(code, |judged| matches!(judged, Some(Error::Unreadable { .. })));
        }
        for (code, expected) in [
            (Code::PolicyViolation, "PolicyViolation (44)"),
            (Code::NotImplemented, "NotImplemented (-170)"),
            (Code::UnsupportedCompressionType, "UnsupportedCompressionType (76)"),
            (Code::MessageSizeTooLarge, "MessageSizeTooLarge (10)"),
            (Code::Unknown, "Unknown (-1)"),
            (Code::UnknownGroup, "UnknownGroup (-179)"),
        ] {
            check(code, |judged| matches!(judged, Some(Error::Unknown { name, .. }) if name == expected));
        }
    }

    #[test]
    fn transient_broker_errors_are_ignored() {
        for code in [Code::AllBrokersDown, Code::LeaderNotAvailable, Code::RebalanceInProgress] {
            check(code, Option::is_none);
        }
    }
}
