//! Small made-up volumes whose voxels tell their place in the patient.

use std::io::Write;

use flate2::Compression;
use flate2::write::GzEncoder;

/// How a made file says where it lies.
#[derive(Clone, Debug)]
pub enum Transform {
    Sform([[f32; 3]; 3]),
    /// The quaternion's b, c and d, and whether the third axis is reflected.
    Qform([f32; 3], bool),
    Neither,
}

/// A NIfTI-1 file of 32-bit floats.
#[derive(Clone, Debug)]
pub struct Made {
    pub name: String,
    pub shape: [i16; 3],
    pub times: i16,
    pub transform: Transform,
    /// In stored order, the first axis fastest.
    pub values: Vec<f32>,
}

type Matrix = [[f32; 3]; 3];

impl Made {
    /// Stored to the right, to the front and up: 2 x 3 x 4 voxels of 100 x + 10 y + z.
    pub fn plain() -> Made {
        const IDENTITY: Matrix = [[1.0, 0.0, 0.0], [0.0, 1.0, 0.0], [0.0, 0.0, 1.0]];
        Made { transform: Transform::Sform(IDENTITY), ..Made::stored(&IDENTITY) }
    }

    /// The same volume stored along `matrix`, which has one entry of 1 or -1 per row and column.
    fn stored(matrix: &Matrix) -> Made {
        let extent = [2, 3, 4];
        // The patient's axis along each stored one, and its direction.
        let along = [0, 1, 2].map(|stored| {
            let patient = (0..3).find(|&patient| matrix[patient][stored] != 0.0).unwrap();
            (patient, matrix[patient][stored] < 0.0)
        });
        let shape = along.map(|(patient, _)| extent[patient]);
        let mut values = Vec::new();
        for k in 0..shape[2] {
            for j in 0..shape[1] {
                for i in 0..shape[0] {
                    let mut place = [0; 3];
                    for (index, (patient, reversed)) in [i, j, k].into_iter().zip(along) {
                        place[patient] = if reversed { extent[patient] - 1 - index } else { index };
                    }
                    values.push((100 * place[0] + 10 * place[1] + place[2]) as f32);
                }
            }
        }
        let name = format!("{along:?}");
        Made { name, shape: shape.map(|n| n as i16), times: 1, transform: Transform::Neither, values }
    }

    /// All 48 storage orders by sform and by qform, and the one that a file without either has.
    pub fn in_every_orientation() -> Vec<Made> {
        // Without either, the first axis rises to the left, as nibabel takes it.
        const LEFT: Matrix = [[-1.0, 0.0, 0.0], [0.0, 1.0, 0.0], [0.0, 0.0, 1.0]];
        let mut all = vec![Made::stored(&LEFT)];
        for order in [[0, 1, 2], [0, 2, 1], [1, 0, 2], [1, 2, 0], [2, 0, 1], [2, 1, 0]] {
            for signs in 0..8 {
                let mut matrix = [[0.0; 3]; 3];
                for (stored, &patient) in order.iter().enumerate() {
                    matrix[patient][stored] = if signs >> stored & 1 == 1 { -1.0 } else { 1.0 };
                }
                let made = Made::stored(&matrix);
                let (quaternion, reflected) = quaternion(matrix);
                all.push(Made { transform: Transform::Qform(quaternion, reflected), ..made.clone() });
                all.push(Made { transform: Transform::Sform(matrix), ..made });
            }
        }
        all
    }

    pub fn bytes(&self) -> Vec<u8> {
        let mut bytes = vec![0; 352];
        let mut put = |at: usize, value: &[u8]| bytes[at..at + value.len()].copy_from_slice(value);
        put(0, &348i32.to_le_bytes());
        let [x, y, z] = self.shape;
        for (place, n) in [4, x, y, z, self.times, 1, 1, 1].into_iter().enumerate() {
            put(40 + 2 * place, &n.to_le_bytes());
        }
        put(70, &16i16.to_le_bytes());
        put(72, &32i16.to_le_bytes());
        for place in 0..4 {
            put(76 + 4 * place, &1f32.to_le_bytes());
        }
        put(108, &352f32.to_le_bytes());
        match &self.transform {
            Transform::Sform(matrix) => {
                put(254, &1i16.to_le_bytes());
                for (row, numbers) in matrix.iter().enumerate() {
                    for (column, number) in numbers.iter().enumerate() {
                        put(280 + 16 * row + 4 * column, &number.to_le_bytes());
                    }
                }
            }
            Transform::Qform(quaternion, reflected) => {
                put(252, &1i16.to_le_bytes());
                put(76, &(if *reflected { -1f32 } else { 1f32 }).to_le_bytes());
                for (place, number) in quaternion.iter().enumerate() {
                    put(256 + 4 * place, &number.to_le_bytes());
                }
            }
            Transform::Neither => {}
        }
        put(344, b"n+1\0");
        bytes.extend(self.values.iter().flat_map(|value| value.to_le_bytes()));
        bytes
    }

