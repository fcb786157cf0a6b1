//! The layout of the generated C++: what is common to all of it.

use std::fmt::Write;

use prost_types::FileDescriptorProto;

use crate::comments;

/// No line is longer, unless a name is.
const COLUMNS_MAX: usize = 100;

/// Columns of a level.
pub(crate) const LEVEL: usize = 4;

/// Bytes of a string that every compiler takes ([lex.string] of C++17, annex B).
const STRING_BYTES_MAX: usize = 65_535;

/// `head(parameters)tail` on one line, or with a line for each parameter.
pub(crate) fn signature(indent: usize, head: &str, parameters: &[String], tail: &str) -> String {
    let line = format!("{:indent$}{head}({}){tail}\n", "", parameters.join(", "));
    if line.chars().count() <= COLUMNS_MAX + 1 {
        return line;
    }
    let inner = indent + LEVEL;
    let separator = format!(",\n{:inner$}", "");
    format!("{:indent$}{head}(\n{:inner$}{}){tail}\n", "", "", parameters.join(&separator))
}

/// The comments of the element at a path of field numbers and indices, or a sentence where there
/// are none.
pub(crate) fn comment(
    indent: usize,
    file: &FileDescriptorProto,
    path: &[i32],
    otherwise: &str,
) -> String {
    let text = comments::of(file, path).unwrap_or_else(|| format!(" {otherwise}"));
    slashes(indent, &text)
}

fn slashes(indent: usize, text: &str) -> String {
    let mut slashed = String::new();
    for line in text.lines().map(str::trim_end) {
        // A line that ends so would take the next one with it.
        let end = if line.ends_with('\\') || line.ends_with("??/") { " ." } else { "" };
        let _ = writeln!(slashed, "{:indent$}///{line}{end}", "");
    }
    slashed
}

/// A constant of bytes.
pub(crate) fn constant(name: &str, bytes: &[u8]) -> String {
    let mut lines = vec![String::new()];
    for byte in bytes {
        let escaped = match byte {
            b'"' | b'\\' | b'?' => format!("\\{}", char::from(*byte)),
            b' '..=b'~' => char::from(*byte).to_string(),
            // Always three digits: what follows is never taken for a fourth.
            _ => format!("\\{byte:03o}"),
        };
        let line = lines.last_mut().expect("there is always one");
        match LEVEL + 2 + line.len() + escaped.len() < COLUMNS_MAX - 1 {
            true => line.push_str(&escaped),
            false => lines.push(escaped),
        }
    }
    let size = bytes.len();
    let literal = lines.join(&format!("\"\n{:LEVEL$}\"", ""));
    let text = format!(
        "inline constexpr ::std::string_view {name}(\n{:LEVEL$}\"{literal}\",\n{:LEVEL$}{size});\n",
        "", ""
    );
    if size <= STRING_BYTES_MAX {
        return text;
    }
    // What was asked for as an error elsewhere is none here: both known compilers take it.
    format!(
        "#pragma GCC diagnostic push\n#pragma GCC diagnostic ignored \"-Woverlength-strings\"\n\
         {text}#pragma GCC diagnostic pop\n"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_signature_that_is_too_long_has_a_line_for_each_parameter() {
        let parameters = ["int a".to_string(), "int b".to_string()];
        assert_eq!(signature(4, "void f", &parameters, ";"), "    void f(int a, int b);\n");
        let head = "x".repeat(90);
        let expect = format!("    {head}(\n        int a,\n        int b);\n");
        assert_eq!(signature(4, &head, &parameters, ";"), expect);
    }

    #[test]
    fn a_comment_never_swallows_the_line_after_it() {
        assert_eq!(slashes(2, " a \\\n\n b ??/  \n"), "  /// a \\ .\n  ///\n  /// b ??/ .\n");
    }

    #[test]
    fn bytes_are_told_apart_from_the_letters_after_them() {
        let text = constant("a", b"\x015\"\\??x\xff");
        assert!(text.contains(r#""\0015\"\\\?\?x\377","#), "{text}");
        assert!(text.ends_with("    8);\n"), "{text}");
        let long = constant("a", &[b'a'; 70_000]);
        assert!(long.starts_with("#pragma") && long.lines().all(|line| line.len() <= 100));
    }
}
