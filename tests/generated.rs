//! What is generated from the code is what the code generates.

use std::{collections::BTreeMap, fs, path::Path, process::Command};

use authentik_stage_operator::kinds;

/// The files of a folder by their names.
fn files(folder: &Path) -> BTreeMap<String, String> {
    let entries = fs::read_dir(folder).expect("the folder can be read");
    let paths = entries.map(|entry| entry.expect("an entry").path());
    paths
        .map(|path| {
            let name = path.file_name().expect("a name").to_string_lossy();
            let text = fs::read_to_string(&path).expect("the file can be read");
            (name.into_owned(), text)
        })
        .collect()
}

#[test]
fn the_crds_are_those_of_the_code() {
    let generated = Path::new(env!("CARGO_TARGET_TMPDIR")).join("crds");
    // What an earlier run has left would hide a kind that is gone.
    let _ = fs::remove_dir_all(&generated);
    fs::create_dir_all(&generated).expect("the folder can be made");
    let done = Command::new(env!("CARGO_BIN_EXE_authentik-stage-operator"))
        .args(["crds", "--output-dir"])
        .arg(&generated)
        .status()
        .expect("the operator runs");
    assert!(done.success());
    let committed = files(&Path::new(env!("CARGO_MANIFEST_DIR")).join("crds"));
    let generated = files(&generated);
    let names = |files: &BTreeMap<String, String>| files.keys().cloned().collect::<Vec<_>>();
    assert_eq!(
        names(&committed),
        names(&generated),
        "crds/ lacks a file or has one too many; run `make generate` and delete what no kind has"
    );
    for (name, text) in generated {
        assert!(
            committed[&name] == text,
            "crds/{name} is out of date; run `make generate`"
        );
    }
}

#[test]
fn the_permissions_of_the_token_are_those_of_the_code() {
    let page = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/token.md");
    let page = fs::read_to_string(page).expect("the page can be read");
    for (which, known) in [
        (&[][..], "view_authenticatorvalidatestage"),
        (&["--optional"], "view_user"),
    ] {
        let done = Command::new(env!("CARGO_BIN_EXE_authentik-stage-operator"))
            .args(["permissions", "--explain"])
            .args(which)
            .output()
            .expect("the operator runs");
        let table = String::from_utf8(done.stdout).expect("it prints text");
        assert!(table.contains(known), "{table}");
        assert!(
            page.contains(&table),
            "docs/token.md has another table than `authentik-stage-operator permissions --explain` prints with {which:?}"
        );
    }
}

#[test]
fn former_names_of_permissions_are_printed_where_they_are_asked_for() {
    let printed = |args: &[&str]| {
        let mut program = Command::new(env!("CARGO_BIN_EXE_authentik-stage-operator"));
        let done = program.arg("permissions").args(args).output();
        let text = String::from_utf8(done.expect("the operator runs").stdout);
        let lines = text.expect("it prints text");
        lines.lines().map(str::to_owned).collect::<Vec<_>>()
    };
    let (now, also_then) = (printed(&[]), printed(&["--former-names"]));
    assert!(now.iter().all(|name| also_then.contains(name)));
    let then = also_then.iter().filter(|name| !now.contains(name));
    let then: Vec<_> = then.collect();
    assert_eq!(then.len(), 4, "{then:?}");
    let is_of_webauthn = |name: &&String| name.ends_with("_authenticatewebauthnstage");
    assert!(then.iter().all(is_of_webauthn), "{then:?}");
}

fn page(path: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(path);
    fs::read_to_string(path).expect("the page can be read")
}

#[test]
fn the_readme_has_every_kind() {
    let readme = page("README.md");
    let rows = readme.lines().filter(|line| line.starts_with("| `"));
    let rows: Vec<_> = rows
        .map(|row| row.split('|').map(str::trim).collect::<Vec<_>>())
        .map(|columns| (columns[1].to_owned(), columns[2].to_owned()))
        .collect();
    let crds = kinds::crds();
    assert_eq!(rows.len(), crds.len(), "{rows:?}");
    for crd in crds {
        let names = crd.spec.names;
        let short = names.short_names.expect("a short name").swap_remove(0);
        let row = (format!("`{}`", names.kind), format!("`{short}`"));
        assert!(rows.contains(&row), "README.md has no row of {row:?}");
    }
}

#[test]
fn the_page_about_installing_has_every_crd() {
    let page = page("docs/install.md");
    let (_, list) = page.split_once("Their CRDs").expect("there is a list");
    let (list, _) = list.split_once("\n\n").expect("it ends");
    let named: Vec<_> = list.split('`').skip(1).step_by(2).collect();
    let named: Vec<_> = named
        .into_iter()
        .filter(|name| !name.starts_with('.'))
        .collect();
    let crds = kinds::crds().into_iter();
    let mut plurals: Vec<_> = crds.map(|crd| crd.spec.names.plural).collect();
    let mut named: Vec<_> = named.into_iter().map(str::to_owned).collect();
    plurals.sort_unstable();
    named.sort_unstable();
    assert_eq!(named, plurals);
}
