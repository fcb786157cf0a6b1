//! What Java is told of the native library and of the protocol: constants and offsets of the
//! batches (`Layout.java`), the codes (`Status.java`), and for rustc the same offsets, so that it
//! refuses to compile where the two do not agree.

use std::fmt::Write as _;
use std::path::Path;

use msec_protocol::{Side, status};

use crate::layout::Struct;
use crate::{layout, proofs};

const CRATE: &str = "ffi-java/src";
const PACKAGE: &str = "java/msec/src/main/java/org/msec";
const NOTE: &str = "// Written by `cargo xtask gen`; not edited by hand.\n\npackage org.msec;\n\n";

/// The files of ffi-java whose constants Java needs. What C lays out is in the first.
const SOURCES: &[&str] = &["batch", "metric", "options", "raw", "route"];

/// All of them, with their paths; none where there is no Java.
pub(crate) fn all(root: &Path) -> Result<Vec<(String, String)>, String> {
    if !root.join(CRATE).is_dir() {
        return Ok(Vec::new());
    }
    let mut sources = Vec::new();
    for module in SOURCES {
        sources.push(((*module).to_string(), read(root, &format!("{CRATE}/{module}.rs"))?));
    }
    let structs = layout::structs(&sources)?;
    let java = layout_of_java(&version(root)?, &sources, &structs)?;
    Ok(vec![
        (format!("{CRATE}/generated/layout.rs"), proofs::layout_of_rust(&structs)),
        (format!("{PACKAGE}/Layout.java"), java),
        (format!("{PACKAGE}/Status.java"), statuses()),
    ])
}

fn read(root: &Path, path: &str) -> Result<String, String> {
    std::fs::read_to_string(root.join(path)).map_err(|error| format!("{path}: {error}"))
}

/// Of everything in this repository.
fn version(root: &Path) -> Result<String, String> {
    let manifest: toml::Table =
        read(root, "Cargo.toml")?.parse().map_err(|error| format!("Cargo.toml: {error}"))?;
    let package = manifest.get("workspace").and_then(|workspace| workspace.get("package"));
    let version = package.and_then(|package| package.get("version")?.as_str());
    Ok(version.ok_or("Cargo.toml: workspace.package.version is missing")?.to_string())
}

fn layout_of_java(
    version: &str,
    sources: &[(String, String)],
    structs: &[Struct],
) -> Result<String, String> {
    let mut out = format!(
        "{NOTE}/** What a round of the poller looks like; ffi-java/src/batch.rs tells it. */\n\
         final class Layout {{\n    static final String VERSION = \"{version}\";\n\n"
    );
    for (module, text) in sources {
        for (name, value) in constants(module, text)? {
            let _ = writeln!(out, "    static final int {name} = {value};");
        }
    }
    for Struct { name, size, fields, .. } in structs {
        let name = name.to_uppercase();
        let _ = writeln!(out, "\n    static final int {name}_BYTES = {size};");
        for (field, offset) in fields.iter().filter(|(field, _)| field != "reserved") {
            let field = field.to_uppercase();
            let _ = writeln!(out, "    static final int {name}_{field}_AT = {offset};");
        }
    }
    out.push_str("\n    private Layout() {}\n}\n");
    Ok(out)
}

/// The numbers that a module shows to the others, as they are written there.
fn constants(module: &str, text: &str) -> Result<Vec<(String, u32)>, String> {
    let file = syn::parse_file(text).map_err(|error| format!("{module}.rs: {error}"))?;
    let mut found = Vec::new();
    for item in file.items {
        let syn::Item::Const(item) = item else { continue };
        if matches!(item.vis, syn::Visibility::Inherited) {
            continue;
        }
        let name = item.ident.to_string();
        let syn::Expr::Lit(syn::ExprLit { lit: syn::Lit::Int(value), .. }) = *item.expr else {
            return Err(format!("{module}.rs: {name} is not written as a number"));
        };
        let value = value.base10_parse().map_err(|error| format!("{module}.rs: {error}"))?;
        found.push((name, value));
    }
    Ok(found)
}

fn statuses() -> String {
    let mut constants = String::new();
    let mut names = Vec::new();
    for info in status::ALL {
        let side = match info.side {
            Side::Nobody => "NOBODY",
            Side::Caller => "CALLER",
            Side::Peer => "PEER",
            Side::Local => "LOCAL",
            Side::Platform => "PLATFORM",
        };
        let (name, code, text, retryable) = (info.name, info.code.0, info.text, info.retryable);
        let _ = write!(
            constants,
            "    /** {code}: {text}. */
    public static final Status {name} =
            new Status(
                    {code}, \"{name}\",
                    {text:?},
                    {retryable}, Side.{side});

"
        );
        names.push(name);
    }
    let all = format!("            {}", names.join(",\n            "));
    STATUS
        .replace("@NOTE@", NOTE)
        .replace("@CONSTANTS@", &constants)
        .replace("@ALL@", &all)
        .replace("@UNKNOWN@", &format!("{:?}", status::UNKNOWN.text))
}

