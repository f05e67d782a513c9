//! The keys of Confluent's converters, and the registry that they name.

use std::path::PathBuf;

use codec::{
    Part,
    registry::{
        RegistryConfig, RegistrySettings,
        settings::{BasicAuth, OAuth, Secret, Urls},
    },
};

use crate::define::{Importance, Key, Kind, Values, list};

/// Keys of every converter that decide how the registry is reached.
const BEARER: [&str; 5] = [
    "bearer.auth.token",
    "bearer.auth.issuer.endpoint.url",
    "bearer.auth.client.id",
    "bearer.auth.client.secret",
    "bearer.auth.scope",
];
const TLS: [&str; 4] = [
    "schema.registry.ssl.truststore.location",
    "schema.registry.ssl.truststore.type",
    "schema.registry.ssl.keystore.location",
    "schema.registry.ssl.keystore.type",
];
/// Where the ID of a schema is.
const DESERIALIZERS: [&str; 2] = ["DualSchemaIdDeserializer", "PrefixSchemaIdDeserializer"];

/// Keys of every converter that matter to writers, or to caches that are of another kind here.
const WITHOUT_EFFECT: [&str; 23] = [
    "schemas.enable",
    "auto.register.schemas",
    "use.latest.version",
    "latest.compatibility.strict",
    "latest.cache.size",
    "latest.cache.ttl.sec",
    "use.schema.id",
    "id.compatibility.strict",
    "normalize.schemas",
    "avoid.schema.normalization",
    "max.schemas.per.subject",
    "schemas.cache.config",
    "schemas.cache.size",
    "key.subject.name.strategy",
    "value.subject.name.strategy",
    "reference.subject.name.strategy",
    "key.schema.id.serializer",
    "value.schema.id.serializer",
    "propagate.schema.tags",
    "http.connect.timeout.ms",
    "http.read.timeout.ms",
    "schema.registry.url.randomize",
    "scrub.invalid.names",
];

/// The keys of the `AvroConverter`.
pub(super) fn avro() -> Vec<Key> {
    let own = [
        switch(
            "enhanced.avro.schema.support",
            "false",
            "Whether branches of unions are named with their namespace.",
        ),
        switch("generalized.sum.type.support", "false", "Whether branches of unions are numbered."),
        switch("flatten.singleton.unions", "true", "Whether a union of one branch is that branch."),
    ];
    let ignored = [
        "connect.meta.data",
        "allow.optional.map.keys",
        "discard.type.doc.default",
        "ignore.default.for.nullables",
        "avro.use.logical.type.converters",
        "avro.reflection.allow.null",
    ];
    keys(own, &ignored)
}

/// The keys of the `ProtobufConverter`.
pub(super) fn protobuf() -> Vec<Key> {
    let own = [
        switch("enhanced.protobuf.schema.support", "false", "Whether names of schemas have their package."),
        switch("generalized.sum.type.support", "false", "Whether unions and enums have general names."),
        switch("int.for.enums", "false", "Whether enums are their numbers."),
        switch("optional.for.nullables", "false", "Whether only fields with `optional` are optional."),
        switch(
            "optional.for.proto2",
            "true",
            "Whether an absent `optional` field of proto2 is null, and not its default.",
        ),
        switch("wrapper.for.nullables", "false", "Whether messages such as StringValue are their values."),
        switch("wrapper.for.raw.primitives", "true", "Whether a record that is such a message is its value."),
        switch("generate.index.for.unions", "true", "Whether the field of a `oneof` ends with its number."),
        switch("flatten.unions", "false", "Whether the fields of a `oneof` are fields of its message."),
        switch(
            "generate.struct.for.nulls",
            "false",
            "Whether an absent message is a struct of nulls, which is not supported here.",
        )
        .custom(never),
    ];
    keys(own, &["connect.meta.data", "ignore.default.for.nullables", "skip.known.types"])
}

/// The keys of the `JsonSchemaConverter`.
pub(super) fn json_schema() -> Vec<Key> {
    let own = [
        switch(
            "use.optional.for.nonrequired",
            "false",
            "Whether properties that are not required are optional.",
        ),
        switch("generalized.sum.type.support", "false", "Whether unions have general names."),
        switch(
            "ignore.default.for.nullables",
            "false",
            "Whether null stays null, and does not become the default.",
        ),
        switch(
            "json.fail.invalid.schema",
            "false",
            "Whether records are checked against the schema, which is not supported here.",
        )
        .custom(never),
    ];
    let ignored = [
        "decimal.format",
        "object.additional.properties",
        "ignore.modern.dialects",
        "flatten.singleton.unions",
        "json.fail.unknown.properties",
        "json.oneof.for.nullables",
        "json.write.dates.iso8601",
        "json.schema.spec.version",
        "json.default.property.inclusion",
        "json.indent.output",
        "replace.null.with.default",
    ];
    keys(own, &ignored)
}

