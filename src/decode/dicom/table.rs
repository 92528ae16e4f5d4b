//! Lookup tables of modality, VOI and palette, PS3.3 C.11.1.1.1 and C.7.6.3.1.5.

use anyhow::{Context, Result, bail, ensure};
use dicom_dictionary_std::tags;
use dicom_object::{InMemDicomObject, Tag};

use super::segmented;

/// A table from stored numbers to entries.
pub(super) struct Table {
    /// The number that the first entry stands for.
    pub first: i64,
    /// Bits of an entry.
    pub bits: u16,
    pub entries: Vec<u16>,
}

impl Table {
    /// The table in an item of a modality or VOI LUT sequence; `signed` is the sign of what is looked up.
    pub(super) fn of_item(item: &InMemDicomObject, signed: bool) -> Result<Table> {
        let table = Table::read(item, tags::LUT_DESCRIPTOR, tags::LUT_DATA, None)?;
        // The first number may be written as unsigned.
        let wraps = signed && table.first > i64::from(i16::MAX);
        Ok(Table { first: if wraps { table.first - (1 << 16) } else { table.first }, ..table })
    }

    /// The table of one colour of a palette, plain or segmented.
    pub(super) fn of_palette(
        object: &InMemDicomObject,
        descriptor: Tag,
        data: Tag,
        segments: Tag,
    ) -> Result<Table> {
        let table = Table::read(object, descriptor, data, Some(segments))?;
        ensure!(table.bits == 8 || table.bits == 16, "a palette of {} bits; 8 or 16 are allowed", table.bits);
        Ok(table)
    }

    fn read(object: &InMemDicomObject, descriptor: Tag, data: Tag, segments: Option<Tag>) -> Result<Table> {
        let stated = object.get(descriptor).context("a lookup table lacks its descriptor")?;
        let numbers: Vec<i64> =
            stated.to_multi_int().context("a lookup table's descriptor holds no numbers")?;
        let &[count, first, bits] = numbers.as_slice() else {
            bail!("a lookup table's descriptor has {} numbers, not 3", numbers.len());
        };
        ensure!((1..=16).contains(&bits), "a lookup table of {bits} bits; 1 to 16 are supported");
        // 0 stands for 65536, which 16 bits cannot hold.
        let count = if count == 0 { 1 << 16 } else { (count & 0xffff) as usize };
        let mut entries = match (object.get(data), segments.and_then(|tag| object.get(tag))) {
            (Some(plain), _) => {
                let bytes = plain.to_bytes().context("a lookup table holds no numbers")?;
                if bits <= 8 && bytes.len() < 2 * count { single(&bytes) } else { double(&bytes) }
            }
            (None, Some(segmented)) => {
                let bytes = segmented.to_bytes().context("a segmented palette holds no numbers")?;
                match bits {
                    8 => segmented::expand(&single(&bytes), 1)?,
                    _ => segmented::expand(&double(&bytes), 2)?,
                }
            }
            (None, None) => bail!("a lookup table lacks its data"),
        };
        ensure!(entries.len() >= count, "a lookup table states {count} entries and holds {}", entries.len());
        entries.truncate(count);
        Ok(Table { first, bits: bits as u16, entries })
    }

    /// Numbers outside the table take its nearest end.
    pub(super) fn at(&self, number: i64) -> u16 {
        let last = self.entries.len() as i64 - 1;
        self.entries[number.saturating_sub(self.first).clamp(0, last) as usize]
    }

    /// The greatest entry that its bits allow.
    pub(super) fn top(&self) -> f64 {
        f64::from((1u32 << self.bits) - 1)
    }
}

fn single(bytes: &[u8]) -> Vec<u16> {
    bytes.iter().map(|&byte| byte.into()).collect()
}

fn double(bytes: &[u8]) -> Vec<u16> {
    bytes.as_chunks().0.iter().map(|&word| u16::from_le_bytes(word)).collect()
}
