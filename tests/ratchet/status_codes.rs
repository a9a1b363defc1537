//! `docs/http-status-codes.md` lists every code of the one enum, and no other.

use std::fmt::Write;

use zpack::web::Code;

#[test]
fn the_list_of_codes_is_up_to_date() {
    let mut text = String::from(HEAD);
    for code in Code::ALL {
        let (status, retry, meaning) = (code.status().as_u16(), code.retry(), code.meaning());
        writeln!(text, "| `{code}` | {status} | {retry} | {meaning} |").unwrap();
    }
    super::compare("docs/http-status-codes.md", &text);
}

const HEAD: &str = "\
# HTTP status codes

Every answer that is not 2xx or 3xx is a problem document (RFC 9457). Programs decide by `code`; the list only grows.
This file is generated from `src/web/code.rs` by `UPDATE_EXPECTED=1 cargo test ratchet`.

- **400** when the request cannot be understood: JSON that does not parse, a query parameter that is unknown or wrong,
  a malformed header. **422** when it can, and a field of the body is missing, unknown or out of range.
- **401** when the caller is not known, **403** when the caller is known and not allowed, **404** for everything that is not the
  caller's, whether it exists or not.
- **402** when paying opens it (the gate of `src/standing/gate.rs`), **409** when the state of the resource or a running
  operation does not allow it.
- **502** and **504** when a system behind zpack failed, **503** when zpack cannot work now. **500** is always a bug in
  zpack; its cause is in the log under the request id.

`retryable` says what the client may do: `no` never, `now` at once, `after` once `Retry-After` has passed,
`after_operation` once the operation named in the answer has ended. An answer with `Retry-After` always has `after`.

| code | status | retryable | when |
|---|---|---|---|
";
