//! The domain: identities, facts, rules, and the rows of every collection. Types only; the rules that act on them live
//! in `orders/`.

pub mod digits;
pub mod fact;
pub mod money;
pub mod named;
pub mod packed;
pub mod rule;
pub mod symbol;
pub mod text;

pub use fact::{Body, EventKind, Fact, OrderId, Origin, PaymentType, Position, Stage, Status, Verdict};
pub use money::Money;
pub use rule::{Rules, Sla, SlaRule, Within};
pub use symbol::Symbol;
pub use text::Text;
