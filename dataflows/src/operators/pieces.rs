//! Pieces: bytes that are handed on while more of them are being made, so that they are never held all at once.
//!
//! Invariant: joined, pieces are the values that were put, one after another; all but the last, which is no larger, have the
//! same size, and nothing follows the last.

use postcard::ser_flavors::Flavor;
use serde::Serialize;

/// The size of a piece: object stores take none that are much smaller, and some ask for equal ones.
pub const PIECE_BYTES: usize = 8 << 20;

/// What is handed on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Piece {
    /// Its bytes; or why there are none, and what came before is not whole.
    pub bytes: Result<Vec<u8>, String>,
    /// True where nothing follows.
    pub is_last: bool,
}

/// Values on their way into pieces.
pub struct Pieces<'g> {
    filled: Filled<'g>,
    broken: Option<String>,
}

struct Filled<'g> {
    piece: Vec<u8>,
    give: &'g mut dyn FnMut(Piece),
}

impl<'g> Pieces<'g> {
    /// Nothing put yet.
    pub fn new(give: &'g mut dyn FnMut(Piece)) -> Pieces<'g> {
        Pieces { filled: Filled { piece: Vec::new(), give }, broken: None }
    }

    /// Puts a value behind the last one.
    pub fn put(&mut self, value: &impl Serialize) {
        if self.broken.is_none() {
            self.broken = postcard::serialize_with_flavor(value, &mut self.filled).err().map(|error| error.to_string());
        }
    }

    /// Nothing more is put.
    pub fn end(self) {
        let Filled { piece, give } = self.filled;
        give(Piece { bytes: self.broken.map_or(Ok(piece), Err), is_last: true });
    }
}

impl Flavor for &mut Filled<'_> {
    type Output = ();

    fn try_push(&mut self, byte: u8) -> postcard::Result<()> {
        self.try_extend(&[byte])
    }

    fn try_extend(&mut self, mut bytes: &[u8]) -> postcard::Result<()> {
        while self.piece.len() + bytes.len() > PIECE_BYTES {
            let (fits, rest) = bytes.split_at(PIECE_BYTES - self.piece.len());
            self.piece.extend_from_slice(fits);
            bytes = rest;
            let piece = std::mem::replace(&mut self.piece, Vec::with_capacity(PIECE_BYTES));
            (self.give)(Piece { bytes: Ok(piece), is_last: false });
        }
        self.piece.extend_from_slice(bytes);
        Ok(())
    }

    fn finalize(self) -> postcard::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Cannot be written.
    struct Unwritable;

    impl Serialize for Unwritable {
        fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
            serializer.collect_seq(std::iter::repeat_n(1, 3).filter(|number| *number > 0))
        }
    }

    fn pieces(put: impl FnOnce(&mut Pieces<'_>)) -> Vec<Piece> {
        let mut given = Vec::new();
        let mut give = |piece| given.push(piece);
        let mut pieces = Pieces::new(&mut give);
        put(&mut pieces);
        pieces.end();
        given
    }

    #[test]
    fn joined_they_are_what_was_put() {
        // Each takes two bytes of length besides.
        for sizes in [vec![], vec![PIECE_BYTES - 5], vec![PIECE_BYTES - 4], vec![300; 60_000], vec![20 << 20, 1_000]] {
            let values: Vec<Vec<u8>> = sizes.iter().enumerate().map(|(at, size)| vec![at as u8; *size]).collect();
            let given = pieces(|pieces| values.iter().for_each(|value| pieces.put(&value)));
            let (last, others) = given.split_last().unwrap();
            assert!(last.is_last && last.bytes.as_ref().unwrap().len() <= PIECE_BYTES);
            assert!(others.iter().all(|piece| !piece.is_last && piece.bytes.as_ref().unwrap().len() == PIECE_BYTES));
            let all: Vec<u8> = given.into_iter().flat_map(|piece| piece.bytes.unwrap()).collect();
            let expected =
                values.iter().map(|value| postcard::to_allocvec(value).unwrap()).collect::<Vec<_>>().concat();
            assert!(all == expected, "{sizes:?}");
        }
    }

    #[test]
    fn what_cannot_be_put_is_said_in_the_end() {
        let given = pieces(|pieces| {
            pieces.put(&vec![1_u8; PIECE_BYTES]);
            pieces.put(&Unwritable);
            pieces.put(&vec![1_u8; 3 * PIECE_BYTES]);
        });
        let outcomes: Vec<_> = given.iter().map(|piece| (piece.bytes.is_ok(), piece.is_last)).collect();
        assert_eq!(outcomes, [(true, false), (false, true)]);
    }
}
