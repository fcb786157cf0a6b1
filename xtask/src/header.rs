//! include/msec.h: written out of the exports of ffi-c by cbindgen, with what cbindgen cannot know
//! added to it: the conventions, the codes out of the one list of them, for each struct of options
//! the macro that it is to be started from, and what is compiled into plugins.

use std::fmt::Write as _;
use std::path::Path;

use cbindgen::{Config, DocumentationStyle, Language, SortKey, Style};
use msec_protocol::status;

/// Where the header lies.
pub(crate) const PATH: &str = "include/msec.h";

const CRATE: &str = "ffi-c";
/// How cbindgen ends the header.
const END: &str = "#endif  /* MSEC_H */\n";
/// What every export says in Rust, where it must, and no reader of C needs to hear each time.
const RUST_ONLY: &str = " *\n * # Safety\n * As the header says.\n";

/// The text of the header.
pub(crate) fn text(root: &Path) -> Result<String, String> {
    let mut options = String::new();
    let sources = sources(root)?;
    for (_, source) in &sources {
        options.push_str(&starts(source)?);
    }
    let config = Config {
        language: Language::C,
        cpp_compat: true,
        header: Some(read(&root.join(CRATE).join("preamble.h"))?),
        include_guard: Some("MSEC_H".into()),
        after_includes: Some(codes()),
        documentation_style: DocumentationStyle::Doxy,
        style: Style::Both,
        sort_by: SortKey::None,
        usize_is_size_t: true,
        line_length: 100,
        // What plugins export is no export of ours.
        export: cbindgen::ExportConfig {
            include: vec!["msec_plugin".into(), "msec_plugin_entry".into()],
            ..Default::default()
        },
        ..Config::default()
    };
    let mut builder = cbindgen::Builder::new().with_config(config);
    // lib.rs names all the others, and cbindgen follows it: they would be written twice.
    for (module, _) in sources.iter().filter(|(module, _)| module != "lib") {
        builder = builder.with_src(root.join(CRATE).join("src").join(format!("{module}.rs")));
    }
    let bindings = builder.generate().map_err(|error| format!("{PATH}: {error}"))?;
    let mut written = Vec::new();
    bindings.write(&mut written);
    let text = String::from_utf8(written).map_err(|error| error.to_string())?;
    let declared = text.strip_suffix(END).ok_or("cbindgen ends the header in another way")?;
    let catches = read(&root.join(CRATE).join("catch.h"))?;
    Ok([&declared.replace(RUST_ONLY, ""), &*catches, &*options, "\n", END].concat())
}

/// The modules of ffi-c and their texts, in the order of their names.
pub(crate) fn sources(root: &Path) -> Result<Vec<(String, String)>, String> {
    let mut sources = Vec::new();
    let entries = std::fs::read_dir(root.join(CRATE).join("src"));
    for entry in entries.map_err(|error| error.to_string())? {
        let path = entry.map_err(|error| error.to_string())?.path();
        let module = path.file_stem().map(|stem| stem.to_string_lossy().into_owned());
        sources.push((module.unwrap_or_default(), read(&path)?));
    }
    sources.sort();
    Ok(sources)
}

fn read(path: &Path) -> Result<String, String> {
    std::fs::read_to_string(path).map_err(|error| format!("{}: {error}", path.display()))
}

/// The codes, as constants.
fn codes() -> String {
    let mut out =
        String::from("\n/* What calls end with; the texts are those of msec_strerror(). */\n");
    for info in status::ALL {
        let name = match info.code.0 {
            0 => "MSEC_OK".to_string(),
            _ => format!("MSEC_E{}", info.name),
        };
        let _ = writeln!(out, "#define {name} ({}) /* {} */", info.code.0, info.text);
    }
    out.push_str("#define MSEC_EPANIC (-2000) /* a bug in libmsec */\n");
    out
}

/// For each struct of options in a source, the macro that it is to be started from.
fn starts(source: &str) -> Result<String, String> {
    let file = syn::parse_file(source).map_err(|error| error.to_string())?;
    let mut out = String::new();
    for item in file.items {
        let syn::Item::Struct(item) = item else { continue };
        let name = item.ident.to_string();
        if !name.ends_with("_options") && name != "msec_plugin" {
            continue;
        }
        let values = item.fields.iter().map(|field| {
            let pointer = matches!(field.ty, syn::Type::Ptr(_));
            match field.ident.as_ref().map(ToString::to_string).as_deref() {
                Some("size") => format!("sizeof({name})"),
                Some("abi_version" | "abi_min" | "abi_max") => "MSEC_ABI_VERSION".to_string(),
                Some("barrier") => "MSEC_BARRIER".to_string(),
                Some(_) | None if pointer => "NULL".to_string(),
                Some(_) | None => "0".to_string(),
            }
        });
        let values = values.collect::<Vec<_>>().join(", ");
        let _ = writeln!(out, "/** Nothing set. */");
        let line = format!("#define {}_INIT {{ {values} }}", name.to_uppercase());
        // As cbindgen would break it, for people who read it.
        let broken = line.replacen(" {", " \\\n    {", 1);
        let _ = writeln!(out, "{}", if line.len() > 100 { broken } else { line });
    }
    Ok(out)
}