    pub fn gzip(&self) -> Vec<u8> {
        let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
        encoder.write_all(&self.bytes()).unwrap();
        encoder.finish().unwrap()
    }
}

/// [`Made::plain`] with other bytes at a place.
pub fn patched(at: usize, value: &[u8]) -> Vec<u8> {
    let mut bytes = Made::plain().bytes();
    bytes[at..at + value.len()].copy_from_slice(value);
    bytes
}

/// A volume of another type, `size` bytes a voxel.
pub fn typed(datatype: i16, size: usize) -> Vec<u8> {
    let mut bytes = patched(70, &datatype.to_le_bytes());
    bytes[72..74].copy_from_slice(&(8 * size as i16).to_le_bytes());
    bytes.truncate(352);
    bytes.resize(352 + 24 * size, 0);
    bytes
}

/// [`Made::plain`] with the bytes of all its numbers turned round.
pub fn big_endian() -> Vec<u8> {
    let mut bytes = Made::plain().bytes();
    for (start, n, size) in
        [(0, 1, 4), (40, 8, 2), (70, 2, 2), (76, 8, 4), (108, 1, 4), (254, 1, 2), (280, 12, 4), (352, 24, 4)]
    {
        bytes[start..start + n * size].chunks_exact_mut(size).for_each(<[u8]>::reverse);
    }
    bytes
}

/// [`Made::plain`] under a header of 540 bytes.
pub fn nifti_2() -> Vec<u8> {
    let mut bytes = vec![0; 544];
    let mut put = |at: usize, value: &[u8]| bytes[at..at + value.len()].copy_from_slice(value);
    put(0, &540i32.to_le_bytes());
    put(4, b"n+2\0\r\n\x1a\n");
    put(12, &16i16.to_le_bytes());
    put(14, &32i16.to_le_bytes());
    for (place, n) in [3i64, 2, 3, 4, 1, 1, 1, 1].into_iter().enumerate() {
        put(16 + 8 * place, &n.to_le_bytes());
        put(104 + 8 * place, &1f64.to_le_bytes());
    }
    put(168, &544i64.to_le_bytes());
    put(348, &1i32.to_le_bytes());
    for place in [400, 440, 480] {
        put(place, &1f64.to_le_bytes());
    }
    bytes.extend(&Made::plain().bytes()[352..]);
    bytes
}

/// The unit quaternion of a signed permutation, found by trying those of its group; a reflection is taken out
/// of the third axis first.
fn quaternion(matrix: Matrix) -> ([f32; 3], bool) {
    let (h, r) = (0.5f32, 0.5f32.sqrt());
    let parts = [-1.0, -r, -h, 0.0, h, r, 1.0];
    for reflected in [false, true] {
        let sign = if reflected { -1.0 } else { 1.0 };
        let wanted = matrix.map(|[i, j, k]| [i, j, k * sign]);
        for b in parts {
            for c in parts {
                for d in parts {
                    let a = (1.0 - b * b - c * c - d * d).max(0.0).sqrt();
                    let rotation = [
                        [a * a + b * b - c * c - d * d, 2.0 * (b * c - a * d), 2.0 * (b * d + a * c)],
                        [2.0 * (b * c + a * d), a * a + c * c - b * b - d * d, 2.0 * (c * d - a * b)],
                        [2.0 * (b * d - a * c), 2.0 * (c * d + a * b), a * a + d * d - b * b - c * c],
                    ];
                    let apart =
                        rotation.iter().flatten().zip(wanted.iter().flatten()).map(|(x, y)| (x - y).abs());
                    if apart.fold(0.0, f32::max) < 1e-3 {
                        return ([b, c, d], reflected);
                    }
                }
            }
        }
    }
    unreachable!("every signed permutation is a rotation, or one with its third axis reflected")
}
