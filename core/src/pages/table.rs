//! Facts in rows: what most pages are, as JSON and as a table of HTML.

use std::fmt::Write;

use serde_json::{Map, Value};

use super::sheet::Escaped;

/// Rows of facts. The name of a column is its key in JSON, and with spaces its heading.
pub(super) struct Table {
    columns: &'static [&'static str],
    rows: Vec<Vec<Value>>,
    /// Rows that there are beyond those shown.
    left_out_count: usize,
    /// A column whose facts are links, and what they begin with.
    links: Option<(&'static str, &'static str)>,
}

impl Table {
    pub(super) fn new(columns: &'static [&'static str]) -> Self {
        Self { columns, rows: Vec::new(), left_out_count: 0, links: None }
    }

    /// Makes links of the facts of a column, for people.
    pub(super) fn linked(self, column: &'static str, begin: &'static str) -> Self {
        Self { links: Some((column, begin)), ..self }
    }

    /// There are further rows, which are left out.
    pub(super) fn leave_out(&mut self, count: usize) {
        self.left_out_count += count;
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
        let is_number = |column: usize| self.rows.iter().any(|row| row[column].is_number());
        let numbers: Vec<bool> = (0..self.columns.len()).map(is_number).collect();
        for (name, is_number) in self.columns.iter().zip(&numbers) {
            let class = if *is_number { " class=\"n\"" } else { "" };
            put(format_args!("<th{class}>{}", Escaped(&name.replace('_', " "))));
        }
        for row in &self.rows {
            put(format_args!("<tr>"));
            for ((fact, name), is_number) in row.iter().zip(self.columns).zip(&numbers) {
                let text = shown(fact);
                let class = match is_number {
                    true => " class=\"n\"",
                    false if text.contains('\n') => " class=\"t\"",
                    false => "",
                };
                let text = Escaped(&text);
                match self.links.filter(|(column, _)| column == name) {
                    Some((_, begin)) => {
                        put(format_args!("<td{class}><a href=\"{begin}{text}\">{text}</a>"));
                    }
                    None => put(format_args!("<td{class}>{text}")),
                }
            }
        }
        put(format_args!("</table>"));
        if self.rows.is_empty() {
            put(format_args!("<p>none"));
        }
        if self.left_out_count > 0 {
            put(format_args!("<p>{} more", with_commas(self.left_out_count as u64)));
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
        assert!(!html.contains("more"), "{html}");
    }

    #[test]
    fn what_is_left_out_is_told_and_texts_of_many_lines_keep_them() {
        let mut table = Table::new(&["id", "stack"]).linked("id", "?id=");
        table.add(vec!["0.1".into(), "first\nsecond".into()]);
        table.leave_out(1200);
        let html = table.html();
        assert!(html.contains("<a href=\"?id=0.1\">0.1</a>"), "{html}");
        assert!(html.contains("<td class=\"t\">first\nsecond"), "{html}");
        assert!(html.ends_with("<p>1,200 more"), "{html}");
    }
}
