//! Texts as CLIP's towers read them: byte-pair encoding with a vocabulary that OpenAI published under the MIT licence.
//!
//! Texts are cleaned as the published tokenizers do, with one part left out: `ftfy`, which they call first, also repairs
//! text that was decoded wrongly somewhere before. Here it is taken as it is; curly quotes, ligatures, wide letters, accents
//! that stand apart and HTML entities are handled alike.

use std::collections::HashMap;
use std::io::Read;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, ensure};
use flate2::read::GzDecoder;
use regex::Regex;
use unicode_normalization::UnicodeNormalization;

use crate::files;
use crate::wheel::{self, Wheel};

/// What `weights fetch` calls the vocabulary.
pub const VOCABULARY: &str = "clip-vocabulary";

/// The wheel that ships it; OpenAI's own holds the same bytes.
pub const WHEEL: Wheel = Wheel {
    file: "open_clip_torch-3.3.0-py3-none-any.whl",
    sha256: "c549ad5ed6bfc119cc11105033c0a2b9d7a2a4afeb40a58a09aab3da1a0043ce",
    about: "1.5 MB, MIT",
    member: "open_clip/bpe_simple_vocab_16e6.txt.gz",
    member_sha256: "924691ac288e54409236115652ad4aa250f48203de50a9e4722a6ecd48d6804a",
};

/// Pairs of the vocabulary that are merged; the rest of the file is not used.
const MERGES: usize = 48_894;
/// Stands before every text.
pub const START: i64 = 49_406;
/// Stands after every text.
pub const END: i64 = 49_407;

/// Known tokens of [`Tokenizer::of_bytes`]: each byte, alone and as a word's end, start and end.
pub const BYTES: i64 = 514;

/// Whose words for start and end are taken for them where a text spells them out, and what becomes of long texts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Dialect {
    /// OpenAI's: `<|startoftext|>`, `<|endoftext|>`; a text that is too long is an error.
    OpenAi,
    /// open_clip's since version 3: `<start_of_text>`, `<end_of_text>`; a text that is too long is cut.
    OpenClip,
}

impl Dialect {
    fn marks(self) -> [&'static str; 2] {
        match self {
            Dialect::OpenAi => ["<|startoftext|>", "<|endoftext|>"],
            Dialect::OpenClip => ["<start_of_text>", "<end_of_text>"],
        }
    }
}

/// From texts to ids.
pub struct Tokenizer {
    dialect: Dialect,
    /// Ids of start and end.
    ends: [i64; 2],
    /// Symbols by id.
    ids: HashMap<String, i64>,
    /// Which pair is merged before which.
    ranks: HashMap<(String, String), usize>,
    /// The symbol of each byte.
    bytes: [char; 256],
    pieces: Regex,
    space: Regex,
}

/// Where the vocabulary is kept.
///
/// # Errors
/// No cache folder.
pub fn kept() -> Result<PathBuf> {
    Ok(files::cache_folder()?.join("vocabularies/bpe_simple_vocab_16e6.txt.gz"))
}

/// Fetches the vocabulary with pip unless it is there; its path.
///
/// # Errors
/// As [`wheel::fetch`].
pub fn fetch() -> Result<PathBuf> {
    let path = kept()?;
    let folder = path.parent().context("it lies in a folder")?;
    std::fs::create_dir_all(folder).with_context(|| format!("making {}", folder.display()))?;
    wheel::fetch(&WHEEL, &wheel::shelf()?, &path)?;
    Ok(path)
}

/// With the vocabulary that [`fetch`] keeps.
///
/// # Errors
/// Says how to get it, if it is not there.
pub fn kept_one(dialect: Dialect) -> Result<Tokenizer> {
    let path = kept()?;
    ensure!(
        path.exists(),
        "CLIP's vocabulary is not in {}: `cargo xtask weights fetch {VOCABULARY}` gets it ({})",
        path.display(),
        WHEEL.about
    );
    Tokenizer::open(&path, dialect)
}

