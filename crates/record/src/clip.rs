//! Long texts cut for lists.

/// How many bytes of `error_message` a row of a list has: enough to know which error it is. A message
/// may be a whole record long, and a page has a thousand rows.
pub const MESSAGE_BYTES: usize = 1024;

/// Cuts a text to [`MESSAGE_BYTES`], its `…` among them; answers whether anything was cut.
pub fn clip(text: &mut String) -> bool {
    clip_to(text, MESSAGE_BYTES)
}

/// Cuts a text to so many bytes, its `…` among them; answers whether anything was cut.
pub(crate) fn clip_to(text: &mut String, bytes: usize) -> bool {
    const MORE: char = '…';
    if text.len() <= bytes {
        return false;
    }
    text.truncate(text.floor_char_boundary(bytes - MORE.len_utf8()));
    text.push(MORE);
    // A page keeps the row, and would keep what was cut of it.
    text.shrink_to_fit();
    true
}

#[cfg(test)]
mod tests {
    use super::{MESSAGE_BYTES, clip};

    #[test]
    fn a_long_text_is_clipped_between_characters() {
        let clipped = |text: &str| {
            let mut text = text.to_owned();
            (clip(&mut text), text)
        };
        let fits = "x".repeat(MESSAGE_BYTES);
        assert_eq!(clipped(&fits), (false, fits.clone()));
        let (was_clipped, text) = clipped(&format!("{fits}x"));
        assert!(was_clipped && text.len() == MESSAGE_BYTES && text.ends_with("x…"), "{text}");
        let (was_clipped, text) = clipped(&"漢".repeat(MESSAGE_BYTES));
        assert!(was_clipped && text.len() <= MESSAGE_BYTES && text.ends_with("漢…"), "{text}");
    }
}
