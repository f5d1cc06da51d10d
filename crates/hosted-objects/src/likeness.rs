//! Is what exists like what must be. Pure.
//! Refuses to see fields that the desired object does not name: servers add defaults, others add labels.

use serde_json::Value;

/// Whether every field of `desired` is in `live` with the same value. Lists must be equal in length and order.
pub(crate) fn is_like(live: &Value, desired: &Value) -> bool {
    match (live, desired) {
        (Value::Object(live), Value::Object(desired)) => {
            desired.iter().all(|(field, wanted)| live.get(field).is_some_and(|found| is_like(found, wanted)))
        }
        (Value::Array(live), Value::Array(desired)) => {
            live.len() == desired.len()
                && live.iter().zip(desired).all(|(found, wanted)| is_like(found, wanted))
        }
        (live, desired) => live == desired,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    #[test]
    fn added_fields_are_not_seen_and_changed_ones_are() {
        let desired = json!({ "metadata": { "name": "a" }, "rules": [{ "verbs": ["get"] }] });
        let mut live = json!({
            "metadata": { "name": "a", "uid": "1", "labels": { "x": "y" } },
            "rules": [{ "verbs": ["get"], "apiGroups": [""] }],
        });
        assert!(is_like(&live, &desired));
        live["rules"][0]["verbs"] = json!(["get", "list"]);
        assert!(!is_like(&live, &desired));
        live["rules"] = json!([]);
        assert!(!is_like(&live, &desired));
    }

    proptest! {
        #[test]
        fn everything_is_like_itself(keys in proptest::collection::btree_map("[a-z]{1,4}", 0_i64..9, 0..6)) {
            let (value, nothing) = (json!(keys), json!({}));
            prop_assert!(is_like(&value, &value));
            prop_assert!(is_like(&value, &nothing));
        }
    }
}
