//! The words that methods with a text tower ask with: states, templates, and what a task shows. They are data
//! (`benchmarks/prompts`), built in, and a user's own file can take their place.

use std::collections::BTreeMap;
use std::path::Path;

use anyhow::{Context as _, Result, ensure};
use serde::Deserialize;

use crate::files;
use crate::ids::TaskName;

/// What stands for a name or phrase in a template.
const PLACE: &str = "{}";

/// Words as the program has them: the file's name below `benchmarks/prompts`, and its text.
#[derive(Clone, Copy)]
pub struct BuiltIn {
    /// Without the folder.
    pub file: &'static str,
    /// All of it.
    pub text: &'static str,
}

/// The words of one method.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Prompts {
    /// Whose words they are.
    pub source: String,
    /// Under which licence they are published.
    pub licence: String,
    /// Phrases of a normal picture; where there are templates, each with a place for what is shown.
    pub normal: Vec<String>,
    /// Phrases of an anomalous picture, likewise.
    pub anomalous: Vec<String>,
    /// Sentences with a place for a phrase; none where phrases stand alone.
    #[serde(default)]
    pub templates: Vec<String>,
    /// What each task shows.
    #[serde(default)]
    pub class_names: BTreeMap<String, String>,
    /// The file, for errors.
    #[serde(skip)]
    file: String,
}

impl Prompts {
    /// The words of a user's file, else those that are built in; and how a row of results calls a user's file: its name
    /// and SHA-256.
    ///
    /// # Errors
    /// A file that cannot be read, lacks a list or a place, or has unknown keys.
    pub fn read(given: Option<&str>, built_in: BuiltIn) -> Result<(Prompts, Option<String>)> {
        let Some(given) = given else {
            let file = format!("benchmarks/prompts/{}", built_in.file);
            return Ok((Prompts::parse(built_in.text, &file)?, None));
        };
        let path = Path::new(given);
        let bytes = files::read(path).context("prompts")?;
        let text = std::str::from_utf8(&bytes).with_context(|| format!("{given} is not UTF-8"))?;
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        let identity = format!("{name} (sha256 {})", files::sha256(&bytes));
        Ok((Prompts::parse(text, given)?, Some(identity)))
    }

    fn parse(text: &str, file: &str) -> Result<Prompts> {
        let prompts: Prompts = toml::from_str(text).with_context(|| format!("reading {file}"))?;
        for (name, phrases) in [("normal", &prompts.normal), ("anomalous", &prompts.anomalous)] {
            ensure!(!phrases.is_empty(), "{file}: `{name}` lists nothing");
            let places = usize::from(!prompts.templates.is_empty());
            prompts.check(name, phrases, places, file)?;
        }
        prompts.check("templates", &prompts.templates, 1, file)?;
        Ok(Prompts { file: file.to_owned(), ..prompts })
    }

    fn check(&self, name: &str, phrases: &[String], places: usize, file: &str) -> Result<()> {
        let wrong = phrases.iter().find(|phrase| phrase.matches(PLACE).count() != places);
        let wanted =
            if places == 1 { "must hold `{}` once" } else { "must not hold `{}`, as there are no templates" };
        ensure!(wrong.is_none(), "{file}: `{}` of `{name}` {wanted}", wrong.map_or("", |phrase| phrase));
        Ok(())
    }

    /// What a task shows: `given`, else by the task's name.
    ///
    /// # Errors
    /// A task that has no name; says where to give one.
    pub fn class_name<'a>(&'a self, given: Option<&'a str>, task: &TaskName) -> Result<&'a str> {
        let found = given.or_else(|| self.class_names.get(task.as_str()).map(String::as_str));
        found.with_context(|| {
            format!(
                "{} has no word for what `{task}` shows: set `class_name = \"knee X-ray\"` (inctrl and mvfa: `class_names = {{ {task} = \"knee X-ray\" }}`); or copy the \
                 file, add a line `{task} = \"...\"` below [class_names] and set `prompts` to the copy",
                self.file
            )
        })
    }

    /// Sentences of what is shown in a normal, then in an anomalous state: states outer, templates inner.
    pub fn sentences(&self, class_name: &str) -> [Vec<String>; 2] {
        [&self.normal, &self.anomalous].map(|states| {
            let phrases = states.iter().map(|state| state.replacen(PLACE, class_name, 1));
            let of_phrase = |phrase: String| -> Vec<String> {
                self.templates.iter().map(|template| template.replacen(PLACE, &phrase, 1)).collect()
            };
            phrases.flat_map(of_phrase).collect()
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SMALL: &str = "source = 's'\nlicence = 'l'\nnormal = ['{}', 'whole {}']\nanomalous = ['{} with flaw']\n\
                         templates = ['a {}.', 'the {}.']\n[class_names]\nknee = 'knee X-ray'\n";

    #[test]
    fn sentences_go_state_by_state() {
        let prompts = Prompts::parse(SMALL, "small.toml").unwrap();
        let [normal, anomalous] = prompts.sentences("knee");
        assert_eq!(normal, ["a knee.", "the knee.", "a whole knee.", "the whole knee."]);
        assert_eq!(anomalous, ["a knee with flaw.", "the knee with flaw."]);
    }

    #[test]
    fn a_task_without_a_word_is_told_where_to_give_one() {
        let prompts = Prompts::parse(SMALL, "small.toml").unwrap();
        let of = |given, task: &str| {
            prompts.class_name(given, &TaskName::new(task)).map_err(|error| error.to_string())
        };
        assert_eq!(of(None, "knee").as_deref(), Ok("knee X-ray"));
        assert_eq!(of(Some("leg"), "knee").as_deref(), Ok("leg"));
        let error = of(None, "hip").unwrap_err();
        assert!(
            ["small.toml", "`class_name = ", "hip = ", "[class_names]"]
                .iter()
                .all(|word| error.contains(word))
        );
    }

    #[test]
    fn a_list_that_cannot_be_meant_is_refused() {
        let error = |from: &str, to: &str| {
            format!("{:#}", Prompts::parse(&SMALL.replace(from, to), "small.toml").unwrap_err())
        };
        assert!(
            error("'a {}.'", "'a thing.'")
                .contains("small.toml: `a thing.` of `templates` must hold `{}` once")
        );
        assert!(error("['{} with flaw']", "[]").contains("`anomalous` lists nothing"));
        assert!(error("source", "sauce").contains("sauce"));
        assert!(error("templates = ['a {}.', 'the {}.']\n", "").contains("must not hold `{}`"));
    }

    #[test]
    fn a_file_of_the_users_is_called_by_its_content() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("mine.toml");
        let built_in = BuiltIn { file: "small.toml", text: SMALL };
        assert_eq!(Prompts::read(None, built_in).unwrap().1, None);
        std::fs::write(&path, SMALL.replace("knee X-ray", "leg")).unwrap();
        let (prompts, identity) = Prompts::read(path.to_str(), built_in).unwrap();
        assert_eq!(prompts.class_names["knee"], "leg");
        let identity = identity.unwrap();
        assert!(identity.starts_with("mine.toml (sha256 ") && !identity.contains('/'), "{identity}");
        assert!(Prompts::read(Some("no/such.toml"), built_in).is_err());
    }
}
