//! A progress bar on a terminal, for work whose end is known; nothing elsewhere.

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

/// A bar over `total` things called `unit`; hidden where standard error is no terminal.
pub fn counting(total: u64, unit: &str) -> ProgressBar {
    let template = format!("{{bar:40}} {{human_pos}} of {{human_len}} {unit}, {{per_sec}}, {{eta}} left");
    styled(total, &template)
}

/// A bar over bytes.
pub fn bytes(total: u64) -> ProgressBar {
    styled(total, "{bar:40} {bytes} of {total_bytes}, {bytes_per_sec}, {eta} left")
}

fn styled(total: u64, template: &str) -> ProgressBar {
    let style = ProgressStyle::with_template(template).expect("the templates above are valid");
    ProgressBar::with_draw_target(Some(total), ProgressDrawTarget::stderr_with_hz(5)).with_style(style)
}

#[cfg(test)]
mod tests {
    #[test]
    fn the_templates_are_valid() {
        super::counting(10, "events").finish_and_clear();
        super::bytes(10).finish_and_clear();
    }
}
