//! `Text`: an immutable string of 24 bytes that keeps short text and 32-digit hexadecimal ids in place.
//!
//! Invariant: the representation is canonical (exactly 32 lower-case hexadecimal digits are always packed into 16
//! bytes, other text of at most 22 bytes is always in line), so equality and hashing may compare representations.
//! Order is the bytewise order of the text.

use std::cmp::Ordering;
use std::fmt;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// Longest text kept in line, in bytes.
const INLINE_BYTES: usize = 22;

/// An immutable UTF-8 string: an id, a name, a category.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct Text(Repr);

impl Default for Text {
    /// The empty text.
    fn default() -> Text {
        Text::new("")
    }
}

#[derive(Clone, PartialEq, Eq, Hash)]
enum Repr {
    /// 32 lower-case hexadecimal digits, packed.
    Hex([u8; 16]),
    /// Length and bytes; bytes past the length are zero.
    Inline(u8, [u8; INLINE_BYTES]),
    Heap(Box<str>),
}

/// Scratch space in which [`Text::as_str_in`] unpacks a hexadecimal id.
pub type Scratch = [u8; 32];

impl Text {
    /// Keeps `text`, in line where it fits.
    pub fn new(text: &str) -> Text {
        let bytes = text.as_bytes();
        if let Some(packed) = pack_hex(bytes) {
            return Text(Repr::Hex(packed));
        }
        if bytes.len() <= INLINE_BYTES {
            let mut inline = [0; INLINE_BYTES];
            inline[..bytes.len()].copy_from_slice(bytes);
            return Text(Repr::Inline(bytes.len() as u8, inline));
        }
        Text(Repr::Heap(text.into()))
    }

    /// The id whose 32 hexadecimal digits are these 16 bytes.
    pub fn from_packed_hex(packed: [u8; 16]) -> Text {
        Text(Repr::Hex(packed))
    }

    /// The 16 bytes of a 32-digit hexadecimal id, where the text is one.
    pub fn packed_hex(&self) -> Option<&[u8; 16]> {
        match &self.0 {
            Repr::Hex(packed) => Some(packed),
            _ => None,
        }
    }

    /// The text; a packed id is written into `scratch` first.
    pub fn as_str_in<'a>(&'a self, scratch: &'a mut Scratch) -> &'a str {
        match &self.0 {
            Repr::Heap(text) => text,
            // The others hold bytes that were UTF-8 when the text was made.
            _ => std::str::from_utf8(self.as_bytes_in(scratch)).unwrap_or_default(),
        }
    }

    /// The bytes of the text, as [`Text::as_str_in`].
    pub fn as_bytes_in<'a>(&'a self, scratch: &'a mut Scratch) -> &'a [u8] {
        match &self.0 {
            Repr::Hex(packed) => {
                unpack_hex(packed, scratch);
                scratch
            }
            Repr::Inline(length, bytes) => &bytes[..usize::from(*length)],
            Repr::Heap(text) => text.as_bytes(),
        }
    }

    /// Bytes that it takes beside its own 24.
    pub fn heap_bytes(&self) -> usize {
        match &self.0 {
            Repr::Heap(text) => text.len(),
            Repr::Hex(_) | Repr::Inline(..) => 0,
        }
    }

    /// True for the empty text.
    pub fn is_empty(&self) -> bool {
        matches!(self.0, Repr::Inline(0, _))
    }
}

