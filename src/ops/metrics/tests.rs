//! What is counted, as it is shown.

use super::*;

#[test]
fn what_is_counted_is_shown() {
    let metrics = Metrics::default();
    metrics.reconciled("DuoStage", "InSync", Duration::from_millis(3));
    metrics.asked(&Asked {
        connection: "login/default",
        method: "PATCH",
        path: "stages/authenticator/duo/{uuid}",
        status: Some(200),
        elapsed: Duration::from_millis(110),
    });
    let count = Gauges {
        resources: vec![
            ("DuoStage", "InSync".to_owned()),
            ("DuoStage", "InSync".to_owned()),
        ],
        leads: true,
        ..Gauges::default()
    };
    let text = metrics.text(count);
    for line in [
        r#"authentik_operator_reconciles_total{kind="DuoStage",result="InSync"} 1"#,
        r#"authentik_operator_authentik_requests_total{connection="login/default",method="PATCH",path="stages/authenticator/duo/{uuid}",status="200"} 1"#,
        r#"authentik_operator_resources{kind="DuoStage",reason="InSync"} 2"#,
        "authentik_operator_leader 1",
    ] {
        assert!(text.contains(line), "{line} is not in\n{text}");
    }
    assert!(
        !metrics.text(Gauges::default()).contains("resources{"),
        "what is gone is not shown"
    );
    metrics.forget_connection("login/default");
    assert!(!metrics.text(Gauges::default()).contains("login/default"));
}
