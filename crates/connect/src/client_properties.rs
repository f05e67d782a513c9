//! Properties of Java's Kafka clients as those of librdkafka.
//!
//! A property that cannot be expressed is an error, never ignored. One on which a guarantee depends cannot be changed.

use std::collections::BTreeMap;

use kafka::StartRule;

/// What properties of a consumer mean here.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Overrides {
    /// `group.id`.
    pub group_id: Option<String>,
    /// `group.instance.id`.
    pub instance: Option<String>,
    /// `auto.offset.reset`.
    pub start: Option<StartRule>,
    /// Properties of librdkafka. Values can be secrets, so they are never shown.
    pub properties: Secrets,
}

/// Properties with values that can be secrets.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Secrets(pub BTreeMap<String, String>);

/// The same name or another one, and the same meaning.
const NAMES: [(&str, &str); 37] = [
    ("client.id", "client.id"),
    ("client.rack", "client.rack"),
    ("client.dns.lookup", "client.dns.lookup"),
    ("security.protocol", "security.protocol"),
    ("sasl.mechanism", "sasl.mechanism"),
    ("sasl.kerberos.service.name", "sasl.kerberos.service.name"),
    ("session.timeout.ms", "session.timeout.ms"),
    ("heartbeat.interval.ms", "heartbeat.interval.ms"),
    ("max.poll.interval.ms", "max.poll.interval.ms"),
    ("fetch.min.bytes", "fetch.min.bytes"),
    ("fetch.max.bytes", "fetch.max.bytes"),
    ("fetch.max.wait.ms", "fetch.wait.max.ms"),
    ("max.partition.fetch.bytes", "max.partition.fetch.bytes"),
    ("metadata.max.age.ms", "topic.metadata.refresh.interval.ms"),
    ("request.timeout.ms", "socket.timeout.ms"),
    ("connections.max.idle.ms", "connections.max.idle.ms"),
    ("socket.connection.setup.timeout.ms", "socket.connection.setup.timeout.ms"),
    ("send.buffer.bytes", "socket.send.buffer.bytes"),
    ("receive.buffer.bytes", "socket.receive.buffer.bytes"),
    ("reconnect.backoff.ms", "reconnect.backoff.ms"),
    ("reconnect.backoff.max.ms", "reconnect.backoff.max.ms"),
    ("retry.backoff.ms", "retry.backoff.ms"),
    ("retry.backoff.max.ms", "retry.backoff.max.ms"),
    ("ssl.cipher.suites", "ssl.cipher.suites"),
    ("ssl.truststore.certificates", "ssl.ca.pem"),
    ("ssl.keystore.certificate.chain", "ssl.certificate.pem"),
    ("ssl.keystore.key", "ssl.key.pem"),
    ("ssl.keystore.password", "ssl.keystore.password"),
    ("ssl.key.password", "ssl.key.password"),
    ("sasl.oauthbearer.token.endpoint.url", "sasl.oauthbearer.token.endpoint.url"),
    ("sasl.oauthbearer.scope", "sasl.oauthbearer.scope"),
    ("sasl.oauthbearer.client.credentials.client.id", "sasl.oauthbearer.client.id"),
    ("sasl.oauthbearer.client.credentials.client.secret", "sasl.oauthbearer.client.secret"),
    ("sasl.username", "sasl.username"),
    ("sasl.password", "sasl.password"),
    ("ssl.ca.location", "ssl.ca.location"),
    ("ssl.certificate.location", "ssl.certificate.location"),
];

/// They change nothing that a connector does.
const WITHOUT_EFFECT: [&str; 12] = [
    "max.poll.records",
    "key.deserializer",
    "value.deserializer",
    "default.api.timeout.ms",
    "allow.auto.create.topics",
    "exclude.internal.topics",
    "auto.commit.interval.ms",
    "socket.connection.setup.timeout.max.ms",
    "metric.reporters",
    "metrics.sample.window.ms",
    "metrics.num.samples",
    "metrics.recording.level",
];

