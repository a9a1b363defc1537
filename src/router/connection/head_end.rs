//! Where a request head ends (pure).

/// Finds the end of a head in bytes that arrive in pieces.
#[derive(Clone, Copy, Debug, Default)]
pub struct HeadEnd {
    /// Whether the current line has characters.
    in_line: bool,
    /// Whether an earlier line had some. Empty lines before a head are not part of it.
    begun: bool,
}

impl HeadEnd {
    /// How many of `bytes` belong to the head, if it ends within them. After that, a new head begins.
    pub fn find(&mut self, bytes: &[u8]) -> Option<usize> {
        for (index, byte) in bytes.iter().enumerate() {
            match byte {
                b'\n' if self.begun && !self.in_line => {
                    *self = Self::default();
                    return Some(index + 1);
                }
                b'\n' => self.in_line = false,
                b'\r' => {}
                _ => (self.in_line, self.begun) = (true, true),
            }
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_head_ends_at_its_first_empty_line_however_it_arrives() {
        for head in
            ["GET / HTTP/1.1\r\nhost: x\r\n\r\n", "\r\n\r\nGET / HTTP/1.1\r\n\r\n", "GET / HTTP/1.1\nhost: x\n\n"]
        {
            let text = format!("{head}GET /next");
            assert_eq!(HeadEnd::default().find(text.as_bytes()), Some(head.len()), "{head:?}");
            for cut in 0..head.len() {
                let mut end = HeadEnd::default();
                assert_eq!(end.find(&text.as_bytes()[..cut]), None, "{head:?} {cut}");
                assert_eq!(end.find(&text.as_bytes()[cut..]), Some(head.len() - cut), "{head:?} {cut}");
            }
        }
    }
}
