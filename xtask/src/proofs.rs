//! Sources in C and Rust that prove things about include/msec.h, written out of the header and of
//! ffi-c, so that they know every function and every field there is:
//!
//! | file | what it proves | who compiles it |
//! |---|---|---|
//! | `layout.c`, `layout.rs` | C and Rust agree on sizes and offsets | the tests; ffi-c |
//! | `null.h` | NULL at every pointer of every export gives a code | ffi-c/tests/null.c |
//! | `abi.c` | what programs rely on does not change, by abidw | abi.rs, the tests |

use std::fmt::Write as _;

use crate::exports::{self, Export, Parameter};
use crate::layout::Struct;

/// The folder of these sources.
pub(crate) const FOLDER: &str = "ffi-c/tests/generated";

/// The first line of each.
const NOTE: &str = "Written by `cargo xtask gen`; not edited by hand.";

/// What null.c has of each type of pointer, beside NULL. What is handed in to be used up is made
/// anew each time.
const VALUES: &[(&str, &str)] = &[
    ("const char *", "\"x\""),
    // A worker that is started by nobody.
    ("const char *const *", "NULL"),
    ("const struct msec_call_options *", "&call_options"),
    ("const struct msec_channel *", "channel"),
    ("const struct msec_channel *const *", "channels"),
    ("const struct msec_client *", "client"),
    ("const struct msec_condition *", "condition"),
    ("const struct msec_context *", "context"),
    ("const struct msec_engine *", "engine"),
    ("const struct msec_engine_options *", "&engine_options"),
    ("const struct msec_field *", "&field"),
    // There is one in workers only.
    ("const struct msec_host *", "NULL"),
    ("const struct msec_label *", "&label"),
    ("const struct msec_local *", "local"),
    ("const struct msec_method_options *", "&method_options"),
    ("const struct msec_mutex *", "mutex"),
    ("const struct msec_server *", "server"),
    ("const struct msec_server_tls_options *", "&tls_options"),
    ("const struct msec_wait *", "&one_wait"),
    ("int32_t *", "&out_number"),
    ("msec_done", "done"),
    ("msec_handler", "handler"),
    ("msec_length", "length"),
    ("msec_task_function", "function"),
    ("size_t *", "&out_size"),
    ("struct msec_client **", "&out_client"),
    ("struct msec_context *", "context"),
    ("struct msec_engine **", "&out_engine"),
    ("struct msec_pending *", "a_pending()"),
    ("struct msec_pending **", "&out_pending"),
    ("struct msec_reply **", "&out_reply"),
    ("struct msec_server **", "&out_server"),
    ("struct msec_server_builder *", "a_builder()"),
    ("struct msec_slice *", "&out_slice"),
    ("struct msec_task *", "a_task()"),
    ("struct msec_task **", "&out_task"),
    ("struct msec_text **", "&out_text"),
    ("void **", "&out_item"),
];

/// All of them, with their paths.
pub(crate) fn all(header: &str, structs: &[Struct]) -> Result<Vec<(String, String)>, String> {
    let functions = exports::functions(header)?;
    let files = [
        ("abi.c", abi(&functions, &exports::constants(header))),
        ("layout.c", layout_of_c(structs)),
        ("layout.rs", layout_of_rust(structs)),
        ("null.h", null(&functions)?),
    ];
    Ok(files.map(|(name, text)| (format!("{FOLDER}/{name}"), text)).into())
}

/// A library that has the interface and does nothing. The constants are the values of an enum that
/// a function takes, since a #define leaves no trace in a library; and it is a plugin, too, since
/// no other function has to do with what those tell of themselves.
fn abi(functions: &[Export], constants: &[&str]) -> String {
    let mut out = format!("/* {NOTE} */\n\n#include \"msec.h\"\n\nenum msec_constants {{\n");
    for name in constants {
        let _ = writeln!(out, "    VALUE_OF_{name} = MSEC_{name},");
    }
    out.push_str("};\n\nvoid msec_constants(enum msec_constants constants);\n");
    out.push_str("void msec_constants(enum msec_constants constants) { (void)constants; }\n\n");
    for function in functions {
        let _ = writeln!(out, "{} {{ __builtin_trap(); }}", function.prototype);
    }
    out.push_str("const msec_plugin *msec_plugin_v1(void);\n");
    out.push_str("const msec_plugin *msec_plugin_v1(void) { __builtin_trap(); }\n");
    out
}

