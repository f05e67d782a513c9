//! `make screenshots`: screenshots of the live page in a real Chromium, in all its states, wide and narrow, light and
//! dark, as `target/screenshots/STATE-WIDTH-COLOURS.png`.

use std::{fs, path::PathBuf};

use anyhow::{Context as _, Result};
use clap::Parser;
use tests::{
    browser::{Browser, LOOKS},
    kafka::{Producer, create_topic},
    pipe::Pipe,
    produced::Produced,
    proxy::Proxy,
    services,
    traffic::Traffic,
};

/// Takes screenshots of the live page.
#[derive(Parser)]
struct Arguments {
    /// Directory for the screenshots.
    #[arg(long, default_value = "target/screenshots")]
    folder: PathBuf,
    /// Only this state: empty, busy (also begins, by-page, key and lost), pubsub-gone, no-connector.
    #[arg(long)]
    only: Option<String>,
    /// Events per second of the demo.
    #[arg(long, default_value_t = 500)]
    rate: u32,
}

type Scene = fn(&Camera) -> Result<()>;

const SCENES: [(&str, Scene); 4] =
    [("empty", empty), ("busy", busy), ("pubsub-gone", pubsub_gone), ("no-connector", no_connector)];

/// A browser, and the directory for its screenshots.
struct Camera {
    browser: Browser,
    folder: PathBuf,
    rate: u32,
}

#[expect(clippy::print_stdout, reason = "a command for people")]
fn main() -> Result<()> {
    let arguments = Arguments::parse();
    fs::create_dir_all(&arguments.folder)
        .with_context(|| format!("cannot make {}", arguments.folder.display()))?;
    let camera = Camera { browser: Browser::start()?, folder: arguments.folder, rate: arguments.rate };
    for (name, scene) in SCENES {
        if arguments.only.as_deref().is_none_or(|only| only == name) {
            scene(&camera).with_context(|| format!("scene {name}"))?;
            println!("{name}: in {}", camera.folder.display());
        }
    }
    Ok(())
}

impl Camera {
    fn take(&self, state: &str) -> Result<()> {
        for look in LOOKS {
            let colours = if look.is_dark { "dark" } else { "light" };
            let path = self.folder.join(format!("{state}-{}-{colours}.png", look.width));
            fs::write(&path, self.browser.picture(look)?)
                .with_context(|| format!("cannot write {}", path.display()))?;
        }
        self.browser.look(LOOKS[0])
    }
}

/// A processor that has just started, without a connector.
fn empty(camera: &Camera) -> Result<()> {
    let pipe = prepared("empty")?;
    let mut processor = pipe.start(&["processor"])?;
    camera.browser.open(&format!("http://{}/", processor.address()?))?;
    camera.browser.until("the processor's first report", &of_station("processor", "watermark"))?;
    camera.take("empty")?;
    processor.stop().map(drop)
}

/// A demo: at the start, busy, the page of a key, and after it has stopped.
fn busy(camera: &Camera) -> Result<()> {
    let browser = &camera.browser;
    let pipe = Pipe::bare("busy")?;
    let mut demo = pipe.start(&["demo", "--rate", &camera.rate.to_string()])?;
    let home = format!("http://{}/", demo.demo_address()?);
    browser.open(&home)?;
    camera.take("begins")?;
    let ready = "const windows = document.querySelector('.hour')?.textContent.match(/(\\d+) windows/);
                 return windows !== null && windows !== undefined && Number(windows[1]) >= 2;";
    browser.until("some windows", ready)?;
    // A demo starts with an hour of traffic, which takes a while to process.
    let is_well = "return document.querySelector('#overall')?.textContent.includes('all is well') ?? false;";
    browser.until("the first hour to be counted", is_well)?;
    camera.take("busy")?;
    browser.run("document.querySelector('table.rates tbody a').click();")?;
    browser.until("the key's page", "return document.querySelectorAll('table.panes tbody tr').length > 1")?;
    camera.take("key")?;
    browser.open(&format!("{home}?flow=box_ctr&by=page"))?;
    camera.take("by-page")?;
    demo.kill()?;
    browser.until("the page to have lost touch", "return document.body.classList.contains('stale')")?;
    camera.take("lost")
}

/// A connector and a processor without Pub/Sub.
fn pubsub_gone(camera: &Camera) -> Result<()> {
    let door = Proxy::closed(&services::address(services::PUBSUB)?)?;
    door.open()?;
    let mut pipe = prepared("gone")?;
    pipe.set("pubsub.emulator_host", door.address());
    let mut connector = pipe.start(&["connector"])?;
    camera.browser.open(&format!("http://{}/", connector.address()?))?;
    camera
        .browser
        .until("everything to be published", &of_station("connector", "everything is published"))?;
    door.close();
    produce(&pipe, Traffic::new(20_000, 3))?;
    camera.browser.until("the outage to be seen", &of_station("pubsub", "no response for"))?;
    let waits = "return document.querySelector('#station-connector dl')?.textContent.includes('the oldest for') ?? false;";
    camera.browser.until("records to wait", waits)?;
    camera.take("pubsub-gone")?;
    connector.kill().map(drop)
}

/// A processor whose connector was stopped, with an hour of windows.
fn no_connector(camera: &Camera) -> Result<()> {
    let pipe = prepared("alone")?;
    produce(&pipe, Traffic::new(30_000, 3).over_hours(1).with_trouble())?;
    let mut processor = pipe.start(&["processor"])?;
    let mut connector = pipe.start(&["connector"])?;
    camera.browser.open(&format!("http://{}/", processor.address()?))?;
    camera
        .browser
        .until("the rates", "return document.querySelectorAll('table.rates tbody tr').length == 20")?;
    connector.kill()?;
    camera.browser.until("the connector to be missed", &of_station("connector", "no mark for"))?;
    camera.take("no-connector")?;
    processor.stop().map(drop)
}

fn of_station(id: &str, words: &str) -> String {
    format!(
        "return document.querySelector('#station-{id} .health')?.textContent.includes('{words}') ?? false;"
    )
}

fn prepared(name: &str) -> Result<Pipe> {
    let pipe = Pipe::new(name)?;
    create_topic(pipe.name(), 3, &[])?;
    pipe.run_well(&["setup"])?;
    Ok(pipe)
}

fn produce(pipe: &Pipe, traffic: Traffic) -> Result<()> {
    Producer::new(pipe.name(), &[])?.produce(traffic, &mut Produced::default())
}
