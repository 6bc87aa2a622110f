//! The bytes that are hashed: RFC 8785, the JSON Canonicalization Scheme.

use serde::Serialize;

/// RFC 8785 canonical JSON of `value`.
///
/// Numbers become IEEE doubles on the way, so no integer above 2^53 may be in `value`; the limits
/// of [`crate::submitted`] see to that for records, and indexes stay below it for any real log.
///
/// # Panics
/// If `value` is not representable as JSON (a map with keys that are no strings, a NaN): the
/// types of this crate always are.
pub fn canonical<T: Serialize>(value: &T) -> Vec<u8> {
    serde_json_canonicalizer::to_vec(value).expect("our types are JSON")
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::Value;

    use super::canonical;
    use crate::testing::record;

    fn text(json: &str) -> String {
        let value: Value = serde_json::from_str(json).unwrap();
        String::from_utf8(canonical(&value)).unwrap()
    }

    #[test]
    fn the_sample_of_rfc_8785_section_3_2_2() {
        let sample = r#"{
            "numbers": [333333333.33333329, 1E30, 4.50, 2e-3, 0.000000000000000000000000001],
            "string": "\u20ac$\u000F\u000aA'\u0042\u0022\u005c\\\"\/",
            "literals": [null, true, false]
        }"#;
        // Section 3.2.4.
        let bytes = "
            7b 22 6c 69 74 65 72 61 6c 73 22 3a 5b 6e 75 6c 6c 2c 74 72
            75 65 2c 66 61 6c 73 65 5d 2c 22 6e 75 6d 62 65 72 73 22 3a
            5b 33 33 33 33 33 33 33 33 33 2e 33 33 33 33 33 33 33 2c 31
            65 2b 33 30 2c 34 2e 35 2c 30 2e 30 30 32 2c 31 65 2d 32 37
            5d 2c 22 73 74 72 69 6e 67 22 3a 22 e2 82 ac 24 5c 75 30 30
            30 66 5c 6e 41 27 42 5c 22 5c 5c 5c 5c 5c 22 2f 22 7d";
        let bytes: String = bytes.split_whitespace().collect();
        assert_eq!(hex::encode(text(sample)), bytes);
    }

    #[test]
    fn the_sorting_of_rfc_8785_section_3_2_3() {
        let sample = r#"{
            "\u20ac": "Euro Sign",
            "\r": "Carriage Return",
            "\ufb33": "Hebrew Letter Dalet With Dagesh",
            "1": "One",
            "\ud83d\ude00": "Emoji: Grinning Face",
            "\u0080": "Control",
            "\u00f6": "Latin Small Letter O With Diaeresis"
        }"#;
        let sorted = [
            "Carriage Return",
            "One",
            "Control",
            "Latin Small Letter O With Diaeresis",
            "Euro Sign",
            "Emoji: Grinning Face",
            "Hebrew Letter Dalet With Dagesh",
        ];
        let text = text(sample);
        let places: Vec<_> = sorted.iter().map(|name| text.find(name).unwrap()).collect();
        assert!(places.is_sorted(), "{text}");
    }

    #[test]
    fn the_numbers_of_rfc_8785_appendix_b() {
        let table = [
            (0x0000000000000000, "0"),
            (0x8000000000000000, "0"),
            (0x0000000000000001, "5e-324"),
            (0x8000000000000001, "-5e-324"),
            (0x7fefffffffffffff, "1.7976931348623157e+308"),
            (0xffefffffffffffff, "-1.7976931348623157e+308"),
            (0x4340000000000000, "9007199254740992"),
            (0xc340000000000000, "-9007199254740992"),
            (0x4430000000000000, "295147905179352830000"),
            (0x44b52d02c7e14af5, "9.999999999999997e+22"),
            (0x44b52d02c7e14af6, "1e+23"),
            (0x44b52d02c7e14af7, "1.0000000000000001e+23"),
            (0x444b1ae4d6e2ef4e, "999999999999999700000"),
            (0x444b1ae4d6e2ef4f, "999999999999999900000"),
            (0x444b1ae4d6e2ef50, "1e+21"),
            (0x3eb0c6f7a0b5ed8c, "9.999999999999997e-7"),
            (0x3eb0c6f7a0b5ed8d, "0.000001"),
            (0x41b3de4355555553, "333333333.3333332"),
            (0x41b3de4355555554, "333333333.33333325"),
            (0x41b3de4355555555, "333333333.3333333"),
            (0x41b3de4355555556, "333333333.3333334"),
            (0x41b3de4355555557, "333333333.33333343"),
            (0xbecbf647612f3696, "-0.0000033333333333333333"),
            (0x43143ff3c1cb0959, "1424953923781206.2"),
        ];
        for (bits, expected) in table {
            let number = f64::from_bits(bits);
            assert_eq!(canonical(&number), expected.as_bytes(), "{bits:016x}");
            let read: f64 = serde_json::from_str(expected).unwrap();
            assert_eq!(read, number, "{expected}");
        }
        for bits in [0x7fffffffffffffff, 0x7ff0000000000000] {
            assert!(serde_json_canonicalizer::to_vec(&f64::from_bits(bits)).is_err());
        }
    }

    #[test]
    fn durations_and_counts_are_exact_up_to_their_limits() {
        assert_eq!(canonical(&crate::submitted::MAX_DURATION), b"9007199254740991");
        assert_eq!(canonical(&crate::submitted::MAX_COUNT), b"2147483647");
    }

    proptest! {
        #[test]
        fn any_order_of_keys_has_the_same_bytes(record in record()) {
            let bytes = canonical(&record);
            let value: Value = serde_json::from_slice(&bytes).unwrap();
            prop_assert_eq!(&canonical(&value), &bytes);
            // As text with the keys backwards.
            let members = value.as_object().unwrap().iter().rev();
            let members: Vec<_> =
                members.map(|(key, value)| format!("{} : {value}", Value::from(key.as_str()))).collect();
            prop_assert_eq!(text(&format!("{{ {} }}", members.join(" , "))).into_bytes(), bytes);
        }
    }
}
