//! Facts in rows: what most pages are, as JSON and as a table of HTML.

use std::fmt::Write;

use serde_json::{Map, Value};

use super::sheet::Escaped;

/// Rows of facts. The name of a column is its key in JSON, and with spaces its heading.
pub(super) struct Table {
    columns: &'static [&'static str],
    rows: Vec<Vec<Value>>,
}

impl Table {
    pub(super) fn new(columns: &'static [&'static str]) -> Self {
        Self { columns, rows: Vec::new() }
    }

    /// Adds a row, with a fact for each column.
    pub(super) fn add(&mut self, facts: Vec<Value>) {
        debug_assert_eq!(facts.len(), self.columns.len());
        self.rows.push(facts);
    }

    pub(super) fn json(&self) -> Value {
        let object = |row: &Vec<Value>| {
            let pairs = self.columns.iter().zip(row);
            pairs.map(|(name, fact)| (name.to_string(), fact.clone())).collect::<Map<_, _>>()
        };
        self.rows.iter().map(|row| Value::Object(object(row))).collect()
    }

    pub(super) fn html(&self) -> String {
        let mut text = String::from("<table><tr>");
        let mut put = |arguments: std::fmt::Arguments<'_>| {
            text.write_fmt(arguments).expect("a string takes every text");
        };
        let is_number = |column: usize| {
            self.rows.first().is_some_and(|row| row.get(column).is_some_and(Value::is_number))
        };
        for (column, name) in self.columns.iter().enumerate() {
            let class = if is_number(column) { " class=\"n\"" } else { "" };
            put(format_args!("<th{class}>{}", Escaped(&name.replace('_', " "))));
        }
        for row in &self.rows {
            put(format_args!("<tr>"));
            for (column, fact) in row.iter().enumerate() {
                let class = if is_number(column) { " class=\"n\"" } else { "" };
                put(format_args!("<td{class}>{}", Escaped(&shown(fact))));
            }
        }
        put(format_args!("</table>"));
        if self.rows.is_empty() {
            put(format_args!("<p>none"));
        }
        text
    }
}

/// A fact for people: counts with commas, other numbers with three digits.
fn shown(fact: &Value) -> String {
    match fact {
        Value::String(text) => text.clone(),
        Value::Null => String::new(),
        Value::Bool(true) => "yes".into(),
        Value::Bool(false) => "no".into(),
        Value::Number(number) => match number.as_u64() {
            Some(count) => with_commas(count),
            None => number.as_f64().map_or_else(String::new, |value| format!("{value:.3}")),
        },
        Value::Array(_) | Value::Object(_) => fact.to_string(),
    }
}

fn with_commas(count: u64) -> String {
    let digits = count.to_string();
    let mut text = String::new();
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_table_has_the_same_facts_in_json_and_in_html() {
        let mut table = Table::new(&["method", "calls_per_s"]);
        table.add(vec!["a<b".into(), 1_234_567.into()]);
        assert_eq!(table.json(), serde_json::json!([{"method": "a<b", "calls_per_s": 1234567}]));
        let html = table.html();
        assert!(html.contains("<th>method<th class=\"n\">calls per s"), "{html}");
        assert!(html.contains("<td>a&lt;b<td class=\"n\">1,234,567"), "{html}");
    }
}
