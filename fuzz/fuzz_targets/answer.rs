//! The client's decoding: no answer makes it panic, and no error is long, of several lines, or tells the token.
#![no_main]

use arbitrary::Arbitrary;
use authentik_stage_operator::{
    authentik::fuzzing::{self, TOKEN},
    plan::Row,
    stages::{AuthenticatorValidateStage, DuoStage},
};
use libfuzzer_sys::fuzz_target;

/// Most bytes of an error's text: it goes into conditions and events.
const LONGEST: usize = 8 * 1024;

#[derive(Arbitrary, Debug)]
struct Answer {
    status: u16,
    claims_json: bool,
    retry_after: Option<String>,
    location: Option<String>,
    write: bool,
    begins_as_page: bool,
    body: String,
}

fuzz_target!(|answer: Answer| {
    let page = r#"{"pagination": {"next": 0, "count": 1}, "results": [{"pk": "6f9619ff-8b86-d011-b42d-00cf4fc964ff", "name": "x","#;
    let body = match answer.begins_as_page {
        true => format!("{page}{}", answer.body),
        // Bodies that repeat what was sent are the dangerous ones.
        false => answer.body.replace('$', TOKEN),
    };
    let read = fuzzing::Answer {
        status: answer.status,
        content_type: if answer.claims_json {
            "application/json"
        } else {
            "text/html"
        },
        retry_after: answer.retry_after.as_deref(),
        location: answer.location.as_deref(),
        body: &body,
    };
    let errors = [
        fuzzing::read_object(&read, answer.write),
        fuzzing::read_page::<Row<AuthenticatorValidateStage>>(&read),
        fuzzing::read_page::<Row<DuoStage>>(&read),
        fuzzing::read_users(&read),
    ];
    for error in errors.into_iter().filter_map(Result::err) {
        let text = error.to_string();
        assert!(text.len() < LONGEST, "{} bytes", text.len());
        assert!(!text.contains(TOKEN), "{text}");
        assert!(!text.chars().any(char::is_control), "{text:?}");
    }
});
