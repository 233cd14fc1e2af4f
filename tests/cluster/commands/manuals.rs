//! Help, manual pages and completions.

use std::path::Path;

use tokio::process::Command;

use super::{bare, folder, run};
use crate::harness::test;

/// The commands that help lists.
fn commands(help: &str) -> Vec<String> {
    let after = help.lines().skip_while(|line| *line != "Commands:").skip(1);
    let lines = after.take_while(|line| !line.is_empty());
    // What a line goes on with is further to the right.
    let names = lines.filter_map(|line| line.strip_prefix("  "));
    let names = names.filter(|line| !line.starts_with(' '));
    let names = names.filter_map(|line| line.split_whitespace().next());
    names
        .filter(|name| *name != "help")
        .map(str::to_owned)
        .collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn help_has_an_example_for_each_command() {
    test(async |test| {
        let said = run(test, bare(&["--help"]), "").await.ends(0);
        let all = commands(&said.out);
        for known in ["run", "diff", "check", "status", "man"] {
            assert!(all.iter().any(|name| name == known), "{known}: {all:?}");
        }
        for name in all {
            let said = run(test, bare(&[&name, "--help"]), "").await.ends(0);
            let (_, examples) = said.out.split_once("Examples:\n").unwrap_or_default();
            let call = format!("authentik-stage-operator {name}");
            assert!(examples.contains(&call), "{name}: {said:?}");
        }
    })
    .await;
}

/// kubectl calls a plugin by its name.
#[tokio::test(flavor = "multi_thread")]
async fn as_a_plugin_of_kubectl_it_says_so() {
    test(async |test| {
        let plugin = folder(test).join("kubectl-authentik");
        let _ = std::fs::remove_file(&plugin);
        let program = env!("CARGO_BIN_EXE_authentik-stage-operator");
        std::os::unix::fs::symlink(program, &plugin).unwrap();
        let say = async |args: &[&str]| {
            let mut command = tokio::process::Command::new(&plugin);
            command.args(args).env_clear();
            run(test, command, "").await
        };
        let said = say(&["--help"]).await.ends(0);
        assert!(
            said.out.contains("Usage: kubectl authentik <COMMAND>"),
            "{said:?}"
        );
        let said = say(&["check", "--help"]).await.ends(0);
        assert!(
            said.out.contains("Usage: kubectl authentik check"),
            "{said:?}"
        );
        assert!(
            said.out.contains("kubectl authentik check --url"),
            "{said:?}"
        );
        assert!(!said.out.contains("authentik-stage-operator"), "{said:?}");
        let said = say(&["completions", "bash"]).await.ends(0);
        assert!(said.out.contains("kubectl-authentik"), "{said:?}");
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn completions_and_pages_know_every_command() {
    test(async |test| {
        let help = run(test, bare(&["--help"]), "").await.ends(0);
        let all = commands(&help.out);
        for shell in ["bash", "zsh", "fish", "elvish", "powershell"] {
            let said = run(test, bare(&["completions", shell]), "").await.ends(0);
            let missing = all.iter().find(|name| !said.out.contains(*name));
            assert_eq!(missing, None, "{shell}");
        }
        let pages = folder(test).join("man");
        let args = ["man", "--output-dir", pages.to_str().unwrap()];
        run(test, bare(&args), "").await.ends(0);
        for name in all {
            let page = pages.join(format!("authentik-stage-operator-{name}.1"));
            let text = std::fs::read_to_string(&page).expect("a page");
            assert!(text.contains("Examples:"), "{name}");
        }
        let said = run(test, bare(&["man", "--output-dir", "/dev/null/no"]), "").await;
        let said = said.ends(1);
        assert!(
            said.err.contains("/dev/null/no can't be written"),
            "{said:?}"
        );
    })
    .await;
}

/// What bash offers after `authentik-stage-operator sta`, under either name, with the script of the image.
const COMPLETE: &str = r#"
    source "$1/$2"
    read -ra how <<<"$(complete -p "$2")"
    while [ "${how[0]}" != -F ]; do how=("${how[@]:1}"); done
    COMP_WORDS=("$2" sta) COMP_CWORD=1
    "${how[1]}" "$2" sta "$2"
    echo "${COMPREPLY[*]}"
"#;

#[tokio::test(flavor = "multi_thread")]
async fn the_image_has_pages_and_completions_under_both_names() {
    test(async |test| {
        let files = folder(test).join("image");
        let mut write = Command::new(concat!(env!("CARGO_MANIFEST_DIR"), "/dev/image/manuals"));
        write
            .arg(env!("CARGO_BIN_EXE_authentik-stage-operator"))
            .arg(&files);
        run(test, write, "").await.ends(0);
        let share = files.join("usr/share");
        for name in ["authentik-stage-operator", "kubectl-authentik"] {
            for file in [
                format!("man/man1/{name}.1"),
                format!("man/man1/{name}-status.1"),
                format!("zsh/site-functions/_{name}"),
                format!("fish/vendor_completions.d/{name}.fish"),
            ] {
                let text = std::fs::read_to_string(share.join(&file));
                let text = text.unwrap_or_else(|error| panic!("{file}: {error}"));
                assert!(text.contains("status"), "{file}: {text}");
            }
            let mut bash = Command::new("bash");
            let scripts: &Path = &share.join("bash-completion/completions");
            bash.args(["-c", COMPLETE, "bash"]).arg(scripts).arg(name);
            assert_eq!(run(test, bash, "").await.ends(0).out, "status\n");
        }
    })
    .await;
}
