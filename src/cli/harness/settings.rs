//! How a method is set up: its settings, its backbone, the size of its pictures.

use std::str::FromStr;

use anyhow::{Context as _, Result, anyhow, ensure};

use crate::method::{Built, Entry};
use crate::names;
use crate::network::Extractor;

/// What replaces a method's own settings.
#[derive(clap::Args)]
pub(super) struct MethodArgs {
    #[command(flatten)]
    pub backbone: BackboneArg,
    /// Side of the square that pictures are resized to, in pixels, a multiple of 32 [default: as stated by the
    /// checkpoint or the bench definition, else 128; with geometry=published, the method's own]
    #[arg(long, value_name = "PIXELS", value_parser = size)]
    pub size: Option<u16>,
    /// Change a setting of the method, such as learning_rate=1e-3 or backbone=resnet18; may be repeated. In a bench it
    /// applies to every method that has this setting
    #[arg(long, value_name = "KEY=VALUE")]
    set: Vec<Assignment>,
}

/// The architecture of the pretrained network.
#[derive(clap::Args)]
pub(super) struct BackboneArg {
    /// Architecture of the pretrained network, such as resnet18, wide_resnet50_2 or dinov2_vits14 [default: the checkpoint's or the bench
    /// definition's; else efficientnet_lite0 where --teacher is not given, and the published one of the method where it is]
    #[arg(long, value_name = "NETWORK", value_parser = Extractor::parse)]
    pub backbone: Option<Extractor>,
}

/// `KEY=VALUE`.
#[derive(Clone, Debug, PartialEq)]
struct Assignment {
    key: String,
    value: toml::Value,
}

impl FromStr for Assignment {
    type Err = anyhow::Error;

    /// A value is TOML, or a word that needs no quotes.
    fn from_str(text: &str) -> Result<Assignment> {
        let (key, value) = text.split_once('=').context("expected KEY=VALUE, for example lambda=0.1")?;
        let (key, value) = (key.trim(), value.trim());
        let is_word = |text: &str, more: &str| {
            !text.is_empty() && text.chars().all(|c| c.is_alphanumeric() || more.contains(c))
        };
        ensure!(
            is_word(key, "_-"),
            "`{key}` cannot name a setting; expected KEY=VALUE, for example lambda=0.1"
        );
        let value = match format!("value = {value}").parse::<toml::Table>() {
            Ok(mut table) if table.len() == 1 => table.remove("value").context("no value")?,
            _ if is_word(value, "_-.:/") => value.into(),
            _ => return Err(anyhow!("`{value}` is not valid TOML; expected for example lambda=0.1")),
        };
        Ok(Assignment { key: key.to_owned(), value })
    }
}

fn size(text: &str) -> Result<u16> {
    let size: u16 = text.parse()?;
    ensure!(
        (32..=2048).contains(&size) && size.is_multiple_of(32),
        "it must be a multiple of 32, 32 to 2048"
    );
    Ok(size)
}

impl MethodArgs {
    /// The settings that were given, by key.
    ///
    /// # Errors
    /// A setting that is given twice.
    pub(super) fn table(&self) -> Result<toml::Table> {
        let mut table = toml::Table::new();
        if let Some(backbone) = self.backbone.backbone {
            table.insert("backbone".to_owned(), backbone.name().into());
        }
        for Assignment { key, value } in &self.set {
            let given = table.insert(key.clone(), value.clone());
            ensure!(given.is_none_or(|given| given == *value), "{key} is given twice, with different values");
        }
        Ok(table)
    }
}

/// A method with these settings.
///
/// # Errors
/// A setting that the method does not have, with the one that was probably meant, or a value that does not fit.
pub(super) fn build(entry: &Entry, settings: &toml::Table) -> Result<Built> {
    (entry.build)(settings.clone()).map_err(|error| {
        let known = (entry.build)(toml::Table::new()).and_then(|built| keys(&built)).unwrap_or_default();
        let wrong = settings.keys().find(|key| !known.is_empty() && !known.contains(*key));
        let meant = wrong.map(|key| names::did_you_mean(key, known.iter().map(String::as_str)));
        anyhow!("{error:#}{}", meant.unwrap_or_default())
    })
}

/// The names of a method's settings.
///
/// They are the keys of [`Built::settings`], which states all of them.
///
/// # Errors
/// Settings that are no JSON object.
pub(super) fn keys(built: &Built) -> Result<Vec<String>> {
    let settings: serde_json::Map<String, serde_json::Value> =
        serde_json::from_str(&built.settings).context("the settings of a method")?;
    Ok(settings.keys().cloned().collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::method::{METHODS, find};

    #[test]
    fn words_need_no_quotes() {
        let value = |text: &str| text.parse::<Assignment>().unwrap().value;
        assert_eq!(value("backbone=resnet18"), "resnet18".into());
        assert_eq!(value("backbone=\"resnet18\""), "resnet18".into());
        assert_eq!(value("learning_rate = 1e-3"), 1e-3.into());
        assert_eq!(value("epochs=3"), 3.into());
        assert_eq!(value("weighted=false"), false.into());
        assert_eq!(value("command=[\"a\", \"b c\"]"), vec!["a", "b c"].into());
    }

    #[test]
    fn what_is_no_assignment_is_refused() {
        for text in ["lambda", "lambda=", "lambda=a b", "lambda=[1", "a b=1", "=1", "lambda=1\nmu=2"] {
            let error = text.parse::<Assignment>().unwrap_err().to_string();
            assert!(error.contains("lambda=0.1"), "{text}: {error}");
        }
    }

    #[test]
    fn a_wrong_setting_is_answered_with_the_one_that_was_meant() {
        let table = "bakbone = 'resnet18'".parse().unwrap();
        let error = build(find("patchcore").unwrap(), &table).err().unwrap().to_string();
        assert!(error.contains("did you mean `backbone`?"), "{error}");
        let error = format!("{:#}", find("patchcorr").err().unwrap());
        assert!(error.contains("did you mean `patchcore`?"), "{error}");
    }

    #[test]
    fn every_method_states_its_backbone_where_it_has_one() {
        for entry in METHODS.iter().filter(|entry| entry.needs.starts_with("ImageNet")) {
            let built = build(entry, &toml::Table::new()).unwrap();
            let key = if entry.name == "dpa" { "network" } else { "backbone" };
            assert!(keys(&built).unwrap().contains(&key.to_owned()), "{}", entry.name);
        }
    }
}
