//! The bytes that are hashed: RFC 8785, the JSON Canonicalization Scheme.
//!
//! serde_json already escapes strings and separates values as the RFC wants; what is left is to
//! sort the members of objects and to write numbers as ECMAScript does. Both are done while
//! serde_json writes, in one buffer, because every append waits for it.

use std::{cmp::Ordering, io, ops::Range};

use serde::Serialize;
use serde_json::{
    Serializer,
    ser::{CharEscape, CompactFormatter, Formatter},
};

/// Integers up to here are doubles without loss.
const EXACT: u64 = 1 << 53;

/// RFC 8785 canonical JSON of `value`.
///
/// Integers above 2^53 are written as the IEEE doubles they become in other implementations, so
/// none may be in `value`; the limits of [`crate::submitted`] see to that for records, and indexes
/// stay below it for any real log. A NaN or an infinity, which JSON cannot hold, becomes `null`.
///
/// # Panics
/// If `value` is not representable as JSON (a map with keys that are no strings), or holds an integer of
/// 128 bits, a number as text or raw JSON: the types of this crate never do.
pub fn canonical<T: Serialize>(value: &T) -> Vec<u8> {
    let mut canonical = Canonical::default();
    value
        .serialize(&mut Serializer::with_formatter(io::sink(), &mut canonical))
        .expect("our types are JSON, and memory takes every write");
    canonical.bytes
}

/// What was written so far, and the objects that are still open.
#[derive(Default)]
struct Canonical {
    bytes: Vec<u8>,
    open: Vec<Object>,
}

/// An object's members, in the order they came.
#[derive(Default)]
struct Object {
    members: Vec<Member>,
    is_sorted: bool,
}

/// Where a member stands in the buffer: its key with the quotes, and all of it.
#[derive(Clone)]
struct Member {
    key: Range<usize>,
    end: usize,
    /// The key has neither escapes nor anything beyond ASCII: its bytes sort as its UTF-16.
    is_plain: bool,
}

impl Member {
    /// Section 3.2.3: members are sorted by the UTF-16 code units of their keys.
    fn cmp(&self, other: &Self, bytes: &[u8]) -> Ordering {
        let (a, b) = (&bytes[self.key.clone()], &bytes[other.key.clone()]);
        if self.is_plain && other.is_plain {
            return a[1..a.len() - 1].cmp(&b[1..b.len() - 1]);
        }
        let units = |key: &[u8]| -> Vec<u16> {
            let key: String = serde_json::from_slice(key).expect("serde_json wrote it");
            key.encode_utf16().collect()
        };
        units(a).cmp(&units(b))
    }
}

impl Canonical {
    fn put(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.bytes.extend_from_slice(bytes);
        Ok(())
    }

    fn members(&mut self) -> &mut Object {
        self.open.last_mut().expect("serde_json opens an object before its members")
    }

    /// Writes the members of the innermost object in their order.
    fn sort(&mut self, object: &mut Object) {
        let bytes = &self.bytes;
        object.members.sort_by(|a, b| a.cmp(b, bytes));
        let start = object.members.iter().map(|member| member.key.start).min().unwrap_or_default();
        let unsorted = self.bytes.split_off(start);
        for (place, member) in object.members.iter().enumerate() {
            if place > 0 {
                self.bytes.push(b',');
            }
            self.bytes.extend_from_slice(&unsorted[member.key.start - start..member.end - start]);
        }
    }
}

impl Formatter for &mut Canonical {
    fn write_null<W: ?Sized + io::Write>(&mut self, _: &mut W) -> io::Result<()> {
        self.put(b"null")
    }

    fn write_bool<W: ?Sized + io::Write>(&mut self, _: &mut W, value: bool) -> io::Result<()> {
        self.put(if value { b"true" } else { b"false" })
    }

    fn write_i8<W: ?Sized + io::Write>(&mut self, writer: &mut W, value: i8) -> io::Result<()> {
        self.write_i64(writer, value.into())
    }

    fn write_i16<W: ?Sized + io::Write>(&mut self, writer: &mut W, value: i16) -> io::Result<()> {
        self.write_i64(writer, value.into())
    }

