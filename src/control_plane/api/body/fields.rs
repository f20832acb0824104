//! The fields of a JSON object, read one by one, so that all that is wrong with it is said at once.

use std::fmt::Display;

use serde_json::{Map, Value};

use super::super::problem::{ERRORS, FieldError, Problem, quoted};
use super::super::time;
use crate::link::Edit;

/// Longest name, in bytes, for which one is looked for that is nearly the same.
const NAME_BYTES: usize = 64;

/// Takes a value that must be an object.
///
/// # Errors
/// 422 if it is none.
pub(crate) fn object(value: Value, field: &str) -> Result<Map<String, Value>, Problem> {
    match value {
        Value::Object(map) => Ok(map),
        other => {
            let reason = format!("an object is expected, not {}", kind(&other));
            Err(Problem::invalid(vec![FieldError::new(field, other, reason)]))
        }
    }
}

/// What it is.
fn kind(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "true or false",
        Value::Number(_) => "a number",
        Value::String(_) => "a text",
        Value::Array(_) => "a list",
        Value::Object(_) => "an object",
    }
}

/// The fields of an object. What is wrong is collected, and said by [`finish`](Self::finish); what was read until
/// then means nothing if that fails.
///
/// Every way to read a field gives an [`Edit`]: `Keep` if it is absent (or wrong), `Clear` if it is null, else `Set`.
pub(crate) struct Fields {
    map: Map<String, Value>,
    errors: Vec<FieldError>,
}

impl Fields {
    /// Reads an object that may have fields of these names. Those that are `read_only` are taken and ignored, so that
    /// what was answered can be sent back.
    pub(crate) fn new(map: Map<String, Value>, known: &[&str], read_only: &[&str]) -> Self {
        let mut errors = Vec::new();
        let is_known = |name: &str| known.iter().chain(read_only).any(|field| *field == name);
        for (name, value) in map.iter().filter(|(name, _)| !is_known(name)).take(ERRORS) {
            errors.push(FieldError::of(name, value, unknown("field", name, known)));
        }
        Fields { map, errors }
    }

    /// Takes note that a field can't be taken.
    pub(crate) fn fail(&mut self, field: &str, value: impl Into<Value>, reason: impl Display) {
        if self.errors.len() < ERRORS {
            self.errors.push(FieldError::new(field, value.into(), reason.to_string()));
        }
    }

    /// Reads a field with a function; an error is the reason why it can't be taken.
    pub(crate) fn read<T, E: Display>(&mut self, field: &str, read: impl FnOnce(&Value) -> Result<T, E>) -> Edit<T> {
        match self.map.remove(field) {
            None => Edit::Keep,
            Some(Value::Null) => Edit::Clear,
            Some(value) => match read(&value) {
                Ok(read) => Edit::Set(read),
                Err(reason) => {
                    self.fail(field, value, reason);
                    Edit::Keep
                }
            },
        }
    }

    /// A text.
    pub(crate) fn text<T, E: Display>(&mut self, field: &str, parse: impl FnOnce(&str) -> Result<T, E>) -> Edit<T> {
        self.read(field, |value| match value {
            Value::String(text) => parse(text).map_err(|error| error.to_string()),
            other => Err(format!("a text is expected, not {}", kind(other))),
        })
    }

    /// A whole number that is not negative.
    pub(crate) fn number<T, E: Display>(&mut self, field: &str, parse: impl FnOnce(u64) -> Result<T, E>) -> Edit<T> {
        self.read(field, |value| match whole(value) {
            Some(number) => parse(number).map_err(|error| error.to_string()),
            None if value.is_number() => Err("a whole number that is not negative is expected".to_owned()),
            None => Err(format!("a number is expected, not {}", kind(value))),
        })
    }

    /// True or false.
    pub(crate) fn flag(&mut self, field: &str) -> Edit<bool> {
        self.read(field, |value| {
            value.as_bool().ok_or_else(|| format!("true or false is expected, not {}", kind(value)))
        })
    }

    /// A time, in milliseconds since the Unix epoch.
    pub(crate) fn time(&mut self, field: &str) -> Edit<u64> {
        self.text(field, time::parse)
    }

    /// A list of texts.
    pub(crate) fn texts<T, E: Display>(
        &mut self,
        field: &str,
        parse: impl FnOnce(Vec<&str>) -> Result<T, E>,
    ) -> Edit<T> {
        self.read(field, |value| {
            let Value::Array(items) = value else { return Err(format!("a list is expected, not {}", kind(value))) };
            let texts: Option<Vec<&str>> = items.iter().map(Value::as_str).collect();
            let texts = texts.ok_or("a list of texts is expected")?;
            parse(texts).map_err(|error| error.to_string())
        })
    }

    /// One of several names.
    pub(crate) fn name<T: Copy>(&mut self, field: &str, all: &[T], name: impl Fn(T) -> &'static str) -> Edit<T> {
        self.text(field, |text| {
            let names: Vec<&str> = all.iter().map(|choice| name(*choice)).collect();
            let known = all.iter().copied().find(|choice| name(*choice) == text);
            known.ok_or_else(|| format!("{} is none of {}", quoted(text), names.join(", ")))
        })
    }

