//! What the fuzz targets share: the properties, which are those of the tests on stable Rust.

#[path = "../../support/properties.rs"]
pub mod properties;
