//! The card of a curated benchmark: what it holds, whose it is, on which terms, how to build it again.

use std::fmt::Write as _;

use crate::manifest::{Header, Selection};
use crate::spec::{Card, SHIPPED, Spec, Task};

/// What a source's card says, in the order in which it is read.
pub fn lines(card: &Card) -> [(&'static str, &str); 6] {
    [
        ("owner", &card.owner),
        ("citation", &card.citation),
        ("licence", &card.licence),
        ("access", &card.access),
        ("how to get it", &card.how_to_get),
        ("what may not be done", &card.restrictions),
    ]
}

/// The card as Markdown, for a file beside the manifest.
pub fn markdown(spec: &Spec, header: &Header, selection: &[Selection]) -> String {
    let mut text = format!("# {}\n\n", header.title);
    let _ = writeln!(
        text,
        "{} pictures, {} files left out (`rejected.parquet` says why). Manifest `{}`, spec `{}` version {}, \
         medfsad {}.\n\nPixels in `pixels/` belong to the owners below: share an id list or an export, never pictures, unless \
         their terms allow it. The parquet files and `parts/` hold paths of the owners' files, which may name people.\n",
        header.n_rows,
        header.n_rejected,
        header.canonical_hash,
        header.spec,
        header.spec_version,
        header.medfsad
    );
    text += "## Pictures\n\n| task | part | asked for | available | taken |\n| --- | --- | ---: | ---: | ---: |\n";
    for row in selection {
        let expected = row.expected.map_or_else(|| "all".to_owned(), |n| n.to_string());
        let _ = writeln!(
            text,
            "| {} | {} | {expected} | {} | {} |",
            row.task, row.part, row.available, row.found
        );
    }
    text += "\n## Sources\n";
    for task in spec.tasks.iter().filter(|task| selection.iter().any(|row| row.task == task.name)) {
        text += &source(task);
    }
    // A user's own spec lies beside this text; a shipped one has its name.
    let is_shipped = SHIPPED.iter().any(|(name, _)| *name == spec.name);
    let again = if is_shipped { spec.name.as_str() } else { "spec.toml" };
    let _ = write!(
        text,
        "\n## Sides\n\nDrawn from seed {} by each file's path, so that no other file changes a draw. Pictures of one \
         patient, where patients are known, and copies of equal bytes or pixels stand on one side, unless a published \
         division is repeated to the letter.\n\n## Again\n\n```sh\ncargo xtask build-dataset --spec {again} --raw DIR\n\
         cargo xtask audit FOLDER\n```\n\nThe same files give the same manifest hash on any machine.\n",
        spec.seed
    );
    text
}

/// One source's section.
pub fn source(task: &Task) -> String {
    let mut text = format!(
        "\n### {}\n\n{}, {}; the anomaly is {}. Read from `{}/`.\n\n",
        task.name, task.organ, task.modality, task.anomaly, task.folder
    );
    for (what, value) in lines(&task.card) {
        let _ = writeln!(text, "- {what}: {}", if value.is_empty() { "not stated" } else { value });
    }
    if !task.basis.is_empty() {
        let _ = writeln!(text, "- counts: {}", task.basis);
    }
    text
}
