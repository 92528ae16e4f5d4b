//! How the cost of a bench grows with support draws, methods and test pictures.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Instant;

use anyhow::{Context, Result, bail, ensure};
use medfsad::files;
use plotters::prelude::*;

use super::watch;

/// Side of the pictures.
const SIDE: usize = 128;
/// One of the phantom's tasks.
const TASK: &str = "his";
/// What is tried with several numbers of draws.
const METHODS: [&str; 6] = ["dn2", "patchcore", "spade", "padim", "subspacead", "d24fad"];
const DRAWS: [usize; 4] = [1, 3, 10, 30];
/// Test pictures of the phantom, and of larger ones.
const PICTURES: usize = 64;
const MORE: [usize; 3] = [100, 400, 1600];

const SPEC: &str = include_str!("../../manifests/phantom.toml");

const HEADER: &str = "what,method,draws,test_pictures,seconds,busy_seconds,peak_mib\n";

/// One bench.
#[derive(Clone, PartialEq)]
struct Wanted {
    what: String,
    method: String,
    draws: usize,
    pictures: usize,
}

/// What is measured, in order.
fn wanted() -> Vec<Wanted> {
    let one = |what: &str, method: &str, draws, pictures| Wanted {
        what: what.to_owned(),
        method: method.to_owned(),
        draws,
        pictures,
    };
    let over_draws =
        METHODS.into_iter().flat_map(|method| DRAWS.map(|draws| one("draws", method, draws, PICTURES)));
    let over_methods = [1, 2, 4, METHODS.len()].map(|n| one("methods", &METHODS[..n].join("+"), 3, PICTURES));
    let over_pictures = MORE.map(|pictures| one("test pictures", "patchcore", 3, pictures));
    over_draws.chain(over_methods).chain(over_pictures).collect()
}

struct Measured {
    wanted: Wanted,
    /// Elapsed, and those in which it kept processors busy, which whatever runs beside changes less.
    seconds: f64,
    busy: f64,
    mib: f64,
}

impl Measured {
    fn line(&self) -> String {
        let Measured { wanted: Wanted { what, method, draws, pictures }, seconds, busy, mib } = self;
        format!("{what},{method},{draws},{pictures},{seconds:.2},{busy:.2},{mib:.0}\n")
    }

    fn read(line: &str) -> Result<Measured> {
        let fields: Vec<&str> = line.split(',').collect();
        let [what, method, draws, pictures, seconds, busy, mib] = fields[..] else {
            bail!("{} fields and not seven", fields.len())
        };
        let (what, method) = (what.to_owned(), method.to_owned());
        let wanted = Wanted { what, method, draws: draws.parse()?, pictures: pictures.parse()? };
        Ok(Measured { wanted, seconds: seconds.parse()?, busy: busy.parse()?, mib: mib.parse()? })
    }
}

/// What is measured, and the file that grows with it.
struct Rows {
    all: Vec<Measured>,
    file: PathBuf,
}

impl Rows {
    /// With what an earlier run in `folder` measured, which must have been of the same program.
    fn of(program: &Path, folder: &Path) -> Result<Rows> {
        let (file, mark) = (folder.join("growth.csv"), folder.join("program.txt"));
        let hash = files::fingerprint_file(program)?;
        if !file.exists() {
            files::write_whole(&mark, hash.as_bytes())?;
            return Ok(Rows { all: Vec::new(), file });
        }
        ensure!(
            fs::read_to_string(&mark).is_ok_and(|known| known == hash),
            "{}: measured with another program; name another folder, or delete the file",
            file.display()
        );
        let read = |line: &str| {
            let place = || format!("{}: {line}: delete the file to measure anew", file.display());
            Measured::read(line).with_context(place)
        };
        let all = fs::read_to_string(&file)?.lines().skip(1).map(read).collect::<Result<_>>()?;
        Ok(Rows { all, file })
    }

    fn have(&self, wanted: &Wanted) -> bool {
        self.all.iter().any(|one| one.wanted == *wanted)
    }

    fn note(&mut self, one: Measured) -> Result<()> {
        print!("{}", one.line());
        self.all.push(one);
        let lines: String = self.all.iter().map(Measured::line).collect();
        files::write_whole(&self.file, (HEADER.to_owned() + &lines).as_bytes())
    }
}

/// Runs every bench in `folder` with a random wide_resnet50_2, and writes `growth.csv` and `growth.svg` there. What
/// `growth.csv` has already is not measured again.
pub(super) fn measure(program: &Path, folder: &Path) -> Result<()> {
    fs::create_dir_all(folder)?;
    let folder = folder.canonicalize()?;
    let mut rows = Rows::of(program, &folder)?;
    let mut bench: Option<Bench> = None;
    for wanted in wanted().into_iter().filter(|one| !rows.have(one)).collect::<Vec<_>>() {
        let prepared = match bench.take().filter(|bench| bench.pictures == wanted.pictures) {
            Some(bench) => bench,
            None => {
                let bench = Bench::new(program, &folder, wanted.pictures)?;
                // The first run of all reads the network from disk.
                bench.run("dn2", 1)?;
                bench
            }
        };
        rows.note(bench.insert(prepared).measured(&wanted)?)?;
    }
    draw(&rows.all, &folder.join("growth.svg"))
}

