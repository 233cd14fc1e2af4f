//! Whom a change of a validation stage hits, read from a simulated authentik of every release.

use std::{
    collections::BTreeMap,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use authentik_stage_operator::{
    authentik::{Budget, Client, Config, Gate, Observer, Pause, agent},
    impact::{Failure, Outcome, Report, Stage, assess, merged, text},
    kinds::Fields,
};
use devkit::simulator::{DeviceKind, NewDevice, Simulator, Version};
use serde_json::{Value, json};
use uuid::Uuid;

const ALLOWED: Uuid = Uuid::from_u128(0xa110);
const OTHER: Uuid = Uuid::from_u128(0x07);
const CODE: &str = "canary-recovery-code";
const NUMBER: &str = "+15550100";

/// What a token needs beside users, by class.
const VIEW: [(&str, &str); 5] = [
    (
        "totp",
        "authentik_stages_authenticator_totp.view_totpdevice",
    ),
    (
        "webauthn",
        "authentik_stages_authenticator_webauthn.view_webauthndevice",
    ),
    ("duo", "authentik_stages_authenticator_duo.view_duodevice"),
    ("sms", "authentik_stages_authenticator_sms.view_smsdevice"),
    (
        "email",
        "authentik_stages_authenticator_email.view_emaildevice",
    ),
];
const VIEW_CODES: &str = "authentik_stages_authenticator_static.view_staticdevice";
const VIEW_USERS: &str = "authentik_core.view_user";

fn client(simulator: &Simulator, token: &str) -> Client {
    let config = Config {
        url: simulator.url(),
        token: token.to_owned().into(),
        headers: Vec::new(),
        ca_bundle: None,
        timeout: Duration::from_secs(30),
        requests_per_second: None,
        max_concurrent_requests: None,
        budget: Budget::default(),
        pause: Pause::default(),
        observer: Observer::default(),
        gate: Gate::default(),
        agent: agent("tests"),
    };
    Client::new(&config).expect("a client")
}

/// A stage's fields.
fn stage(classes: &[&str], action: &str) -> Fields {
    Fields::from([
        ("device_classes", json!(classes)),
        ("not_configured_action", json!(action)),
    ])
}

fn with(fields: Fields, name: &'static str, value: Value) -> Fields {
    merged(Some(&fields), &Fields::from([(name, value)]))
}

/// One person of each sort. Besides, there is the superuser, who has nothing.
fn people(simulator: &Simulator) {
    let person = |name: &str, devices: Vec<NewDevice>| {
        let pk = simulator.add_person(name, "internal");
        for device in devices {
            simulator.give_device(pk, device);
        }
    };
    let of = |kind| NewDevice::of(kind, "device");
    person("ada-totp", vec![of(DeviceKind::Totp)]);
    person("bob-half", vec![of(DeviceKind::Totp).unconfirmed()]);
    person("cleo-key", vec![of(DeviceKind::WebAuthn).of_type(ALLOWED)]);
    person(
        "dan-other-key",
        vec![of(DeviceKind::WebAuthn).of_type(OTHER)],
    );
    person("eve-old-key", vec![of(DeviceKind::WebAuthn)]);
    person("fay-codes", vec![of(DeviceKind::Static).with(CODE)]);
    person("gus-phone", vec![of(DeviceKind::Sms).with(NUMBER)]);
    person("hal-hashed", vec![of(DeviceKind::Sms).with("hash:0123")]);
    person("ida-duo", vec![of(DeviceKind::Duo)]);
    let svc = simulator.add_person("svc", "service_account");
    simulator.give_device(svc, of(DeviceKind::Totp));
    simulator.add_person("gone", "external");
    simulator.set_active("gone", false);
}

async fn report(
    simulator: &Simulator,
    token: &str,
    before: Option<&Fields>,
    after: &Fields,
) -> Result<Report, Failure> {
    let client = client(simulator, token);
    let mut reports = assess(&client, &[changed(before, after)], &|_, _| {}).await?;
    Ok(reports.remove(0))
}

fn changed<'a>(before: Option<&'a Fields>, after: &'a Fields) -> Stage<'a> {
    let name = "mfa";
    Stage {
        name,
        before,
        after,
    }
}

fn names(report: &Report, outcome: Outcome) -> Vec<&str> {
    let changes = report.changes.iter();
    let hit = changes.filter(|change| change.after == outcome);
    hit.map(|change| change.username.as_str()).collect()
}

/// How often paths that begin so were asked for.
fn asked(simulator: &Simulator, path: &str) -> u64 {
    let path = format!("/api/v3/{path}");
    let answered = simulator.answered();
    let asked = answered.iter().filter(|((_, of), _)| of.starts_with(&path));
    asked.map(|(_, times)| times).sum()
}

#[tokio::test]
async fn every_release_tells_whom_a_change_hits() {
    for version in Version::ALL {
        let simulator = Simulator::start(version).await;
        people(&simulator);
        let all = ["static", "totp", "webauthn", "duo", "sms"];
        let before = stage(&all, "skip");
        let before = match version {
            Version::V2024_2 => before,
            _ => with(before, "webauthn_allowed_device_types", json!([])),
        };
        let strict = merged(Some(&before), &stage(&["totp", "webauthn", "sms"], "deny"));
        let strict = with(strict, "webauthn_allowed_device_types", json!([ALLOWED]));
        let report = report(&simulator, simulator.token(), Some(&before), &strict)
            .await
            .unwrap_or_else(|error| panic!("{version}: {error}"));
        let mut refused = vec!["akadmin", "bob-half", "fay-codes", "hal-hashed", "ida-duo"];
        if version == Version::V2024_2 {
            // It knows no kinds of key.
            assert!(report.notes[0].contains("webauthn_allowed_device_types"));
        } else {
            refused.insert(2, "dan-other-key");
            assert_eq!(report.notes, [""; 0]);
        }
        assert_eq!(names(&report, Outcome::Refused), refused, "{version}");
        assert_eq!(report.people, 10);
        assert_eq!(report.locked_out, refused.len() as u64);
        assert_eq!(report.perhaps_locked_out, 0);
        assert_eq!(report.before[&Outcome::Passes], 3);
        assert_eq!(asked(&simulator, "authenticators/admin/all"), 10);
        assert_eq!(asked(&simulator, "authenticators/admin/static"), 0);
        let mut shown = String::new();
        text(&report, true, &mut shown).expect("a text");
        assert!(!shown.contains(CODE) && !shown.contains(NUMBER), "{shown}");
    }
}

#[tokio::test]
async fn without_a_stage_everybody_passes_now() {
    let simulator = Simulator::start(Version::V2026_5).await;
    people(&simulator);
    let enrols = with(
        stage(&["totp"], "configure"),
        "configuration_stages",
        json!([ALLOWED]),
    );
    let report = report(&simulator, simulator.token(), None, &enrols)
        .await
        .expect("a report");
    assert!(!report.exists);
    assert_eq!(report.before[&Outcome::Passes], 10);
    assert_eq!((report.locked_out, report.to_enrol), (0, 9));
}

#[tokio::test]
async fn who_may_not_see_devices_is_told_so_and_not_that_nobody_has_one() {
    for version in Version::ALL {
        let simulator = Simulator::start(version).await;
        people(&simulator);
        let after = stage(&["totp"], "deny");
        for permissions in [vec![], vec![VIEW_USERS], vec![VIEW_USERS, VIEW_CODES]] {
            let token = simulator.create_token(&permissions);
            let failure = report(&simulator, &token, None, &after)
                .await
                .expect_err("a failure");
            let text = failure.to_string();
            assert!(
                matches!(failure, Failure::Blind { class: "totp", .. }),
                "{version}: {text}"
            );
            assert!(text.contains(VIEW[0].1), "{text}");
        }
        assert_eq!(asked(&simulator, "authenticators/admin/all"), 0);
        // Before 2024.12 no permission is enough.
        let token = simulator.create_token(&[VIEW_USERS, VIEW[0].1]);
        let seen = report(&simulator, &token, None, &after).await;
        let old = matches!(version, Version::V2024_2 | Version::V2024_8);
        assert_eq!(seen.is_err(), old, "{version}: {seen:?}");
    }
}

#[tokio::test]
async fn each_class_that_matters_has_to_be_proven() {
    let simulator = Simulator::start(Version::V2026_5).await;
    people(&simulator);
    let all = VIEW.map(|(class, _)| class);
    for (class, missing) in VIEW {
        let others = VIEW
            .iter()
            .map(|(_, view)| *view)
            .filter(|view| *view != missing);
        let permissions: Vec<_> = others.chain([VIEW_USERS]).collect();
        let token = simulator.create_token(&permissions);
        let failure = report(&simulator, &token, None, &stage(&all, "deny")).await;
        let failure = failure.expect_err("a failure").to_string();
        assert!(failure.contains(missing), "{class}: {failure}");
        // Where the class is out of the question, so is the permission.
        let without: Vec<_> = all.into_iter().filter(|other| *other != class).collect();
        let seen = report(&simulator, &token, None, &stage(&without, "deny")).await;
        assert!(seen.is_ok(), "{class}: {seen:?}");
        // It matters too where the stage takes it now.
        let before = stage(&[class], "deny");
        let both = report(&simulator, &token, Some(&before), &stage(&without, "deny")).await;
        assert!(both.is_err(), "{class}");
    }
}

#[tokio::test]
async fn recovery_codes_that_may_be_there_are_not_taken_to_be_missing() {
    let simulator = Simulator::start(Version::V2026_5).await;
    people(&simulator);
    let after = stage(&["totp", "static"], "deny");
    let token = simulator.create_token(&[VIEW_USERS, VIEW[0].1]);
    let blind = report(&simulator, &token, None, &after)
        .await
        .expect("a report");
    assert!(blind.unseen.recovery_codes);
    // The token's own user is one more.
    assert_eq!((blind.locked_out, blind.perhaps_locked_out), (0, 10));
    let token = simulator.create_token(&[VIEW_USERS, VIEW[0].1, VIEW_CODES]);
    let seeing = report(&simulator, &token, None, &after)
        .await
        .expect("a report");
    assert!(!seeing.unseen.recovery_codes);
    assert_eq!((seeing.locked_out, seeing.perhaps_locked_out), (10, 0));
    assert_eq!(asked(&simulator, "authenticators/admin/static"), 0);
}

#[tokio::test]
async fn an_outposts_empty_lists_prove_nothing() {
    let simulator = Simulator::start(Version::V2026_5).await;
    let token = simulator.create_outpost_token();
    let failure = report(&simulator, &token, None, &stage(&["totp"], "deny")).await;
    assert!(matches!(failure, Err(Failure::Outpost)), "{failure:?}");
}

#[tokio::test]
async fn who_goes_away_meanwhile_is_left_out_and_who_can_not_be_asked_for_is_asked_for_again() {
    for version in Version::ALL {
        let simulator = Arc::new(Simulator::start(version).await);
        let pks: Vec<_> = (0..100)
            .map(|n| simulator.add_person(&format!("p{n:03}"), "internal"))
            .collect();
        let client = client(&simulator, simulator.token());
        let progress = |done, _| match done {
            1 => simulator.remove_person(pks[99]),
            10 => {
                simulator.set_database_down(true);
                let simulator = Arc::clone(&simulator);
                tokio::spawn(async move {
                    tokio::time::sleep(Duration::from_millis(200)).await;
                    simulator.set_database_down(false);
                });
            }
            _ => {}
        };
        let after = stage(&["totp"], "deny");
        let reports = assess(&client, &[changed(None, &after)], &progress).await;
        let reports = reports.unwrap_or_else(|error| panic!("{version}: {error}"));
        let report = &reports[0];
        // The superuser is one of them.
        assert_eq!((report.people, report.locked_out), (100, 100), "{version}");
        assert!(
            report
                .changes
                .iter()
                .all(|change| change.username != "p099")
        );
    }
}

#[tokio::test]
async fn thousands_of_people_take_one_request_each_and_a_few_lists_for_any_number_of_stages() {
    const PEOPLE: usize = 5000;
    let simulator = Simulator::start(Version::V2026_5).await;
    for n in 1..PEOPLE {
        let pk = simulator.add_person(&format!("p{n:04}"), "external");
        if n % 4 == 0 {
            simulator.give_device(pk, NewDevice::of(DeviceKind::Totp, "phone"));
        }
    }
    let client = client(&simulator, simulator.token());
    let (calls, last) = (AtomicUsize::new(0), AtomicUsize::new(0));
    let progress = |done, of| {
        calls.fetch_add(1, Ordering::Relaxed);
        last.fetch_max(done, Ordering::Relaxed);
        assert_eq!(of, PEOPLE);
    };
    let afters = [
        stage(&["totp"], "deny"),
        stage(&["webauthn"], "deny"),
        stage(&["totp"], "skip"),
    ];
    let stages = afters.each_ref().map(|after| changed(None, after));
    let reports = assess(&client, &stages, &progress).await;
    let reports = reports.expect("a report for each");
    let locked_out = |report: &Report| (report.people, report.locked_out);
    let locked_out: Vec<_> = reports.iter().map(locked_out).collect();
    assert_eq!(locked_out, [(5000, 3751), (5000, 5000), (5000, 0)]);
    assert_eq!((calls.into_inner(), last.into_inner()), (PEOPLE, PEOPLE));
    let mut requests: BTreeMap<_, _> = simulator
        .answered()
        .into_iter()
        .map(|((_, path), times)| (path, times))
        .collect();
    assert_eq!(
        requests.remove("/api/v3/authenticators/admin/all/"),
        Some(5000)
    );
    assert_eq!(requests.remove("/api/v3/core/users/"), Some(2 * 50));
    let rest: u64 = requests.values().sum();
    assert_eq!(rest, 2, "{requests:?}");
}
