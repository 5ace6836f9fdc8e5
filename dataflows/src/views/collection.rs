//! What a collection is: a name, columns with their units and docs, and rows of typed cells.
//!
//! Invariant: `collection!` writes a row's fields, columns and cells from one list, so they cannot disagree. Key columns
//! come first; rows are ordered by their text, bytewise, in column order (outputs.md).

use serde::{Deserialize, Serialize};

use super::order_events::EventType;
use super::sla_breaches::Resolution;
use crate::model::{EventKind, Money, PaymentType, Sla, Status, Text, Verdict};
use crate::orders::outlook::DropOff;
use crate::time::{Time, Window};

/// What a column holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ColumnType {
    /// UTF-8 text.
    Text,
    /// UTC milliseconds since 1970, shown as RFC 3339.
    Time,
    /// A whole number.
    Integer,
    /// A decimal with two to four places.
    Money,
    /// A percentage or an average with two places.
    Hundredths,
    /// A duration in seconds with at most three places.
    Seconds,
    /// `true` or `false`.
    Boolean,
}

/// One column of a collection.
#[derive(Clone, Copy, Debug)]
pub struct Column {
    /// Its name in every sink.
    pub name: &'static str,
    /// True where it is part of the key.
    pub is_key: bool,
    /// True where a row may have no value.
    pub is_optional: bool,
    /// True where people look rows up by it other than by key: sinks that can keep an index of it.
    pub is_indexed: bool,
    /// What it holds.
    pub column_type: ColumnType,
    /// What it means.
    pub doc: &'static str,
}

/// One value of a row.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cell<'r> {
    /// No value.
    Null,
    /// Text that lives with the row.
    Text(&'r Text),
    /// A word of the law.
    Word(&'static str),
    /// A sentence.
    Sentence(&'r str),
    /// UTC milliseconds.
    Time(Time),
    /// A whole number.
    Integer(i64),
    /// An amount.
    Money(Money),
    /// Hundredths of a unit.
    Hundredths(i128),
    /// Milliseconds, shown as seconds.
    Milliseconds(i64),
    /// Yes or no.
    Boolean(bool),
}

/// What every sink and document says of a collection.
#[derive(Clone, Copy, Debug)]
pub struct Collection {
    /// Its name: file, table and topic.
    pub name: &'static str,
    /// What it holds.
    pub doc: &'static str,
    /// Its columns in order.
    pub columns: &'static [Column],
}

impl Collection {
    /// The collection of these rows.
    pub const fn of<R: Row>() -> Collection {
        Collection { name: R::NAME, doc: R::DOC, columns: R::COLUMNS }
    }
}

/// A row of a collection. Columns of the key stand before all others.
pub trait Row: Clone {
    /// The collection's name: file, table and topic.
    const NAME: &'static str;
    /// What the collection holds.
    const DOC: &'static str;
    /// Its columns in order.
    const COLUMNS: &'static [Column];

    /// Gives the row's values, one a column.
    fn each_cell(&self, taker: &mut impl TakeCells);
}

/// Takes the cells of a row, one after the other.
pub trait TakeCells {
    /// Takes the next one, of this column.
    fn take(&mut self, column: &'static Column, cell: Cell<'_>);
}

impl<F: FnMut(&'static Column, Cell<'_>)> TakeCells for F {
    fn take(&mut self, column: &'static Column, cell: Cell<'_>) {
        self(column, cell);
    }
}

/// A type that fills a column.
pub trait Value {
    /// What the column holds.
    const COLUMN_TYPE: ColumnType;
    /// True where there may be no value.
    const IS_OPTIONAL: bool = false;

    /// The value as a cell.
    fn cell(&self) -> Cell<'_>;
}

/// An instant in a row.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct At(pub Time);

/// A percentage or an average in hundredths.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Hundredths(pub i128);

/// A duration in milliseconds, shown in seconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Milliseconds(pub i64);

macro_rules! value {
    ($($type:ty, $column:ident, $this:ident => $cell:expr;)*) => {$(
        impl Value for $type {
            const COLUMN_TYPE: ColumnType = ColumnType::$column;
            fn cell(&self) -> Cell<'_> {
                let $this = self;
                $cell
            }
        }
    )*};
}

value! {
    Text, Text, this => Cell::Text(this);
    String, Text, this => Cell::Sentence(this);
    At, Time, this => Cell::Time(this.0);
    i64, Integer, this => Cell::Integer(*this);
    u32, Integer, this => Cell::Integer(i64::from(*this));
    Money, Money, this => Cell::Money(*this);
    Hundredths, Hundredths, this => Cell::Hundredths(this.0);
    Milliseconds, Seconds, this => Cell::Milliseconds(this.0);
    bool, Boolean, this => Cell::Boolean(*this);
    EventKind, Text, this => Cell::Word(this.name());
    Status, Text, this => Cell::Word(this.name());
    Verdict, Text, this => Cell::Word(this.name());
    PaymentType, Text, this => Cell::Word(this.name());
    Sla, Text, this => Cell::Word(this.name());
    Window, Text, this => Cell::Word(this.name());
    DropOff, Text, this => Cell::Word(this.name());
    EventType, Text, this => Cell::Word(this.name());
    Resolution, Text, this => Cell::Word(this.name());
}

impl<V: Value> Value for Option<V> {
    const COLUMN_TYPE: ColumnType = V::COLUMN_TYPE;
    const IS_OPTIONAL: bool = true;
    fn cell(&self) -> Cell<'_> {
        self.as_ref().map_or(Cell::Null, Value::cell)
    }
}

/// Defines a collection: its row type with fields, columns and cells. `key` stands before a column of the key, `index`
/// after one by which people look rows up.
macro_rules! collection {
    (
        $(#[doc = $doc:literal])*
        $name:literal => $row:ident {
            $( $(#[doc = $column_doc:literal])* $($key:ident)? ($field:ident: $type:ty) $($index:ident)?, )*
        }
    ) => {
        $(#[doc = $doc])*
        #[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, serde::Serialize, serde::Deserialize)]
        pub struct $row {
            $( $(#[doc = $column_doc])* pub $field: $type, )*
        }

        impl $crate::views::collection::Row for $row {
            const NAME: &'static str = $name;
            const DOC: &'static str = concat!($($doc),*);
            const COLUMNS: &'static [$crate::views::collection::Column] = &[
                $( $crate::views::collection::Column {
                    name: stringify!($field),
                    is_key: $crate::views::collection::collection!(@given $($key)?),
                    is_optional: <$type as $crate::views::collection::Value>::IS_OPTIONAL,
                    is_indexed: $crate::views::collection::collection!(@given $($index)?),
                    column_type: <$type as $crate::views::collection::Value>::COLUMN_TYPE,
                    doc: concat!($($column_doc),*),
                }, )*
            ];

            // A call for each, whose type of cell the compiler knows: to make a list of them first costs as much as the rest.
            fn each_cell(&self, taker: &mut impl $crate::views::collection::TakeCells) {
                let mut columns = Self::COLUMNS.iter();
                $( if let Some(column) = columns.next() {
                    taker.take(column, $crate::views::collection::Value::cell(&self.$field));
                } )*
            }
        }
    };
    (@given key) => { true };
    (@given index) => { true };
    (@given) => { false };
}
pub(crate) use collection;
