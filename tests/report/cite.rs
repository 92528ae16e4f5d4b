//! What a run stands on is cited, each thing once.

use medfsad::report::cite;
use medfsad::results::read_run;

use super::made_up::{METHODS, run_of};
use crate::program::{cells, fails, succeeds};

#[test]
fn each_paper_is_cited_once_and_what_has_none_is_named() {
    let folder = tempfile::tempdir().expect("a folder");
    let run = run_of(folder.path(), &METHODS);
    // A variant has its method's paper; another program has none.
    for (suffix, name) in [("variant", "patchcore:small"), ("own", "imported:mine")] {
        let mut cell = cells(&run).into_iter().find(|cell| cell.cell.identity.method == "patchcore");
        let mut cell = cell.take().unwrap_or_else(|| panic!("no cell for {suffix}"));
        cell.cell.identity.method = name.to_owned();
        cell.cell.id = cell.cell.identity.id();
        cell.folder = run.join("cells").join(&cell.cell.id);
        cell.write().expect("the cell is written");
    }
    let read = |run| cite::of_run(&read_run(run).expect("a run"), &[]);
    let cited = read(&run);
    for key in ["@misc{d24fad,", "@misc{patchcore,", "@software{medfsad,"] {
        assert_eq!(cited.bibtex.matches(key).count(), 1, "{key} in {}", cited.bibtex);
    }
    assert!(!cited.bibtex.contains("@misc{metric-teacher,") && !cited.bibtex.contains("@misc{samil,"));
    let mut cell = cells(&run).into_iter().next().expect("a cell");
    cell.cell.provenance.teacher_recipe = Some("metric".to_owned());
    cell.write().expect("the cell is written");
    assert_eq!(read(&run).bibtex.matches("@misc{metric-teacher,").count(), 1);
    assert!(cited.without.contains(&"imported:mine".to_owned()), "{:?}", cited.without);
    let said = succeeds(folder.path(), &["cite", run.to_str().expect("UTF-8")]);
    assert!(
        said.contains("@software{medfsad,") && said.contains("no entry is known for imported:mine"),
        "{said}"
    );
    fails(folder.path(), &["cite", "nowhere"], &["nowhere"]);
}