/// Everything but the codes.
const STATUS: &str = r#"@NOTE@import java.util.HashMap;
import java.util.List;
import java.util.Map;

/** What a call ends with: the codes of the protocol, and what is known of each. */
public final class Status {
    /** Whose doing a failure is, which is who has to act. */
    public enum Side {
        /** Nobody: the call succeeded. */
        NOBODY,
        /** The caller: the request itself is wrong, and will be wrong the next time. */
        CALLER,
        /** The service that was called. */
        PEER,
        /** This process, before anything was sent or after everything was received. */
        LOCAL,
        /** What lies between: network, naming, the machines. */
        PLATFORM
    }

@CONSTANTS@    private static final List<Status> ALL = List.of(
@ALL@);

    private static final Map<Integer, Status> BY_CODE = new HashMap<>();

    static {
        ALL.forEach(status -> BY_CODE.put(status.code, status));
    }

    private final int code;
    private final String name;
    private final String text;
    private final boolean retryable;
    private final Side side;

    private Status(int code, String name, String text, boolean retryable, Side side) {
        this.code = code;
        this.name = name;
        this.text = text;
        this.retryable = retryable;
        this.side = side;
    }

    /**
     * The status with that code.
     *
     * @param code any number: a peer may send one that this version does not know
     * @return one that has this code
     */
    public static Status of(int code) {
        Status known = BY_CODE.get(code);
        if (known != null) {
            return known;
        }
        return new Status(code, "UNKNOWN", @UNKNOWN@, false, Side.PEER);
    }

    /**
     * Every status that this version knows, from 0 downwards.
     *
     * @return all of them
     */
    public static List<Status> all() {
        return ALL;
    }

    /**
     * The number on the wire.
     *
     * @return 0 for success, else most often less
     */
    public int code() {
        return code;
    }

    /**
     * The name in source code.
     *
     * @return {@code UNKNOWN} for a code that this version does not know
     */
    public String name() {
        return name;
    }

    /**
     * The text for people.
     *
     * @return a few words
     */
    public String text() {
        return text;
    }

    /**
     * Whether the method surely did not run, and another attempt, elsewhere or a little later, may
     * do better. False also where it is unknown whether the method ran.
     *
     * @return whether another attempt is safe and may help
     */
    public boolean isRetryable() {
        return retryable;
    }

    /**
     * Who has to act.
     *
     * @return whose doing it is
     */
    public Side side() {
        return side;
    }

    @Override
    public boolean equals(Object other) {
        return other instanceof Status status && status.code == code;
    }

    @Override
    public int hashCode() {
        return code;
    }

    @Override
    public String toString() {
        return code + " " + text;
    }
}
"#;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn constants_that_others_see_are_told_and_the_rest_are_not() {
        let text = "pub(crate) const A_B: u32 = 1_000;\nconst OWN: usize = 1 + 2;\n";
        assert_eq!(constants("m", text), Ok(vec![("A_B".to_string(), 1000)]));
        let error = constants("m", "pub(crate) const A: u32 = 1 << 3;").expect_err("computed");
        assert_eq!(error, "m.rs: A is not written as a number");
    }

    #[test]
    fn offsets_and_codes_become_constants() {
        let source = "#[repr(C)] pub(crate) struct Record { size: u32, id: u64, reserved: u32 }";
        let sources = [("batch".to_string(), source.to_string())];
        let structs = layout::structs(&sources).expect("structs");
        let java = layout_of_java("1.2.3", &sources, &structs).expect("text");
        assert!(java.contains("VERSION = \"1.2.3\";"), "{java}");
        assert!(java.contains("int RECORD_BYTES = 24;"), "{java}");
        assert!(java.contains("int RECORD_ID_AT = 8;"), "{java}");
        assert!(!java.contains("RESERVED"), "{java}");
        let codes = statuses();
        let words: Vec<_> = codes.split_whitespace().collect();
        let expect = "new Status( -101, \"OVERLOADED\", \"overloaded\", true, Side.PEER);";
        assert!(words.join(" ").contains(expect), "{codes}");
        assert!(!codes.contains("@ALL") && !codes.contains("@CON"), "{codes}");
    }
}
