//! Inputs that are not what they should be: each ends the job with a message, before anything is written.

use std::io::Write;
use std::os::unix::fs::symlink;

use super::lines::placed;
use super::outcome::Place;
use super::rows::{ITEMS, ORDERS, PAYMENTS, shop};
use super::run::{replay, start};

#[test]
fn inputs_that_are_not_there_or_no_inputs() {
    let place = Place::new();
    place.write("empty/readme.txt", "");
    place.write("rows.csv", "a,b\n");
    place.write("x.jsonl", placed("a", 1));
    place.write("x.jsonl.gz", placed("a", 1));
    for (arguments, code, says) in [
        (&["no/such"][..], 1, &["no/such", "check the path"][..]),
        (&["no/such.jsonl"], 1, &["no/such.jsonl", "No such file"]),
        (&["empty"], 1, &["is no Olist directory", ORDERS, "where: empty"]),
        (&["rows.csv"], 2, &["cannot tell what kind of input", "rows.csv", "--as"]),
        (&["empty", "--as", "sales"], 2, &["is a directory", "leave --as out"]),
        (&["x.jsonl", "--as", "olist"], 2, &["is a file", "name the directory"]),
        (&["-", "--as", "olist"], 2, &["standard input cannot be", "leave --as out"]),
        (&["x.jsonl.gz"], 1, &["cannot read the input", "x.jsonl.gz", "damaged"]),
        (&["x.jsonl", "--sla-rules", "no.toml"], 2, &["no.toml"]),
    ] {
        place.refused(arguments, code, says);
    }
}

#[test]
fn headers_that_lack_or_repeat_columns() {
    let place = Place::new();
    for (file, header, says) in [
        (ORDERS, "order_id,order_status\n", "no column `order_purchase_timestamp`"),
        (ORDERS, "order_id,order_status,order_purchase_timestamp,order_status\n", "column `order_status` twice"),
        (ITEMS, "order_id;order_item_id;price;freight_value\n", "no column `order_id`"),
        (PAYMENTS, "order_id,payment_sequential,payment_value\n", "no column `payment_type`"),
        (PAYMENTS, "", "it has no header"),
        (ITEMS, "\n\n", "it has no header"),
    ] {
        shop(&place, b"", b"", b"");
        place.write(&format!("shop/{file}"), header);
        place.refused(&["shop"], 1, &[says, file]);
        place.refused(&["shop", "--limit", "3"], 1, &[says, file]);
    }
    shop(&place, b"", b"", b"");
    place.write(&format!("shop/{ITEMS}"), b"order_id,order_item_id,price,freight_value,\xFF\n");
    place.refused(&["shop"], 1, &["column 5 is not UTF-8", ITEMS]);
    shop(&place, b"", b"", b"");
    place.write("shop/olist_products_dataset.csv", "id,name\n");
    place.refused(&["shop"], 1, &["product_id", "olist_products_dataset.csv"]);
}

#[test]
fn directories_where_files_should_be() {
    let place = Place::new();
    shop(&place, b"", b"", b"");
    std::fs::remove_file(place.path(&format!("shop/{PAYMENTS}"))).unwrap();
    std::fs::create_dir(place.path(&format!("shop/{PAYMENTS}"))).unwrap();
    place.refused(&["shop"], 1, &[PAYMENTS]);
    std::fs::create_dir(place.path("folder.jsonl")).unwrap();
    place.refused(&["folder.jsonl"], 1, &["folder.jsonl", "is no Olist directory"]);
}

#[test]
fn links_that_lead_back_to_themselves_are_told_as_that() {
    let place = Place::new();
    symlink("y.jsonl", place.path("x.jsonl")).unwrap();
    symlink("x.jsonl", place.path("y.jsonl")).unwrap();
    shop(&place, b"", b"", b"");
    std::fs::remove_file(place.path(&format!("shop/{ITEMS}"))).unwrap();
    symlink(ITEMS, place.path(&format!("shop/{ITEMS}"))).unwrap();
    for (input, says) in [("x.jsonl", "cannot open the input: "), ("shop", "cannot open an Olist file: ")] {
        let says = format!("{says}Too many levels of symbolic links");
        place.refused(&[input], 1, &[&says, "do: a symbolic link leads back to itself"]);
    }
}

