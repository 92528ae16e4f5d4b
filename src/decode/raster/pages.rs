//! Pages of a TIFF: the chain of its image file directories, and what each says.

use std::collections::BTreeSet;
use std::io::{self, BufRead, BufReader, Cursor, Read, Seek, SeekFrom};

use anyhow::{Context, Result, bail, ensure};

/// More pages than this are refused.
const MAX_PAGES: usize = 1 << 16;

/// A directory entry may hold as many numbers: offsets and lengths of tiles.
const MAX_NUMBERS: u64 = 1 << 24;

/// Old and new tag for the kind of page.
const SUBFILE: u16 = 254;
const OLD_SUBFILE: u16 = 255;
/// Tag for where directories below one begin.
const BELOW: u16 = 330;

/// Widths of the numbers that a TIFF is made of.
#[derive(Clone, Copy)]
struct Layout {
    big_endian: bool,
    /// BigTIFF, with offsets of 8 bytes.
    big: bool,
}

/// Whether a file's first four bytes are a TIFF's.
pub(super) fn is_tiff(head: &[u8]) -> bool {
    Layout::of(head).is_some()
}

/// One image file directory.
pub(super) struct Directory<'a> {
    bytes: &'a [u8],
    layout: Layout,
    start: u64,
    entries: u64,
}

/// Where the directories of a file's pictures begin; reduced copies and transparency masks of other pages are
/// none (TIFF 6.0, NewSubfileType).
pub(super) fn starts(bytes: &[u8]) -> Result<Vec<u64>> {
    let layout = Layout::of(bytes).context("no TIFF file")?;
    let (first, width) = if layout.big { (8, 8) } else { (4, 4) };
    let cut = "the TIFF file is cut off: a page begins beyond its end; fetch it again";
    let (mut pictures, mut others, mut seen) = (Vec::new(), Vec::new(), BTreeSet::new());
    let mut next = layout.number(bytes, first, width).context(cut)?;
    while next != 0 {
        ensure!(seen.insert(next), "the TIFF file has pages in a circle");
        ensure!(seen.len() <= MAX_PAGES, "the TIFF file has over {MAX_PAGES} pages");
        let directory = Directory::at(bytes, next).context(cut)?;
        if directory.is_picture()? {
            pictures.push(next);
        } else {
            others.push(next);
        }
        next = layout.number(bytes, directory.end(), width).context(cut)?;
    }
    ensure!(!seen.is_empty(), "the TIFF file has no page");
    Ok(if pictures.is_empty() { others } else { pictures })
}

/// Every directory of a file: pages, reduced copies, masks, and those that stand below others (tag `SubIFDs`).
pub(super) fn all(bytes: &[u8]) -> Result<Vec<Directory<'_>>> {
    let layout = Layout::of(bytes).context("no TIFF file")?;
    let (first, width) = if layout.big { (8, 8) } else { (4, 4) };
    let cut = "the TIFF file is cut off: a page begins beyond its end; fetch it again";
    let (mut directories, mut seen) = (Vec::new(), BTreeSet::new());
    let mut ahead = vec![layout.number(bytes, first, width).context(cut)?];
    while let Some(start) = ahead.pop() {
        if start == 0 || !seen.insert(start) {
            continue;
        }
        ensure!(seen.len() <= MAX_PAGES, "the TIFF file has over {MAX_PAGES} pages");
        let directory = Directory::at(bytes, start).context(cut)?;
        ahead.push(layout.number(bytes, directory.end(), width).context(cut)?);
        ahead.extend(directory.numbers(BELOW)?);
        directories.push(directory);
    }
    Ok(directories)
}

impl<'a> Directory<'a> {
    /// The directory at `start`; `None` if it lies beyond the file's end.
    pub(super) fn at(bytes: &'a [u8], start: u64) -> Option<Directory<'a>> {
        let layout = Layout::of(bytes)?;
        let entries = layout.number(bytes, start, layout.count_bytes())?;
        let directory = Directory { bytes, layout, start, entries };
        let length = entries.checked_mul(layout.entry_bytes())?;
        let end = start.checked_add(layout.count_bytes() as u64)?.checked_add(length)?;
        (end <= bytes.len() as u64).then_some(directory)
    }

    fn end(&self) -> u64 {
        self.start + self.layout.count_bytes() as u64 + self.entries * self.layout.entry_bytes()
    }

    fn is_picture(&self) -> Result<bool> {
        // Bit 0 is a reduced copy, bit 2 a mask; the old tag's 2 is a reduced copy.
        let is_other = self.number(SUBFILE)?.is_some_and(|kind| kind & 0b101 != 0)
            || self.number(OLD_SUBFILE)? == Some(2);
        Ok(!is_other)
    }

    pub(super) fn is_big_endian(&self) -> bool {
        self.layout.big_endian
    }

    pub(super) fn has(&self, tag: u16) -> bool {
        self.entry(tag).is_some()
    }

    /// `length` bytes of the file from `offset` on.
    pub(super) fn bytes_at(&self, offset: u64, length: u64) -> Option<&'a [u8]> {
        let start = usize::try_from(offset).ok()?;
        self.bytes.get(start..start.checked_add(usize::try_from(length).ok()?)?)
    }

