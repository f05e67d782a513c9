//! Removes the parts of a URL that can identify a person: user name, password, query and fragment.

use std::{borrow::Cow, sync::LazyLock};

use url::{ParseError, Url};

/// The base for relative URLs; none of its parts is in the output.
static BASE: LazyLock<Url> = LazyLock::new(|| "https://base.invalid/".parse().expect("an absolute URL"));

/// The URL, absolute or relative, without user name, password, query and fragment. The rest is unchanged, unless a user
/// name had to be removed. `None` if the text is not a URL and might contain a user name.
///
/// According to the URL standard (WHATWG) and RFC 3986, the first `?` or `#` ends the part that contains it, so cutting
/// there needs no parser. A user name needs one: `https:\\name@host` is a URL, too.
pub(super) fn strip(text: &str) -> Option<Cow<'_, str>> {
    let path = &text[..text.find(['?', '#']).unwrap_or(text.len())];
    // The whole text is parsed: in "https://name:pass?word@host" the cut leaves a name that is not a host.
    if !text.contains('@') {
        return Some(Cow::Borrowed(path));
    }
    let absolute = Url::parse(path);
    let relative = absolute == Err(ParseError::RelativeUrlWithoutBase);
    let mut url = if relative { BASE.join(path) } else { absolute }.ok()?;
    if url.username().is_empty() && url.password().is_none() {
        return Some(Cow::Borrowed(path));
    }
    url.set_username("").ok()?;
    url.set_password(None).ok()?;
    let clean = String::from(url);
    Some(Cow::Owned(if relative { clean.trim_start_matches("https:").to_owned() } else { clean }))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(text: &str, expect: Option<&str>) {
        assert_eq!(strip(text).as_deref(), expect, "{text}");
    }

    #[test]
    fn queries_and_fragments_are_removed() {
        for (text, expect) in [
            ("https://shop.example/a/b?user=1#top", "https://shop.example/a/b"),
            ("https://shop.example?x", "https://shop.example"),
            ("HTTP://Shop.Example:8080/Ä%20b#", "HTTP://Shop.Example:8080/Ä%20b"),
            ("/a?b#c", "/a"),
            ("/a#b?c", "/a"),
            ("?user=1", ""),
            ("", ""),
            ("a/b;v=1?x", "a/b;v=1"),
            ("//cdn.example/x?y", "//cdn.example/x"),
            ("mailto:x?subject=y", "mailto:x"),
            ("android-app://com.example/a?b", "android-app://com.example/a"),
            ("/page?mail=a@b.example", "/page"),
            ("/@handle/page?x", "/@handle/page"),
            ("https://shop.example/@handle?x", "https://shop.example/@handle"),
        ] {
            check(text, Some(expect));
        }
    }

    #[test]
    fn user_names_and_passwords_are_removed() {
        for (text, expect) in [
            ("https://name:pass@shop.example/a?b", "https://shop.example/a"),
            ("https://name@shop.example", "https://shop.example/"),
            ("https:\\\\name@shop.example\\a", "https://shop.example/a"),
            ("https:name@shop.example/a", "https://shop.example/a"),
            ("https://na\nme@shop.example/a", "https://shop.example/a"),
            ("https://a@b@shop.example/a", "https://shop.example/a"),
            (" https://name@shop.example/a", "https://shop.example/a"),
            ("ftp://name:pass@host/a", "ftp://host/a"),
            ("android-app://name@com.example/a", "android-app://com.example/a"),
            ("//name@cdn.example/x?y", "//cdn.example/x"),
            ("\\\\name@cdn.example/x", "//cdn.example/x"),
        ] {
            check(text, Some(expect));
        }
    }

    #[test]
    fn broken_urls_with_names_are_rejected() {
        for text in ["https://name:pass?word@shop.example/", "https://name@", "https://name@ho st/"] {
            check(text, None);
        }
    }
}
