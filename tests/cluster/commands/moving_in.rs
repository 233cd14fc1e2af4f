//! From a clicked-together authentik to manifests: what was exported differs in nothing, and applying it writes nothing.

use super::{command, folder, run};
use crate::{export::make, fields::probe::kinds, harness::Test, on_every_version};

on_every_version!(what_was_exported_differs_in_nothing_and_applying_it_writes_nothing);

async fn what_was_exported_differs_in_nothing_and_applying_it_writes_nothing(test: &Test) {
    // On a real server others change what is there.
    if test.is_real() {
        return;
    }
    let flow = test.flow("login").await;
    for (known, order) in kinds(test).await.0.iter().zip(7..) {
        make(test, known, &flow, order).await;
    }
    test.gateway.clear();
    let folder = folder(test);
    let path = folder.to_str().expect("a path of text");
    let export = ["export", "--all", "--flows", "--output-dir", path];
    run(test, command(test, &export), "").await.ends(0);
    let said = run(test, command(test, &["diff", "-f", path]), "")
        .await
        .ends(0);
    assert!(!said.out.contains('→'), "{said:?}");
    run(test, command(test, &["apply", "-f", path, "--yes"]), "")
        .await
        .ends(0);
    assert_eq!(test.writes().len(), 0);
}
