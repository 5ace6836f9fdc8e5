//! Enums whose values have names: each value stands once, beside the word that inputs, settings and outputs have for it.
//!
//! Invariant: `ALL` is in the order of declaration, so a value's number is its place there. Limits: values hold no data.

/// Makes an enum of named values, with `ALL` of them and the `name` of each.
#[macro_export]
macro_rules! named {
    (
        $(#[$meaning:meta])*
        pub enum $enum:ident {
            $($(#[$attribute:meta])* $value:ident => $name:literal,)*
        }
    ) => {
        $(#[$meaning])*
        pub enum $enum {
            $($(#[$attribute])* $value,)*
        }

        impl $enum {
            /// Every value, in order.
            pub const ALL: [$enum; [$($name),*].len()] = [$($enum::$value),*];

            /// The name as inputs, settings and outputs spell it.
            pub fn name(self) -> &'static str {
                match self {
                    $($enum::$value => $name,)*
                }
            }
        }
    };
}
