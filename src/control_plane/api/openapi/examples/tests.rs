//! Each operation has examples, and they are such as it takes and gives.

use serde_json::Value;

use super::super::super::time;

/// Holds a value against a schema, as far as the schemas of the API go. What is wrong is said with its place.
fn judge(api: &Value, schema: &Value, value: &Value, place: &str, wrong: &mut Vec<String>) {
    let Some(rules) = schema.as_object() else { return };
    let mut fail = |why: String| wrong.push(format!("{place}: {value} {why}"));
    if let Some(path) = rules.get("$ref").and_then(Value::as_str) {
        let found = api.pointer(path.trim_start_matches('#'));
        return judge(api, found.expect("the schema is there"), value, place, wrong);
    }
    if let Some(choices) = rules.get("oneOf").and_then(Value::as_array) {
        let fits = |choice: &&Value| {
            let mut wrong = Vec::new();
            judge(api, choice, value, place, &mut wrong);
            wrong.is_empty()
        };
        if choices.iter().filter(fits).count() != 1 {
            fail("is not just one of the choices".to_owned());
        }
    }
    let kinds = match rules.get("type") {
        Some(Value::Array(kinds)) => kinds.iter().filter_map(Value::as_str).collect(),
        Some(Value::String(kind)) => vec![kind.as_str()],
        _ => Vec::new(),
    };
    let is_kind = |kind: &&str| match *kind {
        "null" => value.is_null(),
        "boolean" => value.is_boolean(),
        "integer" => value.is_u64() || value.is_i64(),
        "number" => value.is_number(),
        "string" => value.is_string(),
        "array" => value.is_array(),
        "object" => value.is_object(),
        other => panic!("{place}: there is no type {other}"),
    };
    if !kinds.is_empty() && !kinds.iter().any(is_kind) {
        fail(format!("is none of {kinds:?}"));
    }
    if let Some(values) = rules.get("enum").and_then(Value::as_array)
        && !values.contains(value)
    {
        fail("is not in the enumeration".to_owned());
    }
    let bound = |name: &str| rules.get(name).and_then(Value::as_f64);
    let measure = |least: &str, most: &str, size: f64| {
        bound(least).is_none_or(|least| size >= least) && bound(most).is_none_or(|most| size <= most)
    };
    let fits = match value {
        Value::Number(number) => measure("minimum", "maximum", number.as_f64().unwrap()),
        Value::String(text) => measure("minLength", "maxLength", text.chars().count() as f64),
        Value::Array(items) => measure("minItems", "maxItems", items.len() as f64),
        _ => true,
    };
    if !fits {
        fail("is too small or large".to_owned());
    }
    if let (Value::String(text), Some("date-time")) = (value, rules.get("format").and_then(Value::as_str))
        && time::parse(text).is_err()
    {
        fail("is no time".to_owned());
    }
    if let (Value::Array(items), Some(rule)) = (value, rules.get("items")) {
        for (index, item) in items.iter().enumerate() {
            judge(api, rule, item, &format!("{place}[{index}]"), wrong);
        }
    }
    let (Value::Object(fields), Some(properties)) = (value, rules.get("properties")) else { return };
    for name in rules.get("required").and_then(Value::as_array).into_iter().flatten().filter_map(Value::as_str) {
        if !fields.contains_key(name) {
            wrong.push(format!("{place}: {name} is missing"));
        }
    }
    for (name, field) in fields {
        match properties.get(name) {
            Some(rule) => judge(api, rule, field, &format!("{place}.{name}"), wrong),
            // Answers get more fields in time; an example shows those that there are.
            None => wrong.push(format!("{place}: {name} is not described")),
        }
    }
}

#[test]
fn each_operation_has_examples_that_fit_what_is_described() {
    let api: Value = serde_json::from_str(&super::super::compact(&super::super::super::openapi()).unwrap()).unwrap();
    let mut wrong = Vec::new();
    let mut seen = 0;
    let items = api["paths"].as_object().unwrap().values();
    for operation in items.flat_map(|item| item.as_object().unwrap().values()) {
        let id = operation["operationId"].as_str().unwrap();
        let answers = operation["responses"].as_object().unwrap().iter();
        let contents =
            answers.filter(|(status, _)| status.starts_with('2')).map(|(status, answer)| (&**status, answer));
        let contents = contents.chain([("request", &operation["requestBody"])]);
        for (part, content) in contents.filter_map(|(part, answer)| Some((part, answer.get("content")?.as_object()?))) {
            for (media_type, content) in content {
                let place = format!("{id} {part} {media_type}");
                let schema = &content["schema"];
                let named = schema["$ref"].as_str().and_then(|path| api.pointer(path.trim_start_matches('#')));
                let example = content.get("example").or_else(|| named?.get("example"));
                match example {
                    Some(example) => judge(&api, schema, example, &place, &mut wrong),
                    None => wrong.push(format!("{place}: there is no example")),
                }
                seen += 1;
            }
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
    assert!(seen > 30, "{seen}");
}

#[test]
fn what_does_not_fit_is_found() {
    let api = serde_json::to_value(super::super::super::openapi()).unwrap();
    let mut token = super::token();
    let judge = |token: &Value| {
        let mut wrong = Vec::new();
        judge(&api, &serde_json::json!({"$ref": "#/components/schemas/TokenView"}), token, "token", &mut wrong);
        wrong
    };
    assert!(judge(&token).is_empty());
    token["scope"] = "root".into();
    token["created_at"] = "yesterday".into();
    token["more"] = 1.into();
    token.as_object_mut().unwrap().remove("name");
    assert_eq!(judge(&token).len(), 4);
}
