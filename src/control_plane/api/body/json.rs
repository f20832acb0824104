//! JSON from bytes, with a bound on what it may become: a value takes up to a hundred times the memory of its text.

use std::cell::{Cell, RefCell};
use std::fmt;

use serde::de::{DeserializeSeed, Deserializer, Error, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Number, Value};

use super::super::problem::{Kind, Problem, quoted};

/// Reads JSON with at most so many values: objects, lists, and what is in them. `what` it is stands in messages.
///
/// A name that stands twice in one object is refused: readers of JSON do not agree which of both counts (RFC 8259 §4).
///
/// # Errors
/// 400 with the place of the fault, 413 if there are more values.
pub(crate) fn read(what: &str, bytes: &[u8], most_values: usize) -> Result<Value, Problem> {
    let reader = Reader { left: Cell::new(most_values), fault: RefCell::default() };
    let mut text = serde_json::Deserializer::from_slice(bytes);
    let read = Any(&reader).deserialize(&mut text).and_then(|value| text.end().map(|()| value));
    read.map_err(|error| match reader.fault.take() {
        None => Problem::new(Kind::Malformed, format!("the {what} is no JSON: {error}")),
        Some(Fault::Twice(name)) => {
            let at = format!("line {} column {}", error.line(), error.column());
            let reason = format!("the name {} stands twice in one object, again at {at}", quoted(&name));
            Problem::malformed(&name, Value::Null, reason)
        }
        Some(Fault::TooMany) => {
            let detail = format!("the {what} has more than {most_values} values, the most that are read here");
            Problem::new(Kind::TooLarge, detail)
        }
    })
}

/// What is wrong beside the syntax.
enum Fault {
    /// A name.
    Twice(String),
    TooMany,
}

/// What is known over all of a text.
struct Reader {
    /// How many values there may be yet.
    left: Cell<usize>,
    fault: RefCell<Option<Fault>>,
}

impl Reader {
    /// Takes note of what is wrong, and ends the reading.
    fn fail<E: Error>(&self, fault: Fault) -> E {
        self.fault.replace(Some(fault));
        E::custom("refused")
    }
}

/// Any value.
struct Any<'a>(&'a Reader);

impl<'de> DeserializeSeed<'de> for Any<'_> {
    type Value = Value;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Value, D::Error> {
        match self.0.left.get().checked_sub(1) {
            Some(left) => self.0.left.set(left),
            None => return Err(self.0.fail(Fault::TooMany)),
        }
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Any<'_> {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON value")
    }

    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_bool<E>(self, value: bool) -> Result<Value, E> {
        Ok(Value::Bool(value))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Value, E> {
        Ok(Value::Number(value.into()))
    }

    fn visit_u64<E>(self, value: u64) -> Result<Value, E> {
        Ok(Value::Number(value.into()))
    }

    fn visit_f64<E>(self, value: f64) -> Result<Value, E> {
        Ok(Number::from_f64(value).map_or(Value::Null, Value::Number))
    }

    fn visit_str<E>(self, value: &str) -> Result<Value, E> {
        Ok(Value::String(value.to_owned()))
    }

    fn visit_string<E>(self, value: String) -> Result<Value, E> {
        Ok(Value::String(value))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Value, A::Error> {
        let mut items = Vec::new();
        while let Some(item) = list.next_element_seed(Any(self.0))? {
            items.push(item);
        }
        Ok(Value::Array(items))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut object: A) -> Result<Value, A::Error> {
        let mut map = Map::new();
        while let Some(name) = object.next_key::<String>()? {
            if map.contains_key(&name) {
                return Err(self.0.fail(Fault::Twice(name)));
            }
            let value = object.next_value_seed(Any(self.0))?;
            map.insert(name, value);
        }
        Ok(Value::Object(map))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn any_json() -> impl Strategy<Value = Value> {
        let leaf = prop_oneof![
            Just(Value::Null),
            any::<bool>().prop_map(Value::from),
            any::<i64>().prop_map(Value::from),
            any::<u64>().prop_map(Value::from),
            any::<f64>().prop_map(Value::from),
            "\\PC{0,8}".prop_map(Value::from),
        ];
        leaf.prop_recursive(4, 64, 8, |inner| {
            prop_oneof![
                proptest::collection::vec(inner.clone(), 0..8).prop_map(Value::from),
                proptest::collection::btree_map("\\PC{0,4}", inner, 0..8)
                    .prop_map(|map| Value::Object(map.into_iter().collect())),
            ]
        })
    }

    proptest! {
        #[test]
        fn what_is_read_is_what_serde_json_reads(value in any_json()) {
            let text = value.to_string();
            let expected: Value = serde_json::from_str(&text).unwrap();
            prop_assert_eq!(read("body", text.as_bytes(), usize::MAX).unwrap(), expected);
        }
    }

    #[test]
    fn values_are_counted_and_no_more_are_made() {
        assert!(read("body", b"[0,[{\"a\":1}]]", 5).is_ok());
        assert_eq!(read("body", b"[0,[{\"a\":1}]]", 4).unwrap_err().status(), 413);
        // What is wrong further on is not reached.
        let error = read("body", b"[0,0,0,0 no JSON", 3).unwrap_err();
        assert_eq!(
            (error.status(), error.detail()),
            (413, "the body has more than 3 values, the most that are read here")
        );
    }

    #[test]
    fn a_name_that_stands_twice_is_named() {
        for (text, name) in [(r#"{"a":1,"a":1}"#, "a"), (r#"{"x":[{"b":1,"c":2,"\u0062":3}]}"#, "b")] {
            let error = read("body", text.as_bytes(), 100).unwrap_err();
            assert_eq!(error.status(), 400);
            assert!(error.detail().contains(&format!("`{name}` stands twice")), "{}", error.detail());
            assert_eq!(error.into_errors_within("")[0].field, name);
        }
        assert!(read("body", br#"{"a":{"a":1},"b":{"a":1}}"#, 100).is_ok());
        assert_eq!(read("body", b"{} {}", 100).unwrap_err().status(), 400);
    }
}