    /// Takes note if a field that must be there is not. Before it is read.
    pub(crate) fn require(&mut self, field: &str) {
        if self.map.get(field).is_none_or(Value::is_null) {
            self.fail(field, Value::Null, "is missing");
        }
    }

    /// Takes a field as it is.
    pub(crate) fn take(&mut self, field: &str) -> Option<Value> {
        self.map.remove(field)
    }

    /// Whether nothing is wrong so far.
    pub(crate) fn is_fine(&self) -> bool {
        self.errors.is_empty()
    }

    /// Says what is wrong.
    ///
    /// # Errors
    /// 422 if something is.
    pub(crate) fn finish(self) -> Result<(), Problem> {
        if self.errors.is_empty() { Ok(()) } else { Err(Problem::invalid(self.errors)) }
    }
}

/// A number without a fraction, as JSON Schema has them: `17.0` is one, too.
fn whole(value: &Value) -> Option<u64> {
    value.as_u64().or_else(|| {
        let number = value.as_f64().filter(|number| number.fract() == 0.0)?;
        // Beyond 2^53, what was written is not what was read.
        (0.0..9_007_199_254_740_992.0).contains(&number).then_some(number as u64)
    })
}

/// What is said to a name that is none of those that are known.
pub(crate) fn unknown(what: &str, name: &str, known: &[&str]) -> String {
    let nearest = known
        .iter()
        // The comparison takes time that grows with both.
        .filter(|_| name.len() <= NAME_BYTES)
        .map(|field| (strsim::damerau_levenshtein(name, field), *field))
        .filter(|(distance, field)| *distance <= 1 + field.len() / 4)
        .min();
    match nearest {
        Some((_, field)) => format!("unknown {what} {}; did you mean `{field}`?", quoted(name)),
        None if known.is_empty() => format!("unknown {what} {}; none is known here", quoted(name)),
        None => format!("unknown {what} {}; known are {}", quoted(name), known.join(", ")),
    }
}

/// What a field says, where null is the same as nothing.
pub(crate) trait Given<T> {
    /// The value.
    fn given(self) -> Option<T>;
}

impl<T> Given<T> for Edit<T> {
    fn given(self) -> Option<T> {
        match self {
            Edit::Set(value) => Some(value),
            Edit::Keep | Edit::Clear => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::link::Title;
    use serde_json::json;

    fn fields(value: Value) -> Fields {
        Fields::new(object(value, "body").unwrap(), &["target", "title", "count", "is_on", "tags"], &["id"])
    }

    #[test]
    fn a_field_is_absent_null_or_something() {
        let mut fields = fields(json!({"id": 7, "title": null, "count": 3, "tags": ["a", "b"]}));
        assert_eq!(fields.text("target", |text| Ok::<_, String>(text.to_owned())), Edit::Keep);
        assert_eq!(fields.text("title", Title::parse), Edit::Clear);
        assert_eq!(fields.number("count", Ok::<_, String>), Edit::Set(3));
        assert_eq!(fields.texts("tags", |tags| Ok::<_, String>(tags.len())), Edit::Set(2));
        assert_eq!(
            ["3", "3.0", "3.5", "-1", "-1.0", "1e300"].map(|text| whole(&text.parse().unwrap())),
            [Some(3), Some(3), None, None, None, None]
        );
        assert_eq!(fields.flag("is_on").given(), None);
        fields.finish().unwrap();
    }

    #[test]
    fn what_is_said_is_bounded() {
        let many = (0..1_000).map(|number| (format!("{number}{}", "n".repeat(1_000)), Value::Null));
        let mut fields = fields(Value::Object(many.collect()));
        fields.require("target");
        assert!(!fields.is_fine());
        let errors = fields.finish().unwrap_err().into_errors_within("");
        assert_eq!(errors.len(), ERRORS);
        assert!(errors.iter().all(|error| error.field.len() < 300 && error.reason.len() < 500));
    }

    #[test]
    fn all_that_is_wrong_is_said_at_once() {
        let mut fields = fields(json!({"taget": "x", "title": 3, "count": -1, "is_on": "yes", "tags": [1]}));
        fields.require("target");
        let _ = fields.text("title", Title::parse);
        let _ = fields.number("count", Ok::<_, String>);
        let _ = fields.flag("is_on");
        let _ = fields.texts("tags", |_| Ok::<_, String>(()));
        let errors = fields.finish().unwrap_err().into_errors_within("");
        let said: Vec<_> = errors.iter().map(|error| format!("{}: {}", error.field, error.reason)).collect();
        assert_eq!(
            said,
            [
                "taget: unknown field `taget`; did you mean `target`?",
                "target: is missing",
                "title: a text is expected, not a number",
                "count: a whole number that is not negative is expected",
                "is_on: true or false is expected, not a text",
                "tags: a list of texts is expected",
            ]
        );
        assert_eq!(errors[2].value, json!(3));
    }
}