/// What these properties of a Java consumer mean, and what is wrong with which of them.
pub fn of_java<'a>(given: impl Iterator<Item = (&'a str, &'a str)>) -> (Overrides, Vec<(String, String)>) {
    let given: BTreeMap<&str, &str> = given.collect();
    let mut overrides = Overrides::default();
    let mut problems = Vec::new();
    for (name, value) in &given {
        if let Err(problem) = overrides.add(name, value.trim(), &given) {
            problems.push(((*name).to_owned(), problem));
        }
    }
    (overrides, problems)
}

impl Overrides {
    /// The same, with what the others say in the place of what this says.
    #[must_use]
    pub fn with(mut self, others: &Self) -> Self {
        self.group_id = others.group_id.clone().or(self.group_id);
        self.instance = others.instance.clone().or(self.instance);
        self.start = others.start.or(self.start);
        self.properties.0.extend(others.properties.0.clone());
        self
    }

    fn set(&mut self, name: &str, value: &str) {
        self.properties.0.insert(name.to_owned(), value.to_owned());
    }

    fn add(&mut self, name: &str, value: &str, all: &BTreeMap<&str, &str>) -> Result<(), String> {
        match (name, value) {
            ("group.id", _) => self.group_id = Some(value.to_owned()),
            ("group.instance.id", _) => self.instance = Some(value.to_owned()),
            ("auto.offset.reset", "earliest") => self.start = Some(StartRule::Earliest),
            ("auto.offset.reset", "latest") => self.start = Some(StartRule::Latest),
            ("auto.offset.reset", _) => return Err("expected earliest or latest".to_owned()),
            ("isolation.level", "read_committed")
            | ("enable.auto.commit", "false")
            | ("check.crcs", "true") => {}
            ("group.protocol", "classic" | "CLASSIC") => {}
            ("isolation.level", _) => {
                return Err("records of aborted transactions are never published; remove it".to_owned());
            }
            ("enable.auto.commit" | "check.crcs" | "group.protocol", _) => {
                return Err("cannot be changed: a guarantee depends on it; remove it".to_owned());
            }
            ("partition.assignment.strategy", _) => {}
            ("ssl.endpoint.identification.algorithm", "") => {
                self.set("ssl.endpoint.identification.algorithm", "none");
            }
            ("ssl.endpoint.identification.algorithm", _) => {
                self.set("ssl.endpoint.identification.algorithm", "https");
            }
            ("sasl.jaas.config", _) => self.add_login(value)?,
            ("ssl.truststore.location", _) => match all.get("ssl.truststore.type").copied() {
                Some("PEM") => self.set("ssl.ca.location", value),
                _ => return Err(store("ssl.truststore", "write the certificates to a PEM file")),
            },
            ("ssl.keystore.location", _) => match all.get("ssl.keystore.type").copied() {
                Some("PEM") => {
                    self.set("ssl.certificate.location", value);
                    self.set("ssl.key.location", value);
                }
                Some("PKCS12") => self.set("ssl.keystore.location", value),
                _ => return Err(store("ssl.keystore", "convert it to PKCS12 or PEM")),
            },
            ("ssl.truststore.type" | "ssl.keystore.type", "PEM" | "PKCS12") => {}
            ("ssl.truststore.type" | "ssl.keystore.type", _) => {
                return Err("expected PEM or PKCS12".to_owned());
            }
            // It protects a JKS file; certificates in PEM have none.
            ("ssl.truststore.password", _) => {}
            ("ssl.protocol" | "ssl.enabled.protocols", _) if value.contains("TLS") => {}
            _ if WITHOUT_EFFECT.contains(&name) => {}
            _ => match NAMES.iter().find(|(known, _)| *known == name) {
                Some((_, ours)) => self.set(ours, value),
                None => {
                    let known: Vec<&str> = NAMES.iter().map(|(known, _)| *known).collect();
                    let hint = service::settings::hint(name, &known, "properties");
                    return Err(format!("is not a property that is known here; {hint}"));
                }
            },
        }
        Ok(())
    }

