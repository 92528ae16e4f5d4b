//! Findings as names of folders, of which no two are alike.

use std::collections::{BTreeMap, BTreeSet};

use crate::files;
use crate::manifest::{Label, Row};

/// The folder of each finding of a task.
pub(super) struct Classes<'a>(BTreeMap<&'a str, String>);

impl<'a> Classes<'a> {
    /// Findings whose folders would be one, but for capital letters, get digits of their hash behind them.
    pub(super) fn named(findings: BTreeSet<&'a str>) -> Classes<'a> {
        let mut taken: BTreeMap<String, usize> = BTreeMap::new();
        for finding in &findings {
            *taken.entry(plain(finding).to_lowercase()).or_default() += 1;
        }
        let name = |finding: &'a str| {
            let name = plain(finding);
            let is_alone = taken[&name.to_lowercase()] == 1;
            let hash = &files::fingerprint(finding.as_bytes())[..8];
            (finding, if is_alone { name } else { format!("{name}-{hash}") })
        };
        Classes(findings.into_iter().map(name).collect())
    }

    /// `good` for a normal picture, else its finding's folder, also where the label is not opened.
    pub(super) fn name(&self, row: &Row) -> &str {
        match row.label {
            Label::Normal => "good",
            Label::Anomalous | Label::Unopened => &self.0[row.finding.as_str()],
        }
    }
}

/// Letters and digits of any script, `-`, and `_` for everything else.
fn plain(finding: &str) -> String {
    let plain = |c: char| if c.is_alphanumeric() || c == '-' { c } else { '_' };
    let name: String = finding.chars().map(plain).collect();
    // What `good` says must stay true, also for tools that look for it anywhere in a path.
    if name.to_lowercase().contains("good") || name.is_empty() { "anomalous".to_owned() } else { name }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn folders(findings: &[&'static str]) -> Vec<String> {
        let Classes(names) = Classes::named(findings.iter().copied().collect());
        findings.iter().map(|finding| names[finding].clone()).collect()
    }

    #[test]
    fn scripts_stay_readable_and_no_two_findings_share_a_folder() {
        assert_eq!(folders(&["Ödem", "肿瘤", "опухоль", "grade 3"]), ["Ödem", "肿瘤", "опухоль", "grade_3"]);
        let alike =
            ["grade 3", "grade_3", "Tumor", "tumor", "not good", "no good", "", "!", "?", "肿", "a/b"];
        let found = folders(&alike);
        let lower: BTreeSet<String> = found.iter().map(|name| name.to_lowercase()).collect();
        assert_eq!(lower.len(), alike.len(), "{found:?}");
        assert!(found.iter().all(|name| !name.contains(['/', '.']) && !name.contains("good")), "{found:?}");
        assert!(found[0].starts_with("grade_3-") && found[4].starts_with("anomalous-"), "{found:?}");
        // A folder depends on the finding and on those like it, on no other.
        assert_eq!(folders(&["Tumor", "tumor"]), found[2..4]);
    }
}
