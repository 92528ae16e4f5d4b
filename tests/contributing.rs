//! The worked diffs of `CONTRIBUTING.md` fit the code: what they leave or take away is there.

use std::path::Path;

/// A file's name and the lines of one hunk that stand in it before the change.
struct Hunk {
    file: String,
    before: Vec<String>,
}

/// All hunks of all diffs; of new files there is nothing to look up.
fn hunks(text: &str) -> Vec<Hunk> {
    let mut hunks: Vec<Hunk> = Vec::new();
    let (mut is_diff, mut file) = (false, None);
    for line in text.lines() {
        match line {
            "```diff" => is_diff = true,
            "```" => is_diff = false,
            _ if !is_diff => {}
            "--- /dev/null" => file = None,
            _ if line.starts_with("--- a/") => file = line.strip_prefix("--- a/").map(str::to_owned),
            _ if line.starts_with("+++ ") => {}
            _ => {
                let Some(file) = &file else { continue };
                if line.starts_with("@@") {
                    hunks.push(Hunk { file: file.clone(), before: Vec::new() });
                } else if let Some(kept) = line.strip_prefix([' ', '-']) {
                    hunks.last_mut().expect("a hunk begins with @@").before.push(kept.to_owned());
                }
            }
        }
    }
    hunks
}

/// Whether the lines stand in `text` one after the other.
fn holds(text: &str, lines: &[String]) -> bool {
    let all: Vec<&str> = text.lines().collect();
    lines.is_empty() || all.windows(lines.len()).any(|window| window == lines)
}

#[test]
fn worked_diffs_fit_the_code() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let hunks = hunks(include_str!("../CONTRIBUTING.md"));
    assert!(hunks.len() >= 5, "only {} hunks", hunks.len());
    for Hunk { file, before } in hunks {
        let text = std::fs::read_to_string(root.join(&file))
            .unwrap_or_else(|error| panic!("CONTRIBUTING.md changes {file}: {error}"));
        let lines = before.join("\n");
        assert!(
            holds(&text, &before),
            "{file} has no such lines; adapt the diff in CONTRIBUTING.md:\n{lines}"
        );
    }
}

#[test]
fn a_line_that_is_gone_is_noticed() {
    let text = "```diff\n--- a/x.rs\n+++ b/x.rs\n@@ list @@\n a\n-b\n+c\n```\n";
    let hunks = hunks(text);
    assert_eq!((hunks.len(), hunks[0].file.as_str()), (1, "x.rs"));
    assert!(holds("a\nb\n", &hunks[0].before));
    assert!(!holds("a\nx\nb\n", &hunks[0].before));
}
