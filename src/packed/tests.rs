//! What the format promises to Rust programs.

use std::collections::BTreeMap;

use proptest::prelude::*;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use super::*;

fn packed(value: &(impl Serialize + ?Sized)) -> Vec<u8> {
    let bytes = to_vec(value).expect("it can be packed");
    assert_eq!(to_payload(value).expect("it can be packed").as_bytes(), bytes);
    bytes
}

fn refused<T: DeserializeOwned + std::fmt::Debug>(bytes: &[u8]) -> String {
    from_bytes::<T>(bytes).expect_err("the bytes are not a T").to_string()
}

#[derive(Serialize, Deserialize, Debug, PartialEq, Clone)]
struct Player {
    name: String,
    level: u8,
    #[serde(default)]
    guild: Option<String>,
    place: (f32, f32),
}

#[derive(Serialize, Deserialize, Debug, PartialEq)]
enum Order {
    Halt,
    Say(String),
    Pass(Option<u8>),
    Move(i32, i32),
    Sell { item: String, price: Option<u32> },
}

#[test]
fn a_tuple_is_a_row_of_values_and_anything_else_is_one() {
    assert_eq!(packed(&("a", 1, true)), b"\x0ca\x0a\x01\x09");
    assert_eq!(packed(&(("a", 1),)), b"\x16\x0ca\x0a\x01\0");
    assert_eq!(packed("a"), b"\x0ca");
    assert_eq!(packed(&()), b"");
    assert_eq!(packed(&((), ())), b"\0\0");
    assert_eq!(packed(&vec![1, 2]), b"\x16\x0a\x01\x0a\x02\0");
    assert_eq!(packed(&BTreeMap::from([("a", 1)])), b"\x06\x0ca\x0a\x01\0");
    assert_eq!(packed(&[true; 31][..]), [&b"\xfe\x0a\x1f"[..], &[9; 31], &[0]].concat());
    assert_eq!(packed(&[true; 300][..]), [&b"\xfe\x12\x2c\x01"[..], &[9; 300], &[0]].concat());

    assert_eq!(from_bytes(b"\x0ca\x0a\x01\x09"), Ok(("a", 1, true)));
    assert_eq!(from_bytes(b""), Ok(()));
    assert_eq!(from_bytes(b"\0"), Ok(()));
    assert_eq!(from_bytes::<((u8, u8),)>(b"\x16\x0a\x01\x0a\x02\0"), Ok(((1, 2),)));
}

#[test]
fn missing_values_are_nil_and_left_over_ones_are_refused() {
    assert_eq!(from_bytes(b"\x0ca"), Ok(("a".to_owned(), None::<i32>)));
    assert_eq!(from_bytes(b""), Ok(None::<i32>));
    assert_eq!(refused::<(String, i32)>(b"\x0ca"), "invalid type: unit value, expected i32 (at byte 2)");
    assert_eq!(refused::<(u8,)>(b"\x0a\x01\x0a\x02"), "values are left over (at byte 2)");
}

#[test]
fn structs_and_enums_come_back_as_they_were() {
    let player = Player { name: "Ada".into(), level: 7, guild: None, place: (1.5, -2.0) };
    assert_eq!(from_bytes(&packed(&player)), Ok(player.clone()));
    assert!(!packed(&player).windows(5).any(|bytes| bytes == b"guild"), "a field that is None is left out");
    let member = Player { guild: Some("Owls".into()), ..player };
    assert_eq!(from_bytes(&packed(&(&member, 1))), Ok((member, 1)));

    for (order, bytes) in [
        (Order::Halt, &b"\x24Halt"[..]),
        (Order::Say("hi".into()), b"\x06\x1cSay\x14hi\0"),
        (Order::Pass(None), b"\x06\x24Pass\0\0"),
        (Order::Pass(Some(1)), b"\x06\x24Pass\x0a\x01\0"),
        (Order::Move(1, 0), b"\x06\x24Move\x16\x0a\x01\x02\0\0"),
        (Order::Sell { item: "x".into(), price: None }, b"\x06\x24Sell\x06\x24item\x0cx\0\0"),
    ] {
        assert_eq!(packed(&order), bytes);
        assert_eq!(from_bytes(bytes), Ok(order));
    }
    assert_eq!(
        refused::<Order>(b"\x06\x24Halt\0\x0ca\0\0"),
        "a variant is a table with one field (at byte 0)"
    );
    assert_eq!(refused::<Order>(b"\x06\0"), "a variant is a table with one field (at byte 0)");
    assert!(refused::<Order>(b"\x24Hold").starts_with("unknown variant `Hold`"));
}

