//! The line format of `classify`: a history in, an answer out.

use std::fmt;
use std::io::{self, BufRead, BufReader, BufWriter, Read, Write};

use lab_connector::flow::Symbol;
use lab_connector::{History, OrderStatus};
use serde::de::{Deserialize, Deserializer, Visitor};
use serde_json::Value;
use serde_json::error::Category;

use super::answer::Answer;

/// Answers every line of `input`, in order, until it ends.
///
/// Answers are held back only while more lines are already here: whoever writes one line and
/// waits for its answer gets it.
pub fn run(input: impl Read, output: impl Write) -> io::Result<()> {
    let mut input = BufReader::with_capacity(1 << 16, input);
    let mut output = BufWriter::with_capacity(1 << 16, output);
    let mut line = Vec::new();
    let mut answered = Vec::new();
    loop {
        if !input.buffer().contains(&b'\n') {
            output.flush()?;
        }
        line.clear();
        if input.read_until(b'\n', &mut line)? == 0 {
            return Ok(());
        }
        line.pop_if(|last| *last == b'\n');
        answered.clear();
        answer(&line, &mut answered)?;
        answered.push(b'\n');
        output.write_all(&answered)?;
    }
}

/// Appends the answer to one line, without a newline: an [`Answer`], or `{"error": "…"}` for a
/// line that is not of the form. An error says what is wrong and where, never what stood there:
/// lines may hold what nobody wants in a log.
///
/// # Errors
/// None of `line`'s making; the signature is that of the serializer.
pub fn answer(line: &[u8], out: &mut Vec<u8>) -> serde_json::Result<()> {
    match read(line) {
        Ok(history) => serde_json::to_writer(out, &Answer::of(&history)),
        Err(error) => serde_json::to_writer(out, &serde_json::json!({ "error": error })),
    }
}

#[derive(serde::Deserialize)]
struct Line {
    history: Vec<Seen>,
    #[serde(default = "by_default")]
    complete: bool,
}

const fn by_default() -> bool {
    true
}

fn read(line: &[u8]) -> Result<History, String> {
    let text = std::str::from_utf8(line)
        .map_err(|error| format!("not UTF-8 at byte {}", error.valid_up_to() + 1))?;
    // A structure may also be written as an array, says serde. Not here.
    if !text.trim_start().starts_with('{') {
        return Err(fault(text));
    }
    let line: Line = serde_json::from_str(text).map_err(|error| match error.classify() {
        // Its text may quote the line.
        Category::Data => fault(text),
        Category::Syntax | Category::Eof | Category::Io => not_json(&error),
    })?;
    let statuses = line.history.into_iter().map(|seen| seen.0);
    Ok(if line.complete {
        History::complete(statuses)
    } else {
        History::partial(statuses)
    })
}

/// What is wrong with a line that could not be read; slow, but seldom called.
fn fault(text: &str) -> String {
    if text.trim().is_empty() {
        return "an empty line".into();
    }
    let object = match serde_json::from_str(text) {
        Err(error) => return not_json(&error),
        Ok(Value::Object(object)) => object,
        Ok(other) => return format!("the line must be an object, it is {}", kind(&other)),
    };
    match object.get("history") {
        None => return "`history` is missing".into(),
        Some(Value::Array(statuses)) => {
            for (index, status) in statuses.iter().enumerate() {
                if !status.is_string() {
                    return format!("`history[{index}]` must be a text, it is {}", kind(status));
                }
            }
        }
        Some(other) => {
            return format!("`history` must be an array of texts, it is {}", kind(other));
        }
    }
    match object.get("complete") {
        None | Some(Value::Bool(_)) => "a key stands twice".into(),
        Some(other) => format!("`complete` must be true or false, it is {}", kind(other)),
    }
}

fn not_json(error: &serde_json::Error) -> String {
    let message = error.to_string();
    // Every line is line 1 to the parser; only the column helps.
    let message = message.split(" at line ").next().unwrap_or_default();
    format!("not JSON: {message} at column {}", error.column())
}

fn kind(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "a truth value",
        Value::Number(_) => "a number",
        Value::String(_) => "a text",
        Value::Array(_) => "an array",
        Value::Object(_) => "an object",
    }
}

/// One arrival: exactly one of the seven capital letters is a symbol, all else is a status text.
struct Seen(OrderStatus);

impl<'de> Deserialize<'de> for Seen {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Text;

        impl Visitor<'_> for Text {
            type Value = Seen;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a symbol or a status")
            }

            fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<Seen, E> {
                let mut letters = text.chars();
                let symbol = match (letters.next(), letters.next()) {
                    (Some(letter), None) => Symbol::from_letter(letter),
                    _ => None,
                };
                Ok(Seen(symbol.map_or_else(
                    || OrderStatus::from(text),
                    OrderStatus::from,
                )))
            }
        }

        deserializer.deserialize_str(Text)
    }
}
