//! Which file holds the mask of a picture, under the names that owners give.

use std::collections::BTreeMap;

use super::tree;
use crate::names;

/// Words that owners put behind a picture's name, with `_`, `-`, `.` or a space before them.
const WORDS: [&str; 9] =
    ["mask", "seg", "segmentation", "label", "labels", "gt", "groundtruth", "ground_truth", "annotation"];

/// Files of masks, by the pictures whose names they bear: `a.png` for `a.jpg`, `A.PNG`, and `a_mask.tif`.
pub struct MaskNames {
    /// Folder and name without ending, in small letters; each file with whether a word was taken off its name.
    files: BTreeMap<String, Vec<(bool, String)>>,
}

impl MaskNames {
    /// Of paths below the folder of masks.
    pub fn new(paths: impl IntoIterator<Item = String>) -> MaskNames {
        let mut files: BTreeMap<String, Vec<(bool, String)>> = BTreeMap::new();
        for path in paths {
            let key = key(&path);
            if let Some(bare) = bare(&key) {
                files.entry(bare.to_owned()).or_default().push((true, path.clone()));
            }
            files.entry(key).or_default().push((false, path));
        }
        MaskNames { files }
    }

    /// The mask of a picture, given by its path below the folder of pictures; `None` if there is none. Capital
    /// letters and the form of accents (NFC or NFD) make no difference. The very same path goes first, then the same name with another ending, then a name with a word behind it.
    ///
    /// # Errors
    /// Several files with as good a name; names them.
    pub fn of(&self, picture: &str) -> Result<Option<&str>, String> {
        let Some(found) = self.files.get(&key(picture)) else { return Ok(None) };
        if let Some((_, same)) = found.iter().find(|(_, path)| path == picture) {
            return Ok(Some(same));
        }
        let has_same_name = found.iter().any(|(has_word, _)| !has_word);
        let fits = |(has_word, _): &&(bool, String)| !(has_same_name && *has_word);
        let fitting: Vec<&str> = found.iter().filter(fits).map(|(_, path)| path.as_str()).collect();
        match fitting[..] {
            [one] => Ok(Some(one)),
            _ => Err(format!("several masks bear its name: {}", fitting.join(", "))),
        }
    }
}

fn key(path: &str) -> String {
    names::composed(tree::stem(path)).to_lowercase()
}

/// A name without the word behind it.
fn bare(name: &str) -> Option<&str> {
    WORDS.iter().find_map(|word| {
        let bare = name.strip_suffix(word)?.strip_suffix(['_', '-', '.', ' '])?;
        (!bare.is_empty() && !bare.ends_with('/')).then_some(bare)
    })
}

#[cfg(test)]
mod tests {
    use super::MaskNames;

    #[test]
    fn names_that_owners_give_are_understood_and_doubt_is_said() {
        let files = [
            "bad/a_mask.PNG",
            "bad/b-label.tif",
            "bad/c.PNG",
            "bad/d.png",
            "bad/d_mask.png",
            "e/f.x_Seg.nii.gz",
        ];
        let twice = ["bad/g_mask.png", "bad/g_seg.png", "bad/h.png", "bad/h.tif"];
        let names = MaskNames::new(files.iter().chain(&twice).map(|name| (*name).to_owned()));
        let of = |picture: &str| names.of(picture).unwrap();
        assert_eq!(of("bad/a.jpg"), Some("bad/a_mask.PNG"));
        assert_eq!(of("bad/B.dcm"), Some("bad/b-label.tif"));
        assert_eq!(of("bad/c.png"), Some("bad/c.PNG"));
        assert_eq!(of("bad/d.png"), Some("bad/d.png"));
        assert_eq!(of("e/f.x.nii.gz"), Some("e/f.x_Seg.nii.gz"));
        assert_eq!(of("good/a.jpg"), None);
        assert_eq!(of("bad/h.tif"), Some("bad/h.tif"));
        let accents = MaskNames::new(["bad/O\u{308}dem_mask.png".to_owned()]);
        assert_eq!(accents.of("bad/\u{d6}dem.png"), Ok(Some("bad/O\u{308}dem_mask.png")));
        assert!(names.of("bad/g.png").unwrap_err().contains("bad/g_mask.png, bad/g_seg.png"));
        assert!(names.of("bad/h.jpg").unwrap_err().contains("several"));
    }
}
