//! orderwatch: watches every order of a shop from placement to delivery.

pub mod decode;
pub mod rules;
pub mod validate;