/// A curated phantom.
struct Bench<'a> {
    program: &'a Path,
    folder: PathBuf,
    pictures: usize,
}

impl Bench<'_> {
    fn new<'a>(program: &'a Path, folder: &Path, pictures: usize) -> Result<Bench<'a>> {
        let bench = Bench { program, folder: folder.join(format!("pictures-{pictures}")), pictures };
        fs::create_dir_all(&bench.folder)?;
        let half = pictures / 2;
        let spec = SPEC.replace("sizes = [64]", &format!("sizes = [{SIDE}]"));
        // The first task is the one that is scored.
        let spec = spec.replacen("test_normal = 32", &format!("test_normal = {half}"), 1);
        let spec = spec.replacen("\ncount = 32", &format!("\ncount = {half}"), 1);
        fs::write(bench.folder.join("growth-spec.toml"), spec)?;
        let (raw, scale) =
            if pictures == PICTURES { ("../raw-quick", "quick") } else { ("../raw-full", "full") };
        bench.say(&["phantom", "--out", raw, "--scale", scale])?;
        bench.say(&["build-dataset", "--spec", "growth-spec.toml", "--raw", raw, "--out", "curated"])?;
        Ok(bench)
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(self.program);
        command.args(arguments).current_dir(&self.folder).env("MEDFSAD_CACHE", self.folder.join("../cache"));
        command
    }

    fn say(&self, arguments: &[&str]) -> Result<()> {
        let output = self.command(arguments).output().context("starting the program")?;
        let said = String::from_utf8_lossy(&output.stderr);
        ensure!(output.status.success(), "{arguments:?}: {said}");
        Ok(())
    }

    /// Seconds elapsed and busy, and the most MiB of memory.
    fn run(&self, methods: &str, draws: usize) -> Result<[f64; 3]> {
        let methods: Vec<&str> = methods.split('+').collect();
        let settings =
            METHODS.map(|method| format!("[settings.{method}]\nbackbone = 'wide_resnet50_2'\n")).concat();
        let settings = settings.replace("[settings.d24fad]\n", "[settings.d24fad]\nepochs = 1\nbatch = 4\n");
        let definition = format!(
            "name = 'growth'\nspec = 'phantom'\nsize = {SIDE}\nmethods = {methods:?}\nshots = [4]\ndraws = {draws}\n\
             seeds = [1]\nepisode_seed = 1\nteacher_seed = 1\n{settings}"
        );
        fs::write(self.folder.join("growth.toml"), definition)?;
        let out = self.folder.join("run");
        if out.exists() {
            fs::remove_dir_all(&out)?;
        }
        let mut command = self.command(&[
            "bench",
            "--bench",
            "growth.toml",
            "--manifest",
            "curated",
            "--task",
            TASK,
            "--device",
            "cpu",
            "--teacher",
            "random",
            "--threads",
            "1",
            "--out",
            "run",
        ]);
        let started = Instant::now();
        let mut child =
            command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().context("starting the program")?;
        let (status, mib, busy) = watch::cost(&mut child)?;
        ensure!(status.success(), "a bench of {methods:?} ended with {status}");
        Ok([started.elapsed().as_secs_f64(), busy, mib])
    }

    fn measured(&self, wanted: &Wanted) -> Result<Measured> {
        let [seconds, busy, mib] = self.run(&wanted.method, wanted.draws)?;
        Ok(Measured { wanted: wanted.clone(), seconds, busy, mib })
    }
}

/// Busy seconds over those of one draw, method by method.
fn draw(all: &[Measured], path: &Path) -> Result<()> {
    let area = SVGBackend::new(path, (720, 360)).into_drawing_area();
    area.fill(&WHITE)?;
    let of = |method: &str| -> Vec<(f64, f64)> {
        let points: Vec<&Measured> =
            all.iter().filter(|one| one.wanted.what == "draws" && one.wanted.method == method).collect();
        let first = points.first().map_or(1.0, |one| one.busy);
        points.iter().map(|one| (one.wanted.draws as f64, one.busy / first)).collect()
    };
    let most = METHODS.iter().flat_map(|method| of(method)).map(|(_, times)| times).fold(2.0, f64::max);
    let mut chart = ChartBuilder::on(&area)
        .margin(12)
        .x_label_area_size(36)
        .y_label_area_size(56)
        .build_cartesian_2d(0.0..31.0, 0.0..1.1 * most)?;
    chart
        .configure_mesh()
        .x_desc("support draws")
        .y_desc("processor seconds over those of one draw")
        .light_line_style(TRANSPARENT)
        .x_label_formatter(&|draws| format!("{draws:.0}"))
        .y_label_formatter(&|times| format!("{times:.0}"))
        .draw()?;
    for (index, method) in METHODS.iter().enumerate() {
        let colour = Palette99::pick(index).to_rgba();
        let series = chart.draw_series(LineSeries::new(of(method), colour.stroke_width(2)))?;
        series
            .label(*method)
            .legend(move |(x, y)| PathElement::new([(x, y), (x + 16, y)], colour.stroke_width(2)));
    }
    chart
        .configure_series_labels()
        .position(SeriesLabelPosition::UpperLeft)
        .background_style(WHITE)
        .border_style(BLACK.mix(0.3))
        .draw()?;
    area.present()?;
    Ok(())
}
