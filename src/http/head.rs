//! Request lines, status lines and header fields.
//!
//! The fields are read by `httparse`, which keeps to RFC 9112: names are tokens, values have no control characters.
//! Added to it is what skynet knows and RFC 9112 calls obsolete, a line that begins with a TAB and goes on with the value
//! before; taken away is the bare line feed as an end of line, over which a proxy before us may think otherwise.

use httparse::{Header, Status};

/// The first line of a request.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct RequestLine<'a> {
    pub(crate) method: &'a [u8],
    pub(crate) url: &'a [u8],
    /// Digits and dots.
    pub(crate) version: &'a [u8],
}

/// The first line of a response.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct StatusLine<'a> {
    pub(crate) code: u16,
    pub(crate) reason: &'a [u8],
}

/// Text that is no list of header fields.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the header fields are malformed")]
pub(crate) struct BadFields;

/// Splits `GET /path HTTP/1.1`. The method is made of letters; the URL may have spaces in it, as in skynet, but no
/// control characters.
pub(crate) fn request_line(line: &[u8]) -> Option<RequestLine<'_>> {
    let letters = line.iter().take_while(|byte| byte.is_ascii_alphabetic()).count();
    let (method, rest) = line.split_at_checked(letters)?;
    let version_len = rest.iter().rev().take_while(|byte| is_version(**byte)).count();
    let (rest, version) = rest.split_at_checked(rest.len() - version_len)?;
    let rest = rest.strip_suffix(b"HTTP/")?;
    let blank = |bytes: &[u8]| bytes.trim_ascii().len() < bytes.len();
    let url = rest.trim_ascii();
    if method.is_empty() || version.is_empty() || url.is_empty() || url.iter().any(u8::is_ascii_control) {
        return None;
    }
    // Blanks on both sides: what was trimmed began and ended with one.
    (blank(rest.get(..1)?) && blank(rest.get(rest.len() - 1..)?)).then_some(RequestLine {
        method,
        url,
        version,
    })
}

/// Splits `HTTP/1.1 200 OK`; the reason may be missing.
pub(crate) fn status_line(line: &[u8]) -> Option<StatusLine<'_>> {
    let rest = line.strip_prefix(b"HTTP/")?;
    let version = rest.iter().take_while(|byte| is_version(**byte)).count();
    let rest = rest.get(version..).filter(|_| version > 0)?;
    let code = rest.trim_ascii_start();
    if code.len() == rest.len() {
        return None;
    }
    let digits = code.iter().take_while(|byte| byte.is_ascii_digit()).count();
    let (code, reason) = code.split_at_checked(digits)?;
    if code.len() != 3 || !(reason.is_empty() || reason.starts_with(b" ")) {
        return None;
    }
    let code = code.iter().fold(0, |code, digit| code * 10 + u16::from(digit - b'0'));
    Some(StatusLine { code, reason: reason.trim_ascii() })
}

fn is_version(byte: u8) -> bool {
    byte.is_ascii_digit() || byte == b'.'
}

