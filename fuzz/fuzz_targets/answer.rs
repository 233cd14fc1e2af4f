//! The client's decoding: no answer makes it panic, and nothing that is shown of one is long, of several lines, or
//! tells the token: no error, and nothing of what is accepted.
#![no_main]

use arbitrary::Arbitrary;
use authentik_stage_operator::{
    authentik::{
        Listing, Weigh,
        fuzzing::{self, TOKEN},
    },
    kinds::{AuthenticatorValidateStage, DuoStage, Kind},
    plan::{Live, Row, bindings::Binding},
};
use libfuzzer_sys::fuzz_target;

/// Most bytes of an error's text: it goes into conditions and events.
const LONGEST: usize = 8 * 1024;

/// Most characters of a text of a server that is shown.
const LONGEST_SHOWN: usize = 300;

#[derive(Arbitrary, Debug)]
struct Answer {
    status: u16,
    claims_json: bool,
    retry_after: Option<String>,
    location: Option<String>,
    write: bool,
    begins_as: Beginning,
    body: String,
}

#[derive(Arbitrary, Debug)]
enum Beginning {
    Nothing,
    Page,
    Object,
    Users,
    Version,
}

impl Beginning {
    fn text(&self) -> &'static str {
        match self {
            Beginning::Nothing => "",
            Beginning::Page => {
                r#"{"pagination": {"next": 0, "count": 1}, "results": [{"pk": "6f9619ff-8b86-d011-b42d-00cf4fc964ff", "name": ""#
            }
            Beginning::Object => {
                r#"{"pk": "6f9619ff-8b86-d011-b42d-00cf4fc964ff", "flow_set": [{"pk": "6f9619ff-8b86-d011-b42d-00cf4fc964ff", "slug": ""#
            }
            Beginning::Users => r#"[{"app": "authentik_flows", "name": ""#,
            Beginning::Version => r#"{"version_current": ""#,
        }
    }
}

fuzz_target!(|answer: Answer| {
    // Bodies that repeat what was sent are the dangerous ones.
    let body = format!("{}{}", answer.begins_as.text(), answer.body).replace('$', TOKEN);
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
        of_kind::<AuthenticatorValidateStage>(&read, answer.write),
        of_kind::<DuoStage>(&read, answer.write),
        fuzzing::read_page::<Binding>(&read).map(|page| bounded(&page)),
        fuzzing::read_its_version(&read).map(|version| clean(&version.to_string())),
        fuzzing::read_users(&read).map(|users| {
            for user in users {
                let texts = [user.app, user.model_name, user.pk, user.name, user.action];
                texts.iter().for_each(|text| clean(text.as_str()));
            }
        }),
    ];
    for error in errors.into_iter().filter_map(Result::err) {
        let text = error.to_string();
        assert!(text.len() < LONGEST, "{} bytes", text.len());
        assert!(!format!("{error:?}").contains(TOKEN), "{error:?}");
        assert!(!text.chars().any(char::is_control), "{text:?}");
    }
});

fn of_kind<K: Kind>(
    answer: &fuzzing::Answer<'_>,
    write: bool,
) -> Result<(), authentik_stage_operator::authentik::Error> {
    let row: Result<Row<K>, _> = fuzzing::read_object(answer, write);
    let page = fuzzing::read_page::<Row<K>>(answer)?;
    bounded(&page);
    page.rows.iter().for_each(|row| shows(&row.0));
    row.map(|row| shows(&row.0))
}

/// Nothing of a row is lost, and nothing counts twice.
fn bounded<T: Weigh>(page: &Listing<T>) {
    assert_eq!(page.keys.len(), page.rows.len() + page.unreadable.len());
    assert!(page.unreadable.is_subset(&page.keys));
}

/// What is shown of a stage.
fn shows(live: &Live) {
    assert!(!format!("{:?}", live.name).contains(TOKEN));
    assert!(live.flows.is_sorted());
    let slugs = live.flows.iter().map(|flow| &flow.slug);
    for text in slugs.chain([&live.name]) {
        clean(fuzzing::show(text).as_str());
    }
}

fn clean(text: &str) {
    assert!(text.chars().count() <= LONGEST_SHOWN, "{text}");
    assert!(!text.contains(TOKEN), "{text}");
    assert!(!text.chars().any(char::is_control), "{text:?}");
    assert!(!text.contains(['\u{202e}', '\u{2028}']), "{text:?}");
}
