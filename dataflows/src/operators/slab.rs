//! A slab: values with small, stable numbers, in chunks that never move.
//!
//! Chunks keep growth from copying and from holding twice the memory; a free list hands numbers out again, so the slab
//! is as large as the largest number of values that ever lived together.

const CHUNK: usize = 1 << 12;

/// Values by number.
#[derive(Debug)]
pub struct Slab<T> {
    chunks: Vec<Vec<Option<T>>>,
    free: Vec<u32>,
    len: usize,
}

impl<T> Default for Slab<T> {
    fn default() -> Slab<T> {
        Slab { chunks: Vec::new(), free: Vec::new(), len: 0 }
    }
}

impl<T> Slab<T> {
    /// Keeps `value`; its number.
    pub fn insert(&mut self, value: T) -> u32 {
        self.len += 1;
        if let Some(number) = self.free.pop() {
            self.chunks[number as usize / CHUNK][number as usize % CHUNK] = Some(value);
            return number;
        }
        match self.chunks.last_mut() {
            Some(chunk) if chunk.len() < CHUNK => chunk.push(Some(value)),
            _ => {
                let mut chunk = Vec::with_capacity(CHUNK);
                chunk.push(Some(value));
                self.chunks.push(chunk);
            }
        }
        ((self.chunks.len() - 1) * CHUNK + self.chunks.last().map_or(0, Vec::len) - 1) as u32
    }

    /// The value with this number.
    pub fn get(&self, number: u32) -> Option<&T> {
        self.chunks.get(number as usize / CHUNK)?.get(number as usize % CHUNK)?.as_ref()
    }

    /// The value with this number, to change.
    pub fn get_mut(&mut self, number: u32) -> Option<&mut T> {
        self.chunks.get_mut(number as usize / CHUNK)?.get_mut(number as usize % CHUNK)?.as_mut()
    }

    /// Drops the value with this number, where it is.
    pub fn remove(&mut self, number: u32) {
        let place =
            self.chunks.get_mut(number as usize / CHUNK).and_then(|chunk| chunk.get_mut(number as usize % CHUNK));
        if let Some(place @ Some(_)) = place {
            *place = None;
            self.free.push(number);
            self.len -= 1;
        }
    }

    /// Every value with its number.
    pub fn iter(&self) -> impl Iterator<Item = (u32, &T)> {
        let places = self.chunks.iter().flatten().enumerate();
        places.filter_map(|(number, value)| Some((number as u32, value.as_ref()?)))
    }

    /// The number that no value has reached yet.
    pub fn end(&self) -> u32 {
        self.chunks.iter().map(Vec::len).sum::<usize>() as u32
    }

    /// How many values live.
    pub fn len(&self) -> usize {
        self.len
    }

    /// Bytes that the places of values take.
    pub fn heap_bytes(&self) -> usize {
        self.chunks.len() * CHUNK * size_of::<Option<T>>() + self.free.capacity() * size_of::<u32>()
    }

    /// True where none lives.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_stable_and_used_again() {
        let mut slab = Slab::default();
        let numbers: Vec<u32> = (0..CHUNK + 2).map(|value| slab.insert(value)).collect();
        assert_eq!(numbers.last(), Some(&(CHUNK as u32 + 1)));
        slab.remove(7);
        slab.remove(7);
        assert_eq!((slab.len(), slab.get(7), slab.get(8)), (CHUNK + 1, None, Some(&8)));
        assert_eq!(slab.insert(70), 7);
        assert_eq!(slab.iter().count(), CHUNK + 2);
    }
}