#[test]
fn a_file_that_is_cut_off_ends_the_job() {
    let place = Place::new();
    let mut packed = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    let mut chance = 1_u64;
    for number in 0..20_000 {
        chance = chance.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        writeln!(packed, "{}", placed(&format!("{number}-{chance}"), 1 + number % 28)).unwrap();
    }
    let packed = packed.finish().unwrap();
    for kept in [packed.len() - 4, packed.len() / 2, 12, 3] {
        place.write("x.jsonl.gz", &packed[..kept]);
        for workers in ["1", "2"] {
            let says = ["cannot read the input", "x.jsonl.gz, after line", "records before that"];
            place.refused(&["x.jsonl.gz", "-w", workers], 1, &says);
        }
    }
    place.refused(&["x.jsonl.gz", "--limit", "5"], 1, &["x.jsonl.gz"]);
    place.write("x.jsonl.gz", &packed);
    assert_eq!(place.replay(&["x.jsonl.gz"]).records, [20_000, 20_000, 0]);
    // Parts one after another are one file.
    place.write("x.jsonl.gz", [&packed[..], &packed].concat());
    assert_eq!(place.replay(&["x.jsonl.gz"]).facts, [40_000, 20_000, 20_000, 0]);
    place.write("x.jsonl.gz", "");
    place.refused(&["x.jsonl.gz"], 1, &["cannot read the input", "x.jsonl.gz"]);
}

#[test]
fn a_zstd_file_that_is_damaged_ends_the_job() {
    let place = Place::new();
    let text: String = (0..20_000).map(|number| placed(&format!("{number}"), 1 + number % 28) + "\n").collect();
    let mut packed = zstd::Encoder::new(Vec::new(), 1).unwrap();
    packed.include_checksum(true).unwrap();
    packed.write_all(text.as_bytes()).unwrap();
    let packed = packed.finish().unwrap();
    let says = ["cannot read the input", "x.jsonl.zst, after line", "records before that", "damaged"];
    for kept in [packed.len() - 2, packed.len() / 2, 12, 3, 0] {
        place.write("x.jsonl.zst", &packed[..kept]);
        place.refused(&["x.jsonl.zst"], 1, &says);
    }
    for flipped in [packed.len() - 1, packed.len() / 2, packed.len() / 3] {
        let mut damaged = packed.clone();
        damaged[flipped] ^= 4;
        place.write("x.jsonl.zst", &damaged);
        place.refused(&["x.jsonl.zst", "-w", "2"], 1, &says);
    }
    place.write("x.jsonl.zst", text);
    place.refused(&["x.jsonl.zst"], 1, &says);
}

#[test]
fn a_part_of_a_directory_that_is_damaged_ends_the_job() {
    let place = Place::new();
    shop(&place, b"", b"", b"");
    std::fs::remove_file(place.path(&format!("shop/{ITEMS}"))).unwrap();
    place.refused(&["shop"], 1, &["is no Olist directory", ITEMS]);
    let packed = zstd::encode_all(&b"order_id,order_item_id,price,freight_value\n"[..], 1).unwrap();
    place.write(&format!("shop/{ITEMS}.zst"), &packed[..packed.len() - 3]);
    place.refused(&["shop"], 1, &["cannot read the input", &format!("{ITEMS}.zst, after line ")]);
    place.write(&format!("shop/{ITEMS}.zst"), packed);
    assert_eq!(place.replay(&["shop"]).records, [0, 0, 0]);
}

#[test]
fn a_file_that_grows_or_goes_away_is_read_as_it_was() {
    let place = Place::new();
    let text: String = (0..60_000).map(|number| placed(&format!("{number}"), 1 + number % 28) + "\n").collect();
    let path = place.write("x.jsonl", &text);
    let mut running =
        start(replay(&["x.jsonl", "--out", "out", "--speed", "100000000"]).current_dir(place.folder.path()));
    // Before that, a line more or none is right as well.
    running.wait_until_it_opens("x.jsonl");
    let mut file = std::fs::OpenOptions::new().append(true).open(&path).unwrap();
    file.write_all(placed("late", 1).as_bytes()).unwrap();
    std::fs::remove_file(&path).unwrap();
    let outcome = place.outcome(&running.wait());
    assert!((60_000..=60_001).contains(&outcome.records[0]) && outcome.records[2] == 0, "{:?}", outcome.records);
}