    fn write_i32<W: ?Sized + io::Write>(&mut self, writer: &mut W, value: i32) -> io::Result<()> {
        self.write_i64(writer, value.into())
    }

    fn write_i64<W: ?Sized + io::Write>(&mut self, writer: &mut W, value: i64) -> io::Result<()> {
        if value.unsigned_abs() > EXACT {
            return self.write_f64(writer, value as f64);
        }
        CompactFormatter.write_i64(&mut self.bytes, value)
    }

    fn write_u8<W: ?Sized + io::Write>(&mut self, writer: &mut W, value: u8) -> io::Result<()> {
        self.write_u64(writer, value.into())
    }

    fn write_u16<W: ?Sized + io::Write>(&mut self, writer: &mut W, value: u16) -> io::Result<()> {
        self.write_u64(writer, value.into())
    }

    fn write_u32<W: ?Sized + io::Write>(&mut self, writer: &mut W, value: u32) -> io::Result<()> {
        self.write_u64(writer, value.into())
    }

    fn write_u64<W: ?Sized + io::Write>(&mut self, writer: &mut W, value: u64) -> io::Result<()> {
        if value > EXACT {
            return self.write_f64(writer, value as f64);
        }
        CompactFormatter.write_u64(&mut self.bytes, value)
    }

    fn write_f32<W: ?Sized + io::Write>(&mut self, writer: &mut W, value: f32) -> io::Result<()> {
        self.write_f64(writer, value.into())
    }

    /// Section 3.2.2.3: as ECMAScript's `Number.prototype.toString`.
    fn write_f64<W: ?Sized + io::Write>(&mut self, _: &mut W, value: f64) -> io::Result<()> {
        let mut text = ryu_js::Buffer::new();
        let text = text.format_finite(value);
        self.put(text.as_bytes())
    }

    // What is not taken over goes to the writer by default, which is a sink: the bytes would lack it.

    fn write_i128<W: ?Sized + io::Write>(&mut self, _: &mut W, _: i128) -> io::Result<()> {
        Err(unsupported("an integer of 128 bits"))
    }

    fn write_u128<W: ?Sized + io::Write>(&mut self, _: &mut W, _: u128) -> io::Result<()> {
        Err(unsupported("an integer of 128 bits"))
    }

    fn write_number_str<W: ?Sized + io::Write>(&mut self, _: &mut W, _: &str) -> io::Result<()> {
        Err(unsupported("a number as text"))
    }

    fn write_raw_fragment<W: ?Sized + io::Write>(&mut self, _: &mut W, _: &str) -> io::Result<()> {
        Err(unsupported("JSON as text"))
    }

    fn begin_string<W: ?Sized + io::Write>(&mut self, _: &mut W) -> io::Result<()> {
        self.put(b"\"")
    }

    fn end_string<W: ?Sized + io::Write>(&mut self, _: &mut W) -> io::Result<()> {
        self.put(b"\"")
    }

    fn write_string_fragment<W: ?Sized + io::Write>(&mut self, _: &mut W, fragment: &str) -> io::Result<()> {
        self.put(fragment.as_bytes())
    }

    fn write_char_escape<W: ?Sized + io::Write>(&mut self, _: &mut W, escape: CharEscape) -> io::Result<()> {
        CompactFormatter.write_char_escape(&mut self.bytes, escape)
    }

    fn begin_array<W: ?Sized + io::Write>(&mut self, _: &mut W) -> io::Result<()> {
        self.put(b"[")
    }

    fn end_array<W: ?Sized + io::Write>(&mut self, _: &mut W) -> io::Result<()> {
        self.put(b"]")
    }

    fn begin_array_value<W: ?Sized + io::Write>(&mut self, _: &mut W, first: bool) -> io::Result<()> {
        self.put(if first { b"" } else { b"," })
    }

    fn begin_object<W: ?Sized + io::Write>(&mut self, _: &mut W) -> io::Result<()> {
        self.open.push(Object { members: Vec::with_capacity(8), is_sorted: true });
        self.put(b"{")
    }