#[test]
fn numbers_serve_for_each_other_where_nothing_is_lost() {
    assert_eq!(from_bytes(b"\x0a\x01"), Ok(1.0_f64));
    assert_eq!(from_bytes(&packed(&3.0)), Ok(3_u8));
    assert!(refused::<i64>(&packed(&3.5)).starts_with("invalid type: floating point `3.5`, expected i64"));
    assert!(refused::<i64>(&packed(&9.3e18)).starts_with("invalid type: floating point"));
    assert!(refused::<i64>(&packed(&f64::NAN)).starts_with("invalid type: floating point"));
    assert_eq!(from_bytes(&packed(&-9_223_372_036_854_775_808.0)), Ok(i64::MIN));
    assert!(refused::<u8>(b"\x12\0\x01").starts_with("invalid value: integer `256`, expected u8"));
    assert_eq!(from_bytes(&packed(&(u64::MAX / 2))), Ok(u64::MAX / 2));
    let error = to_vec(&u64::MAX).expect_err("it is too large").to_string();
    assert_eq!(error, "18446744073709551615 is beyond what a 64-bit signed integer holds");
    assert!(to_vec(&i128::MIN).is_err() && to_vec(&u128::MAX).is_err());
    assert_eq!(from_bytes(&packed(&-5_i128)), Ok(-5_i128));
}

#[test]
fn a_sequence_may_have_holes_and_elements_among_the_pairs() {
    // What Lua 5.5 and Lua 5.4 make of {1, nil, 3}.
    for bytes in [&b"\x0e\x0a\x01\x0a\x03\x0a\x03\0"[..], b"\x1e\x0a\x01\0\x0a\x03\0"] {
        assert_eq!(from_bytes(bytes), Ok(vec![Some(1), None, Some(3)]));
        assert_eq!(from_bytes::<(Vec<Option<u8>>,)>(bytes), Ok((vec![Some(1), None, Some(3)],)));
        assert!(refused::<Vec<u8>>(bytes).starts_with("invalid type: unit value"));
        assert_eq!(from_bytes(bytes), Ok(BTreeMap::from([(1, 1), (3, 3)])));
    }
    // What a __pairs may give: elements in any order.
    let pairs = b"\x06\x0a\x03\x0ccx\x0a\x01\x0ca\x0a\x02\x0cb\0".map(|b| b);
    let pairs: Vec<u8> = pairs.into_iter().filter(|&b| b != b'x').collect();
    assert_eq!(from_bytes(&pairs), Ok(vec!["a", "b", "c"]));
    assert_eq!(from_bytes::<(Vec<&str>, bool)>(&[&pairs[..], &[9]].concat()).map(|_| ()), Ok(()));
    assert_eq!(from_bytes::<((char, char, char, Option<u8>),)>(&pairs), Ok((('a', 'b', 'c', None),)));
    assert!(refused::<((char, char),)>(&pairs).starts_with("the sequence has more elements than are wanted"));
    assert!(
        refused::<Vec<u8>>(b"\x06\x0ca\x0a\x01\0").starts_with("a table with other keys than 1, 2, 3...")
    );
    assert!(refused::<Vec<u8>>(b"\x0e\x0a\x01\x0a\x01\x0a\x01\0").starts_with("a table with other keys"));
    // {[1000000] = true}: few bytes must not become a large vector.
    assert!(
        refused::<Vec<Option<bool>>>(b"\x06\x22\x40\x42\x0f\0\x09\0")
            .starts_with("the table has too many holes")
    );
}

