//! Stored voxels to the values they stand for.

use anyhow::{Result, bail};
use nifti::NiftiType;

use super::super::range::{Distribution, Range};
use super::header::Header;

/// `$run` with a closure from a voxel's place to its stored number.
macro_rules! with_stored {
    ($header:expr, $bytes:expr, $stored:ident => $run:expr) => {{
        macro_rules! typed {
            ($kind:ty) => {{
                const SIZE: usize = size_of::<$kind>();
                let bytes: &[[u8; SIZE]] = $bytes.as_chunks().0;
                #[allow(clippy::cast_lossless, reason = "64 bits among them, which f64 rounds")]
                if $header.big_endian {
                    let $stored = |place: usize| <$kind>::from_be_bytes(bytes[place]) as f64;
                    $run
                } else {
                    let $stored = |place: usize| <$kind>::from_le_bytes(bytes[place]) as f64;
                    $run
                }
            }};
        }
        match $header.kind {
            NiftiType::Uint8 => typed!(u8),
            NiftiType::Int8 => typed!(i8),
            NiftiType::Uint16 => typed!(u16),
            NiftiType::Int16 => typed!(i16),
            NiftiType::Uint32 => typed!(u32),
            NiftiType::Int32 => typed!(i32),
            NiftiType::Uint64 => typed!(u64),
            NiftiType::Int64 => typed!(i64),
            NiftiType::Float32 => typed!(f32),
            NiftiType::Float64 => typed!(f64),
            other => unreachable!("{other:?} was refused with the header"),
        }
    }};
}

fn scaled(header: &Header) -> impl Fn(f64) -> f64 + Copy {
    let (slope, intercept) = header.scale.unwrap_or((1.0, 0.0));
    move |stored| stored * slope + intercept
}

/// Values at places that count voxels in stored order.
pub(super) fn values(header: &Header, bytes: &[u8], places: impl Iterator<Item = usize>) -> Vec<f64> {
    let scaled = scaled(header);
    with_stored!(header, bytes, stored => places.map(|place| scaled(stored(place))).collect())
}

/// All values of one time point. Integers of up to 16 bits are counted, others sorted.
pub(super) fn distribution(header: &Header, bytes: &[u8], time: usize) -> Distribution {
    let scaled = scaled(header);
    let places = time * header.voxels()..(time + 1) * header.voxels();
    if header.kind.size_of() <= 2 {
        // Signed and unsigned 16-bit numbers alike lie within these places.
        const LEAST: i32 = i16::MIN as i32;
        let mut counts = vec![0u64; (i32::from(u16::MAX) - LEAST + 1) as usize];
        with_stored!(header, bytes, stored => for place in places {
            counts[(stored(place) as i32 - LEAST) as usize] += 1;
        });
        return Distribution::of_counts(&counts, |index| scaled((index as i32 + LEAST).into()));
    }
    with_stored!(header, bytes, stored => Distribution::new(places.map(|place| (scaled(stored(place)), 1))))
}

/// The values of the least and greatest number that the stored type holds.
pub(super) fn full_range(header: &Header) -> Result<Range> {
    let (least, most) = match header.kind {
        NiftiType::Uint8 => (0.0, u8::MAX.into()),
        NiftiType::Int8 => (i8::MIN.into(), i8::MAX.into()),
        NiftiType::Uint16 => (0.0, u16::MAX.into()),
        NiftiType::Int16 => (i16::MIN.into(), i16::MAX.into()),
        NiftiType::Uint32 => (0.0, u32::MAX.into()),
        NiftiType::Int32 => (i32::MIN.into(), i32::MAX.into()),
        other => bail!("a volume of {other:?} has no full range to show; choose min-max or percentiles"),
    };
    let [a, b] = [least, most].map(scaled(header));
    Ok(Range { low: a.min(b), high: a.max(b) })
}
