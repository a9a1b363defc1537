//! The page: how to begin, every operation by group, every error code.

use std::fmt::Write;

use serde_json::Value;

use super::fields::{Mark, Schemas};
use super::html::{escape, prose};
use crate::router::principal::Principal;
use crate::web::Code;

/// The groups in the order of their readers: customers, then operators, then our own machines.
const ORDER: &[&str] = &[
    "auth",
    "catalog",
    "instances",
    "servers",
    "operations",
    "containers",
    "edge",
    "proxmox",
    "admin",
    "audit",
    "velocity",
    "traefik",
    "system",
];

const BEGINNING: &str = r##"<section id="beginning"><h2>How to begin</h2>
<p>Log in, with the origin of this page in <code>api</code>. The answer has a <code>token</code>, which every other request sends
as <code>Authorization: Bearer</code>:
<pre>curl -sS $api/api/auth/login -H 'Content-Type: application/json' \
  -d '{"identifier":"demo@zpack.local","password":"…"}'</pre>
<p>Request a server. It is accepted with <code>202</code> and an operation; poll its <code>statusUrl</code> until its
<code>status</code> is no longer <code>queued</code> or <code>running</code>:
<pre>curl -sS $api/api/instances -H "Authorization: Bearer $token" \
  -H 'Content-Type: application/json' -H 'Idempotency-Key: my-first-server' \
  -d '{"ctype":"game","game":"minecraft","variant":"paper","version":"1.21.1"}'</pre>
<ul>
<li>The same request with the same <code>Idempotency-Key</code> gets the first answer again and creates nothing twice.
<li>A failure is a problem document (RFC 9457) whose <code>code</code> is one of the <a href="#errors">errors</a>; its
<code>retryable</code> says whether a retry can help, its <code>instance</code> is the id of the request.
<li>Requests are counted by class. <code>429</code> comes with <code>Retry-After</code>, and <code>RateLimit</code> says what is left.
<li>A list has a <code>next</code>: send it as <code>cursor</code> for the following page.
</ul></section>
"##;

/// The page for `document`, in `style`.
pub(super) fn of(document: &Value, style: &str) -> String {
    let groups = groups(document);
    let mut html = format!(
        "<!doctype html><html lang=\"en\"><meta charset=\"utf-8\"><meta name=\"viewport\" content=\"width=device-width\">\
         <title>zpack API</title><style>{style}</style>\n<nav><b>zpack API</b><a href=\"#beginning\">How to begin</a>\n"
    );
    for (group, operations) in &groups {
        _ = writeln!(html, "<a href=\"#{0}\">{0} <small>{1}</small></a>", escape(group), operations.len());
    }
    html.push_str(
        "<a href=\"#errors\">errors</a><a href=\"/openapi.json\">openapi.json</a></nav>\n<main><h1>zpack API</h1>\n",
    );
    html.push_str(BEGINNING);
    for (group, operations) in &groups {
        _ = writeln!(html, "<h2 id=\"{0}\">{0}</h2>", escape(group));
        for operation in operations {
            html.push_str(&operation.section(document));
        }
    }
    html.push_str("<h2 id=\"errors\">errors</h2><table><col class=\"name\"><col class=\"status\"><col><tr><th>code<th>status<th>when\n");
    for code in Code::ALL {
        let (status, meaning) = (code.status().as_u16(), prose(code.meaning()));
        _ = writeln!(html, "<tr id=\"{code}\"><td><code>{code}</code><td>{status}<td>{meaning}");
    }
    html.push_str("</table></main></html>\n");
    html
}

/// One method of one path.
struct Operation<'d> {
    path: &'d str,
    method: &'d str,
    value: &'d Value,
}

