//! What looks like a person's name or a date, in a file's name or in a field of a file. It is a suspicion: no list
//! holds all names, and some words are both.

use std::collections::BTreeSet;
use std::sync::LazyLock;

/// Given names of several languages that are hardly ever anything else.
static GIVEN: LazyLock<BTreeSet<&str>> =
    LazyLock::new(|| include_str!("personal/given-names.txt").split_whitespace().collect());

/// Words of file names and fields that name no one.
static ORDINARY: LazyLock<BTreeSet<&str>> =
    LazyLock::new(|| include_str!("personal/ordinary-words.txt").split_whitespace().collect());

/// Whether it holds a given name, two names as DICOM writes them (`Miller^Ann`), or two words side by side that
/// begin like names (`Miller_Ann`, `MillerAnn`) and are no ordinary ones, nor among `known` (in small letters).
pub(super) fn has_name(text: &str, known: &BTreeSet<String>) -> bool {
    let tokens = tokens(text);
    let words = tokens.iter().filter_map(|token| token.as_deref());
    if words.clone().any(|word| GIVEN.contains(word.to_lowercase().as_str())) {
        return true;
    }
    let is_ordinary = |word: &str| {
        let word = word.to_lowercase();
        ORDINARY.contains(word.as_str()) || known.contains(&word)
    };
    let has_caret = text.split('^').filter(|part| part.chars().any(char::is_alphabetic)).count() > 1;
    if has_caret && !words.clone().all(is_ordinary) {
        return true;
    }
    tokens.windows(2).any(|pair| match pair {
        [Some(a), Some(b)] => [a, b].iter().all(|word| is_capitalised(word) && !is_ordinary(word)),
        _ => false,
    })
}

/// Whether a text is a code, which names no one: with a digit, and otherwise of ordinary words, hexadecimal digits
/// and short ones in capital letters.
pub(super) fn is_code(text: &str) -> bool {
    let is_short = |word: &str| {
        let is_hexadecimal = word.bytes().all(|byte| byte.is_ascii_hexdigit());
        let letters = word.chars().count();
        is_hexadecimal || letters <= 2 || letters <= 5 && word.chars().all(char::is_uppercase)
    };
    let is_part = |word: &str| is_short(word) || ORDINARY.contains(word.to_lowercase().as_str());
    text.bytes().any(|byte| byte.is_ascii_digit())
        && tokens(text).into_iter().flatten().all(|word| is_part(&word))
}

/// Whether it holds nothing but words such as `anonymous` or `removed`.
pub(super) fn is_placeholder(text: &str) -> bool {
    tokens(text).into_iter().flatten().all(|word| ORDINARY.contains(word.to_lowercase().as_str()))
}

/// Words, and `None` for what parts them for good: digits and signs other than `_`, `-`, `^`, `,`, `.` and spaces. A
/// capital letter after a small one begins a word.
fn tokens(text: &str) -> Vec<Option<String>> {
    let mut tokens: Vec<Option<String>> = Vec::new();
    let mut word = String::new();
    let mut finish = |word: &mut String, is_break: bool| {
        if !word.is_empty() {
            tokens.push(Some(std::mem::take(word)));
        }
        if is_break {
            tokens.push(None);
        }
    };
    for c in text.chars() {
        match c {
            _ if c.is_alphabetic() => {
                if c.is_uppercase() && word.chars().last().is_some_and(char::is_lowercase) {
                    finish(&mut word, false);
                }
                word.push(c);
            }
            '_' | '-' | '^' | ',' | '.' | ' ' => finish(&mut word, false),
            _ => finish(&mut word, true),
        }
    }
    finish(&mut word, false);
    tokens
}

/// A capital letter and at least two small ones.
fn is_capitalised(word: &str) -> bool {
    let mut letters = word.chars();
    letters.next().is_some_and(char::is_uppercase)
        && word.chars().count() > 2
        && letters.all(char::is_lowercase)
}

