//! What a collection is: a name, columns with their units and docs, and rows of typed cells.
//!
//! Invariant: `collection!` writes a row's fields, columns and cells from one list, so they cannot disagree. Rows are
//! ordered by the text of their key columns, bytewise, in column order (outputs.md).

use std::cmp::Ordering;

use serde::{Deserialize, Serialize};

use super::order_events::EventType;
use super::sla_breaches::Resolution;
use crate::model::{EventKind, Money, PaymentType, Sla, Status, Symbol, Text, Verdict};
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
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Cell {
    /// No value.
    Null,
    /// Text that lives with the row.
    Text(Text),
    /// A word of the law.
    Word(&'static str),
    /// A sentence.
    Sentence(String),
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

/// A row of a collection.
pub trait Row: Clone {
    /// The collection's name: file, table and topic.
    const NAME: &'static str;
    /// What the collection holds.
    const DOC: &'static str;
    /// Its columns in order.
    const COLUMNS: &'static [Column];

    /// The row's values, one a column.
    fn cells(&self) -> Vec<Cell>;

    /// The order of two rows in a file: by the text of their keys, in column order.
    fn key_order(&self, other: &Self) -> Ordering;
}

/// A type that fills a column.
pub trait Value {
    /// What the column holds.
    const COLUMN_TYPE: ColumnType;
    /// True where there may be no value.
    const IS_OPTIONAL: bool = false;

    /// The value as a cell.
    fn cell(&self) -> Cell;

    /// The bytewise order of the two values' text.
    fn text_order(&self, other: &Self) -> Ordering;
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
    ($($type:ty, $column:ident, $this:ident => $cell:expr, $text:expr;)*) => {$(
        impl Value for $type {
            const COLUMN_TYPE: ColumnType = ColumnType::$column;
            fn cell(&self) -> Cell {
                let $this = self;
                $cell
            }
            fn text_order(&self, other: &Self) -> Ordering {
                let order_by = |$this: &Self| $text;
                order_by(self).cmp(&order_by(other))
            }
        }
    )*};
}

// Text of instants and of words is ordered as they are: RFC 3339 has a fixed width, words are compared by name.
value! {
    Text, Text, this => Cell::Text(this.clone()), this.clone();
    Symbol, Text, this => Cell::Text(this.text()), this.text();
    String, Text, this => Cell::Sentence(this.clone()), this.clone();
    At, Time, this => Cell::Time(this.0), this.0;
    i64, Integer, this => Cell::Integer(*this), this.to_string();
    u32, Integer, this => Cell::Integer(i64::from(*this)), this.to_string();
    Money, Money, this => Cell::Money(*this), this.to_string();
    Hundredths, Hundredths, this => Cell::Hundredths(this.0), this.0;
    Milliseconds, Seconds, this => Cell::Milliseconds(this.0), this.0;
    bool, Boolean, this => Cell::Boolean(*this), *this;
    EventKind, Text, this => Cell::Word(this.name()), this.name();
    Status, Text, this => Cell::Word(this.name()), this.name();
    Verdict, Text, this => Cell::Word(this.name()), this.name();
    PaymentType, Text, this => Cell::Word(this.name()), this.name();
    Sla, Text, this => Cell::Word(this.name()), this.name();
    Window, Text, this => Cell::Word(this.name()), this.name();
    DropOff, Text, this => Cell::Word(this.name()), this.name();
    EventType, Text, this => Cell::Word(this.name()), this.name();
    Resolution, Text, this => Cell::Word(this.name()), this.name();
}

impl<V: Value> Value for Option<V> {
    const COLUMN_TYPE: ColumnType = V::COLUMN_TYPE;
    const IS_OPTIONAL: bool = true;
    fn cell(&self) -> Cell {
        self.as_ref().map_or(Cell::Null, Value::cell)
    }
    fn text_order(&self, other: &Self) -> Ordering {
        match (self, other) {
            (Some(this), Some(that)) => this.text_order(that),
            (this, that) => this.is_some().cmp(&that.is_some()),
        }
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

            fn cells(&self) -> Vec<$crate::views::collection::Cell> {
                vec![$( $crate::views::collection::Value::cell(&self.$field) ),*]
            }

            fn key_order(&self, other: &Self) -> std::cmp::Ordering {
                std::cmp::Ordering::Equal
                $( .then_with(|| $crate::views::collection::collection!(@order self, other, $field $($key)?)) )*
            }
        }
    };
    (@given key) => { true };
    (@given index) => { true };
    (@given) => { false };
    (@order $this:ident, $other:ident, $field:ident key) => {
        $crate::views::collection::Value::text_order(&$this.$field, &$other.$field)
    };
    (@order $this:ident, $other:ident, $field:ident) => { std::cmp::Ordering::Equal };
}
pub(crate) use collection;
