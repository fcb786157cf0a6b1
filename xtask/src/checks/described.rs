//! The description of the C interface knows every function of the header; see `abi.rs`.

use crate::abi;
use crate::tree::{Problem, Tree};

pub(crate) fn check(tree: &Tree) -> Result<Vec<Problem>, String> {
    if tree.file(crate::header::PATH).is_none() {
        return Ok(Vec::new());
    }
    let Some(description) = tree.file(abi::PATH) else {
        return Ok(vec![Problem::in_file(abi::PATH, "is missing: run `make abi`")]);
    };
    let missing = abi::look(&tree.root, &description.text)?;
    let problem = |name: &String| {
        Problem::in_file(abi::PATH, format!("does not know {name}: run `make abi`"))
    };
    Ok(missing.iter().map(problem).collect())
}

#[cfg(test)]
mod tests {
    use super::check;
    use crate::tree::scratch;

    #[test]
    fn a_header_without_description_and_a_function_without_line_are_found() {
        let header = "extern \"C\" {\n#endif // __cplusplus\nvoid msec_a(void);\n\
                      #ifdef __cplusplus\n}  // extern \"C\"\n";
        let found = scratch::problems(check, &[("include/msec.h", header)]);
        assert_eq!(found, ["ffi-c/libmsec.abi: is missing: run `make abi`"]);
        let files = [("include/msec.h", header), ("ffi-c/libmsec.abi", "<elf-symbol name='b' />")];
        let found = scratch::problems(check, &files);
        assert_eq!(found, ["ffi-c/libmsec.abi: does not know msec_a: run `make abi`"]);
        let files =
            [("include/msec.h", header), ("ffi-c/libmsec.abi", "<elf-symbol name='msec_a' />")];
        assert_eq!(scratch::problems(check, &files), Vec::<String>::new());
    }
}