/// The operations by group, the groups in [`ORDER`]; one that is not named there comes last.
fn groups(document: &Value) -> Vec<(&str, Vec<Operation<'_>>)> {
    let mut groups: Vec<(&str, Vec<Operation<'_>>)> = Vec::new();
    for (path, operations) in members(document.get("paths")) {
        for (method, value) in members(Some(operations)) {
            let group = value.pointer("/tags/0").and_then(Value::as_str).unwrap_or_default();
            let operation = Operation { path, method, value };
            match groups.iter_mut().find(|(name, _)| *name == group) {
                Some((_, operations)) => operations.push(operation),
                None => groups.push((group, vec![operation])),
            }
        }
    }
    groups.sort_by_key(|(name, _)| ORDER.iter().position(|known| known == name).unwrap_or(ORDER.len()));
    groups
}

impl Operation<'_> {
    fn section(&self, document: &Value) -> String {
        let Self { path, method, value } = self;
        let text = |name: &str| value.get(name).and_then(Value::as_str).unwrap_or_default();
        let mut html = format!(
            "<section id=\"{id}\"><h3><b class=\"{method}\">{shown}</b> <a href=\"#{id}\">{path}</a></h3>\
             <p>{summary} <span class=\"who\">For {who}.</span>\n",
            id = escape(text("operationId")),
            shown = method.to_ascii_uppercase(),
            path = escape(path),
            summary = prose(&sentence(text("summary"))),
            who = text("x-principal").parse().map_or("", who),
        );
        let mut parameters = String::new();
        for parameter in value.get("parameters").and_then(Value::as_array).into_iter().flatten() {
            let text = |name: &str| parameter.get(name).and_then(Value::as_str).unwrap_or_default();
            let required = parameter.get("required") == Some(&Value::Bool(true));
            _ = writeln!(
                parameters,
                "<tr><td><code>{}</code><td>in the {}{}<td>{}",
                escape(text("name")),
                escape(text("in")),
                if required { " <i>required</i>" } else { "" },
                prose(text("description"))
            );
        }
        html.push_str(&table("Parameters", &parameters));
        if let Some(body) = value.pointer("/requestBody/content/application~1json/schema") {
            html.push_str(&table("Body", &Schemas(document).rows(body, Mark::Required)));
        }
        for (status, answer) in members(value.get("responses")).filter(|(status, _)| *status != "default") {
            let title = format!("Answer {status}");
            match answer.pointer("/content/application~1json/schema") {
                Some(schema) => html.push_str(&table(&title, &Schemas(document).rows(schema, Mark::Optional))),
                None => html.push_str(&other_answer(&title, answer)),
            }
        }
        html.push_str("</section>\n");
        html
    }
}

/// An answer that is no JSON: its type.
fn other_answer(title: &str, answer: &Value) -> String {
    let kinds: Vec<String> =
        members(answer.get("content")).map(|(kind, _)| format!("<code>{}</code>", escape(kind))).collect();
    if kinds.is_empty() { String::new() } else { format!("<p class=\"other\">{title}: {}\n", kinds.join(", ")) }
}

fn table(title: &str, rows: &str) -> String {
    if rows.is_empty() {
        String::new()
    } else {
        format!("<table><col class=\"name\"><col class=\"type\"><col><tr><th colspan=\"3\">{title}\n{rows}</table>\n")
    }
}

fn sentence(text: &str) -> String {
    if text.is_empty() || text.ends_with('.') { text.to_owned() } else { format!("{text}.") }
}

/// Whom a route is for.
const fn who(principal: Principal) -> &'static str {
    match principal {
        Principal::Public => "everyone",
        Principal::PublicOrCustomer => "everyone, customers with their token",
        Principal::Customer => "customers",
        Principal::Owner => "the owner of the server",
        Principal::Admin => "admins",
        Principal::Internal => "internal callers",
        Principal::InternalOrBridge => "internal callers and the bridge of the game proxy",
        Principal::InternalOrAdmin => "admins and internal callers",
        Principal::Discovery => "the monitoring",
        Principal::InternalOrDiscovery => "the monitoring and internal callers",
        Principal::Stripe => "Stripe",
        Principal::Ticket => "the holder of a ticket",
    }
}

fn members(value: Option<&Value>) -> impl Iterator<Item = (&String, &Value)> {
    value.and_then(Value::as_object).into_iter().flatten()
}

#[cfg(test)]
mod tests {
    use super::super::super::openapi::document;
    use super::super::super::table::routes;
    use super::*;

    #[test]
    fn the_page_shows_every_operation_and_every_field_of_a_new_server() {
        let document = document(&routes());
        let page = of(&document, "");
        for (path, operations) in members(document.get("paths")) {
            for (method, operation) in members(Some(operations)) {
                let id = operation["operationId"].as_str().unwrap();
                assert!(page.contains(&format!("<section id=\"{id}\">")), "{method} {path}");
            }
        }
        let create =
            page.split("<section id=\"post_api_instances\">").nth(1).unwrap().split("</section>").next().unwrap();
        for field in
            ["ctype", "game", "variant", "version", "runtime", "memoryMiB", "cpuCores", "operation.progress.percent"]
        {
            assert!(create.contains(&format!("<code>{field}</code>")), "{field}: {create}");
        }
        assert!(!page.contains('`'), "a backtick is left");
    }

    #[test]
    fn every_group_has_its_place() {
        let document = document(&routes());
        for (group, _) in groups(&document) {
            assert!(ORDER.contains(&group), "{group} has no place in the order of the groups");
        }
    }
}
