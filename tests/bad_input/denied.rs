//! What a user may not: read a file, enter a directory, have more threads. Each is told as that, and not as damage.

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::process::Command;

use super::lines::placed;
use super::outcome::{Place, assert_failed};
use super::rows::{ORDERS, shop};
use super::run::{lacks, run};

/// `orderwatch` within the place, as a user of this number, who owns nothing and may have so many threads; none, and a
/// word about it, where this machine does not let us.
fn as_user(user: u32, threads: u32, place: &Place, arguments: &[&str]) -> Option<Command> {
    fs::set_permissions(place.folder.path(), Permissions::from_mode(0o755)).unwrap();
    let command = |arguments: &[&str]| {
        let mut command = Command::new("prlimit");
        command.arg(format!("--nproc={threads}:{threads}")).arg("setpriv");
        command.args([format!("--reuid={user}"), format!("--regid={user}"), "--clear-groups".to_owned()]);
        command.arg(assert_cmd::cargo::cargo_bin!("orderwatch")).args(arguments);
        command.env_clear().env("PATH", std::env::var_os("PATH").unwrap_or_default());
        command.current_dir(place.folder.path()).stdin(std::process::Stdio::null());
        command
    };
    let is_possible = command(&["--version"]).output().is_ok_and(|ended| ended.status.success());
    if !is_possible {
        lacks("the right to become somebody else (root, and util-linux)");
    }
    is_possible.then(|| command(arguments))
}

#[test]
fn what_may_not_be_read_is_told_as_that() {
    let place = Place::new();
    place.write("x.jsonl", placed("a", 1));
    place.write("lines", placed("a", 1));
    shop(&place, b"", b"", b"");
    let products = "shop/olist_products_dataset.csv";
    place.write(products, "product_id,product_category_name\n");
    place.write("results/orders.csv", "order_id\n");
    let orders = format!("shop/{ORDERS}");
    let (line_file, table) =
        ("cannot open the input: Permission denied", "cannot open an Olist file: Permission denied");
    let cure = "this user may not read it";
    for (closed, arguments, says, cure) in [
        ("x.jsonl", &["replay", "x.jsonl"][..], line_file, cure),
        ("x.jsonl", &["replay", "x.jsonl", "--arrival-order"], line_file, cure),
        ("lines", &["replay", "lines"], line_file, cure),
        ("lines", &["explain", "a", "--input", "lines"], line_file, cure),
        (products, &["replay", "shop"], table, cure),
        (orders.as_str(), &["replay", "shop", "--limit", "1"], table, cure),
        ("shop", &["replay", "shop"], table, cure),
        ("results", &["query", "orders", "results"], "cannot read the results: Permission denied", "it may be read"),
        ("results/orders.csv", &["query", "orders", "results"], "cannot read the results", "it may be read"),
    ] {
        let allow = |mode| fs::set_permissions(place.path(closed), Permissions::from_mode(mode)).unwrap();
        allow(0);
        let Some(mut command) = as_user(64_123, 64, &place, arguments) else { return };
        let ended = run(&mut command);
        allow(0o755);
        assert_failed(&ended, 1, &[says, &format!("where: {closed}"), cure]);
        assert!(!ended.stderr.contains("damaged"), "{}", ended.stderr);
    }
}

#[test]
fn threads_that_cannot_be_had_are_told() {
    let place = Place::new();
    place.write("x.jsonl", placed("a", 1));
    shop(&place, b"", b"", b"");
    for arguments in
        [&["x.jsonl", "-w", "8"][..], &["shop", "-w", "2"], &["shop", "-w", "2", "--arrival-order"], &["-"]]
    {
        let Some(mut command) = as_user(64_124, 1, &place, &[&["replay"], arguments].concat()) else { return };
        assert_failed(&run(&mut command), 1, &["cannot start the workers: ", "a smaller -w", "ulimit -u"]);
    }
}
