//! A JPEG stream made so that no decoder can take a cut scan for a whole one.
//!
//! Decoders fill what is missing with zeros, whatever follows the cut: an end marker that a repair tool put there
//! is followed as readily as a true one. So every scan is followed here by a run of ones. No code of a JPEG
//! consists of ones alone (ITU T.81, C.2), so that a decoder that needs more than the scan holds meets an error,
//! and one that has all its units never reads that far.

use std::collections::BTreeMap;

use anyhow::{Context, Result, bail, ensure};

/// Six stuffed bytes: longer than the longest code and its extra bits, and the longest code again.
const ONES: [u8; 12] = [0xff, 0, 0xff, 0, 0xff, 0, 0xff, 0, 0xff, 0, 0xff, 0];

/// How coefficients are coded, by the kind of the frame header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Coding {
    Sequential,
    Progressive,
    Lossless,
    /// Arithmetic or hierarchical, which no decoder here reads.
    Other,
}

/// A component's share of a frame: its sampling factors, and how finely each coefficient was stated so far.
struct Component {
    blocks: u64,
    sampling: (u8, u8),
    /// The lowest bit that was stated, by coefficient; `None` before the first scan.
    stated: [Option<u8>; 64],
}

/// A stream from its start to its first end marker, with its scans sealed.
pub(in super::super) struct Sealed {
    pub bytes: Vec<u8>,
    pub n_scans: usize,
    /// What was passed over.
    pub repaired: Vec<String>,
    coding: Option<Coding>,
    sides: (u64, u64),
    components: BTreeMap<u8, Component>,
    /// Bytes of all scans together.
    entropy: u64,
    /// Units between restarts, 0 for none.
    restart_interval: u64,
    /// Places in `bytes` of the frame's precision and of each scan's last byte, its point transform.
    precision_at: usize,
    transforms_at: Vec<usize>,
}

impl Sealed {
    /// Copies a stream up to its first end marker. With `restarts`, intervals are sealed too, which not every
    /// decoder bears.
    ///
    /// # Errors
    /// A stream that ends in a header, lacks a scan, or has too few bytes for the picture that it states.
    pub(crate) fn of(stream: &[u8], restarts: bool) -> Result<Sealed> {
        ensure!(stream.starts_with(&[0xff, 0xd8]), "the JPEG stream lacks its first marker");
        let mut sealed = Sealed {
            bytes: Vec::with_capacity(stream.len() + 4 * ONES.len()),
            n_scans: 0,
            repaired: Vec::new(),
            coding: None,
            sides: (0, 0),
            components: BTreeMap::new(),
            entropy: 0,
            restart_interval: 0,
            precision_at: 0,
            transforms_at: Vec::new(),
        };
        sealed.bytes.extend_from_slice(&stream[..2]);
        let mut at = 2;
        while let Some((marker, start, skipped)) = next_marker(stream, at) {
            sealed.skipped(skipped);
            at = match marker {
                0xd9 => return sealed.finished(),
                0x01 | 0xd0..=0xd7 => start,
                0xda => sealed.scan(stream, start, restarts)?,
                _ => sealed.segment(stream, marker, start)?.1,
            };
        }
        ensure!(sealed.n_scans > 0, "the JPEG stream is cut off before its picture; fetch it again");
        sealed.repaired.push("the JPEG end marker is missing, the scans are whole".to_owned());
        sealed.finished()
    }

    fn skipped(&mut self, n_bytes: usize) {
        if n_bytes > 0 {
            self.repaired.push(format!("{n_bytes} stray bytes between JPEG segments passed over"));
        }
    }

