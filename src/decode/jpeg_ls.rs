//! JPEG-LS, lossless and near-lossless: ITU T.87, which is ISO/IEC 14495-1.
//!
//! Ours, because no crate in Rust reads colour: `pure_jpegls` 2.0 takes one component, `dicom-toolkit-codec` 0.5
//! decodes none of the streams that the tests hold, and `charls` needs a C++ compiler and cmake. Grey and three
//! components, in scans of their own, line by line or sample by sample; 2 to 16 bits. Mapping tables, point
//! transforms, restarts and subsampled components are refused by name. A scan that ends early is an error.

use anyhow::{Context, Result, bail, ensure};

use bits::Bits;
use scan::{Coding, Scan};

/// Bits of a scan, without those that are stuffed.
mod bits;
/// Samples out of the bits of one scan.
mod scan;

/// A decoded stream.
pub(super) struct Picture {
    pub rows: usize,
    pub columns: usize,
    pub components: usize,
    /// Bits of a sample.
    pub precision: u8,
    /// `[rows, columns, components]`.
    pub samples: Vec<u16>,
    /// What was forgiven.
    pub repaired: Vec<String>,
}

/// What the headers before a scan state.
#[derive(Default)]
struct Frame {
    rows: usize,
    columns: usize,
    precision: u8,
    /// Identifiers of the components, in their order.
    components: Vec<u8>,
    preset: Option<Preset>,
}

/// Coding parameters that a stream states itself, T.87 C.2.4.1.1; 0 stands for the default.
#[derive(Clone, Copy)]
struct Preset {
    greatest: i32,
    thresholds: [i32; 3],
    reset: i32,
}

/// How the components of a scan take turns.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Interleave {
    /// One component alone.
    None,
    Line,
    Sample,
}

const CUT: &str = "the JPEG-LS stream is cut off or damaged; fetch it again";

/// Decodes a stream whose picture takes at most `most` samples.
///
/// # Errors
/// A stream that is cut off, damaged, or of a kind that is not read.
pub(super) fn decode(stream: &[u8], most: usize) -> Result<Picture> {
    ensure!(stream.starts_with(&[0xff, 0xd8]), "the JPEG-LS stream lacks its first marker");
    let mut frame = Frame::default();
    let mut samples = Vec::new();
    let mut decoded = Vec::new();
    let mut at = 2;
    let mut repaired = Vec::new();
    loop {
        let is_all = !samples.is_empty() && decoded.len() == frame.components.len();
        if is_all && stream[at..].iter().all(|&byte| byte == 0) {
            repaired.push("the JPEG-LS end marker is missing, the scans are whole".to_owned());
            break;
        }
        let (marker, start) = marker(stream, at)?;
        if marker == 0xd9 {
            ensure!(is_all, "{CUT}: scans are missing");
            break;
        }
        let (body, end) = segment(stream, start)?;
        at = end;
        match marker {
            0xf7 => {
                frame.read(body)?;
                let total = frame.rows * frame.columns * frame.components.len();
                ensure!(total <= most, "{} x {} pixels are over the limit", frame.rows, frame.columns);
                samples = vec![0; total];
            }
            0xf8 => frame.extend(body)?,
            0xda => {
                ensure!(!samples.is_empty(), "a JPEG-LS scan without a frame header");
                at = frame.scan(body, stream, end, &mut samples, &mut decoded)?;
            }
            0xdd => ensure!(body.iter().all(|&byte| byte == 0), "JPEG-LS with restarts is not read"),
            0xe8 if body.starts_with(b"mrfx") => {
                ensure!(body.get(4) == Some(&0), "JPEG-LS with a colour transform is not read");
            }
            0xe0..=0xef | 0xfe => {}
            0xc0..=0xcf => bail!("the stream is plain JPEG, not JPEG-LS"),
            other => bail!("JPEG-LS marker FF{other:02X} is not read"),
        }
    }
    let Frame { rows, columns, precision, components, .. } = frame;
    Ok(Picture { rows, columns, components: components.len(), precision, samples, repaired })
}

/// The marker at `at` and the place after it.
fn marker(stream: &[u8], at: usize) -> Result<(u8, usize)> {
    ensure!(stream.get(at) == Some(&0xff), CUT);
    let fill = stream[at..].iter().take_while(|&&byte| byte == 0xff).count();
    Ok((*stream.get(at + fill).context(CUT)?, at + fill + 1))
}

