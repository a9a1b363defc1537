//! `docs/openapi.json` is what the server serves.

#[test]
fn the_openapi_document_is_up_to_date() {
    super::compare("docs/openapi.json", &zpack::router::openapi());
}
