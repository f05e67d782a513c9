//! `bigquery-double CERTIFICATE KEY`: the stand-in for BigQuery, for tests in other languages. Prints the addresses of its plain
//! port and of the one with TLS, and runs until standard input ends.
#![forbid(unsafe_code)]

use std::{error::Error, fs};

use doubles::bigquery::BigQuery;
use standin::tls::Identity;
use tokio::io::{self, AsyncReadExt as _};

#[expect(clippy::print_stdout, reason = "the test reads the addresses")]
#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let paths: Vec<String> = std::env::args().skip(1).collect();
    let [certificate, key] = paths.as_slice() else {
        return Err("usage: bigquery-double CERTIFICATE KEY".into());
    };
    let identity = Identity::from_pem(&fs::read(certificate)?, &fs::read(key)?)?;
    let mut bigquery = BigQuery::start().await?;
    let secured = bigquery.secure(&identity).await?;
    println!("{} {secured}", bigquery.host());
    io::stdin().read_to_end(&mut Vec::new()).await?;
    Ok(())
}