    fn begin_object_key<W: ?Sized + io::Write>(&mut self, _: &mut W, first: bool) -> io::Result<()> {
        self.put(if first { b"" } else { b"," })?;
        let start = self.bytes.len();
        self.members().members.push(Member { key: start..start, end: start, is_plain: true });
        Ok(())
    }

    fn end_object_key<W: ?Sized + io::Write>(&mut self, _: &mut W) -> io::Result<()> {
        let end = self.bytes.len();
        let Canonical { bytes, open } = &mut **self;
        let object = open.last_mut().expect("serde_json opens an object before its members");
        let (last, others) = object.members.split_last_mut().expect("its key began");
        last.key.end = end;
        last.is_plain = bytes[last.key.clone()].iter().all(|&byte| byte.is_ascii() && byte != b'\\');
        object.is_sorted &= others.last().is_none_or(|before| before.cmp(last, bytes).is_lt());
        Ok(())
    }

    fn begin_object_value<W: ?Sized + io::Write>(&mut self, _: &mut W) -> io::Result<()> {
        self.put(b":")
    }

    fn end_object_value<W: ?Sized + io::Write>(&mut self, _: &mut W) -> io::Result<()> {
        let end = self.bytes.len();
        if let Some(member) = self.members().members.last_mut() {
            member.end = end;
        }
        Ok(())
    }

    fn end_object<W: ?Sized + io::Write>(&mut self, _: &mut W) -> io::Result<()> {
        let mut object = self.open.pop().expect("serde_json closes what it opened");
        if !object.is_sorted {
            self.sort(&mut object);
        }
        self.put(b"}")
    }
}

/// No type of this crate has it; it has no canonical form here.
fn unsupported(what: &str) -> io::Error {
    io::Error::new(io::ErrorKind::Unsupported, format!("{what} has no canonical form here"))
}

#[cfg(test)]
mod tests {
    use std::io;

    use proptest::prelude::*;
    use serde_json::{Value, ser::Formatter};

    use super::{Canonical, canonical};
    use crate::testing::record;

    /// Any JSON, with keys that are hard to sort.
    fn json() -> impl Strategy<Value = Value> {
        let leaf = prop_oneof![
            Just(Value::Null),
            any::<bool>().prop_map(Value::from),
            (-(1_i64 << 53)..=1 << 53).prop_map(Value::from),
            any::<f64>().prop_filter("finite", |number| number.is_finite()).prop_map(Value::from),
            any::<String>().prop_map(Value::from),
        ];
        let key = prop_oneof!["[ -~]{0,4}", "\\PC{0,3}", any::<String>()];
        leaf.prop_recursive(4, 64, 6, move |inner| {
            prop_oneof![
                proptest::collection::vec(inner.clone(), 0..6).prop_map(Value::from),
                proptest::collection::vec((key.clone(), inner), 0..6)
                    .prop_map(|members| Value::Object(members.into_iter().collect())),
            ]
        })
    }

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
    }

    #[test]
    fn durations_and_counts_are_exact_up_to_their_limits() {
        assert_eq!(canonical(&crate::submitted::MAX_DURATION), b"9007199254740991");
        assert_eq!(canonical(&crate::submitted::MAX_COUNT), b"2147483647");
    }

    #[test]
    fn what_would_be_left_out_is_an_error_instead() {
        let mut canonical = Canonical::default();
        let (mut formatter, mut sink) = (&mut canonical, io::sink());
        assert!(formatter.write_i128(&mut sink, 1).is_err());
        assert!(formatter.write_u128(&mut sink, 1).is_err());
        assert!(formatter.write_number_str(&mut sink, "1").is_err());
        assert!(formatter.write_raw_fragment(&mut sink, "1").is_err());
    }

    #[test]
    #[should_panic(expected = "128 bits")]
    fn an_integer_of_128_bits_is_not_left_out_in_silence() {
        canonical(&[1_u128]);
    }

    proptest! {
        #[test]
        fn it_agrees_with_another_implementation(json in json()) {
            prop_assert_eq!(canonical(&json), serde_json_canonicalizer::to_vec(&json).unwrap());
        }

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
