//! The fields of authentik's serializers and how each accepts or refuses a value.

use super::python;
use super::state::State;
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
    DeviceTypes,
    Integer,
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

impl Invalid {
    fn message(text: impl Into<String>) -> Self {
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

type Checked = Result<Value, Invalid>;

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
            FieldKind::Text { blank } => text(&value, *blank).map(Value::from),
            FieldKind::StageName => stage_name(&value, context),
            FieldKind::Slug => slug(&value, context),
            FieldKind::Duration => duration(&value),
            FieldKind::Choice(of) => choice(&value, of),
            FieldKind::NotConfiguredAction => not_configured_action(&value, context.data),
            FieldKind::Choices { of, may_be_empty } => choices(&value, of, *may_be_empty),
            FieldKind::Stage => key(&value, |id| context.state.stages.contains_key(&id)),
            FieldKind::Stages => keys(&value, |id| context.state.stages.contains_key(&id)),
            FieldKind::Flow => key(&value, |id| context.state.flows.contains_key(&id)),
            FieldKind::DeviceTypes => keys(&value, |id| context.state.device_type(id).is_some()),
            FieldKind::Integer => integer(&value),
            FieldKind::Boolean => boolean(&value),
            FieldKind::FlowSet => super::flows::check_flow_set(&value, context),
        }
    }

    /// `""` stands for null in a reference that can be null.
    fn emptied(&self, value: &Value) -> Value {
        let reference = matches!(self.kind, FieldKind::Flow);
        if reference && self.nullable && value == "" {
            Value::Null
        } else {
            value.clone()
        }
    }
}

/// A text field's value: numbers become text, surrounding whitespace goes.
pub(crate) fn text(value: &Value, blank: bool) -> Result<String, Invalid> {
    let text = match value {
        Value::String(text) => python::strip(text).to_owned(),
        Value::Number(_) => python::str_of(value),
        _ => return Err(Invalid::message("Not a valid string.")),
    };
    if text.is_empty() && !blank {
        return Err(Invalid::message("This field may not be blank."));
    }
    if text.contains('\0') {
        return Err(Invalid::message("Null characters are not allowed."));
    }
    Ok(text)
}

fn stage_name(value: &Value, context: &Context<'_>) -> Checked {
    let name = text(value, false)?;
    let holder = context.state.names.get(&name);
    if holder.is_some_and(|id| Some(*id) != context.instance) {
        return Err(Invalid::message("stage with this name already exists."));
    }
    Ok(name.into())
}

fn slug(value: &Value, context: &Context<'_>) -> Checked {
    let slug = text(value, false)?;
    let holder = context.state.slugs.get(&slug);
    if holder.is_some_and(|id| Some(*id) != context.instance) {
        return Err(Invalid::message("Flow with this slug already exists."));
    }
    Ok(slug.into())
}

fn duration(value: &Value) -> Checked {
    let text = text(value, false)?;
    match timedelta(&text) {
        Timedelta::Valid => Ok(text.into()),
        Timedelta::Overflow => Err(Invalid::Crash),
        Timedelta::Malformed => Err(Invalid::message(format!(
            "{text} is not in the correct format of 'hours=3;minutes=1'."
        ))),
    }
}

#[derive(Debug, PartialEq)]
enum Timedelta {
    Valid,
    Malformed,
    Overflow,
}

const DAY_IN_SECONDS: f64 = 86400.0;
const LARGEST_TIMEDELTA_IN_DAYS: f64 = 999_999_999.0;

/// Unknown units are skipped, a leading space makes a unit unknown, and one known unit is enough.
fn timedelta(text: &str) -> Timedelta {
    let mut units = std::collections::HashMap::new();
    for pair in text.split(';') {
        let parts: Vec<_> = pair.split('=').collect();
        let [unit, amount] = parts[..] else {
            return Timedelta::Malformed;
        };
        let Some(seconds) = seconds_of(&unit.to_lowercase()) else {
            continue;
        };
        let Some(amount) = python::float(amount) else {
            return Timedelta::Malformed;
        };
        units.insert(unit.to_lowercase(), seconds * amount);
    }
    let total: f64 = units.values().sum();
    if units.is_empty() || total.is_nan() {
        Timedelta::Malformed
    } else if (total / DAY_IN_SECONDS).abs() > LARGEST_TIMEDELTA_IN_DAYS {
        Timedelta::Overflow
    } else {
        Timedelta::Valid
    }
}

fn seconds_of(unit: &str) -> Option<f64> {
    Some(match unit {
        "microseconds" => 1e-6,
        "milliseconds" => 1e-3,
        "seconds" => 1.0,
        "minutes" => 60.0,
        "hours" => 3600.0,
        "days" => DAY_IN_SECONDS,
        "weeks" => 7.0 * DAY_IN_SECONDS,
        _ => return None,
    })
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

fn integer(value: &Value) -> Checked {
    let text = python::str_of(value);
    let whole = text.strip_suffix(".0").unwrap_or(&text);
    let number: i64 = python::strip(whole)
        .parse()
        .map_err(|_| Invalid::message("A valid integer is required."))?;
    if number > i64::from(i32::MAX) {
        return Err(Invalid::message(format!(
            "Ensure this value is less than or equal to {}.",
            i32::MAX
        )));
    }
    if number < i64::from(i32::MIN) {
        return Err(Invalid::message(format!(
            "Ensure this value is greater than or equal to {}.",
            i32::MIN
        )));
    }
    Ok(number.into())
}

fn boolean(value: &Value) -> Checked {
    match python::str_of(value).to_lowercase().as_str() {
        "true" | "t" | "yes" | "y" | "on" | "1" => Ok(true.into()),
        "false" | "f" | "no" | "n" | "off" | "0" => Ok(false.into()),
        _ => Err(Invalid::message("Must be a valid boolean.")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_read_as_the_server_reads_them() {
        for valid in [
            "hours=1",
            "Hours=1.5;minutes=-5",
            "hours=1; minutes=5",
            "hours=1;months=1",
        ] {
            assert_eq!(timedelta(valid), Timedelta::Valid, "{valid}");
        }
        for malformed in [
            "",
            "5",
            "hours=",
            "hours=1;",
            "months=1",
            "hours = 1",
            "hours=1=2",
        ] {
            assert_eq!(timedelta(malformed), Timedelta::Malformed, "{malformed}");
        }
        assert_eq!(timedelta("days=99999999999"), Timedelta::Overflow);
    }
}
