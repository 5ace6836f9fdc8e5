//! Several Olist directories in one replay: the categories of products are those of all of them, whatever their order.

use std::fs;
use std::path::Path;

use super::compare::assert_same;
use super::forms::{Files, replayed};
use super::inputs::{sample, shuffled_directory};
use super::run::{replay, run};
use super::sorted::on_a_cluster;

const PRODUCTS: &str = "olist_products_dataset.csv";
const TRANSLATION: &str = "product_category_name_translation.csv";
const HEX: &str = "0123456789abcdef0123456789abcdef";

/// A directory with an order for each item, the same wherever it is written, and these products and translations.
fn shop(directory: &Path, items: &[(u32, &str)], products: &str, translations: &str) {
    fs::create_dir(directory).unwrap();
    let file = |name: &str, header: &str, rows: String| {
        fs::write(directory.join(name), format!("{header}\n{rows}")).unwrap();
    };
    let rows = |row: &dyn Fn(u32, &str) -> String| -> String {
        items.iter().map(|(order, product)| row(*order, product)).collect()
    };
    let order = |order: u32, _: &str| format!("o{order},created,2018-01-03 {order:02}:00:00\n");
    file("olist_orders_dataset.csv", "order_id,order_status,order_purchase_timestamp", rows(&order));
    let item = |order: u32, product: &str| format!("o{order},1,{product},{order}.00,0\n");
    file("olist_order_items_dataset.csv", "order_id,order_item_id,product_id,price,freight_value", rows(&item));
    let payment = |order: u32, _: &str| format!("o{order},1,voucher,{order}.00\n");
    let header = "order_id,payment_sequential,payment_type,payment_value";
    file("olist_order_payments_dataset.csv", header, rows(&payment));
    for (name, header, text) in [
        (PRODUCTS, "product_id,product_category_name", products),
        (TRANSLATION, "product_category_name,product_category_name_english", translations),
    ] {
        if !text.is_empty() {
            file(name, header, text.to_owned());
        }
    }
}

/// All but what tells which input a copy came from.
fn of_facts(mut files: Files) -> Files {
    files.retain(|name, _| name != "data_quality_metrics.csv");
    files
}

/// The categories in the window of all time, each with its value.
fn categories(files: &Files) -> Vec<String> {
    let mut rows = csv::Reader::from_reader(files["category_metrics.csv"].as_slice());
    let names = rows.headers().unwrap().clone();
    let place = |name: &str| names.iter().position(|known| known == name).unwrap();
    let (window, category, value) = (place("window"), place("category"), place("gmv"));
    let rows = rows.records().map(Result::unwrap).filter(|row| &row[window] == "total");
    let mut found: Vec<String> = rows.map(|row| format!("{} {}", &row[category], &row[value])).collect();
    found.sort();
    found.dedup();
    found
}

#[test]
fn products_of_any_directory_are_those_of_all() {
    let folder = tempfile::tempdir().unwrap();
    let write = |name: &str, items: &[(u32, &str)], products: &str, translations: &str| {
        shop(&folder.path().join(name), items, products, translations);
    };
    // o4 and o6 stand where no products are and nowhere else, the others in more than one directory.
    write("bare", &[(1, "p1"), (2, "p2"), (3, HEX), (4, "p4"), (6, HEX)], "", "");
    let products = format!("p1,bebes\np2,relogios\n{HEX},jogos\np4,\n");
    write("english", &[(1, "p1"), (2, "p2"), (5, "p5")], &products, "bebes,baby\nrelogios,watches\njogos,games\n");
    // Another name for p2, which is smaller, and for the product of o3, which is not.
    write("other", &[(2, "p2"), (3, HEX), (5, "p5")], &format!("p2,arte\n{HEX},zinco\n\"p5\",casa\n"), "");
    let expected = ["arte 2.00", "baby 1.00", "casa 5.00", "games 9.00", "unknown 4.00"];
    let inputs = ["bare", "english", "other"];
    let in_order = |order: [usize; 3], more: &[&str]| {
        let inputs = order.map(|number| inputs[number]);
        of_facts(replayed(folder.path(), &[&inputs[..], more].concat(), None).0)
    };
    let straight = in_order([0, 1, 2], &["-w", "1"]);
    assert_eq!(categories(&straight), expected);
    for order in [[0, 1, 2], [0, 2, 1], [1, 0, 2], [1, 2, 0], [2, 0, 1], [2, 1, 0]] {
        for more in [
            &["-w", "1"][..],
            &["-w", "2"],
            &["-w", "4"],
            &["-w", "2", "--plan", "relational"],
            &["-w", "1", "--plan", "relational"],
        ] {
            assert_same(&straight, &in_order(order, more), &format!("{order:?} {more:?}"));
        }
        let arrived = in_order(order, &["--arrival-order", "-w", "2"]);
        assert_eq!(categories(&arrived), expected, "{order:?} as they stand");
    }
    for inputs in [["bare", "english", "other"], ["other", "bare", "english"]] {
        let arguments = [&inputs[..], &["-w", "2"]].concat();
        assert_same(&straight, &of_facts(on_a_cluster(folder.path(), &arguments)), &format!("-n 2 {inputs:?}"));
    }
}

