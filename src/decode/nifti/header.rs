//! NIfTI-1 and NIfTI-2 headers: shape, type, scale, and the matrix to patient space.

use anyhow::{Context, Result, bail, ensure};
use nifti::{Endianness, NiftiHeader, NiftiType};

use super::orientation::Orientation;

/// Bytes of a NIfTI-1 header and of a NIfTI-2 header.
pub(super) const HEADER_1: usize = 348;
const HEADER_2: usize = 540;

/// More bytes than this in one volume are refused: files are not trusted.
pub(super) const MAX_BYTES: u64 = 2 << 30;

/// What both versions say, with numbers as wide as the second's.
struct Fields {
    magic: [u8; 4],
    dim: [i64; 8],
    datatype: i16,
    pixdim: [f64; 8],
    vox_offset: f64,
    scl_slope: f64,
    scl_inter: f64,
    qform_code: i32,
    sform_code: i32,
    quatern: [f64; 3],
    srow: [[f64; 4]; 3],
    intent_code: i32,
    big_endian: bool,
}

/// How the voxels of a file are laid out, and where they lie in the patient.
pub(super) struct Header {
    /// Voxels along the three stored axes.
    pub shape: [usize; 3],
    /// Volumes that follow each other: the product of all further dimensions.
    pub times: usize,
    pub kind: NiftiType,
    pub big_endian: bool,
    /// Slope and intercept where the file states them.
    pub scale: Option<(f64, f64)>,
    /// Where voxels begin in their file.
    pub offset: usize,
    /// Whether they follow in the same file.
    pub single_file: bool,
    /// From stored axes to right, anterior, superior, in mm: one row per patient axis.
    pub matrix: [[f64; 3]; 3],
    /// Where the matrix comes from: `sform`, `qform`, or [`NO_TRANSFORM`].
    pub origin: &'static str,
    /// What was forgiven.
    pub repaired: Vec<String>,
}

