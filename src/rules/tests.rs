//! Tests of rules files: what they mean, and every error with its line.

#![allow(clippy::unwrap_used)]

use super::*;
use dataflows::model::Sla;
use dataflows::time::HOUR_MS;

#[test]
fn a_file_adds_to_the_defaults_and_replaces_them() {
    let text = r#"
        [[rule]]
        sla = "processing"
        within = "36h"

        [[rule]]
        sla = "delivery"
        within = "off"
        tenant = " acme "
        category = "Hats"
        valid_from = 2024-02-29T21:00:00.5-03:00
        apply = "open"

        [[rule]]
        sla = "delivery"
        within = "3650d"
        valid_from = 2024-03-01 00:00:00
        apply = "new"
    "#;
    let rules = parse(text).unwrap();
    let shown: Vec<&SlaRule> = rules.iter().collect();
    let rule =
        |sla, within| SlaRule { sla, within, tenant: None, category: None, valid_from: None, applies_to_open: false };
    let march = 1_709_251_200_000;
    assert_eq!(
        shown,
        [
            &rule(Sla::Processing, Within::Allowed(36 * HOUR_MS)),
            &rule(Sla::Shipping, Within::Allowed(3 * DAY_MS)),
            &rule(Sla::Delivery, Within::Allowed(7 * DAY_MS)),
            &SlaRule {
                tenant: Some("acme".into()),
                category: Some("Hats".into()),
                valid_from: Some(march + 500),
                applies_to_open: true,
                ..rule(Sla::Delivery, Within::Off)
            },
            &SlaRule { valid_from: Some(march), ..rule(Sla::Delivery, Within::Allowed(3650 * DAY_MS)) },
        ]
    );
    assert_eq!(parse("# nothing\n").unwrap(), Rules::default());
}

#[test]
fn every_error_names_its_line_and_what_to_do() {
    let rule = "[[rule]]\nsla = \"delivery\"\nwithin = \"9d\"\n";
    let with = |line: &str| format!("{rule}\n{rule}{line}\n");
    for (text, line, part) in [
        (with("categry = \"Hats\""), 8, "unknown key `categry` (did you mean `category`?)"),
        (with("category = \"unknown\""), 8, "remove the line"),
        (with("category = 5"), 8, "must be text in quotes"),
        (with("category = \"\""), 8, "is empty"),
        (with("tenant = \"*\""), 8, "tenant `*` is not legal"),
        (with("tenant = \"a\\tb\""), 8, "bad tenant"),
        (with("calendar = \"business\""), 8, "`calendar` is reserved"),
        (with("apply = \"all\""), 8, "write \"new\" or \"open\""),
        (with("valid_from = 2024-03-10"), 8, "needs both date and time"),
        (with("valid_from = 07:00:00"), 8, "needs both date and time"),
        (with("valid_from = 2024-03-10T00:00:60Z"), 8, "hours go to 23, minutes and seconds to 59"),
        (with("valid_from = \"2024-03-10T00:00:00Z\""), 8, "without quotes"),
        (with("valid_from = 1969-12-31T23:59:59Z"), 8, "before 1970"),
        (with("valid_from = 1970-01-01T00:00:00+00:01"), 8, "before 1970"),
        (with("valid_from = 2023-02-29T00:00:00Z"), 8, ""),
        (with("within = \"1d\""), 8, "duplicate"),
        (with("x ="), 8, ""),
        (with(""), 5, "as the one in line 1"),
        (
            with(
                "valid_from = 2024-03-10T00:00:00Z\n[[rule]]\nsla = \"delivery\"\nwithin = \"off\"\nvalid_from = 2024-03-10T03:00:00+03:00",
            ),
            9,
            "as the one in line 5",
        ),
        ("rules = 1".into(), 1, "unknown key `rules` (did you mean `rule`?)"),
        ("\n[rule]\nsla = \"delivery\"".into(), 2, "double brackets"),
        ("rule = [1]".into(), 1, "must be a table"),
        ("\n[[rule]]\nwithin = \"1d\"".into(), 2, "has no `sla`"),
        ("\n[[rule]]\nsla = \"delivery\"".into(), 2, "has no `within`"),
        ("[[rule]]\nsla = \"delivry\"\nwithin = \"1d\"".into(), 2, "did you mean `delivery`?"),
        ("[[rule]]\nwithin = \"0s\"".into(), 2, "more than 0"),
        ("[[rule]]\nwithin = \"-5h\"".into(), 2, "more than 0"),
        ("[[rule]]\nwithin = 5".into(), 2, "must be text in quotes"),
        ("[[rule]]\nwithin = \"5 weeks\"".into(), 2, "such as 90s or 36h, or \"off\""),
        ("[[rule]]\nwithin = \"3651d\"".into(), 2, "over 10 years"),
        ("[[rule]]\nwithin = \"315360000001ms\"".into(), 2, "over 10 years"),
        ("[[rule]]\nwithin = \"99999999999999999999d\"".into(), 2, "too long"),
    ] {
        let error = parse(&text).unwrap_err();
        assert_eq!(error.line, line, "{text}\n{error}");
        assert!(error.message.contains(part), "{text}\n{error}");
    }
}

#[test]
fn durations_are_whole_numbers_with_a_unit() {
    for (text, expected_ms) in
        [("90s", 90_000), ("36h", 36 * HOUR_MS), ("7d", 7 * DAY_MS), ("15m", 900_000), (" 500ms ", 500), ("0s", 0)]
    {
        assert_eq!(parse_duration(text), Ok(expected_ms), "{text}");
    }
    for text in [
        "",
        "5",
        "h",
        "1.5h",
        "-1h",
        "+1h",
        "1H",
        "1 h",
        "1w",
        "1h30m",
        "213503982335d",
        "９h",
        "99999999999999999999ms",
    ] {
        assert!(parse_duration(text).is_err(), "{text}");
    }
}