#[test]
fn a_directory_twice_is_the_directory_whichever_copy_has_the_products() {
    let (folder, sample) = (tempfile::tempdir().unwrap(), sample());
    // In another order, so that it is read in the other way.
    let bare = shuffled_directory(&sample, &folder.path().join("bare"), 5);
    for name in [PRODUCTS, TRANSLATION] {
        fs::remove_file(bare.join(name)).unwrap();
    }
    let with = sample.display().to_string();
    let (alone, _) = replayed(folder.path(), &[&with], None);
    let alone = of_facts(alone);
    assert!(categories(&alone).len() > 5, "{:?}", categories(&alone));
    for inputs in [[with.as_str(), "bare"], ["bare", with.as_str()]] {
        for plan in ["fused", "relational"] {
            for workers in ["1", "2", "4"] {
                let arguments = [&inputs[..], &["--plan", plan, "-w", workers]].concat();
                let (both, ended) = replayed(folder.path(), &arguments, None);
                assert_same(&alone, &of_facts(both), &format!("{arguments:?}"));
                assert!(!ended.stdout.contains(" 0 duplicates"), "{}", ended.stdout);
            }
        }
    }
}

#[test]
fn products_that_cannot_be_used_are_told_by_their_file() {
    let folder = tempfile::tempdir().unwrap();
    shop(&folder.path().join("good"), &[(1, "p1")], "p1,bebes\n", "");
    shop(&folder.path().join("bad"), &[(1, "p1")], "p1,bebes\n", "");
    for (name, text, says) in [
        (PRODUCTS, "id,name\np1,bebes\n", "the header has no column `product_id`"),
        (PRODUCTS, "product_id,product_category_name,x\rp1,bebes,\r", "cannot be read: lines end in CR alone"),
        (TRANSLATION, "a,a\n", "the header has the column `a` twice"),
    ] {
        let path = folder.path().join("bad").join(name);
        let earlier = fs::read(&path).ok();
        fs::write(&path, text).unwrap();
        for inputs in [["good", "bad"], ["bad", "good"]] {
            let ended = run(replay(&inputs).current_dir(folder.path()));
            let place = format!("bad/{name}");
            assert_eq!(ended.code, Some(1), "{}", ended.stderr);
            assert!(ended.stderr.contains(says) && ended.stderr.contains(&place), "{}", ended.stderr);
        }
        match earlier {
            Some(text) => fs::write(&path, text).unwrap(),
            None => fs::remove_file(&path).unwrap(),
        }
    }
}

/// Writes directories `a` and `b`, and `one` that has the rows of both. Rows of an order stand in either or in both, some orders
/// in two rows of other times; where `apart`, all rows of an order stand in one of the two.
fn spread(folder: &Path, seed: u64, apart: bool) {
    let mut state = seed;
    let mut random = |below: u64| {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 33) % below
    };
    let mut rows = [[(); 3]; 2].map(|tables| tables.map(|()| String::new()));
    for order in 0..40 {
        let mut put = |table: usize, side: u64, row: &str| match side {
            0 | 1 => rows[side as usize][table].push_str(row),
            _ => rows.iter_mut().for_each(|tables| tables[table].push_str(row)),
        };
        let home = random(2);
        for _ in 0..1 + random(2) * u64::from(!apart) {
            let (day, hour) = (1 + random(9), random(24));
            let approved = if random(3) == 0 { String::new() } else { format!("2018-01-1{} 12:00:00", random(9)) };
            let row = format!("o{order:02},approved,2018-01-0{day} {hour:02}:00:00,{approved}\n");
            put(0, if apart { home } else { random(3) }, &row);
        }
        put(1, if apart { home } else { random(3) }, &format!("o{order:02},1,p1,{order}.00,1\n"));
        put(2, if apart { home } else { random(3) }, &format!("o{order:02},1,boleto,{order}.50\n"));
    }
    let headers = [
        ("olist_orders_dataset.csv", "order_id,order_status,order_purchase_timestamp,order_approved_at"),
        ("olist_order_items_dataset.csv", "order_id,order_item_id,product_id,price,freight_value"),
        ("olist_order_payments_dataset.csv", "order_id,payment_sequential,payment_type,payment_value"),
    ];
    for (name, sides) in [("a", &[0][..]), ("b", &[1]), ("one", &[0, 1])] {
        fs::create_dir(folder.join(name)).unwrap();
        for (table, (file, header)) in headers.iter().enumerate() {
            let rows: String = sides.iter().map(|side| rows[*side][table].as_str()).collect();
            fs::write(folder.join(name).join(file), format!("{header}\n{rows}")).unwrap();
        }
    }
}

#[test]
fn directories_that_overlap_are_one() {
    for (seed, apart) in [(1, false), (2, false), (3, false), (4, true)] {
        let folder = tempfile::tempdir().unwrap();
        spread(folder.path(), seed, apart);
        // Copies and what lost against another are told with the directory in which they stand.
        let told = |arguments: &[&str]| {
            let mut files = of_facts(replayed(folder.path(), arguments, None).0);
            files.remove("dead_letters.csv");
            files
        };
        let one = told(&["one"]);
        assert!(one["orders.csv"].split(|byte| *byte == b'\n').count() > 40);
        for inputs in [["a", "b"], ["b", "a"]] {
            for more in [&["-w", "1"][..], &["-w", "2"], &["-w", "4", "--plan", "relational"]] {
                assert_same(&one, &told(&[&inputs[..], more].concat()), &format!("{seed}: {inputs:?} {more:?}"));
            }
        }
    }
}