/// A matrix, its origin, and what was forgiven.
type Transform = ([[f64; 3]; 3], &'static str, Vec<String>);

/// The origin of a matrix that the header does not state.
pub(super) const NO_TRANSFORM: &str = "voxel sizes alone";

impl Header {
    /// Reads a header from a file's start.
    pub(super) fn read(head: &[u8]) -> Result<Header> {
        let fields = match stated_size(head) {
            Some(HEADER_1) => first(head)?,
            Some(HEADER_2) => second(head)?,
            _ => bail!("no NIfTI header: it states neither {HEADER_1} nor {HEADER_2} bytes"),
        };
        fields.check()
    }

    /// Voxels of one volume.
    pub(super) fn voxels(&self) -> usize {
        self.shape.iter().product()
    }

    /// Bytes of all voxels.
    pub(super) fn n_bytes(&self) -> usize {
        self.voxels() * self.times * self.kind.size_of()
    }
}

/// The header's own size, which tells version and byte order.
pub(super) fn stated_size(head: &[u8]) -> Option<usize> {
    let size: [u8; 4] = head.get(..4)?.try_into().ok()?;
    [i32::from_le_bytes(size), i32::from_be_bytes(size)]
        .into_iter()
        .map(|size| size as usize)
        .find(|&size| size == HEADER_1 || size == HEADER_2)
}

fn first(head: &[u8]) -> Result<Fields> {
    let head = head.get(..HEADER_1).context("the NIfTI header is cut off; fetch the file again")?;
    check_magic(&head[344..])?;
    let header = NiftiHeader::from_reader(head).context("damaged NIfTI-1 header")?;
    ensure!(header.sizeof_hdr as usize == HEADER_1, "damaged NIfTI-1 header: its number of dimensions");
    let wide = |row: [f32; 4]| row.map(f64::from);
    Ok(Fields {
        magic: header.magic,
        // Signed in the file.
        dim: header.dim.map(|n| i64::from(n as i16)),
        datatype: header.datatype,
        pixdim: header.pixdim.map(f64::from),
        vox_offset: header.vox_offset.into(),
        scl_slope: header.scl_slope.into(),
        scl_inter: header.scl_inter.into(),
        qform_code: header.qform_code.into(),
        sform_code: header.sform_code.into(),
        quatern: [header.quatern_b, header.quatern_c, header.quatern_d].map(f64::from),
        srow: [wide(header.srow_x), wide(header.srow_y), wide(header.srow_z)],
        intent_code: header.intent_code.into(),
        big_endian: header.endianness == Endianness::Big,
    })
}

/// One file or two, of version 1 or 2.
fn check_magic(magic: &[u8]) -> Result<()> {
    ensure!(
        matches!(magic, b"n+1\0" | b"n+2\0" | b"ni1\0" | b"ni2\0"),
        "the header has the size of NIfTI's but not its magic (ANALYZE 7.5 has none and is not read); convert the file to NIfTI"
    );
    Ok(())
}

/// Places of fields as in nifti2.h.
fn second(head: &[u8]) -> Result<Fields> {
    let head = head.get(..HEADER_2).context("the NIfTI-2 header is cut off; fetch the file again")?;
    let big_endian = head[..4] == (HEADER_2 as i32).to_be_bytes();
    fn bytes<const N: usize>(head: &[u8], at: usize, swap: bool) -> [u8; N] {
        let mut bytes: [u8; N] = std::array::from_fn(|byte| head[at + byte]);
        if swap {
            bytes.reverse();
        }
        bytes
    }
    let double = |at: usize| f64::from_le_bytes(bytes(head, at, big_endian));
    let long = |at: usize| i64::from_le_bytes(bytes(head, at, big_endian));
    let int = |at: usize| i32::from_le_bytes(bytes(head, at, big_endian));
    let row = |at: usize| std::array::from_fn(|place| double(at + 8 * place));
    Ok(Fields {
        magic: std::array::from_fn(|byte| head[4 + byte]),
        dim: std::array::from_fn(|place| long(16 + 8 * place)),
        datatype: i16::from_le_bytes(bytes(head, 12, big_endian)),
        pixdim: std::array::from_fn(|place| double(104 + 8 * place)),
        vox_offset: long(168) as f64,
        scl_slope: double(176),
        scl_inter: double(184),
        qform_code: int(344),
        sform_code: int(348),
        quatern: [double(352), double(360), double(368)],
        srow: [row(400), row(432), row(464)],
        intent_code: int(504),
        big_endian,
    })
}

impl Fields {
    fn check(&self) -> Result<Header> {
        check_magic(&self.magic)?;
        let single_file = self.magic[1] == b'+';
        ensure!(
            !(3000..3100).contains(&self.intent_code),
            "a CIFTI file (intent {}): values per surface point, no picture",
            self.intent_code
        );
        let (shape, times) = self.shape()?;
        let kind = self.kind()?;
        let header = Header {
            shape,
            times,
            kind,
            big_endian: self.big_endian,
            scale: self.scale()?,
            offset: self.offset(single_file)?,
            single_file,
            matrix: [[0.0; 3]; 3],
            origin: "",
            repaired: Vec::new(),
        };
        let n_bytes = shape.iter().chain([&times, &kind.size_of()]).try_fold(1u64, |product, &factor| {
            product.checked_mul(factor as u64).filter(|&product| product <= MAX_BYTES)
        });
        ensure!(
            n_bytes.is_some(),
            "{shape:?} x {times} voxels are over the limit of {MAX_BYTES} bytes in one file; divide the file"
        );
        let (matrix, origin, repaired) = self.matrix()?;
        Ok(Header { matrix, origin, repaired, ..header })
    }

    fn shape(&self) -> Result<([usize; 3], usize)> {
        let n_dims = self.dim[0];
        ensure!((1..=7).contains(&n_dims), "damaged NIfTI header: {n_dims} dimensions");
        let dims = &self.dim[1..=n_dims as usize];
        ensure!(dims.iter().all(|&n| n > 0), "damaged NIfTI header: dimensions {dims:?}");
        let along = |axis: usize| dims.get(axis).map_or(1, |&n| n as usize);
        let times = dims.iter().skip(3).try_fold(1usize, |product, &n| product.checked_mul(n as usize));
        let times = times.filter(|&times| u32::try_from(times).is_ok());
        Ok(([along(0), along(1), along(2)], times.context("damaged NIfTI header: too many time points")?))
    }

    fn kind(&self) -> Result<NiftiType> {
        use NiftiType::{
            Complex64, Complex128, Complex256, Float32, Float64, Float128, Int8, Int16, Int32, Int64, Rgb24,
            Rgba32, Uint8, Uint16, Uint32, Uint64,
        };
        let known = [
            Uint8, Int8, Uint16, Int16, Uint32, Int32, Uint64, Int64, Float32, Float64, Float128, Complex64,
            Complex128, Complex256, Rgb24, Rgba32,
        ];
        let kind = known.into_iter().find(|kind| *kind as i16 == self.datatype);
        let kind = kind.with_context(|| format!("NIfTI data type {} is not supported", self.datatype))?;
        ensure!(
            !matches!(kind, Float128 | Complex64 | Complex128 | Complex256 | Rgb24 | Rgba32),
            "NIfTI data type {kind:?} is not supported; convert the file to integers or to 32-bit floats"
        );
        Ok(kind)
    }

    /// A slope of 0 or NaN means that none is stated.
    fn scale(&self) -> Result<Option<(f64, f64)>> {
        if !self.scl_slope.is_finite() || self.scl_slope == 0.0 {
            return Ok(None);
        }
        ensure!(self.scl_inter.is_finite(), "scl_inter is no finite number, though scl_slope is");
        Ok(Some((self.scl_slope, self.scl_inter)))
    }

    /// In one file, voxels begin after the header and the four bytes that tell of extensions.
    fn offset(&self, single_file: bool) -> Result<usize> {
        let least = match (single_file, self.magic[2]) {
            (false, _) => 0,
            (true, b'1') => HEADER_1 + 4,
            (true, _) => HEADER_2 + 4,
        };
        let stated = self.vox_offset;
        ensure!((0.0..=MAX_BYTES as f64).contains(&stated), "vox_offset {stated} is out of range");
        let stated = stated as usize;
        ensure!(stated == 0 || stated >= least, "vox_offset {stated} points into the header");
        Ok(stated.max(least))
    }

    /// The matrix, its origin, and what was forgiven. A header that states no transform is taken as nibabel
    /// takes it: the first axis rises to the left.
    fn matrix(&self) -> Result<Transform> {
        let mut repaired = Vec::new();
        let stated: [f64; 3] = std::array::from_fn(|axis| self.pixdim[axis + 1]);
        if stated.iter().any(|&size| size < 0.0) {
            repaired.push("the sign of a negative voxel size in pixdim dropped".to_owned());
        }
        // Where a size is not stated, directions still are.
        let sizes = stated.map(|size| if size == 0.0 { 1.0 } else { size.abs() });
        let sform = self.srow.map(|row| [row[0], row[1], row[2]]);
        let has_sform = self.sform_code > 0 && Orientation::of(&sform).is_ok();
        if self.sform_code > 0 && !has_sform && self.qform_code > 0 {
            repaired.push("the sform gives an axis no direction, the qform taken".to_owned());
        }
        let (matrix, origin) = if has_sform || (self.sform_code > 0 && self.qform_code <= 0) {
            (sform, "sform")
        } else if self.qform_code > 0 {
            (self.rotation(sizes)?, "qform")
        } else {
            ([[-sizes[0], 0.0, 0.0], [0.0, sizes[1], 0.0], [0.0, 0.0, sizes[2]]], NO_TRANSFORM)
        };
        ensure!(
            matrix.iter().flatten().all(|number: &f64| number.is_finite()),
            "the {origin} of the header holds numbers that are not finite"
        );
        Ok((matrix, origin, repaired))
    }

    /// Method 2 of nifti1.h: a unit quaternion, voxel sizes, and a possible reflection of the third axis.
    fn rotation(&self, sizes: [f64; 3]) -> Result<[[f64; 3]; 3]> {
        let squares: f64 = self.quatern.iter().map(|number| number * number).sum();
        ensure!(squares <= 1.001, "the quaternion of the qform is longer than 1");
        let long = squares.max(1.0).sqrt();
        let [b, c, d] = self.quatern.map(|number| number / long);
        let a = (1.0 - squares).max(0.0).sqrt();
        let sign = if self.pixdim[0] < 0.0 { -1.0 } else { 1.0 };
        let rotation = [
            [a * a + b * b - c * c - d * d, 2.0 * (b * c - a * d), 2.0 * (b * d + a * c)],
            [2.0 * (b * c + a * d), a * a + c * c - b * b - d * d, 2.0 * (c * d - a * b)],
            [2.0 * (b * d - a * c), 2.0 * (c * d + a * b), a * a + d * d - b * b - c * c],
        ];
        Ok(rotation.map(|[i, j, k]| [i * sizes[0], j * sizes[1], k * sizes[2] * sign]))
    }
}