#[test]
fn an_unknown_length_and_a_wrong_one_are_noticed() {
    struct Said(Option<usize>, usize);
    impl Serialize for Said {
        fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
            use serde::ser::SerializeSeq;
            let mut seq = serializer.serialize_seq(self.0)?;
            for index in 0..self.1 {
                seq.serialize_element(&index)?;
            }
            seq.end()
        }
    }
    for len in [0, 1, 30, 31, 300, 70_000] {
        assert_eq!(packed(&(1, Said(None, len), 2)), packed(&(1, (0..len).collect::<Vec<_>>(), 2)));
    }
    assert_eq!(
        to_vec(&Said(Some(2), 3)).expect_err("it lies").to_string(),
        "the sequence said it had 2 elements and gave 3"
    );
}

#[test]
fn keys_that_no_table_can_have_are_refused() {
    assert_eq!(
        to_vec(&BTreeMap::from([(None::<u8>, 1)])).expect_err("nil").to_string(),
        "nil is no key of a table"
    );
    let nan = Table { array: vec![], pairs: vec![(Value::Float(f64::NAN), Value::Nil)] };
    assert_eq!(to_vec(&nan).expect_err("NaN").to_string(), "NaN is no key of a table");
}

#[test]
fn fields_are_found_by_name_alone() {
    #[derive(Deserialize, Debug, PartialEq)]
    struct Two {
        #[serde(rename = "2")]
        second: u8,
        b: Option<u8>,
    }
    // {10, 20, b = nil, [true] = 1}: an integer key is no field's number, and nil is no field.
    let bytes = b"\x16\x0a\x0a\x0a\x14\x0cb\0\x09\x0a\x01\0";
    assert_eq!(from_bytes(bytes), Ok(Two { second: 20, b: None }));
    assert_eq!(from_bytes(b"\x06\x0a\x02\x0a\x07\0"), Ok(Two { second: 7, b: None }));
    assert!(refused::<Two>(b"\x06\0").starts_with("missing field `2`"));
}

#[test]
fn errors_name_the_place_of_the_innermost_value() {
    let bytes = packed(&("x", Player { name: "Ada".into(), level: 7, guild: None, place: (1.0, 2.0) }));
    let at = bytes.windows(5).position(|part| part == b"level").expect("it is there") + 5;
    let mut wrong = bytes.clone();
    wrong[at..at + 2].copy_from_slice(b"\x0c7");
    let error = from_bytes::<(String, Player)>(&wrong).expect_err("a string is no level");
    assert_eq!(error.offset(), Some(at));
    let cut = from_bytes::<(String, Player)>(&bytes[..at + 1]).expect_err("it is cut off");
    assert_eq!(cut.to_string(), format!("the bytes end within a value (at byte {at})"));
    assert_eq!(refused::<u8>(b"\x07"), "0x07 begins no value (at byte 0)");
}

#[test]
fn tables_are_followed_to_a_depth_and_no_further() {
    let nested = |depth: usize| [vec![0x0e; depth], vec![0x06, 0], vec![0; depth]].concat();
    assert!(from_bytes::<Value>(&nested(199)).is_ok());
    for depth in [200, 100_000] {
        assert!(refused::<Value>(&nested(depth)).starts_with("more than 200 tables within each other"));
        assert!(refused::<serde::de::IgnoredAny>(&nested(depth)).starts_with("more than 200 tables"));
    }
    let mut value = Value::Nil;
    for _ in 0..200 {
        value = Value::Table(Table { array: vec![value], pairs: vec![] });
    }
    assert!(to_vec(&value).is_ok());
    assert!(to_vec(&vec![value]).is_err());
}

#[test]
fn a_claim_of_many_elements_takes_no_memory() {
    for bytes in [
        &b"\xfe\x32\xff\xff\xff\xff\xff\xff\xff\x7f"[..],
        b"\xfe\x22\xff\xff\xff\x7f\x09",
        b"\x25\xff\xff\xff\xff",
    ] {
        assert!(refused::<Value>(bytes).starts_with("the bytes end within a value"));
        assert!(from_bytes::<Vec<[u64; 32]>>(bytes).is_err());
    }
}