    /// Copies a segment and returns its content and the place after it.
    fn segment<'a>(&mut self, stream: &'a [u8], marker: u8, start: usize) -> Result<(&'a [u8], usize)> {
        let cut = "the JPEG stream is cut off in a header; fetch it again";
        let length = stream.get(start..start + 2).context(cut)?;
        let end = start + usize::from(u16::from_be_bytes([length[0], length[1]]));
        let body = stream.get(start + 2..end).context(cut)?;
        self.bytes.extend_from_slice(&[0xff, marker]);
        self.bytes.extend_from_slice(&stream[start..end]);
        if let (0xdd, &[high, low, ..]) = (marker, body) {
            self.restart_interval = u16::from_be_bytes([high, low]).into();
        }
        if matches!(marker, 0xc0..=0xcf) && !matches!(marker, 0xc4 | 0xc8 | 0xcc) {
            self.frame(marker, body)?;
        }
        Ok((body, end))
    }

    fn frame(&mut self, marker: u8, body: &[u8]) -> Result<()> {
        ensure!(
            self.coding.is_none(),
            "the JPEG stream has two frame headers; hierarchical JPEG is not read"
        );
        let &[_, y1, y0, x1, x0, count, ref listed @ ..] = body else {
            bail!("the JPEG frame header is cut off");
        };
        self.coding = Some(match marker {
            0xc0 | 0xc1 => Coding::Sequential,
            0xc2 => Coding::Progressive,
            0xc3 => Coding::Lossless,
            _ => Coding::Other,
        });
        self.precision_at = self.bytes.len() - body.len();
        self.sides = (u16::from_be_bytes([y1, y0]).into(), u16::from_be_bytes([x1, x0]).into());
        ensure!(listed.len() == 3 * usize::from(count), "the JPEG frame header states {count} components");
        for component in listed.as_chunks::<3>().0 {
            let sampling = (component[1] >> 4, component[1] & 15);
            ensure!((1..=4).contains(&sampling.0) && (1..=4).contains(&sampling.1), "JPEG sampling factors");
            self.components.insert(component[0], Component { blocks: 0, sampling, stated: [None; 64] });
        }
        let most = |factor: fn(&Component) -> u8| self.components.values().map(factor).max().unwrap_or(1);
        let (across, down) = (u64::from(most(|c| c.sampling.0)), u64::from(most(|c| c.sampling.1)));
        for component in self.components.values_mut() {
            let (h, v) = (u64::from(component.sampling.0), u64::from(component.sampling.1));
            component.blocks =
                (self.sides.1 * h).div_ceil(8 * across) * (self.sides.0 * v).div_ceil(8 * down);
        }
        Ok(())
    }

    /// Copies a scan's header and data, seals it, and returns the place of the marker after it.
    fn scan(&mut self, stream: &[u8], start: usize, restarts: bool) -> Result<usize> {
        let (body, mut at) = self.segment(stream, 0xda, start)?;
        self.note(body)?;
        self.transforms_at.push(self.bytes.len() - 1);
        self.n_scans += 1;
        loop {
            let length = stream[at..].iter().position(|&byte| byte == 0xff).unwrap_or(stream.len() - at);
            self.bytes.extend_from_slice(&stream[at..at + length]);
            self.entropy += length as u64;
            at += length;
            match stream.get(at + 1) {
                Some(0) => self.bytes.extend_from_slice(&[0xff, 0]),
                Some(restart @ 0xd0..=0xd7) => {
                    if restarts {
                        self.bytes.extend_from_slice(&ONES);
                    }
                    self.bytes.extend_from_slice(&[0xff, *restart]);
                }
                _ => break,
            }
            self.entropy += 1;
            at += 2;
        }
        // The decoder of progressive streams wants a marker right after the first scan; if that scan is cut,
        // others are missing.
        if self.coding != Some(Coding::Progressive) || self.n_scans > 1 {
            self.bytes.extend_from_slice(&ONES);
        }
        Ok(at)
    }

    /// Notes which coefficients a scan states.
    fn note(&mut self, body: &[u8]) -> Result<()> {
        let damaged = "the header of a JPEG scan is damaged";
        let count = usize::from(*body.first().context(damaged)?);
        let &[first, last, low] = body.get(1 + 2 * count..).context(damaged)? else { bail!(damaged) };
        let range = match self.coding.context("a JPEG scan without a frame header")? {
            Coding::Progressive => usize::from(first)..=usize::from(last),
            _ => 0..=63,
        };
        let low = if self.coding == Some(Coding::Progressive) { low & 15 } else { 0 };
        for listed in body[1..=2 * count].as_chunks::<2>().0 {
            let component = self.components.get_mut(&listed[0]).context("a JPEG scan of no component")?;
            component.stated.get_mut(range.clone()).context(damaged)?.fill(Some(low));
        }
        Ok(())
    }

    fn finished(mut self) -> Result<Sealed> {
        ensure!(self.n_scans > 0, "the JPEG stream is cut off before its picture; fetch it again");
        let is_whole = |component: &Component| component.stated.iter().all(|stated| *stated == Some(0));
        ensure!(
            self.components.values().all(is_whole),
            "the JPEG stream is cut off: scans of some coefficients are missing; fetch it again"
        );
        let (rows, columns) = self.sides;
        let blocks: u64 = self.components.values().map(|component| component.blocks).sum();
        // The shortest code has one bit; a sequential block has two codes at least.
        let least = match self.coding {
            Some(Coding::Sequential) => 2 * blocks,
            Some(Coding::Progressive) => blocks,
            Some(Coding::Lossless) => rows * columns * self.components.len() as u64,
            _ => 0,
        };
        ensure!(
            least <= 8 * self.entropy,
            "the JPEG stream is cut off: {rows} x {columns} pixels cannot come out of {} bytes; fetch it again",
            self.entropy
        );
        self.bytes.extend_from_slice(&[0xff, 0xd9]);
        Ok(self)
    }

    /// Takes the point transform out of a lossless stream, whose decoder predicts from samples that it has
    /// already moved up (T.81, H.1.2.1 predicts from those before), and returns by how many bits samples must
    /// be moved up afterwards. Other streams stay as they are.
    ///
    /// # Errors
    /// Restarts, after which that decoder predicts wrongly; transforms that differ or leave no bits.
    pub(crate) fn take_point_transform(&mut self) -> Result<u8> {
        if self.coding != Some(Coding::Lossless) {
            return Ok(0);
        }
        let (rows, columns) = self.sides;
        ensure!(
            self.restart_interval == 0 || self.restart_interval >= rows * columns,
            "JPEG Lossless with restarts is not read; convert the file to another lossless syntax"
        );
        let shift = self.transforms_at.first().map_or(0, |&at| self.bytes[at] & 15);
        ensure!(
            self.transforms_at.iter().all(|&at| self.bytes[at] & 15 == shift)
                && shift + 1 < self.bytes[self.precision_at],
            "the point transforms of the JPEG scans differ or leave no bits"
        );
        self.bytes[self.precision_at] -= shift;
        self.transforms_at.iter().for_each(|&at| self.bytes[at] &= 0xf0);
        Ok(shift)
    }

    /// Whether components come one after the other in scans of their own.
    pub(crate) fn is_divided(&self) -> bool {
        self.coding == Some(Coding::Sequential) && self.n_scans > 1
    }
}

/// The next marker from `at` on, the place after it, and how many bytes stand before it.
fn next_marker(stream: &[u8], at: usize) -> Option<(u8, usize, usize)> {
    let mut place = at;
    loop {
        let found = place + stream.get(place..)?.iter().position(|&byte| byte == 0xff)?;
        let after = found + stream[found..].iter().position(|&byte| byte != 0xff)?;
        match stream[after] {
            0 => place = after + 1,
            marker => return Some((marker, after + 1, found - at)),
        }
    }
}
