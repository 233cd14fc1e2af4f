//! Runs a request body through the fields of a serializer.

use super::fields::{Context, Field, Invalid};
use super::http::Reply;
use super::python;
use super::state::State;
use serde_json::{Map, Value, json};
use uuid::Uuid;

/// How a body is applied.
#[derive(Clone, Copy)]
pub(crate) struct Mode {
    /// The object that is being changed, if any.
    pub(crate) instance: Option<Uuid>,
    /// Whether required fields may be missing.
    pub(crate) partial: bool,
}

/// Why a body is refused.
#[derive(Debug)]
pub(crate) enum Refused {
    Errors(Map<String, Value>),
    Crash,
}

impl Refused {
    /// An error that belongs to no field.
    pub(crate) fn whole(message: &str) -> Self {
        Self::Errors(Map::from_iter([(
            "non_field_errors".to_owned(),
            json!([message]),
        )]))
    }

    /// The answer to the request.
    pub(crate) fn reply(self, request: &super::http::Request) -> Reply {
        match self {
            Self::Errors(errors) => Reply::errors(errors),
            Self::Crash => Reply::crash(request),
        }
    }
}

/// The values to store, by field. Unknown keys are dropped without a word.
pub(crate) fn run(
    state: &State,
    fields: &[Field],
    body: &Value,
    mode: Mode,
) -> Result<Map<String, Value>, Refused> {
    let data = as_object(body)?;
    let context = Context {
        state,
        data,
        instance: mode.instance,
    };
    let mut values = Map::new();
    let mut errors = Map::new();
    for field in fields {
        match data
            .get(field.name)
            .map(|value| field.check(value, &context))
        {
            Some(Ok(value)) => {
                values.insert(field.name.to_owned(), value);
            }
            Some(Err(Invalid::Messages(messages))) => {
                errors.insert(field.name.to_owned(), messages);
            }
            Some(Err(Invalid::Crash)) => return Err(Refused::Crash),
            None if field.required && !mode.partial => {
                errors.insert(field.name.to_owned(), json!(["This field is required."]));
            }
            None => {}
        }
    }
    if errors.is_empty() {
        Ok(values)
    } else {
        Err(Refused::Errors(errors))
    }
}

fn as_object(body: &Value) -> Result<&Map<String, Value>, Refused> {
    match body {
        Value::Object(map) => Ok(map),
        Value::Null => Err(Refused::whole("No data provided")),
        other => Err(Refused::whole(&format!(
            "Invalid data. Expected a dictionary, but got {}.",
            python::type_name(other)
        ))),
    }
}

/// The values of a new object: what was sent over the defaults.
pub(crate) fn with_defaults(fields: &[Field], values: Map<String, Value>) -> Map<String, Value> {
    let mut all: Map<String, Value> = fields
        .iter()
        .map(|field| (field.name.to_owned(), field.default.clone()))
        .collect();
    all.extend(values);
    all
}