impl Tokenizer {
    /// Without a vocabulary: every byte is a token. For networks that have learnt nothing.
    ///
    /// # Errors
    /// None that can be helped.
    pub fn of_bytes() -> Result<Tokenizer> {
        Ok(Tokenizer { ends: [BYTES - 2, BYTES - 1], ..Tokenizer::new("", Dialect::OpenAi)? })
    }

    /// With the vocabulary of a file as it is published, packed by gzip.
    ///
    /// # Errors
    /// A file that cannot be read or is another one.
    pub fn open(path: &Path, dialect: Dialect) -> Result<Tokenizer> {
        let packed = files::read(path)?;
        let sha256 = files::sha256(&packed);
        ensure!(
            sha256 == WHEEL.member_sha256,
            "{} is not the published vocabulary (SHA-256 {sha256}): remove it, and `cargo xtask weights fetch {VOCABULARY}` \
             gets it",
            path.display()
        );
        let mut text = String::new();
        GzDecoder::new(&packed[..])
            .read_to_string(&mut text)
            .with_context(|| format!("unpacking {}", path.display()))?;
        Tokenizer::new(&text, dialect)
    }

    fn new(vocabulary: &str, dialect: Dialect) -> Result<Tokenizer> {
        let pairs = vocabulary.lines().skip(1).take(MERGES).map(|line| {
            let (first, second) = line.split_once(' ').context("a line of the vocabulary is no pair")?;
            Ok((first.to_owned(), second.to_owned()))
        });
        let pairs = pairs.collect::<Result<Vec<_>>>()?;
        let order = order_of_bytes();
        let alone = order.iter().map(|(_, symbol)| symbol.to_string());
        let last = order.iter().map(|(_, symbol)| format!("{symbol}{WORD_END}"));
        let merged = pairs.iter().map(|(first, second)| format!("{first}{second}"));
        let ids = alone.chain(last).chain(merged).zip(0..).collect();
        let mut bytes = ['\0'; 256];
        order.iter().for_each(|&(byte, symbol)| bytes[usize::from(byte)] = symbol);
        let [start, end] = dialect.marks().map(regex::escape);
        let pieces =
            format!(r"(?i){start}|{end}|'s|'t|'re|'ve|'m|'ll|'d|\p{{L}}+|\p{{N}}|[^\s\p{{L}}\p{{N}}]+");
        Ok(Tokenizer {
            dialect,
            ends: [START, END],
            ids,
            ranks: pairs.into_iter().zip(0..).collect(),
            bytes,
            pieces: Regex::new(&pieces)?,
            space: Regex::new(r"\s+")?,
        })
    }

    /// Ids of a text, without start and end.
    pub fn ids(&self, text: &str) -> Vec<i64> {
        let clean = self.cleaned(text);
        let [start, end] = self.dialect.marks();
        let of_piece = |piece: regex::Match| match piece.as_str() {
            piece if piece == start => vec![self.ends[0]],
            piece if piece == end => vec![self.ends[1]],
            piece => self.encoded(piece),
        };
        self.pieces.find_iter(&clean).flat_map(of_piece).collect()
    }

    /// A row of `context` ids: start, text, end, zeros.
    ///
    /// # Errors
    /// In OpenAI's dialect, a text that is too long.
    pub fn row(&self, text: &str, context: usize) -> Result<Vec<i64>> {
        let [start, end] = self.ends;
        let mut row = [vec![start], self.ids(text), vec![end]].concat();
        if row.len() > context {
            ensure!(
                self.dialect == Dialect::OpenClip,
                "the text has {} tokens, {context} at most fit: {text:.60}...",
                row.len()
            );
            row.truncate(context);
            row[context - 1] = end;
        }
        row.resize(context, 0);
        Ok(row)
    }

    fn cleaned(&self, text: &str) -> String {
        let plain = plain(text);
        let unescaped = html_escape::decode_html_entities(&plain).into_owned();
        let unescaped = html_escape::decode_html_entities(&unescaped).into_owned();
        self.space.replace_all(unescaped.trim(), " ").trim().to_lowercase()
    }