/// Whether it holds a day of the years 1900 to 2099: 8 digits (also with a time behind them), or year, month and day
/// parted by `-`, `.` or `_`, in either order.
pub(super) fn has_date(text: &str) -> bool {
    let runs = runs(text);
    let is_alone = runs.iter().any(|run| match run.digits.len() {
        8 => {
            is_day(&run.digits[..4], &run.digits[4..6], &run.digits[6..])
                || is_day(&run.digits[4..], &run.digits[2..4], &run.digits[..2])
        }
        12 | 14 => {
            is_day(&run.digits[..4], &run.digits[4..6], &run.digits[6..8]) && is_time(&run.digits[8..])
        }
        _ => false,
    });
    let is_parted = |at: usize| {
        let [a, b, c] = &runs[at..at + 3] else { return false };
        let touches = |run: Option<&Run>| run.is_some_and(|run| run.parted_by.is_some());
        let is_one = a.parted_by.is_some() && a.parted_by == b.parted_by && !touches(Some(c));
        let is_first = at == 0 || !touches(runs.get(at - 1));
        is_one
            && is_first
            && (is_day(&a.digits, &b.digits, &c.digits)
                || is_day(&c.digits, &b.digits, &a.digits)
                || is_day(&c.digits, &a.digits, &b.digits))
    };
    is_alone || (0..runs.len().saturating_sub(2)).any(is_parted)
}

/// Digits in a row.
struct Run {
    digits: String,
    /// The sign between it and the next run, if there is just one of `-`, `.` and `_`.
    parted_by: Option<char>,
}

fn runs(text: &str) -> Vec<Run> {
    let mut runs: Vec<Run> = Vec::new();
    let mut between: Vec<char> = Vec::new();
    let mut is_in_run = false;
    for c in text.chars() {
        if !c.is_ascii_digit() {
            between.push(c);
            is_in_run = false;
            continue;
        }
        if !is_in_run {
            if let (Some(last), &[sign @ ('-' | '.' | '_')]) = (runs.last_mut(), between.as_slice()) {
                last.parted_by = Some(sign);
            }
            runs.push(Run { digits: String::new(), parted_by: None });
            is_in_run = true;
            between.clear();
        }
        runs.last_mut().expect("one was just begun").digits.push(c);
    }
    runs
}

fn is_day(year: &str, month: &str, day: &str) -> bool {
    let within = |text: &str, low: u32, high: u32| {
        text.len() <= 2 && text.parse().is_ok_and(|number: u32| (low..=high).contains(&number))
    };
    let is_year = year.len() == 4 && (year.starts_with("19") || year.starts_with("20"));
    is_year && within(month, 1, 12) && within(day, 1, 31)
}

fn is_time(digits: &str) -> bool {
    let pairs: Vec<u32> =
        digits.as_bytes().chunks(2).filter_map(|pair| std::str::from_utf8(pair).ok()?.parse().ok()).collect();
    pairs.iter().zip([23, 59, 59]).all(|(pair, most)| *pair <= most)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_suspected_and_what_data_sets_call_their_files_is_not() {
        let known = BTreeSet::from(["camelyon".to_owned()]);
        for name in [
            "Miller_Ann",
            "MillerAnn01",
            "Kowalska, Ewa",
            "kowalska^ewa",
            "maria_3",
            "HANS MUELLER",
            "Øverby-Dahl",
            "scan_Nguyen.Thanh",
        ] {
            assert!(has_name(name, &known), "{name}");
        }
        for code in [
            "0004cfab-14fd-4e49-80ba-63a80b6bddd6",
            "Te-gl_0010",
            "14082_idx5_x1001_y1051_class0",
            "BraTS2021_00000_flair",
            "NORMAL2-IM-0927-0001",
            "Lung_Opacity",
            "IMG_Chest_Xray",
            "Camelyon16",
            "stage_2_train_images",
            "test^phantom",
            "ISIC_0024306",
        ] {
            assert!(!has_name(code, &known), "{code}");
        }
    }

    #[test]
    fn codes_and_placeholders_are_told_from_names() {
        for code in
            ["0004cfab-14fd-4e49-80ba-63a80b6bddd6", "TCGA-08-0244", "patient 12", "Anon1", "CQ500CT42"]
        {
            assert!(is_code(code), "{code}");
        }
        for name in ["Miller1", "Miller^Ann^1", "MILLERTON7", "Miller", "HMiller12"] {
            assert!(!is_code(name), "{name}");
        }
        assert!(is_placeholder("Anonymous") && is_placeholder("REMOVED") && !is_placeholder("Miller"));
    }

    #[test]
    fn dates_are_suspected_in_the_usual_forms() {
        for date in [
            "19640312",
            "x_12031964",
            "1964-03-12",
            "12.3.1964",
            "3-12-1964",
            "20200131235959",
            "a_2020_01_31_b",
        ] {
            assert!(has_date(date), "{date}");
        }
        for other in [
            "19641312",
            "ISIC_0024306",
            "1964-03",
            "1.2.840.113619.2.55.3.2831",
            "20201331",
            "x1001_y1051",
            "123.4.1964",
            "20200131999999",
            "1.2.2010.4",
        ] {
            assert!(!has_date(other), "{other}");
        }
    }
}
