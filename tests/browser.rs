//! Pages as a browser shows them, where Chromium is installed.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::LazyLock;

use serde_json::Value;
use sha2::{Digest, Sha256};

use crate::shared::leave_out;

/// Names under which Chromium is installed.
const BROWSERS: [&str; 4] = ["chromium", "chromium-browser", "google-chrome", "google-chrome-stable"];

/// The accessibility checks that browsers' own tools use (MPL-2.0); npm brings them, and this is their hash.
const AXE: &str = "axe-core@4.14.1";
const AXE_SHA256: &str = "29348999450cdf2849a8e70b7912fc2da85a849da39c0d0d5394f51d4a9ed95c";

/// Runs them and writes what they found into the page.
const RUN_AXE: &str = r#"addEventListener("load", async () => {
  for (const part of document.querySelectorAll("details")) part.open = true;
  const found = await axe.run(document, { resultTypes: ["violations"] });
  const said = document.createElement("pre");
  said.id = "measured";
  said.textContent = JSON.stringify(found.violations.map(one => one.id + ": " + one.help + ": " + one.nodes[0].html));
  document.body.append(said);
})"#;

/// One that opens a page of ours: a name may be that of a stub, and some may not read where tests write.
pub fn browser() -> Option<PathBuf> {
    let path = std::env::var_os("PATH")?;
    let folders: Vec<PathBuf> = std::env::split_paths(&path).collect();
    BROWSERS
        .iter()
        .flat_map(|name| folders.iter().map(move |folder| folder.join(name)))
        .find(|path| path.is_file() && opens_pages(path))
}

fn opens_pages(browser: &Path) -> bool {
    let folder = tempfile::tempdir().expect("a folder");
    let page = folder.path().join("probe.html");
    std::fs::write(&page, "<p>it opens</p>").expect("a page");
    dom(browser, &page, 800, &[]).is_ok_and(|dom| dom.contains("it opens"))
}

/// The page as the browser has it, or what the browser said instead.
pub fn dom(browser: &Path, page: &Path, width: u32, more: &[&str]) -> Result<String, String> {
    let profile = tempfile::tempdir().expect("a folder");
    let mut command = Command::new(browser);
    command.args([
        "--headless",
        "--no-sandbox",
        "--disable-gpu",
        "--hide-scrollbars",
        "--virtual-time-budget=20000",
        "--timeout=60000",
    ]);
    command.arg(format!("--user-data-dir={}", profile.path().display())).args(more);
    command
        .arg(format!("--window-size={width},900"))
        .arg("--dump-dom")
        .arg(format!("file://{}", page.display()));
    let output = command.output().map_err(|error| error.to_string())?;
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    if output.status.success() { Ok(text(&output.stdout)) } else { Err(text(&output.stderr)) }
}

/// What a script that was put into the page wrote there, as JSON in an element called `measured`.
pub fn measured(browser: &Path, page: &Path, width: u32, more: &[&str]) -> Value {
    let dom = dom(browser, page, width, more).expect("a browser runs");
    let said =
        dom.rsplit_once("id=\"measured\">").map(|(_, rest)| rest.split("</pre>").next().unwrap_or_default());
    let said = said.unwrap_or_else(|| panic!("nothing measured: {dom}"));
    let plain = said.replace("&lt;", "<").replace("&gt;", ">").replace("&amp;", "&");
    serde_json::from_str(&plain).expect("what was measured")
}

/// A copy of a page beside it, with scripts at its end.
pub fn with_scripts(page: &Path, scripts: &[&str]) -> PathBuf {
    let html = std::fs::read_to_string(page).expect("a page");
    // Pages forbid scripts that are not theirs.
    let html = html.replace("http-equiv=\"Content-Security-Policy\"", "name=\"was-policy\"");
    let scripts: String = scripts.iter().map(|script| format!("<script>{script}</script>")).collect();
    let (before, after) = html.rsplit_once("</body>").expect("a whole page");
    let copy = page.with_extension("tried.html");
    std::fs::write(&copy, format!("{before}{scripts}</body>{after}")).expect("a copy");
    copy
}

/// The checks' source, fetched once; `None` without npm or a network.
fn axe() -> Option<&'static str> {
    static SOURCE: LazyLock<Option<String>> = LazyLock::new(|| {
        let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("axe");
        let file = folder.join("axe.min.js");
        if !file.exists() {
            std::fs::create_dir_all(&folder).expect("a folder");
            let run = |program: &str, args: &[&str]| {
                let output = Command::new(program).args(args).current_dir(&folder).output().ok()?;
                output.status.success().then_some(output.stdout)
            };
            run("npm", &["pack", AXE, "--silent"])?;
            let source = run("tar", &["-xzOf", "axe-core-4.14.1.tgz", "package/axe.min.js"])?;
            std::fs::write(&file, source).expect("a file");
        }
        let source = std::fs::read_to_string(&file).expect("a text");
        let hash: String = Sha256::digest(&source).iter().map(|byte| format!("{byte:02x}")).collect();
        assert_eq!(hash, AXE_SHA256, "{} is not {AXE}; delete it", file.display());
        Some(source)
    });
    SOURCE.as_deref()
}

/// Holds a page to the accessibility checks, by day and by night, all parts unfolded.
///
/// # Panics
/// Where one finds anything.
#[track_caller]
pub fn is_accessible(page: &Path) {
    let Some(browser) = browser() else { return leave_out("Chromium") };
    let Some(axe) = axe() else { return leave_out("axe-core, which npm brings") };
    let copy = with_scripts(page, &[axe, RUN_AXE]);
    for more in [&[][..], &["--blink-settings=preferredColorScheme=0"]] {
        let found = measured(&browser, &copy, 1400, more);
        assert_eq!(found.as_array().map(Vec::len), Some(0), "{}: {found}", page.display());
    }
    std::fs::remove_file(copy).expect("the copy goes");
}