fn layout_of_c(structs: &[Struct]) -> String {
    let mut out = format!("/* {NOTE} */\n\n#include \"msec.h\"\n");
    for Struct { name, size, fields, .. } in structs {
        let _ = writeln!(out, "\n_Static_assert(sizeof({name}) == {size}, \"{name}\");");
        for (field, offset) in fields {
            let place = format!("offsetof({name}, {field}) == {offset}");
            let _ = writeln!(out, "_Static_assert({place}, \"{name}.{field}\");");
        }
    }
    out
}

pub(crate) fn layout_of_rust(structs: &[Struct]) -> String {
    let mut out = format!("//! {NOTE}\n\nuse std::mem::offset_of;\n");
    for Struct { module, name, size, fields } in structs {
        let path = format!("crate::{module}::{name}");
        let _ = writeln!(out, "\nconst _: () = assert!(size_of::<{path}>() == {size});");
        for (field, offset) in fields {
            let place = format!("offset_of!({path}, {field}) == {offset}");
            let _ = writeln!(out, "const _: () = assert!({place});");
        }
    }
    out
}

/// Calls of each function with NULL for each of its pointers in turn, and for all of them.
fn null(functions: &[Export]) -> Result<String, String> {
    let mut out = format!("/* {NOTE} */\n\nstatic void every_pointer(void) {{\n");
    for function in functions {
        let pointers: Vec<_> = function.parameters.iter().filter(|p| is_pointer(p)).collect();
        if pointers.len() > 1 {
            for pointer in &pointers {
                out.push_str(&call(function, Some(pointer))?);
            }
        }
        if !pointers.is_empty() {
            out.push_str(&call(function, None)?);
        }
    }
    out.push_str("}\n");
    Ok(out)
}

/// Pointers that the library may look at: not those that it only carries.
fn is_pointer(parameter: &Parameter) -> bool {
    let kind = parameter.kind.as_str();
    kind != "void *" && (kind.ends_with('*') || kind.starts_with("msec_"))
}

/// A call with NULL for one pointer, or for all.
fn call(function: &Export, null: Option<&Parameter>) -> Result<String, String> {
    let mut arguments = Vec::new();
    for parameter in &function.parameters {
        let is_null = null.is_none_or(|null| null == parameter);
        arguments.push(match parameter.kind.as_str() {
            "void *" => "NULL",
            _ if !is_pointer(parameter) => "1",
            _ if is_null => "NULL",
            kind => {
                let known = VALUES.iter().find(|(known, _)| *known == kind);
                known.map(|(_, value)| *value).ok_or_else(|| {
                    let name = &function.name;
                    format!("{name}: say in xtask/src/proofs.rs what a value of `{kind}` is")
                })?
            }
        });
    }
    let call = format!("{}({})", function.name, arguments.join(", "));
    let place = format!("\"{}.{}\"", function.name, null.map_or("*", |null| &null.name));
    Ok(match function.returns.as_str() {
        "int32_t" => format!("    expect({place}, {call});\n"),
        "void" => format!("    {call};\n    survived({place});\n"),
        _ => format!("    (void){call};\n    survived({place});\n"),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn function(prototype: &str) -> Vec<Export> {
        let begin = "extern \"C\" {\n#endif // __cplusplus\n";
        let header = format!("{begin}{prototype};\n#ifdef __cplusplus\n}}  // extern \"C\"");
        exports::functions(&header).expect("a function")
    }

    #[test]
    fn each_pointer_is_null_once_and_all_are_once() {
        let prototype = "int32_t msec_a(const char *key, void *userdata, size_t *size, uint32_t n)";
        let lines = null(&function(prototype)).expect("calls");
        let expect = "    expect(\"msec_a.key\", msec_a(NULL, NULL, &out_size, 1));\n    \
                      expect(\"msec_a.size\", msec_a(\"x\", NULL, NULL, 1));\n    \
                      expect(\"msec_a.*\", msec_a(NULL, NULL, NULL, 1));\n}\n";
        assert!(lines.ends_with(expect), "{lines}");
        let nothing = null(&function("uint32_t msec_b(size_t n)")).expect("none");
        assert!(nothing.ends_with("(void) {\n}\n"), "{nothing}");
    }

    #[test]
    fn a_type_that_nobody_has_a_value_of_is_an_error() {
        let error = null(&function("void msec_a(struct b *b, const char *c)")).expect_err("b");
        let expect = "msec_a: say in xtask/src/proofs.rs what a value of `struct b *` is";
        assert_eq!(error, expect);
    }
}
