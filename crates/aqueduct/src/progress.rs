//! A progress bar on a terminal, for work with a known end; hidden elsewhere.
//!
//! Log lines are written above the bar.

use std::{
    io::{self, Write},
    ops::Deref,
    sync::{Mutex, PoisonError},
};

use indicatif::{HumanCount, ProgressBar, ProgressDrawTarget, ProgressState, ProgressStyle};

/// A bar with log lines above it, removed when it is dropped.
#[derive(Debug)]
pub(crate) struct Bar(ProgressBar);

/// The destination of log lines: standard error, above the bar.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Lines;

static SHOWN: Mutex<Option<ProgressBar>> = Mutex::new(None);

/// A bar over `total` items named `unit`; hidden if standard error is not a terminal.
pub(crate) fn counting(total: u64, unit: &str) -> Bar {
    let template = format!("{{bar:40}} {{human_pos}} of {{human_len}} {unit}, {{rate}}/s, {{eta}} left");
    styled(total, &template)
}

/// A bar over bytes.
pub(crate) fn bytes(total: u64) -> Bar {
    styled(total, "{bar:40} {bytes} of {total_bytes}, {bytes_per_sec}, {eta} left")
}

fn styled(total: u64, template: &str) -> Bar {
    let rate = |state: &ProgressState, text: &mut dyn std::fmt::Write| {
        // A formatting error is ignored.
        let _ = write!(text, "{}", HumanCount(state.per_sec() as u64));
    };
    let style = ProgressStyle::with_template(template).expect("the templates are valid");
    let target = ProgressDrawTarget::stderr_with_hz(5);
    Bar::over(ProgressBar::with_draw_target(Some(total), target).with_style(style.with_key("rate", rate)))
}

impl Bar {
    /// Shows a bar.
    pub(crate) fn over(bar: ProgressBar) -> Self {
        *shown() = Some(bar.clone());
        Self(bar)
    }
}

impl Deref for Bar {
    type Target = ProgressBar;

    fn deref(&self) -> &ProgressBar {
        &self.0
    }
}

impl Drop for Bar {
    fn drop(&mut self) {
        self.0.finish_and_clear();
        *shown() = None;
    }
}

fn shown() -> std::sync::MutexGuard<'static, Option<ProgressBar>> {
    SHOWN.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Write for Lines {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let write = || io::stderr().write_all(bytes);
        match &*shown() {
            Some(bar) => bar.suspend(write),
            None => write(),
        }?;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        io::stderr().flush()
    }
}

#[cfg(test)]
mod tests {
    #[test]
    fn the_templates_are_valid() {
        super::counting(10, "events").finish_and_clear();
        super::bytes(10).finish_and_clear();
    }
}