    /// Ids of one piece: its bytes, merged by rank.
    fn encoded(&self, piece: &str) -> Vec<i64> {
        let mut symbols: Vec<String> =
            piece.bytes().map(|byte| self.bytes[usize::from(byte)].to_string()).collect();
        if let Some(last) = symbols.last_mut() {
            last.push_str(WORD_END);
        }
        let rank = |pair: &[String]| self.ranks.get(&(pair[0].clone(), pair[1].clone())).copied();
        while let Some(best) = symbols.windows(2).filter_map(rank).min() {
            let mut merged = Vec::with_capacity(symbols.len());
            let mut rest = symbols.as_slice();
            while let [first, after @ ..] = rest {
                if rest.len() > 1 && rank(&rest[..2]) == Some(best) {
                    merged.push(format!("{first}{}", rest[1]));
                    rest = &rest[2..];
                } else {
                    merged.push(first.clone());
                    rest = after;
                }
            }
            symbols = merged;
        }
        symbols.iter().map(|symbol| self.ids[symbol]).collect()
    }
}

/// Ends the last symbol of a piece.
const WORD_END: &str = "</w>";

/// Bytes with their symbols, in the order of their ids: those that print stand for themselves, the others for letters
/// beyond.
fn order_of_bytes() -> Vec<(u8, char)> {
    let prints = |byte: &u8| matches!(byte, 33..=126 | 161..=172 | 174..=255);
    let plain = (0..=255).filter(prints).map(|byte| (byte, char::from(byte)));
    let others = (0..=255).filter(|byte| !prints(byte));
    plain.chain(others.zip('\u{100}'..)).collect()
}

/// Straight quotes, letters of ligatures, common width, composed accents; no control characters.
fn plain(text: &str) -> String {
    let mut plain = String::with_capacity(text.len());
    for letter in text.chars() {
        match letter {
            '\u{2bc}' | '\u{2018}'..='\u{201b}' => plain.push('\''),
            '\u{201c}'..='\u{201f}' => plain.push('"'),
            // The block of ligatures, and forms of common width of full-width letters.
            '\u{fb00}'..='\u{fb06}' | '\u{ff01}'..='\u{ff5e}' | '\u{3000}' => {
                plain.extend([letter].into_iter().nfkc());
            }
            '\u{feff}' => {}
            letter if letter.is_control() && !letter.is_whitespace() => {}
            letter => plain.push(letter),
        }
    }
    plain.nfc().collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_byte_has_a_symbol_of_its_own() {
        let order = order_of_bytes();
        let symbols: std::collections::BTreeSet<char> = order.iter().map(|(_, symbol)| *symbol).collect();
        assert_eq!((order.len(), symbols.len()), (256, 256));
        assert_eq!((order[0], order[255]), ((b'!', '!'), (173, '\u{143}')));
    }

    #[test]
    fn texts_are_made_plain() {
        assert_eq!(plain("\u{201c}\u{fb01}n\u{201d}\u{2019}s e\u{301} \u{ff21}\u{7}"), "\"fin\"'s \u{e9} A");
    }

    #[test]
    fn without_a_vocabulary_each_byte_is_a_token() {
        let row = Tokenizer::of_bytes().unwrap().row("Ab c", 7).unwrap();
        let byte = |byte: u8| i64::from(byte - b'!');
        assert_eq!(row, [BYTES - 2, byte(b'a'), 256 + byte(b'b'), 256 + byte(b'c'), BYTES - 1, 0, 0]);
    }

    #[test]
    fn pairs_are_merged_by_rank() {
        let tokenizer = Tokenizer::new("version\nb c</w>\na b\nab c</w>\n", Dialect::OpenAi).unwrap();
        let id = |symbol: &str| tokenizer.ids[symbol];
        assert_eq!(tokenizer.ids("abc"), [id("a"), id("bc</w>")]);
        assert_eq!(tokenizer.row("ABC", 5).unwrap(), [START, id("a"), id("bc</w>"), END, 0]);
        assert!(tokenizer.row("abc", 3).unwrap_err().to_string().contains("4 tokens, 3 at most"));
    }
}