#[test]
fn pointers_and_rows_of_any_length_pass() {
    let bytes = b"\x03\x01\0\0\0\0\0\0\x80";
    assert_eq!(packed(&Pointer(0x8000_0000_0000_0001)), bytes);
    assert_eq!(from_bytes(bytes), Ok(Pointer(0x8000_0000_0000_0001)));
    assert_eq!(from_bytes(bytes), Ok(Value::Pointer(Pointer(0x8000_0000_0000_0001))));
    assert!(refused::<u64>(bytes).starts_with("invalid type: newtype struct"));

    let rest = Values(vec![Value::Nil, Value::from(2), Value::from("x")]);
    assert_eq!(packed(&("cmd", &rest)), b"\x1ccmd\0\x0a\x02\x0cx");
    assert_eq!(from_bytes(b"\x1ccmd\0\x0a\x02\x0cx"), Ok(("cmd", rest.clone())));
    assert_eq!(from_bytes(b"\0\x0a\x02\x0cx"), Ok(rest));
    assert_eq!(from_bytes(b""), Ok(Values(vec![])));
}

/// Any value, of up to four tables within each other.
pub(crate) fn any_value() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        any::<bool>().prop_map(Value::Bool),
        any::<i64>().prop_map(Value::Integer),
        (-70_000..70_000_i64).prop_map(Value::Integer),
        any::<f64>().prop_filter("a NaN equals nothing", |x| !x.is_nan()).prop_map(Value::Float),
        proptest::collection::vec(any::<u8>(), 0..70).prop_map(Value::String),
        "[a-z]{0,8}".prop_map(|text| Value::from(text.as_str())),
        any::<u64>().prop_map(|address| Value::Pointer(Pointer(address))),
    ];
    leaf.prop_recursive(4, 60, 40, |inner| {
        let keys = prop_oneof![
            "[a-z]{1,9}".prop_map(|text| Value::from(text.as_str())),
            any::<bool>().prop_map(Value::Bool)
        ];
        let pairs = proptest::collection::vec((keys, inner.clone()), 0..6);
        (proptest::collection::vec(inner, 0..40), pairs).prop_map(|(array, mut pairs)| {
            let mut seen = Vec::new();
            pairs.retain(|(key, _)| {
                !seen.contains(key) && {
                    seen.push(key.clone());
                    true
                }
            });
            Value::Table(Table { array, pairs })
        })
    })
}

proptest! {
    #[test]
    fn any_values_come_back(values in proptest::collection::vec(any_value(), 0..4)) {
        let values = Values(values);
        let bytes = to_vec(&values).unwrap();
        prop_assert_eq!(from_bytes::<Values>(&bytes).unwrap(), values);
    }

    #[test]
    fn damaged_bytes_are_an_error_or_a_value(
        values in proptest::collection::vec(any_value(), 0..3),
        damage in proptest::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..4),
        end in any::<prop::sample::Index>(),
    ) {
        let mut bytes = to_vec(&Values(values)).unwrap();
        for (place, byte) in damage {
            if !bytes.is_empty() {
                let place = place.index(bytes.len());
                bytes[place] = byte;
            }
        }
        bytes.truncate(end.index(bytes.len() + 1));
        read_as_many_things(&bytes);
    }

    #[test]
    fn random_bytes_are_an_error_or_a_value(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
        read_as_many_things(&bytes);
    }
}

fn read_as_many_things(bytes: &[u8]) {
    if let Ok(values) = from_bytes::<Values>(bytes) {
        // Not equal to the bytes: they may choose wider forms. A NaN may be a key in them.
        drop(to_vec(&values));
    }
    drop(from_bytes::<Vec<Option<Vec<Option<i64>>>>>(bytes));
    drop(from_bytes::<(String, BTreeMap<String, Value>)>(bytes));
    drop(from_bytes::<(Player, Order)>(bytes));
    drop(from_bytes::<(Order, Values)>(bytes));
    drop(from_bytes::<serde::de::IgnoredAny>(bytes));
}