/// The content of a segment and the place after it.
fn segment(stream: &[u8], start: usize) -> Result<(&[u8], usize)> {
    let length = stream.get(start..start + 2).context(CUT)?;
    let end = start + usize::from(u16::from_be_bytes([length[0], length[1]]));
    Ok((stream.get(start + 2..end).context(CUT)?, end))
}

impl Frame {
    fn read(&mut self, body: &[u8]) -> Result<()> {
        ensure!(self.components.is_empty(), "the JPEG-LS stream has two frame headers");
        let &[precision, y1, y0, x1, x0, count, ref listed @ ..] = body else { bail!(CUT) };
        let (rows, columns) = (u16::from_be_bytes([y1, y0]), u16::from_be_bytes([x1, x0]));
        ensure!((2..=16).contains(&precision), "JPEG-LS of {precision} bits a sample");
        ensure!(rows > 0 && columns > 0, "JPEG-LS that does not state its size at its start is not read");
        ensure!(
            matches!(count, 1 | 3) && listed.len() == 3 * usize::from(count),
            "JPEG-LS of {count} components is not read"
        );
        let listed = listed.as_chunks::<3>().0;
        ensure!(listed.iter().all(|one| one[1] == 0x11), "JPEG-LS with subsampled components is not read");
        let components: Vec<u8> = listed.iter().map(|one| one[0]).collect();
        *self =
            Frame { rows: rows.into(), columns: columns.into(), precision, components, preset: self.preset };
        Ok(())
    }

    /// Reads an extension segment: coding parameters, of which 0 keeps the default.
    fn extend(&mut self, body: &[u8]) -> Result<()> {
        let &[kind, ref numbers @ ..] = body else { bail!(CUT) };
        ensure!(kind == 1, "JPEG-LS with mapping tables or sides beyond 65,535 is not read");
        ensure!(numbers.len() == 10, CUT);
        let number = |at: usize| i32::from(u16::from_be_bytes([numbers[2 * at], numbers[2 * at + 1]]));
        let thresholds = [number(1), number(2), number(3)];
        self.preset = Some(Preset { greatest: number(0), thresholds, reset: number(4) });
        Ok(())
    }

    /// Decodes one scan into its components and returns the place after it.
    fn scan(
        &self,
        body: &[u8],
        stream: &[u8],
        start: usize,
        samples: &mut [u16],
        decoded: &mut Vec<usize>,
    ) -> Result<usize> {
        let count = usize::from(*body.first().context(CUT)?);
        let &[near, interleave, transform] = body.get(1 + 2 * count..).context(CUT)? else { bail!(CUT) };
        ensure!(transform == 0, "JPEG-LS with a point transform is not read");
        let interleave = match interleave {
            _ if count == 1 => Interleave::None,
            1 => Interleave::Line,
            2 => Interleave::Sample,
            other => bail!("JPEG-LS interleave mode {other} with {count} components"),
        };
        let mut places = Vec::new();
        for listed in body[1..=2 * count].as_chunks::<2>().0 {
            ensure!(listed[1] == 0, "JPEG-LS with mapping tables is not read");
            let place = self.components.iter().position(|&name| name == listed[0]);
            let place = place.context("a JPEG-LS scan of no component")?;
            ensure!(!decoded.contains(&place), "two JPEG-LS scans of one component");
            decoded.push(place);
            places.push(place);
        }
        ensure!(!places.is_empty(), CUT);
        let coding = Coding::of(self.precision, self.preset, near.into())?;
        let bits = Bits::new(stream.get(start..).context(CUT)?);
        let mut scan = Scan::new(coding, bits, self.columns, places.len());
        let stride = self.components.len();
        for row in samples.chunks_exact_mut(self.columns * stride) {
            let lines = scan.lines(interleave).context(CUT)?;
            for (line, &place) in lines.zip(&places) {
                row.iter_mut()
                    .skip(place)
                    .step_by(stride)
                    .zip(line)
                    .for_each(|(to, &from)| *to = from as u16);
            }
        }
        Ok(start + scan.end())
    }
}
