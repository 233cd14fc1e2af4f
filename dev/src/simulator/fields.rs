//! The fields of authentik's serializers and how each accepts or refuses a value.

use super::durations;
use super::python;
use super::state::State;
use super::tables::Table;
use super::texts;
use serde_json::{Map, Value, json};
use uuid::Uuid;

/// One field of a serializer.
#[derive(Clone, Debug)]
pub(crate) struct Field {
    pub(crate) name: &'static str,
    pub(crate) kind: FieldKind,
    pub(crate) required: bool,
    pub(crate) nullable: bool,
    /// Never shown in an answer.
    pub(crate) write_only: bool,
    pub(crate) default: Value,
}

/// What a field holds.
#[derive(Clone, Debug)]
pub(crate) enum FieldKind {
    Text {
        blank: bool,
    },
    /// A stage's name, unique across all kinds.
    StageName,
    /// A flow's slug, unique.
    Slug,
    /// Text that no other row of some tables has there.
    Unique {
        among: &'static [Table],
        taken: &'static str,
    },
    /// The address of an e-mail.
    Email,
    /// The path or URL of a file.
    File,
    Duration,
    Choice(&'static [&'static str]),
    /// `configure` needs stages in the same request.
    NotConfiguredAction,
    Choices {
        of: Vec<&'static str>,
        may_be_empty: bool,
    },
    Stage,
    Stages,
    Flow,
    WebhookMapping,
    DeviceTypes,
    Integer {
        least: i64,
        most: i64,
    },
    Boolean,
    /// The nested flows of releases that take them for writable.
    FlowSet,
}

/// Why a value is refused.
#[derive(Debug)]
pub(crate) enum Invalid {
    /// With messages for the caller.
    Messages(Value),
    /// With an internal error.
    Crash,
}

impl FieldKind {
    /// A number as the database holds it.
    pub(crate) const INTEGER: Self = Self::Integer {
        least: i32::MIN as i64,
        most: i32::MAX as i64,
    };
    /// A number that cannot be negative.
    pub(crate) const POSITIVE: Self = Self::Integer {
        least: 0,
        most: i32::MAX as i64,
    };
}

impl Invalid {
    pub(crate) fn message(text: impl Into<String>) -> Self {
        Self::Messages(json!([text.into()]))
    }
}

/// What a field may look at beside its own value.
pub(crate) struct Context<'a> {
    pub(crate) state: &'a State,
    /// The whole request body.
    pub(crate) data: &'a Map<String, Value>,
    /// The object that is being changed.
    pub(crate) instance: Option<Uuid>,
}

/// The value to store, or why there is none.
pub(crate) type Checked = Result<Value, Invalid>;

impl Field {
    pub(crate) fn new(name: &'static str, kind: FieldKind, default: Value) -> Self {
        Self {
            name,
            kind,
            required: false,
            nullable: false,
            write_only: false,
            default,
        }
    }

    pub(crate) fn required(mut self) -> Self {
        self.required = true;
        self
    }

    pub(crate) fn nullable(mut self, nullable: bool) -> Self {
        self.nullable = nullable;
        self
    }

    pub(crate) fn write_only(mut self) -> Self {
        self.write_only = true;
        self
    }

    /// The value to store, or why there is none.
    pub(crate) fn check(&self, value: &Value, context: &Context<'_>) -> Checked {
        let value = self.emptied(value);
        if value.is_null() {
            return if self.nullable {
                Ok(Value::Null)
            } else {
                Err(Invalid::message("This field may not be null."))
            };
        }
        match &self.kind {
            FieldKind::Text { blank } => texts::text(&value, *blank).map(Value::from),
            FieldKind::StageName => texts::stage_name(&value, context),
            FieldKind::Slug => texts::slug(&value, context),
            FieldKind::Unique { among, taken } => {
                texts::unique(&value, self.name, among, taken, context)
            }
            FieldKind::Email => texts::email(&value),
            FieldKind::File => texts::file(&value),
            FieldKind::Duration => durations::duration(&value),
            FieldKind::Choice(of) => choice(&value, of),
            FieldKind::NotConfiguredAction => not_configured_action(&value, context.data),
            FieldKind::Choices { of, may_be_empty } => choices(&value, of, *may_be_empty),
            FieldKind::Stage => key(&value, |id| context.state.stages.contains_key(&id)),
            FieldKind::Stages => keys(&value, |id| context.state.stages.contains_key(&id)),
            FieldKind::Flow => key(&value, |id| context.state.flows.contains_key(&id)),
            FieldKind::WebhookMapping => key(&value, |id| {
                context.state.has_row(Table::WebhookMapping, id)
            }),
            FieldKind::DeviceTypes => keys(&value, |id| context.state.device_type(id).is_some()),
            FieldKind::Integer { least, most } => integer(&value, *least, *most),
            FieldKind::Boolean => boolean(&value),
            FieldKind::FlowSet => super::flows::check_flow_set(&value, context),
        }
    }

