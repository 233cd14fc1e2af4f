//! Pages of lists, as authentik numbers them.

use super::http::{Body, Reply, Request};
use super::state::State;
use super::versions::Rules;
use serde_json::{Value, json};

/// Renders the requested page of the rows; rows of other pages are never rendered.
pub(crate) fn page<T>(
    rules: &Rules,
    request: &Request,
    rows: &[T],
    render: impl Fn(&T) -> Value,
) -> Result<Reply, Reply> {
    let size = page_size(rules, request);
    let total = rows.len().div_ceil(size).max(1);
    let current = page_number(request, total)?;
    let start = (current - 1) * size;
    let shown = &rows[start.min(rows.len())..(start + size).min(rows.len())];
    let results: Vec<Value> = shown.iter().map(render).collect();
    let mut body = json!({
        "pagination": {
            "next": if current < total { current + 1 } else { 0 },
            "previous": current - 1,
            "count": rows.len(),
            "current": current,
            "total_pages": total,
            "start_index": if rows.is_empty() { 0 } else { start + 1 },
            "end_index": start + results.len(),
        },
        "results": results,
    });
    if rules.autocomplete {
        body["autocomplete"] = json!({});
    }
    let mut reply = Reply::ok(body);
    reply.rows = shown.len();
    Ok(reply)
}

/// A page with what the release offers to complete searches of such rows with.
pub(crate) fn completed(state: &State, mut reply: Reply, rows: &str) -> Reply {
    if let (Body::Json(body), Some(autocomplete)) =
        (&mut reply.body, state.seed.autocomplete.get(rows))
    {
        body["autocomplete"] = autocomplete.clone();
    }
    reply
}

/// An unusable size counts as none given, a large one as the largest allowed.
fn page_size(rules: &Rules, request: &Request) -> usize {
    let given = request
        .param("page_size")
        .and_then(|text| text.trim().parse::<usize>().ok());
    match given {
        Some(size) if size > 0 => size.min(rules.max_page_size),
        _ => rules.default_page_size,
    }
}

fn page_number(request: &Request, total: usize) -> Result<usize, Reply> {
    let number = match request.param("page") {
        None | Some("") => Some(1),
        Some("last") => Some(total),
        Some(text) => text.parse().ok(),
    };
    number
        .filter(|number| (1..=total).contains(number))
        .ok_or_else(|| Reply::detail(404, "Invalid page."))
}