    /// The place of a tag's entry.
    fn entry(&self, tag: u16) -> Option<u64> {
        let places = (0..self.entries)
            .map(|index| self.start + self.layout.count_bytes() as u64 + index * self.layout.entry_bytes());
        places.into_iter().find(|&place| self.layout.number(self.bytes, place, 2) == Some(tag.into()))
    }

    /// Type and bytes of a tag's value.
    fn value(&self, tag: u16) -> Result<Option<(u64, &'a [u8])>> {
        let Some(entry) = self.entry(tag) else { return Ok(None) };
        let damaged = || format!("tag {tag} of the TIFF page is damaged");
        let offset_bytes = if self.layout.big { 8 } else { 4 };
        let number = |at: u64, width: usize| self.layout.number(self.bytes, at, width).with_context(damaged);
        let kind = number(entry + 2, 2)?;
        let count = number(entry + 4, offset_bytes)?;
        ensure!(count <= MAX_NUMBERS, "tag {tag} of the TIFF page states {count} numbers");
        let length = count * size_of_kind(kind).with_context(damaged)? as u64;
        let place = entry + 4 + offset_bytes as u64;
        let start = if length <= offset_bytes as u64 { place } else { number(place, offset_bytes)? };
        Ok(Some((kind, self.bytes_at(start, length).with_context(damaged)?)))
    }

    /// The bytes of a tag's value; none if it is missing.
    pub(super) fn raw(&self, tag: u16) -> Result<&'a [u8]> {
        Ok(self.value(tag)?.map_or(&[], |(_, bytes)| bytes))
    }

    /// The whole numbers of a tag; none if it is missing.
    pub(super) fn numbers(&self, tag: u16) -> Result<Vec<u64>> {
        let Some((kind, bytes)) = self.value(tag)? else { return Ok(Vec::new()) };
        // Byte, short, long, IFD, and those of BigTIFF.
        if !matches!(kind, 1 | 3 | 4 | 13 | 16 | 18) {
            bail!("tag {tag} of the TIFF page holds no whole numbers");
        }
        let size = size_of_kind(kind).context("a known kind")?;
        Ok(bytes.chunks_exact(size).map(|digits| self.layout.fold(digits)).collect())
    }

    /// The first number of a tag.
    pub(super) fn number(&self, tag: u16) -> Result<Option<u64>> {
        Ok(self.numbers(tag)?.first().copied())
    }
}

/// Bytes of one value, by TIFF's number for its type.
fn size_of_kind(kind: u64) -> Option<usize> {
    match kind {
        1 | 2 | 6 | 7 => Some(1),
        3 | 8 => Some(2),
        4 | 9 | 11 | 13 => Some(4),
        5 | 10 | 12 | 16 | 17 | 18 => Some(8),
        _ => None,
    }
}

/// The same file with its first page at `start`, without a copy.
struct Opening<'a> {
    file: Cursor<&'a [u8]>,
    /// The changed start of the file.
    head: Vec<u8>,
}

/// Reads the file as if its first page was the one at `start`.
pub(super) fn opening_at(bytes: &[u8], start: u64) -> impl BufRead + Seek {
    let mut head = bytes[..bytes.len().min(16)].to_vec();
    if let Some(layout) = Layout::of(bytes) {
        let (at, width) = if layout.big { (8, 8) } else { (4, 4) };
        let mut number = start.to_le_bytes();
        if layout.big_endian {
            number[..width].reverse();
        }
        head[at..at + width].copy_from_slice(&number[..width]);
    }
    BufReader::new(Opening { file: Cursor::new(bytes), head })
}

impl Read for Opening<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let place = self.file.position() as usize;
        let read = self.file.read(buffer)?;
        for (offset, byte) in
            buffer[..read].iter_mut().enumerate().take(self.head.len().saturating_sub(place))
        {
            *byte = self.head[place + offset];
        }
        Ok(read)
    }
}

impl Seek for Opening<'_> {
    fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        self.file.seek(to)
    }
}

impl Layout {
    fn of(head: &[u8]) -> Option<Layout> {
        match head {
            [b'I', b'I', 42, 0, ..] => Some(Layout { big_endian: false, big: false }),
            [b'M', b'M', 0, 42, ..] => Some(Layout { big_endian: true, big: false }),
            [b'I', b'I', 43, 0, ..] => Some(Layout { big_endian: false, big: true }),
            [b'M', b'M', 0, 43, ..] => Some(Layout { big_endian: true, big: true }),
            _ => None,
        }
    }

    /// Bytes of the number of a directory's entries, and of an entry.
    fn count_bytes(self) -> usize {
        if self.big { 8 } else { 2 }
    }

    fn entry_bytes(self) -> u64 {
        if self.big { 20 } else { 12 }
    }

    fn fold(self, digits: &[u8]) -> u64 {
        let fold = |number: u64, &digit: &u8| number << 8 | u64::from(digit);
        if self.big_endian { digits.iter().fold(0, fold) } else { digits.iter().rev().fold(0, fold) }
    }

    fn number(self, bytes: &[u8], at: u64, width: usize) -> Option<u64> {
        let at = usize::try_from(at).ok()?;
        Some(self.fold(bytes.get(at..at.checked_add(width)?)?))
    }
}
