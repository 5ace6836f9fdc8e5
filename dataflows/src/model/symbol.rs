//! `Symbol`: a tenant, a category or a source as four bytes that compare and hash at once.
//!
//! The table is shared by the workers of a process and only grows. That is bounded by what the collections hold
//! anyway: every tenant and category that is interned has a row in a `total` window, which never closes. Numbers differ
//! from process to process and run to run, so a symbol travels as its text and nothing may depend on the order of
//! symbols.

use std::cell::RefCell;
use std::fmt;
use std::sync::{LazyLock, PoisonError, RwLock};

use hashbrown::HashMap;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::Text;

/// An interned text; the default one is empty.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Symbol(u32);

struct Table {
    texts: Vec<Text>,
    symbols: HashMap<Text, Symbol>,
}

static TABLE: LazyLock<RwLock<Table>> = LazyLock::new(|| {
    let empty = Text::new("");
    RwLock::new(Table { texts: vec![empty.clone()], symbols: HashMap::from([(empty, Symbol::default())]) })
});

thread_local! {
    /// What this thread has looked up: a table that all threads lock would have each wait for the others.
    static KNOWN: RefCell<HashMap<Text, Symbol>> = RefCell::default();
    /// The same by packed bytes.
    static KNOWN_PACKED: RefCell<HashMap<Vec<u8>, Symbol>> = RefCell::default();
}

impl Symbol {
    /// The symbol of `text`.
    pub fn new(text: &Text) -> Symbol {
        KNOWN.with_borrow_mut(|known| match known.get(text) {
            Some(symbol) => *symbol,
            None => *known.entry(text.clone()).insert(Symbol::of_table(text)).get(),
        })
    }

    /// The symbol of the text whose packed bytes, the only ones it has, are `packed`.
    pub(super) fn of_packed(packed: &[u8], text: impl FnOnce() -> Text) -> Symbol {
        KNOWN_PACKED.with_borrow_mut(|known| match known.get(packed) {
            Some(symbol) => *symbol,
            None => *known.entry(packed.to_vec()).insert(Symbol::new(&text())).get(),
        })
    }

    fn of_table(text: &Text) -> Symbol {
        if let Some(symbol) = TABLE.read().unwrap_or_else(PoisonError::into_inner).symbols.get(text) {
            return *symbol;
        }
        let mut table = TABLE.write().unwrap_or_else(PoisonError::into_inner);
        if let Some(symbol) = table.symbols.get(text) {
            return *symbol;
        }
        let symbol = Symbol(table.texts.len() as u32);
        table.texts.push(text.clone());
        table.symbols.insert(text.clone(), symbol);
        symbol
    }

    /// Its number in this process and run.
    pub fn number(self) -> u32 {
        self.0
    }

    /// The one of a number, in the process and run that gave it.
    pub(crate) fn of_number(number: u32) -> Symbol {
        Symbol(number)
    }

    /// The text it stands for.
    pub fn text(self) -> Text {
        let table = TABLE.read().unwrap_or_else(PoisonError::into_inner);
        table.texts.get(self.0 as usize).cloned().unwrap_or_else(|| Text::new(""))
    }
}

impl From<&str> for Symbol {
    fn from(text: &str) -> Symbol {
        Symbol::new(&Text::new(text))
    }
}

impl fmt::Debug for Symbol {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.text(), formatter)
    }
}

impl Serialize for Symbol {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.text().serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for Symbol {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Symbol, D::Error> {
        Ok(Symbol::new(&Text::deserialize(deserializer)?))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_has_one_symbol_and_comes_back() {
        let hats = Symbol::from("Hats");
        assert_eq!(hats, Symbol::from("Hats"));
        assert_ne!(hats, Symbol::from("Pants"));
        assert_eq!(hats.text(), Text::new("Hats"));
    }
}