/// Reads lines `name: value`, divided by CR LF, and gives each with its name in lower case. The caller limits the length
/// of the text; an end of line at its end is allowed.
///
/// # Errors
/// One of the lines is none. Some fields may have been given by then.
pub(crate) fn fields(text: &[u8], mut each: impl FnMut(&[u8], &[u8])) -> Result<(), BadFields> {
    let text = text.strip_suffix(b"\r\n").unwrap_or(text);
    if text.is_empty() {
        return Ok(());
    }
    let mut joined = Vec::with_capacity(text.len() + 4);
    let mut lines = 1;
    let mut rest = text;
    while let Some(at) = rest.iter().position(|byte| *byte == b'\n') {
        let (line, behind) = (rest.get(..at).unwrap_or_default(), rest.get(at + 1..).unwrap_or_default());
        let line = line.strip_suffix(b"\r").ok_or(BadFields)?;
        joined.extend_from_slice(line);
        rest = match behind.strip_prefix(b"\t") {
            Some(more) => more,
            None => {
                joined.extend_from_slice(b"\r\n");
                lines += 1;
                behind
            }
        };
    }
    joined.extend_from_slice(rest);
    joined.extend_from_slice(b"\r\n\r\n");
    let mut found = vec![httparse::EMPTY_HEADER; lines];
    match httparse::parse_headers(&joined, &mut found) {
        // An empty line in the middle would end it early.
        Ok(Status::Complete((len, headers))) if len == joined.len() => {
            for Header { name, value } in headers {
                each(name.to_ascii_lowercase().as_bytes(), value);
            }
            Ok(())
        }
        _ => Err(BadFields),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn read(text: &str) -> Option<Vec<(String, String)>> {
        let mut all = Vec::new();
        let text_of = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        fields(text.as_bytes(), |name, value| all.push((text_of(name), text_of(value)))).ok()?;
        Some(all)
    }

    fn pairs(all: &[(&str, &str)]) -> Option<Vec<(String, String)>> {
        Some(all.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect())
    }

    #[test]
    fn a_request_line_has_three_parts() {
        let line = request_line(b"GET /a?b=c HTTP/1.1").expect("it is one");
        assert_eq!(line, RequestLine { method: b"GET", url: b"/a?b=c", version: b"1.1" });
        assert_eq!(
            request_line(b"get   /a b\tHTTP/2").map(|line| (line.url, line.version)),
            Some((&b"/a b"[..], &b"2"[..]))
        );
        for bad in [
            "",
            "GET",
            "GET /",
            "GET / HTTP/",
            "GET / HTTP",
            "GET / HTTP/x",
            " GET / HTTP/1.1",
            "G3T / HTTP/1.1",
            "GET/ HTTP/1.1",
            "GET /HTTP/1.1",
            "GET  HTTP/1.1",
            "GET HTTP/1.1",
            "/ HTTP/1.1",
            "GET / HTTP/1.1 ",
            "GET /\0 HTTP/1.1",
            "GET /\r/ HTTP/1.1",
            "HTTP/1.1",
        ] {
            assert_eq!(request_line(bad.as_bytes()), None, "{bad:?}");
        }
    }

    #[test]
    fn a_status_line_has_a_code_of_three_digits() {
        assert_eq!(status_line(b"HTTP/1.1 200 OK"), Some(StatusLine { code: 200, reason: b"OK" }));
        assert_eq!(status_line(b"HTTP/1.0  299 "), Some(StatusLine { code: 299, reason: b"" }));
        assert_eq!(status_line(b"HTTP/1.1 404"), Some(StatusLine { code: 404, reason: b"" }));
        for bad in [
            "",
            "HTTP/1.1",
            "HTTP/1.1 ",
            "HTTP/1.1 20",
            "HTTP/1.1 2000",
            "HTTP/1.1200",
            "HTTP/ 200 OK",
            "HTTP/1.1 200OK",
            "ICY 200 OK",
        ] {
            assert_eq!(status_line(bad.as_bytes()), None, "{bad:?}");
        }
    }

    #[test]
    fn names_are_in_lower_case_and_values_without_blanks_around() {
        assert_eq!(
            read("Host: a\r\nX-Y:\tb c \r\nEmpty:"),
            pairs(&[("host", "a"), ("x-y", "b c"), ("empty", "")])
        );
        assert_eq!(read("a: 1\r\nA: 2\r\n"), pairs(&[("a", "1"), ("a", "2")]));
        assert_eq!(read(""), pairs(&[]));
        assert_eq!(read("\r\n"), pairs(&[]));
    }

    #[test]
    fn a_line_that_begins_with_a_tab_goes_on_with_the_value_before() {
        assert_eq!(read("a: b\r\n\tc\r\n\td\r\ne: f"), pairs(&[("a", "bcd"), ("e", "f")]));
        assert_eq!(read("\ta: b"), None);
        assert_eq!(read("a: b\r\n c: d"), None);
    }

    #[test]
    fn what_could_be_read_in_two_ways_is_refused() {
        for bad in [
            "no colon",
            "a : b",
            "a: b\nc: d",
            "a: b\n\tc",
            "a: b\rc: d",
            "a: b\0",
            "a: b\r\n\r\nc: d",
            ": b",
            "a\0b: c",
            "a: b\x7f",
            "\r\n\r\n",
            "\n",
            "a b: c",
            "a: b\r\nc",
        ] {
            assert_eq!(read(bad), None, "{bad:?}");
        }
    }

    proptest! {
        #[test]
        fn any_bytes_are_read_or_refused(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            let _ = (request_line(&bytes), status_line(&bytes));
            let _ = fields(&bytes, |name, value| {
                assert!(!name.is_empty() && !name.iter().chain(value).any(|byte| b"\r\n\0".contains(byte)));
            });
        }

        #[test]
        fn what_is_written_is_read(all in proptest::collection::vec(("[a-z!#-]{1,9}", "[!-~]{0,9}"), 0..20)) {
            let text: String = all.iter().map(|(name, value)| format!("{name}: {value}\r\n")).collect();
            prop_assert_eq!(read(&text), Some(all));
        }
    }
}