fn switch(name: &'static str, default: &'static str, doc: &'static str) -> Key {
    Key::new(name, Kind::Boolean).with_default(default).doc(doc)
}

fn never(text: &str) -> Result<(), String> {
    match text.trim().eq_ignore_ascii_case("true") {
        true => Err("true is not supported here; remove the key".to_owned()),
        false => Ok(()),
    }
}

fn keys<const N: usize>(own: [Key; N], ignored: &[&'static str]) -> Vec<Key> {
    let text = |name: &'static str, doc: &'static str| Key::new(name, Kind::String).optional().doc(doc);
    let mut keys = vec![
        super::super::converter_type(),
        Key::new("schema.registry.url", Kind::List)
            .not_empty()
            .importance(Importance::High)
            .doc("Addresses of the schema registry, which are tried in turn."),
        Key::new("basic.auth.credentials.source", Kind::String)
            .with_default("URL")
            .one_of(&["URL", "USER_INFO"])
            .doc("Where user and password are: URL, or USER_INFO for basic.auth.user.info."),
        Key::new("basic.auth.user.info", Kind::Password).optional().doc("`user:password`."),
        text("schema.registry.basic.auth.user.info", "The same."),
        text("bearer.auth.credentials.source", "STATIC_TOKEN or OAUTHBEARER.")
            .one_of(&["STATIC_TOKEN", "OAUTHBEARER"]),
        text(
            "key.schema.id.deserializer",
            "Where the ID of a schema is: in a header or before the payload, or only before it.",
        )
        .custom(deserializer),
        text("value.schema.id.deserializer", "The same, of values.").custom(deserializer),
    ];
    keys.extend(
        BEARER
            .map(|name| Key::new(name, Kind::Password).optional().doc("See bearer.auth.credentials.source.")),
    );
    keys.extend(TLS.map(|name| text(name, "Certificates as PEM.")));
    keys.extend(own);
    let ignored = WITHOUT_EFFECT.iter().chain(ignored).copied();
    keys.extend(ignored.map(|name| text(name, "Without effect for a sink.").importance(Importance::Low)));
    keys
}

fn deserializer(class: &str) -> Result<(), String> {
    match DESERIALIZERS.contains(&super::super::simple(class)) {
        true => Ok(()),
        false => {
            Err(format!("Class {class} is not supported here; supported are {}", DESERIALIZERS.join(", ")))
        }
    }
}

/// Whether the ID of a schema can be in a header.
pub(super) fn reads_headers(values: &Values, part: Part) -> bool {
    let key = match part {
        Part::Key => "key.schema.id.deserializer",
        Part::Value => "value.schema.id.deserializer",
    };
    values.text(key).is_none_or(|class| super::super::simple(class) == DESERIALIZERS[0])
}

/// The registry of a converter with valid keys.
pub(super) fn registry(values: &Values) -> Result<RegistryConfig, (&'static str, String)> {
    let text = |key: &str| values.text(key).map(str::trim).filter(|text| !text.is_empty()).map(str::to_owned);
    let (url, from_url) = addresses(values.text("schema.registry.url").unwrap_or_default())
        .map_err(|problem| ("schema.registry.url", problem))?;
    let user_info = || {
        let key = "basic.auth.user.info";
        let given = text(key).or_else(|| text("schema.registry.basic.auth.user.info"));
        let given = given.ok_or((key, "is missing; expected user:password".to_owned()))?;
        basic(&given).map(Some).ok_or((key, "expected user:password".to_owned()))
    };
    let basic_auth = match values.text("basic.auth.credentials.source") {
        Some("USER_INFO") => user_info()?,
        _ => from_url,
    };
    let needed = |key: &'static str| text(key).ok_or((key, "is missing".to_owned()));
    let (mut bearer_token, mut oauth) = (None, None);
    match values.text("bearer.auth.credentials.source") {
        Some("STATIC_TOKEN") => bearer_token = Some(Secret(needed("bearer.auth.token")?)),
        Some(_) => {
            oauth = Some(OAuth {
                token_url: needed("bearer.auth.issuer.endpoint.url")?,
                client_id: needed("bearer.auth.client.id")?,
                client_secret: Secret(needed("bearer.auth.client.secret")?),
                scope: text("bearer.auth.scope"),
            });
        }
        None => {}
    }
    let pem = |location: &'static str, kind: &'static str| match (text(location), text(kind).as_deref()) {
        (None, _) => Ok(None),
        (Some(path), Some("PEM")) => Ok(Some(PathBuf::from(path))),
        _ => Err((location, format!("only PEM can be read here; convert the file, and set {kind}=PEM"))),
    };
    let settings = RegistrySettings {
        url: Urls(url),
        basic_auth,
        bearer_token,
        bearer_token_file: None,
        oauth,
        google: false,
        ca: pem(TLS[0], TLS[1])?,
        certificate: pem(TLS[2], TLS[3])?,
        key: None,
    };
    let config = settings.resolve("".as_ref()).map_err(|problems| {
        let texts: Vec<String> =
            problems.iter().map(|problem| format!("{} {}", problem.key, problem.text)).collect();
        ("schema.registry.url", texts.join("; "))
    })?;
    config.check_files().map_err(|error| ("schema.registry.url", error.to_string()))?;
    Ok(config)
}

/// Addresses without the user and password that one of them can have. No error quotes them.
fn addresses(text: &str) -> Result<(Vec<String>, Option<BasicAuth>), String> {
    let mut found = None;
    let mut all = Vec::new();
    for address in list(text) {
        let Some((scheme, rest)) = address.split_once("://") else {
            return Err("expected addresses such as http://registry:8081".to_owned());
        };
        let (host, path) = rest.split_once('/').map_or((rest, None), |(host, path)| (host, Some(path)));
        let host = match host.rsplit_once('@') {
            Some((user_info, host)) => {
                found = Some(basic(user_info).ok_or("expected user:password before the @")?);
                host
            }
            None => host,
        };
        let path = path.map(|path| format!("/{path}")).unwrap_or_default();
        all.push(format!("{scheme}://{host}{path}"));
    }
    Ok((all, found))
}

fn basic(user_info: &str) -> Option<BasicAuth> {
    let (user, password) = user_info.split_once(':')?;
    Some(BasicAuth { user: user.to_owned(), password: Secret(password.to_owned()) })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(given: &[(&str, &str)]) -> Result<(), &'static str> {
        let config = given.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect();
        registry(&Values::of(&avro(), &config)).map(drop).map_err(|(key, problem)| {
            assert!(!problem.contains("hidden"), "{problem}");
            key
        })
    }

    #[test]
    fn credentials_are_where_they_are_said_to_be() {
        let url = ("schema.registry.url", "http://a:8081, http://b:8081/x");
        assert_eq!(of(&[url]), Ok(()));
        assert_eq!(of(&[("schema.registry.url", "http://u:hidden@a:8081")]), Ok(()));
        assert_eq!(of(&[("schema.registry.url", "http://hidden@a:8081")]), Err("schema.registry.url"));
        assert_eq!(of(&[("schema.registry.url", "a:8081")]), Err("schema.registry.url"));
        let source = ("basic.auth.credentials.source", "USER_INFO");
        assert_eq!(of(&[url, source]), Err("basic.auth.user.info"));
        assert_eq!(of(&[url, source, ("basic.auth.user.info", "hidden")]), Err("basic.auth.user.info"));
        assert_eq!(of(&[url, source, ("basic.auth.user.info", "u:hidden")]), Ok(()));
        assert_eq!(of(&[url, ("bearer.auth.credentials.source", "STATIC_TOKEN")]), Err("bearer.auth.token"));
        let jks = ("schema.registry.ssl.truststore.location", "/a.jks");
        assert_eq!(
            of(&[("schema.registry.url", "https://a"), jks]),
            Err("schema.registry.ssl.truststore.location")
        );
    }

    #[test]
    fn the_user_of_an_address_is_taken_out() {
        let (urls, found) = addresses("http://u:p@a:1,http://b:1/c").expect("valid");
        assert_eq!(urls, ["http://a:1", "http://b:1/c"]);
        assert_eq!(found.map(|basic| (basic.user, basic.password.0)), Some(("u".to_owned(), "p".to_owned())));
    }
}