    /// `org.apache.kafka.common.security.plain.PlainLoginModule required username="u" password="p";`
    fn add_login(&mut self, text: &str) -> Result<(), String> {
        let module = text.split_whitespace().next().unwrap_or_default();
        let module = module.rsplit('.').next().unwrap_or_default();
        let (user, password, target) = match module {
            "PlainLoginModule" | "ScramLoginModule" => {
                ("username", "password", ("sasl.username", "sasl.password"))
            }
            "OAuthBearerLoginModule" => {
                ("clientId", "clientSecret", ("sasl.oauthbearer.client.id", "sasl.oauthbearer.client.secret"))
            }
            _ => {
                return Err(
                    "expected PlainLoginModule, ScramLoginModule or OAuthBearerLoginModule".to_owned()
                );
            }
        };
        for (key, name) in [(user, target.0), (password, target.1)] {
            match option(text, key) {
                Some(value) => self.set(name, &value),
                None => return Err(format!("has no {key}")),
            }
        }
        if module == "OAuthBearerLoginModule" {
            self.set("sasl.oauthbearer.method", "oidc");
        }
        Ok(())
    }
}

fn store(key: &str, instead: &str) -> String {
    format!("a JKS file cannot be read here; {instead}, and set {key}.type to match")
}

/// The value of `key="..."` in a JAAS configuration, where `\` escapes a quote.
fn option(text: &str, key: &str) -> Option<String> {
    let start = text.match_indices(key).find(|(at, _)| {
        let before = text[..*at].chars().next_back();
        before.is_some_and(char::is_whitespace) && text[at + key.len()..].trim_start().starts_with('=')
    });
    let (at, _) = start?;
    let rest = text[at + key.len()..].trim_start().strip_prefix('=')?.trim_start();
    let Some(quoted) = rest.strip_prefix('"') else {
        let end = rest.find(|c: char| c.is_whitespace() || c == ';').unwrap_or(rest.len());
        return Some(rest[..end].to_owned());
    };
    let mut out = String::new();
    let mut chars = quoted.chars();
    loop {
        match chars.next()? {
            '"' => return Some(out),
            '\\' => out.push(chars.next()?),
            c => out.push(c),
        }
    }
}

impl std::fmt::Debug for Secrets {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_set().entries(self.0.keys()).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn properties_are_translated() {
        let login = "org.apache.kafka.common.security.scram.ScramLoginModule required username=\"u\" password=\"p\\\"=;\";";
        let given = [
            ("group.id", "g"),
            ("auto.offset.reset", "latest"),
            ("max.poll.records", "500"),
            ("fetch.max.wait.ms", "200"),
            ("sasl.jaas.config", login),
            ("ssl.truststore.location", "/ca.pem"),
            ("ssl.truststore.type", "PEM"),
        ];
        let (overrides, problems) = of_java(given.into_iter());
        assert_eq!(problems, []);
        assert_eq!(overrides.group_id.as_deref(), Some("g"));
        assert_eq!(overrides.start, Some(StartRule::Latest));
        let expected = [
            ("fetch.wait.max.ms", "200"),
            ("sasl.password", "p\"=;"),
            ("sasl.username", "u"),
            ("ssl.ca.location", "/ca.pem"),
        ];
        let found: Vec<_> = overrides.properties.0.iter().map(|(k, v)| (&**k, &**v)).collect();
        assert_eq!(found, expected);
        assert!(!format!("{overrides:?}").contains("p\\\"="), "secrets are not shown");
    }

    #[test]
    fn what_cannot_be_translated_is_an_error() {
        for (name, value) in [
            ("auto.offset.reset", "none"),
            ("isolation.level", "read_uncommitted"),
            ("enable.auto.commit", "true"),
            ("ssl.truststore.location", "/a.jks"),
            ("interceptor.classes", "x"),
            ("sasl.jaas.config", "com.sun.security.auth.module.Krb5LoginModule required;"),
            ("fetch.min.byte", "1"),
        ] {
            let (_, problems) = of_java([(name, value)].into_iter());
            assert_eq!(problems.iter().map(|(name, _)| &**name).collect::<Vec<_>>(), [name]);
        }
    }
}
