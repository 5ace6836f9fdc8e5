//! What each reason for a refusal means, for people: the words of `explain`, `check` and docs/validation.md.

/// The meaning of a reason code, whatever field it names; empty for one that is not known.
pub fn meaning(reason: &str) -> &'static str {
    match reason.split(':').next().unwrap_or_default() {
        "not_utf8" => "it holds bytes that are no UTF-8 text",
        "too_large" => "it is longer than 1 MiB",
        "malformed" => {
            "it is no JSON object, no CSV record, or not the Avro that its schema says: often a line that was cut off"
        }
        "column_count" => "it has more or fewer fields than the header has columns",
        "unknown_schema_version" => "it is of a version of its format that is not known",
        "missing_field" => "a field that is required is absent, null or blank",
        "bad_id" => {
            "an id is longer than 128 characters, has control characters, is neither text nor an integer, or is the tenant `*`"
        }
        "unknown_event_type" => "its event type is none that is known",
        "unknown_status" => "its status is none that is known",
        "unknown_payment_type" => "its means of payment is none that is known",
        "bad_timestamp" => "a time is not written in a form that is known, or lies before 1970",
        "future_timestamp" => "a time is further ahead of the clock than `time.max_future_skew` allows",
        "bad_number" => "a number is none, is not whole where it must be, has more than 4 places, or is too large",
        "negative" => "a number is below 0",
        "below_minimum" => "a quantity is below 1",
        "above_maximum" => "an item's price is above `validation.max_price`",
        "total_mismatch" => "its total is not quantity × price",
        "login_required" => "what the user did needs a user_id",
        "unknown_order" => "its order is not in the orders file, or was refused there",
        "conflicting_duplicate" => "another record says something else of the same fact, and that one counts",
        "order_retired" => "the order had ended, and nothing was heard of it for so long that it is closed",
        "too_late" => "it came more than `orders.horizon` behind what had been read before",
        _ => "",
    }
}
