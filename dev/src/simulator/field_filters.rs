//! Lists filtered by the fields of their rows, each in the way of its kind.

use super::fields::{Field, FieldKind};
use super::filters;
use super::http::{Reply, Request};
use super::state::State;
use super::tables::Table;
use serde_json::{Value, json};

/// Keeps the rows whose field is as the request asks, if it does.
pub(crate) fn keep<T>(
    state: &State,
    request: &Request,
    field: &Field,
    rows: &mut Vec<T>,
    value: impl Fn(&T) -> &Value,
) -> Result<(), Reply> {
    if let Some(wanted) = wanted(state, request, field)? {
        rows.retain(|row| *value(row) == wanted);
    }
    Ok(())
}

/// The value that is asked for; none of kinds that cannot be asked for.
fn wanted(state: &State, request: &Request, field: &Field) -> Result<Option<Value>, Reply> {
    let name = field.name;
    Ok(match &field.kind {
        FieldKind::Text { .. }
        | FieldKind::Unique { .. }
        | FieldKind::Email
        | FieldKind::Duration => filters::text(request, name)?.map(Value::from),
        FieldKind::Choice(of) => filters::choice(request, name, of)?.map(Value::from),
        FieldKind::Flow => {
            let exists = |id| state.flows.contains_key(&id);
            filters::reference(request, name, exists)?.map(|id| json!(id))
        }
        FieldKind::WebhookMapping => {
            let exists = |id| state.has_row(Table::WebhookMapping, id);
            filters::reference(request, name, exists)?.map(|id| json!(id))
        }
        FieldKind::Boolean => filters::boolean(request, name).map(Value::from),
        FieldKind::Integer { .. } => number(request, name)?.map(Value::from),
        _ => None,
    })
}

fn number(request: &Request, name: &str) -> Result<Option<i64>, Reply> {
    let refused = |_| Reply::field_error(name, "Enter a number.");
    let text = filters::text(request, name)?;
    text.map(|text| text.parse().map_err(refused)).transpose()
}
