//! Bits of a scan, without those that are stuffed.

use anyhow::{Result, bail};

/// The highest bit first; after a byte of ones the next one's highest bit is stuffed (T.87, 9.1).
pub(super) struct Bits<'a> {
    bytes: &'a [u8],
    at: usize,
    /// Bits that were taken from bytes and not handed out, the next one highest.
    held: u64,
    n_held: u32,
}

impl<'a> Bits<'a> {
    pub(super) fn new(bytes: &'a [u8]) -> Bits<'a> {
        Bits { bytes, at: 0, held: 0, n_held: 0 }
    }

    /// Whether another byte could be taken: there is one, and it does not begin a marker.
    fn fill(&mut self) -> bool {
        let Some(&byte) = self.bytes.get(self.at) else { return false };
        let is_stuffed = self.at > 0 && self.bytes[self.at - 1] == 0xff;
        if byte == 0xff && self.bytes.get(self.at + 1).is_none_or(|&next| next >= 0x80) {
            return false;
        }
        let n = if is_stuffed { 7 } else { 8 };
        self.held |= u64::from(byte) << (64 - n) >> self.n_held;
        self.n_held += n;
        self.at += 1;
        true
    }

    /// The number in the next `n` bits, of which there are at most 32.
    ///
    /// # Errors
    /// The end of the scan.
    pub(super) fn number(&mut self, n: u32) -> Result<u32> {
        while self.n_held < n {
            if !self.fill() {
                bail!("the scan ends early");
            }
        }
        if n == 0 {
            return Ok(0);
        }
        let number = (self.held >> (64 - n)) as u32;
        self.held <<= n;
        self.n_held -= n;
        Ok(number)
    }

    pub(super) fn bit(&mut self) -> Result<bool> {
        Ok(self.number(1)? == 1)
    }

    /// How many zeros stand before the next one, which is passed over.
    ///
    /// # Errors
    /// The end of the scan, or more than `most`.
    pub(super) fn zeros(&mut self, most: u32) -> Result<u32> {
        let mut zeros = 0;
        while !self.bit()? {
            zeros += 1;
            if zeros > most {
                bail!("a code is longer than codes are");
            }
        }
        Ok(zeros)
    }

    /// The place after the scan: what is left of its last byte fills that up, and after a byte of ones a stuffed one
    /// follows.
    pub(super) fn end(&self) -> usize {
        let is_ones = self.at > 0 && self.bytes[self.at - 1] == 0xff;
        let is_stuffed = is_ones && self.bytes.get(self.at).is_some_and(|&byte| byte < 0x80);
        self.at + usize::from(is_stuffed)
    }
}
