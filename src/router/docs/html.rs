//! Text as HTML.

/// `text` with nothing left that HTML would read as markup.
pub(super) fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}

/// A description: escaped, with what stands between backticks as code.
pub(super) fn prose(text: &str) -> String {
    let mut html = String::with_capacity(text.len());
    for (index, part) in escape(text).split('`').enumerate() {
        // Every second part stands between two backticks.
        if index % 2 == 1 {
            html.push_str(&format!("<code>{part}</code>"));
        } else {
            html.push_str(part);
        }
    }
    html
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn markup_is_escaped_and_backticks_become_code() {
        assert_eq!(prose("a `b<c` & \"d\""), "a <code>b&lt;c</code> &amp; &quot;d&quot;");
    }
}
