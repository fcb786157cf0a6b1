//! The interface of C as its header has it: functions, and constants. Read out of the text that
//! cbindgen has just written, so that what is made from it (`proofs.rs`) can forget no export.

/// A function of the header.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Export {
    /// As declared, in one line and without its semicolon.
    pub(crate) prototype: String,
    pub(crate) returns: String,
    pub(crate) name: String,
    pub(crate) parameters: Vec<Parameter>,
}

/// A parameter of a function.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Parameter {
    /// Its type, such as `const char *`.
    pub(crate) kind: String,
    pub(crate) name: String,
}

const BEGIN: &str = "extern \"C\" {\n#endif // __cplusplus\n";
const END: &str = "#ifdef __cplusplus\n}  // extern \"C\"";

/// All functions, in the order of the header.
pub(crate) fn functions(header: &str) -> Result<Vec<Export>, String> {
    let begin = header.find(BEGIN).ok_or("the header has no functions")? + BEGIN.len();
    let end = header.rfind(END).ok_or("the header's functions have no end")?;
    let code = without_comments(&header[begin..end]);
    let one_line = |text: &str| text.split_whitespace().collect::<Vec<_>>().join(" ");
    let declared = code.split(';').map(one_line);
    declared.filter(|text| !text.is_empty()).map(|text| function(&text)).collect()
}

/// Names of the constants that programs are compiled with, in the order of the header. That of the
/// interface's version changes on purpose, and is left out.
pub(crate) fn constants(header: &str) -> Vec<&str> {
    let defined = header.lines().filter_map(|line| line.strip_prefix("#define MSEC_"));
    let named = defined.filter_map(|rest| {
        let (name, value) = rest.split_once(' ')?;
        let value = value.split(" /*").next()?.trim_matches(['(', ')']);
        (name != "ABI_VERSION" && value.parse::<i64>().is_ok()).then_some(name)
    });
    named.collect()
}

fn without_comments(text: &str) -> String {
    let mut code = String::new();
    let mut rest = text;
    while let Some((before, comment)) = rest.split_once("/*") {
        code.push_str(before);
        rest = comment.split_once("*/").map_or("", |(_, after)| after);
    }
    code + rest
}

fn function(prototype: &str) -> Result<Export, String> {
    let bad = || format!("cannot read `{prototype}` in the header");
    let (head, rest) = prototype.split_once('(').ok_or_else(bad)?;
    let inner = rest.strip_suffix(')').ok_or_else(bad)?;
    let (returns, name) = split_name(head).ok_or_else(bad)?;
    let mut parameters = Vec::new();
    for parameter in inner.split(',').map(str::trim).filter(|text| *text != "void") {
        let (kind, name) = split_name(parameter).ok_or_else(bad)?;
        parameters.push(Parameter { kind, name });
    }
    Ok(Export { prototype: prototype.into(), returns, name, parameters })
}

/// `const char *name` as type and name.
fn split_name(text: &str) -> Option<(String, String)> {
    let is_word = |letter: char| letter.is_ascii_alphanumeric() || letter == '_';
    let kind = text.trim_end_matches(is_word);
    let name = &text[kind.len()..];
    (!name.is_empty() && !kind.is_empty()).then(|| (kind.trim().into(), name.into()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn functions_and_constants_are_read() {
        let header = format!(
            "#define MSEC_H\n#define MSEC_OK (0) /* success */\n#define MSEC_EX (-3) /* x */\n\
             #define MSEC_ABI_VERSION 1\n#define MSEC_FLAG 4\n#define MSEC_A_INIT {{ 0 }}\n\
             {BEGIN}\n/**\n * A (text);\n */\nconst char *msec_a(void);\n\n\
             int32_t msec_b(const struct msec_x *x,\n         void **item, size_t size);\n{END}\n"
        );
        assert_eq!(constants(&header), ["OK", "EX", "FLAG"]);
        let read = functions(&header).expect("functions");
        assert_eq!(read[0].prototype, "const char *msec_a(void)");
        assert_eq!((read[0].returns.as_str(), read[0].name.as_str()), ("const char *", "msec_a"));
        assert!(read[0].parameters.is_empty());
        let parameters = read[1].parameters.iter().map(|p| (p.kind.as_str(), p.name.as_str()));
        let expect = [("const struct msec_x *", "x"), ("void **", "item"), ("size_t", "size")];
        assert_eq!(parameters.collect::<Vec<_>>(), expect);
    }

    #[test]
    fn what_is_no_function_is_an_error() {
        assert!(functions("nothing").is_err());
        assert!(functions(&format!("{BEGIN}int msec_a;{END}")).is_err());
    }
}