/// Packs exactly 32 lower-case hexadecimal digits.
pub fn pack_hex(text: &[u8]) -> Option<[u8; 16]> {
    let digits: &[u8; 32] = text.try_into().ok()?;
    // Without tables and branches, so that the digits are looked at side by side.
    let (mut values, mut wrong) = ([0; 32], false);
    for (value, byte) in values.iter_mut().zip(digits) {
        let (decimal, letter) = (byte.wrapping_sub(b'0'), byte.wrapping_sub(b'a'));
        *value = if decimal < 10 { decimal } else { letter.wrapping_add(10) };
        wrong |= decimal >= 10 && letter >= 6;
    }
    let mut packed = [0; 16];
    for (four, eight) in packed.chunks_exact_mut(4).zip(values.chunks_exact(8)) {
        let eight = u64::from_be_bytes(eight.try_into().unwrap_or_default());
        let bytes = (eight | eight >> 4) & 0x00FF_00FF_00FF_00FF;
        let pairs = (bytes | bytes >> 8) & 0x0000_FFFF_0000_FFFF;
        four.copy_from_slice(&((pairs | pairs >> 16) as u32).to_be_bytes());
    }
    (!wrong).then_some(packed)
}

fn unpack_hex(packed: &[u8; 16], digits: &mut Scratch) {
    for (eight, four) in digits.chunks_exact_mut(8).zip(packed.chunks_exact(4)) {
        let bytes = u64::from(u32::from_be_bytes(four.try_into().unwrap_or_default()));
        // Half a byte in each of eight bytes.
        let pairs = (bytes | bytes << 16) & 0x0000_FFFF_0000_FFFF;
        let single = (pairs | pairs << 8) & 0x00FF_00FF_00FF_00FF;
        let values = (single | single << 4) & 0x0F0F_0F0F_0F0F_0F0F;
        // 1 where the digit is a letter: those stand 39 places behind the nines.
        let letters = (values + 0x0606_0606_0606_0606) >> 4 & 0x0101_0101_0101_0101;
        eight.copy_from_slice(&(values + 0x3030_3030_3030_3030 + letters * 39).to_be_bytes());
    }
}

impl Ord for Text {
    fn cmp(&self, other: &Text) -> Ordering {
        match (&self.0, &other.0) {
            // Hexadecimal digits ascend in ASCII as their values do.
            (Repr::Hex(left), Repr::Hex(right)) => left.cmp(right),
            _ => self.as_bytes_in(&mut [0; 32]).cmp(other.as_bytes_in(&mut [0; 32])),
        }
    }
}

impl PartialOrd for Text {
    fn partial_cmp(&self, other: &Text) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl fmt::Display for Text {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.pad(self.as_str_in(&mut [0; 32]))
    }
}

impl fmt::Debug for Text {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self.as_str_in(&mut [0; 32]), formatter)
    }
}

impl From<&str> for Text {
    fn from(text: &str) -> Text {
        Text::new(text)
    }
}

impl Serialize for Text {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.as_str_in(&mut [0; 32]))
    }
}

impl<'de> Deserialize<'de> for Text {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Text, D::Error> {
        Ok(Text::new(&String::deserialize(deserializer)?))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_text_is_24_bytes() {
        assert_eq!(size_of::<Text>(), 24);
        assert_eq!(size_of::<Option<Text>>(), 24);
    }

    #[test]
    fn digits_are_lower_case_hexadecimal_and_nothing_else() {
        for byte in 0..=u8::MAX {
            for place in [0, 7, 16, 31] {
                let mut text = *b"0123456789abcdef0123456789abcdef";
                text[place] = byte;
                let mut digits = [0; 32];
                let unpacked = pack_hex(&text).map(|packed| {
                    unpack_hex(&packed, &mut digits);
                    digits
                });
                assert_eq!(unpacked, b"0123456789abcdef".contains(&byte).then_some(text), "{byte:#x} at {place}");
            }
        }
    }

    proptest! {
        #[test]
        fn keeps_text_equality_and_order(left in "([0-9a-f]{31,33}|.{0,30})", right in "([0-9a-f]{31,33}|.{0,30})") {
            let (a, b) = (Text::new(&left), Text::new(&right));
            prop_assert_eq!(a.to_string(), &*left);
            prop_assert_eq!(a == b, left == right);
            prop_assert_eq!(a.cmp(&b), left.as_bytes().cmp(right.as_bytes()));
        }
    }
}
