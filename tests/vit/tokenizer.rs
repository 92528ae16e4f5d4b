//! CLIP's tokenizer against OpenAI's and open_clip's.

use medfsad::network::vit::tokenizer::{self, Dialect, END, Tokenizer, VOCABULARY};
use serde_json::Value;

use super::{reference, text};
use crate::shared::leave_out;

fn ids(value: &Value) -> Vec<i64> {
    value.as_array().expect("ids").iter().map(|id| id.as_i64().expect("an id")).collect()
}

#[test]
fn thirty_strings_are_encoded_as_published() {
    let vocabulary = tokenizer::kept().expect("a cache folder");
    if !vocabulary.exists() {
        leave_out(&format!("CLIP's vocabulary (`cargo xtask weights fetch {VOCABULARY}` gets it)"));
        return;
    }
    let open = |dialect| Tokenizer::open(&vocabulary, dialect).expect("the vocabulary");
    let (ours, openai) = (open(Dialect::OpenClip), open(Dialect::OpenAi));
    let golden = reference("tokenizer.json");
    let strings = golden["strings"].as_array().expect("strings");
    assert_eq!(strings.len(), 30);
    for golden in strings {
        let words = text(&golden["text"]);
        assert_eq!(ours.ids(words), ids(&golden["ids"]), "{words}");
        let theirs = if golden["openai_ids_equal"] == true { &golden["ids"] } else { &golden["openai_ids"] };
        assert_eq!(openai.ids(words), ids(theirs), "{words}, OpenAI's");
        let cut = &golden["open_clip_row_when_longer_than_77"];
        if cut.is_array() {
            assert_eq!(ours.row(words, 77).expect("a row"), ids(cut));
            assert!(openai.row(words, 77).expect_err("too long").to_string().contains("77 at most"));
        } else {
            let row = ours.row(words, 77).expect("a row");
            assert_eq!((row.len(), row[1 + ours.ids(words).len()]), (77, END), "{words}");
        }
    }
}

#[test]
fn another_file_is_no_vocabulary() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("words.gz");
    std::fs::write(&path, "words").expect("a file");
    let error = Tokenizer::open(&path, Dialect::OpenAi).err().expect("an error").to_string();
    assert!(
        error.contains("words.gz is not the published vocabulary") && error.contains(VOCABULARY),
        "{error}"
    );
}
