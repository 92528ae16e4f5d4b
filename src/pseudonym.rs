//! Pseudonyms: the same key gives a name the same one, and without the key no list of names can be tried out.

use std::io::Write as _;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};

use crate::files;

/// What pseudonyms are made with; whoever has it can tell whether a name belongs to a pseudonym.
#[derive(Clone)]
pub struct Key([u8; 32]);

const REMEDY: &str = "give the key that was used before, or none, to use your own";

impl Key {
    /// For people who do not exist, such as the phantom's: everybody knows it.
    pub const PUBLIC: Key = Key([0; 32]);

    /// Reads a file of 64 hexadecimal digits.
    ///
    /// # Errors
    /// A file that is missing or holds anything else.
    pub fn read(path: &Path) -> Result<Key> {
        let text = files::read_text(path).with_context(|| format!("no key of pseudonyms; {REMEDY}"))?;
        let digits = text.trim();
        let key = blake3::Hash::from_hex(digits).ok().filter(|_| digits.len() == 64);
        let key = key.with_context(|| {
            format!("{} is no key of pseudonyms (64 hexadecimal digits); {REMEDY}", path.display())
        })?;
        ensure!(
            *key.as_bytes() != Key::PUBLIC.0,
            "the key in {} is one that everybody knows",
            path.display()
        );
        Ok(Key(*key.as_bytes()))
    }

    /// The user's own key, which is made at its first use: `MEDFSAD_KEY`, else `medfsad/pseudonyms.key` below
    /// `XDG_CONFIG_HOME` or `~/.config`.
    ///
    /// # Errors
    /// A file that `MEDFSAD_KEY` names and that is missing, or a folder that cannot be written to.
    pub fn own() -> Result<Key> {
        if let Some(given) = std::env::var_os("MEDFSAD_KEY").filter(|given| !given.is_empty()) {
            return Key::read(Path::new(&given)).context("MEDFSAD_KEY names the key");
        }
        let path = own_place()?;
        if !path.exists() {
            make(&path).with_context(|| {
                format!(
                    "no key of pseudonyms can be made in {}; name one by --key or MEDFSAD_KEY",
                    path.display()
                )
            })?;
        }
        Key::read(&path)
    }

    /// 16 hexadecimal digits for what is named by `parts`, by kinds of things that may share names.
    pub fn name(&self, kind: &str, parts: &[&str]) -> String {
        let text = [&[kind], parts].concat().join("\0");
        blake3::keyed_hash(&self.0, text.as_bytes()).to_hex()[..16].to_owned()
    }

    /// Tells keys apart and gives none away.
    pub fn fingerprint(&self) -> String {
        self.name("key", &[])
    }
}

fn own_place() -> Result<PathBuf> {
    let given = |name: &str| std::env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
    given("XDG_CONFIG_HOME")
        .or_else(|| given("HOME").map(|home| home.join(".config")))
        .map(|folder| folder.join("medfsad/pseudonyms.key"))
        .context("no folder for the key of pseudonyms: set MEDFSAD_KEY to a file with 64 hexadecimal digits")
}

/// Writes a key of the system's randomness that its owner alone may read; one that another process writes first
/// stays.
fn make(path: &Path) -> Result<()> {
    let folder = path.parent().context("a file lies in a folder")?;
    std::fs::create_dir_all(folder)?;
    let mut key = [0; 32];
    getrandom::fill(&mut key)?;
    let mut draft = tempfile::NamedTempFile::new_in(folder)?;
    writeln!(draft, "{}", blake3::Hash::from_bytes(key).to_hex())?;
    draft.as_file().sync_all()?;
    match draft.persist_noclobber(path) {
        Err(error) if error.error.kind() != std::io::ErrorKind::AlreadyExists => Err(error.error.into()),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use crate::pseudonym::{Key, make};

    #[test]
    fn a_key_is_made_once_for_its_owner_alone_and_names_depend_on_it() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a/b.key");
        make(&path).unwrap();
        let key = Key::read(&path).unwrap();
        make(&path).unwrap();
        let again = Key::read(&path).unwrap();
        assert_eq!(key.name("patient", &["skin", "Miller"]), again.name("patient", &["skin", "Miller"]));
        assert_eq!(std::fs::read_dir(path.parent().unwrap()).unwrap().count(), 1);
        #[cfg(unix)]
        {
            use std::os::unix::fs::PermissionsExt as _;
            assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        }
        let mut names = vec![key.name("patient", &["skin", "Miller"])];
        names.push(key.name("study", &["skin", "Miller"]));
        names.push(key.name("patient", &["skin", "Muller"]));
        names.push(Key::PUBLIC.name("patient", &["skin", "Miller"]));
        names.sort();
        names.dedup();
        assert_eq!(names.len(), 4);
        assert!(names.iter().all(|name| name.len() == 16));
    }

    #[test]
    fn a_name_is_blake3_with_the_key() {
        // b3sum --keyed of "patient\0skin\0Miller" with the bytes 00 01 ... 1f.
        let key = Key(std::array::from_fn(|index| index as u8));
        assert_eq!(key.name("patient", &["skin", "Miller"]), "77f3ab9b7475c342");
    }

    #[test]
    fn what_is_no_key_is_refused_with_the_file_and_the_remedy() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("k");
        let refusal = || format!("{:#}", Key::read(&path).err().expect("no key"));
        assert!(refusal().contains("give the key that was used before"));
        for text in ["secret", &"0".repeat(63), &"g".repeat(64)] {
            std::fs::write(&path, text).unwrap();
            assert!(refusal().contains("64 hexadecimal digits"), "{text}");
        }
        std::fs::write(&path, "0".repeat(64)).unwrap();
        assert!(refusal().contains("everybody knows"));
    }
}
