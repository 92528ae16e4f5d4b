//! The table for a paper, as LaTeX sets it.

use std::process::Command;

use super::out;
use crate::shared::leave_out;

#[test]
fn the_table_fits_a_column_of_an_article() {
    if Command::new("pdflatex").arg("--version").output().is_err() {
        return leave_out("pdflatex");
    }
    let folder = tempfile::tempdir().expect("a folder");
    std::fs::copy(out().join("leaderboard.tex"), folder.path().join("table.tex")).expect("a copy");
    for (name, options) in [("one", ""), ("two", "twocolumn")] {
        let paper = format!(
            "\\documentclass[{options}]{{article}}\\usepackage{{booktabs,adjustbox}}\\begin{{document}}\\input{{table}}\
             See Table~\\ref{{tab:medfsad}}.\\end{{document}}\n"
        );
        std::fs::write(folder.path().join(format!("{name}.tex")), paper).expect("a paper");
        let mut command = Command::new("pdflatex");
        command.args(["-interaction=nonstopmode", "-halt-on-error"]).arg(name).current_dir(folder.path());
        let output = command.output().expect("pdflatex runs");
        let said = String::from_utf8_lossy(&output.stdout);
        if said.contains(".sty' not found") {
            return leave_out("a LaTeX package of the table: booktabs or adjustbox");
        }
        assert!(output.status.success(), "{said}");
        assert!(!said.contains("Overfull"), "{options}: {said}");
    }
    // A page takes the table as it is, without shrinking.
    let table = std::fs::read_to_string(out().join("leaderboard.tex")).expect("a table");
    let natural =
        table.replace("\\begin{adjustbox}{max width=\\linewidth}", "").replace("\\end{adjustbox}", "");
    std::fs::write(folder.path().join("table.tex"), natural).expect("a table");
    let output = Command::new("pdflatex")
        .args(["-interaction=nonstopmode", "-halt-on-error", "one"])
        .current_dir(folder.path())
        .output()
        .expect("pdflatex runs");
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success() && !said.contains("Overfull"), "{said}");
}
