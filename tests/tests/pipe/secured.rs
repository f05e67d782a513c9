//! Kafka with TLS and a password: correct credentials work, and wrong ones end the command with one clear error.

use std::fs;

use anyhow::{Result, ensure};
use tests::{pipe::Pipe, process::Ended, services, traffic::Traffic};

use crate::{carried, prepared, produced};

/// The credentials for the secured listener, as in a user's configuration.
struct Secured {
    brokers: String,
    secrets: String,
    password: String,
}

impl Secured {
    fn find() -> Result<Self> {
        let secrets = services::address(services::KAFKA_SECRETS)?;
        let password = fs::read_to_string(format!("{secrets}/password"))?;
        Ok(Self { brokers: services::address(services::KAFKA_SECURED)?, secrets, password })
    }

    /// The correct properties.
    fn properties(&self) -> String {
        let secrets = &self.secrets;
        format!(
            "\"security.protocol\" = \"SASL_SSL\"\n\
             \"sasl.mechanism\" = \"SCRAM-SHA-512\"\n\
             \"sasl.username\" = \"${{file:{secrets}/user}}\"\n\
             \"sasl.password\" = \"${{file:{secrets}/password}}\"\n\
             \"ssl.ca.location\" = \"{secrets}/authority.pem\"\n"
        )
    }

    /// Configures the pipeline for this listener, with properties.
    fn configure(&self, pipe: &Pipe, brokers: &str, properties: &str) -> Result<()> {
        let text = fs::read_to_string(pipe.path("aqueduct.toml"))?;
        let open = services::address(services::KAFKA)?;
        let text = text
            .replace(
                &format!("bootstrap_servers = \"{open}\""),
                &format!("bootstrap_servers = \"{brokers}\""),
            )
            .replace("[kafka.properties]\n", &format!("[kafka.properties]\n{properties}"));
        pipe.write("aqueduct.toml", &text)
    }

    fn check_silence(&self, ended: &Ended) -> Result<()> {
        for said in [&ended.out, &ended.err] {
            ensure!(!said.contains(&self.password), "the password was printed:\n{said}");
        }
        Ok(())
    }
}

#[test]
fn records_are_read_over_tls() -> Result<()> {
    let secured = Secured::find()?;
    for mechanism in ["SCRAM-SHA-512", "SCRAM-SHA-256"] {
        let pipe = prepared("secured", 2)?;
        let (_, recount) = produced(&pipe, Traffic::new(2_000, 2).with_trouble())?;
        let properties = secured.properties().replace("SCRAM-SHA-512", mechanism);
        secured.configure(&pipe, &secured.brokers, &properties)?;
        let check = pipe.run_well(&["check"])?;
        ensure!(check.out.contains(&format!("at {} has 2 partitions", secured.brokers)), "{}", check.out);
        secured.check_silence(&check)?;
        let sample = pipe.run_well(&["check", "--sample", "100"])?;
        ensure!(sample.out.contains("100 records of Kafka topic"), "{}", sample.out);
        carried(&pipe, &recount)?;
    }
    Ok(())
}

#[test]
fn passwords_are_not_logged() -> Result<()> {
    let secured = Secured::find()?;
    let pipe = prepared("secured-page", 1)?;
    let in_file = format!("${{file:{}/password}}", secured.secrets);
    let properties = secured.properties().replace(&in_file, &secured.password);
    secured.configure(&pipe, &secured.brokers, &format!("{properties}\"debug\" = \"all\"\n"))?;
    let everything = [("AQUEDUCT_LOG", "trace,librdkafka=trace,rdkafka=trace")];
    let mut connector = pipe.start_with(&["connector"], &everything)?;
    connector.says("reading")?;
    for path in ["/", "/metrics", "/readyz", "/log", "/api/v1/pipe", "/api/v1/configuration"] {
        ensure!(!connector.get(path)?.contains(&secured.password), "the password is in {path}");
    }
    let ended = connector.stop()?;
    ensure!(ended.err.contains("SASL_SSL") || ended.err.contains("sasl_ssl"), "librdkafka reports nothing");
    secured.check_silence(&ended)
}

#[test]
fn a_rejected_client_has_one_error() -> Result<()> {
    let secured = Secured::find()?;
    let pipe = prepared("kept-out", 1)?;
    let plain = fs::read_to_string(pipe.path("aqueduct.toml"))?;
    let good = secured.properties();
    let (brokers, secrets) = (secured.brokers.as_str(), &secured.secrets);
    let by_name = brokers.replace("127.0.0.1", "localhost");
    let another = |from: &str, to: &str| good.replace(from, to);
    let refused = "rejected this client's credentials; correct the security settings in [kafka.properties]";
    for (brokers, properties, expected) in [
        (
            brokers,
            another(&format!("${{file:{secrets}/password}}"), "not-the-password"),
            [refused, "Authentication failed"],
        ),
        (
            brokers,
            another(&format!("${{file:{secrets}/user}}"), "stranger"),
            [refused, "Authentication failed"],
        ),
        (brokers, another("authority.pem", "stranger.pem"), [refused, "certificate verify failed"]),
        (by_name.as_str(), good.clone(), [refused, "certificate verify failed"]),
        (brokers, another("SCRAM-SHA-512", "PLAIN"), [refused, "mechanism"]),
    ] {
        pipe.write("aqueduct.toml", &plain)?;
        secured.configure(&pipe, brokers, &properties)?;
        let check = pipe.run(&["check"])?;
        let lines: Vec<&str> = check.out.lines().filter(|line| line.starts_with("FAILED  Kafka")).collect();
        let [line] = lines.as_slice() else { anyhow::bail!("{properties}\n{}{}", check.out, check.err) };
        ensure!(check.code == Some(1), "check ended with {:?}", check.code);
        check_words(line, &expected)?;
        secured.check_silence(&check)?;

        let connector = pipe.run(&["connector"])?;
        let said: Vec<&str> = connector.err.lines().skip_while(|line| !line.starts_with("error: ")).collect();
        let errors = said.iter().filter(|line| line.starts_with("error: ")).count();
        ensure!(connector.code == Some(1) && errors == 1, "{:?}: {}", connector.code, connector.err);
        let error = &said.join("\n");
        check_words(error, &expected)?;
        secured.check_silence(&connector)?;

        for words in [["generate", "--events=1"].as_slice(), &["check", "--sample", "1"], &["status"]] {
            let ended = pipe.run(words)?;
            check_words(&(ended.out.clone() + &ended.err), &expected)?;
            secured.check_silence(&ended)?;
        }
        ensure!(line.contains(brokers) && error.contains(brokers), "no broker is named: {line}\n{error}");
    }
    // A missing certificate is an error before any connection; `check` distinguishes it from a broker's rejection.
    pipe.write("aqueduct.toml", &plain)?;
    secured.configure(&pipe, brokers, &another("authority.pem", "nowhere.pem"))?;
    for (words, code) in [(["check"].as_slice(), 2), (&["connector"], 1), (&["generate", "--events=1"], 1)] {
        let ended = pipe.run(words)?;
        ensure!(ended.code == Some(code), "{words:?} ended with {:?}: {}", ended.code, ended.err);
        check_words(&(ended.out.clone() + &ended.err), &["kafka.properties", "ssl.ca.location"])?;
        secured.check_silence(&ended)?;
    }
    Ok(())
}

fn check_words(said: &str, expected: &[&str]) -> Result<()> {
    for words in expected {
        ensure!(said.contains(words), "{words:?} is not said:\n{said}");
    }
    Ok(())
}
