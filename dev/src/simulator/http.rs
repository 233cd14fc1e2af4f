//! Requests as the views see them and the answers they give.

use super::versions::Rules;
use serde_json::{Map, Value, json};

pub(crate) const HTML: &str = "text/html; charset=utf-8";
const HTML_PAGE: &str = "<!DOCTYPE html>\n<html lang=\"en\"><title>authentik</title></html>\n";

/// A request, decoded as far as every view needs it.
pub(crate) struct Request {
    pub(crate) method: String,
    pub(crate) path: String,
    pub(crate) query: Vec<(String, String)>,
    pub(crate) authorization: Option<String>,
    pub(crate) accept: Option<String>,
    pub(crate) accept_language: Option<String>,
    pub(crate) content_type: Option<String>,
    pub(crate) user_agent: Option<String>,
    pub(crate) body: Vec<u8>,
}

impl Request {
    /// The value of a query parameter; of several, the last.
    pub(crate) fn param(&self, name: &str) -> Option<&str> {
        self.query
            .iter()
            .rev()
            .find(|(key, _)| key == name)
            .map(|(_, value)| value.as_str())
    }

    /// All values of a query parameter.
    pub(crate) fn params<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a str> {
        self.query
            .iter()
            .filter(move |(key, _)| key == name)
            .map(|(_, value)| value.as_str())
    }

    /// Whether the request reads and cannot change anything.
    pub(crate) fn is_read(&self) -> bool {
        matches!(self.method.as_str(), "GET" | "HEAD" | "OPTIONS")
    }
}

/// What a request's body turned out to be.
pub(crate) fn data(rules: &Rules, request: &Request) -> Result<Value, Reply> {
    if request.body.is_empty() {
        return Ok(json!({}));
    }
    let given = request.content_type.as_deref().unwrap_or("");
    if given.split(';').next().map(str::trim) != Some("application/json") {
        let message = format!("Unsupported media type \"{given}\" in request.");
        return Err(Reply::detail(415, &message));
    }
    let text = std::str::from_utf8(&request.body).map_err(|error| {
        if rules.invalid_utf8_crashes {
            return Reply::crash(request);
        }
        let at = error.valid_up_to();
        let byte = request.body[at];
        parse_error(&format!(
            "'utf-8' codec can't decode byte {byte:#04x} in position {at}: invalid start byte"
        ))
    })?;
    serde_json::from_str(text).map_err(|error| parse_error(&error.to_string()))
}

fn parse_error(message: &str) -> Reply {
    Reply::detail(400, &format!("JSON parse error - {message}"))
}

/// An answer before it is turned into bytes.
#[derive(Debug)]
pub(crate) struct Reply {
    pub(crate) status: u16,
    pub(crate) body: Body,
    /// How many rows of a list were rendered.
    pub(crate) rows: usize,
}

/// The body of an answer.
#[derive(Debug)]
pub(crate) enum Body {
    Json(Value),
    /// JSON from a view that never names a character set.
    BareJson(Value),
    /// A page for people.
    Page,
    /// Nothing, labelled as HTML, as Django's own answers are.
    EmptyHtml,
    /// Nothing at all.
    Empty,
}

impl Reply {
    pub(crate) fn json(status: u16, body: Value) -> Self {
        Self {
            status,
            body: Body::Json(body),
            rows: 0,
        }
    }

    /// JSON without a character set, whatever the release.
    pub(crate) fn bare_json(body: Value) -> Self {
        Self {
            status: 200,
            body: Body::BareJson(body),
            rows: 0,
        }
    }

    pub(crate) fn ok(body: Value) -> Self {
        Self::json(200, body)
    }

    pub(crate) fn empty(status: u16) -> Self {
        Self {
            status,
            body: Body::Empty,
            rows: 0,
        }
    }

    pub(crate) fn empty_html(status: u16) -> Self {
        Self {
            status,
            body: Body::EmptyHtml,
            rows: 0,
        }
    }

    /// An error that is told in one sentence.
    pub(crate) fn detail(status: u16, message: &str) -> Self {
        Self::json(status, json!({ "detail": message }))
    }

    /// Errors by field.
    pub(crate) fn errors(errors: Map<String, Value>) -> Self {
        Self::json(400, Value::Object(errors))
    }

    /// An error of one field or query parameter.
    pub(crate) fn field_error(field: &str, message: &str) -> Self {
        Self::json(400, json!({ field: [message] }))
    }

    /// An internal error, whose error page can be shown to a GET only.
    pub(crate) fn crash(request: &Request) -> Self {
        Self::page_or_405(request, 500)
    }

    /// A path that no view answers.
    pub(crate) fn no_such_path(request: &Request) -> Self {
        Self::page_or_405(request, 404)
    }

    fn page_or_405(request: &Request, status: u16) -> Self {
        if request.is_read() {
            return Self::page(status);
        }
        Self::empty_html(405)
    }

    /// A page for people.
    pub(crate) fn page(status: u16) -> Self {
        Self {
            status,
            body: Body::Page,
            rows: 0,
        }
    }

    pub(crate) fn method_not_allowed(request: &Request) -> Self {
        Self::detail(405, &format!("Method \"{}\" not allowed.", request.method))
    }

    /// The content type and bytes to send.
    pub(crate) fn into_bytes(self, rules: &Rules) -> (Option<&'static str>, Vec<u8>) {
        match self.body {
            Body::Json(value) => (Some(rules.json), value.to_string().into_bytes()),
            Body::BareJson(value) => (Some("application/json"), value.to_string().into_bytes()),
            Body::Page => (Some(HTML), HTML_PAGE.as_bytes().to_vec()),
            Body::EmptyHtml => (Some(HTML), Vec::new()),
            Body::Empty => (None, Vec::new()),
        }
    }
}

/// Refuses a request whose answer could not be JSON.
pub(crate) fn negotiate(request: &Request) -> Result<(), Reply> {
    if request
        .param("format")
        .is_some_and(|format| format != "json")
    {
        return Err(Reply::detail(404, "Not found."));
    }
    let accept = request.accept.as_deref().unwrap_or("*/*");
    let accepts = accept.split(',').any(|token| {
        let media_type = token.split(';').next().unwrap_or("").trim();
        matches!(media_type, "*/*" | "application/*" | "application/json")
    });
    if accepts {
        return Ok(());
    }
    Err(Reply::detail(
        406,
        "Could not satisfy the request Accept header.",
    ))
}

/// Translates the messages of an error answer where the release does.
pub(crate) fn translate(rules: &Rules, request: &Request, reply: &mut Reply) {
    let german = request
        .accept_language
        .as_deref()
        .is_some_and(|tag| tag.starts_with("de"));
    if let (true, true, Body::Json(body)) = (rules.translated, german, &mut reply.body)
        && reply.status == 400
    {
        translate_value(body);
    }
}

fn translate_value(value: &mut Value) {
    match value {
        Value::String(text) if text == "This field is required." => {
            *text = "Dieses Feld ist erforderlich.".to_owned();
        }
        Value::Array(items) => items.iter_mut().for_each(translate_value),
        Value::Object(map) => map.values_mut().for_each(translate_value),
        _ => {}
    }
}
