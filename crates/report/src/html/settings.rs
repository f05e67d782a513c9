//! Configuration in force.

use maud::{Markup, html};

use crate::{status::Setting, words};

pub(super) fn section(settings: &[Setting]) -> Markup {
    html! {
        section #configuration aria-labelledby="configuration-title" {
            h2 #configuration-title { "Configuration in force" }
            p.note { "Keys set in the file and the environment; all others have their defaults. Possible secrets are not shown." }
            @if settings.is_empty() { p.empty { "No keys are set." } } @else {
                details { summary { "The " (words::counted(settings.len() as u64, "key", "keys")) " that are set" }
                table.settings role="table" {
                    caption.unseen { "Configuration in force" }
                    thead { tr role="row" { th scope="col" { "key" } th scope="col" { "value" } th scope="col" { "from" } } }
                    tbody {
                        @for setting in settings {
                            tr role="row" {
                                th scope="row" role="rowheader" { (setting.key) }
                                td role="cell" data-label="value" { @if setting.value.is_empty() { span.null { "(empty)" } } @else { code { (setting.value) } } }
                                td role="cell" data-label="from" { (setting.from) }
                            }
                        }
                    }
                }
                }
            }
        }
    }
}
