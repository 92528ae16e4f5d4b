//! Figures as PDF: the same texts as in the SVG, in an embedded font, on one page of the figure's size.

use std::collections::BTreeMap;
use std::io::Read as _;
use std::path::Path;
use std::str::Chars;

use medfsad::files;

use super::{RANDOM, out, text};

#[test]
fn every_figure_is_there_as_pdf_with_the_texts_of_its_svg() {
    let folder = out().join("figures");
    let names = files::walk(&folder).expect("a listing");
    let svgs: Vec<&str> = names.iter().filter_map(|name| name.strip_suffix(".svg")).collect();
    assert!(svgs.len() >= 8, "{names:?}");
    for name in svgs {
        let svg = text(&folder.join(format!("{name}.svg")));
        let pdf = Pdf::read(&folder.join(format!("{name}.pdf")));
        assert_eq!(pdf.texts(), texts_of(&svg), "{name}");
        assert!(pdf.texts().join(" ").contains(RANDOM), "{name} hides the random teacher");
        assert_eq!(pdf.count("/Type/Page/"), 1, "{name}");
        let size = |axis: &str| -> f64 {
            svg.split_once(&format!(" {axis}=\"")).unwrap().1.split('"').next().unwrap().parse().unwrap()
        };
        // A CSS pixel is three quarters of a point.
        let page = format!("/MediaBox[0 0 {} {}]", 0.75 * size("width"), 0.75 * size("height"));
        assert_eq!(pdf.count(&page), 1, "{name}: {page}");
        assert_eq!(pdf.count("/FontFile"), 1, "{name} does not embed its font");
        assert_eq!(pdf.count("CreationDate") + pdf.count("ModDate"), 0, "{name} says when it was made");
    }
}

/// Lines of text in the order in which an SVG draws them.
fn texts_of(svg: &str) -> Vec<String> {
    let text = |part: &str| part.split_once(">\n").unwrap().1.split_once("\n</text>").unwrap().0.to_owned();
    let plain = |text: String| {
        let text = text.replace("&lt;", "<").replace("&gt;", ">").replace("&quot;", "\"");
        text.replace("&apos;", "'").replace("&#39;", "'").replace("&amp;", "&")
    };
    svg.split("<text ").skip(1).map(text).map(plain).filter(|text| !text.is_empty()).collect()
}

/// A file of one page, and its streams without compression.
struct Pdf {
    file: Vec<u8>,
    streams: Vec<String>,
}

impl Pdf {
    fn read(path: &Path) -> Pdf {
        let file = files::read(path).expect("a PDF");
        assert!(file.starts_with(b"%PDF-"), "{}", path.display());
        let mut streams = Vec::new();
        let mut rest = &file[..];
        while let Some(at) = find(rest, b"stream\n") {
            rest = &rest[at + 7..];
            let end = find(rest, b"endstream").expect("the end of a stream");
            let mut text = Vec::new();
            if flate2::read::ZlibDecoder::new(&rest[..end]).read_to_end(&mut text).is_ok() {
                streams.push(text.iter().map(|&byte| char::from(byte)).collect());
            }
            rest = &rest[end + 9..];
        }
        Pdf { file, streams }
    }

    fn count(&self, what: &str) -> usize {
        self.file.windows(what.len()).filter(|window| *window == what.as_bytes()).count()
    }

    /// Each `BT ... ET`, its glyphs as the letters that the font's own table gives them.
    fn texts(&self) -> Vec<String> {
        let letters: BTreeMap<u16, String> = self.streams.iter().flat_map(|one| letters(one)).collect();
        let page = self.streams.iter().find(|one| one.starts_with("q ")).expect("a page with text");
        let text = |part: &str| {
            let shown = strings(part.split_once("\nET\n").expect("the end of a text").0);
            shown.iter().map(|glyph| letters[glyph].as_str()).collect::<String>()
        };
        page.split("\nBT ").skip(1).map(text).filter(|text| !text.is_empty()).collect()
    }
}

fn find(bytes: &[u8], what: &[u8]) -> Option<usize> {
    bytes.windows(what.len()).position(|window| window == what)
}

/// Of a table `<glyph> <UTF-16>`, a line each.
fn letters(table: &str) -> Vec<(u16, String)> {
    let hex = |text: &str| -> Option<Vec<u16>> {
        let digits = text.strip_prefix('<')?.strip_suffix('>')?;
        (0..digits.len() / 4).map(|n| u16::from_str_radix(&digits[4 * n..4 * n + 4], 16).ok()).collect()
    };
    let body = table.split("beginbfchar").skip(1).filter_map(|part| part.split("endbfchar").next());
    let lines = body.flat_map(str::lines).filter_map(|line| line.split_once(' '));
    lines
        .filter_map(|(glyph, text)| Some((*hex(glyph)?.first()?, String::from_utf16(&hex(text)?).ok()?)))
        .collect()
}

/// Glyphs of two bytes each, in strings of either kind.
fn strings(content: &str) -> Vec<u16> {
    let mut bytes: Vec<u8> = Vec::new();
    let mut rest = content.chars();
    while let Some(c) = rest.next() {
        if c == '<' {
            let digits: String = rest.by_ref().take_while(|&c| c != '>').collect();
            let pairs = (0..digits.len() / 2).map(|n| u8::from_str_radix(&digits[2 * n..2 * n + 2], 16));
            bytes.extend(pairs.map(|byte| byte.expect("hexadecimal digits")));
        } else if c == '(' {
            while let Some(c) = rest.next().filter(|&c| c != ')') {
                bytes.push(if c == '\\' { unescaped(&mut rest) } else { c as u8 });
            }
        }
    }
    bytes.chunks_exact(2).map(|pair| u16::from_be_bytes([pair[0], pair[1]])).collect()
}

/// What stands behind a backslash.
fn unescaped(rest: &mut Chars) -> u8 {
    match rest.next().expect("what is escaped") {
        'n' => b'\n',
        'r' => b'\r',
        't' => b'\t',
        'b' => 8,
        'f' => 12,
        first if first.is_digit(8) => {
            let octal: String = std::iter::once(first).chain(rest.by_ref().take(2)).collect();
            u8::from_str_radix(&octal, 8).expect("octal digits")
        }
        other => other as u8,
    }
}
