//! Packing: from a fact to its bytes.
//!
//! Invariant: the bytes are those that [`super::Reader`] reads; their layout is described in `packed.rs`.

use super::{
    AT_BYTES, CUSTOMER_GIVEN, CUSTOMER_NONE, HEAD_EVENT_ID, HEAD_ITEM, HEAD_PAYMENT, HEAD_VARIANT, TEXT_HEX, TEXT_LONG,
};
use crate::model::{Body, Fact, Origin, Position, Text};

/// Writes `fact` (without its order) at the end of `bytes`.
pub fn write(fact: &Fact, position: Position, bytes: &mut Vec<u8>) {
    let start = bytes.len();
    // Most facts are shorter than 128 bytes: a length of one byte is put in afterwards, a longer one moves the rest.
    bytes.push(0);
    let id = if fact.event_id.is_some() { HEAD_EVENT_ID } else { 0 };
    let head = match &fact.body {
        Body::Lifecycle { kind, origin, .. } => *kind as u8 | if *origin == Origin::Event { HEAD_VARIANT } else { 0 },
        Body::Item { category_joined, .. } => HEAD_ITEM | if *category_joined { HEAD_VARIANT } else { 0 },
        Body::Payment { .. } => HEAD_PAYMENT,
    };
    bytes.push(head | id);
    bytes.extend_from_slice(&fact.at.to_le_bytes()[..AT_BYTES]);
    match &fact.body {
        Body::Lifecycle { .. } => {}
        Body::Item { item_no, quantity, price, freight, .. } => {
            write_number(u64::from(*item_no), bytes);
            write_number(u64::from(*quantity), bytes);
            write_number(price.0 as u64, bytes);
            write_number(freight.0 as u64, bytes);
        }
        Body::Payment { seq, payment_type, installments, value } => {
            write_number(u64::from(*seq), bytes);
            bytes.push(*payment_type as u8);
            write_number(u64::from(*installments), bytes);
            write_number(value.0 as u64, bytes);
        }
    }
    write_number(u64::from(position.file()), bytes);
    write_number(position.line(), bytes);
    if let Some(event_id) = &fact.event_id {
        write_text(event_id, bytes);
    }
    match &fact.body {
        Body::Lifecycle { customer_id, .. } => match customer_id {
            Some(customer_id) => {
                bytes.push(CUSTOMER_GIVEN);
                write_text(customer_id, bytes);
            }
            None => bytes.push(CUSTOMER_NONE),
        },
        Body::Item { product_id, product_name, category, seller_id, .. } => {
            let texts = [product_id, product_name, category, seller_id];
            bytes.push(texts.iter().enumerate().map(|(bit, text)| u8::from(text.is_some()) << bit).sum());
            for text in texts.into_iter().flatten() {
                write_text(text, bytes);
            }
        }
        Body::Payment { .. } => {}
    }
    set_length(bytes, start);
}

/// Puts the length of the fact that starts at `start`, with a placeholder of one byte, in front of it.
pub(super) fn set_length(bytes: &mut Vec<u8>, start: usize) {
    let length = bytes.len() - start - 1;
    if length < 0x80 {
        bytes[start] = length as u8;
        return;
    }
    let mut number = Vec::new();
    write_number(length as u64, &mut number);
    bytes.splice(start..=start, number);
}

/// Writes a number in groups of seven bits.
pub fn write_number(mut number: u64, bytes: &mut Vec<u8>) {
    while number >= 0x80 {
        bytes.push(number as u8 | 0x80);
        number >>= 7;
    }
    bytes.push(number as u8);
}

/// Writes a text: 17 bytes for a 32-digit hexadecimal id, else its length and bytes.
pub fn write_text(text: &Text, bytes: &mut Vec<u8>) {
    if let Some(digits) = text.packed_hex() {
        bytes.push(TEXT_HEX);
        bytes.extend_from_slice(digits);
        return;
    }
    let mut scratch = [0; 32];
    let text = text.as_bytes_in(&mut scratch);
    if text.len() < usize::from(TEXT_LONG) {
        bytes.push(text.len() as u8);
    } else {
        bytes.push(TEXT_LONG);
        bytes.extend_from_slice(&(text.len() as u32).to_le_bytes());
    }
    bytes.extend_from_slice(text);
}