    /// `""` stands for null in a reference that can be null.
    fn emptied(&self, value: &Value) -> Value {
        let reference = matches!(self.kind, FieldKind::Flow | FieldKind::WebhookMapping);
        if reference && self.nullable && value == "" {
            Value::Null
        } else {
            value.clone()
        }
    }
}

fn choice(value: &Value, of: &[&str]) -> Checked {
    let text = python::str_of(value);
    if of.contains(&text.as_str()) {
        return Ok(text.into());
    }
    Err(Invalid::message(format!(
        "\"{text}\" is not a valid choice."
    )))
}

fn not_configured_action(value: &Value, data: &Map<String, Value>) -> Checked {
    let action = choice(value, &["skip", "deny", "configure"])?;
    if action != "configure" {
        return Ok(action);
    }
    match data.get("configuration_stages") {
        // The server takes the length of whatever was sent.
        Some(given @ (Value::Number(_) | Value::Bool(_))) if python::truthy(given) => {
            Err(Invalid::Crash)
        }
        Some(given) if python::truthy(given) => Ok(action),
        _ => Err(Invalid::message(
            "When \"Not configured action\" is set to \"Configure\", you must set a configuration stage.",
        )),
    }
}

fn not_a_list(value: &Value) -> Invalid {
    Invalid::message(format!(
        "Expected a list of items but got type \"{}\".",
        python::type_name(value)
    ))
}

fn choices(value: &Value, of: &[&str], may_be_empty: bool) -> Checked {
    let items = value.as_array().ok_or_else(|| not_a_list(value))?;
    if items.is_empty() && !may_be_empty {
        return Err(Invalid::message("This list may not be empty."));
    }
    let mut errors = Map::new();
    for (index, item) in items.iter().enumerate() {
        if item.is_null() {
            errors.insert(index.to_string(), json!(["This field may not be null."]));
        } else if let Err(Invalid::Messages(messages)) = choice(item, of) {
            errors.insert(index.to_string(), messages);
        }
    }
    if errors.is_empty() {
        Ok(value.clone())
    } else {
        Err(Invalid::Messages(errors.into()))
    }
}

/// A reference by primary key.
fn key(value: &Value, exists: impl Fn(Uuid) -> bool) -> Checked {
    let missing = || {
        Invalid::message(format!(
            "Invalid pk \"{}\" - object does not exist.",
            python::str_of(value)
        ))
    };
    let id = match value {
        Value::Bool(_) => {
            return Err(Invalid::message(
                "Incorrect type. Expected pk value, received bool.",
            ));
        }
        Value::Null => return Err(missing()),
        Value::Number(number) if number.is_u64() => {
            Uuid::from_u128(u128::from(number.as_u64().unwrap_or_default()))
        }
        other => {
            let text = python::str_of(other);
            python::uuid(&text)
                .ok_or_else(|| Invalid::message(format!("“{text}” is not a valid UUID.")))?
        }
    };
    if exists(id) {
        Ok(id.to_string().into())
    } else {
        Err(missing())
    }
}

/// Several references; an object stands for its keys, and repetitions vanish.
fn keys(value: &Value, exists: impl Fn(Uuid) -> bool) -> Checked {
    let items: Vec<Value> = match value {
        Value::Array(items) => items.clone(),
        Value::Object(map) => map.keys().cloned().map(Value::from).collect(),
        other => return Err(not_a_list(other)),
    };
    let mut found: Vec<Value> = Vec::new();
    for item in &items {
        let id = key(item, &exists)?;
        if !found.contains(&id) {
            found.push(id);
        }
    }
    Ok(found.into())
}

fn integer(value: &Value, least: i64, most: i64) -> Checked {
    let text = python::str_of(value);
    let whole = text.strip_suffix(".0").unwrap_or(&text);
    let number: i64 = python::strip(whole)
        .parse()
        .map_err(|_| Invalid::message("A valid integer is required."))?;
    let refused = |how| format!("Ensure this value is {how} than or equal to");
    match number {
        number if number > most => Err(Invalid::message(format!("{} {most}.", refused("less")))),
        number if number < least => {
            Err(Invalid::message(format!("{} {least}.", refused("greater"))))
        }
        number => Ok(number.into()),
    }
}

fn boolean(value: &Value) -> Checked {
    match python::str_of(value).to_lowercase().as_str() {
        "true" | "t" | "yes" | "y" | "on" | "1" => Ok(true.into()),
        "false" | "f" | "no" | "n" | "off" | "0" => Ok(false.into()),
        _ => Err(Invalid::message("Must be a valid boolean.")),
    }
}
