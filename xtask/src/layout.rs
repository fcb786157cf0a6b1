//! Where the fields of the structs of C lie, computed by the rules of the ABI out of the sources of
//! ffi-c (System V ABI for AMD64, §3.1.2: a field at the next multiple of its alignment).
//!
//! The numbers are written into two files, one that a C compiler refuses if it does not agree, and
//! one that rustc does (`proofs.rs`). So both agree with each other, and since the files are
//! committed, with what programs were compiled with before.

use std::collections::BTreeMap;

/// A struct that C sees.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Struct {
    /// The file that it is in, which is its module.
    pub(crate) module: String,
    pub(crate) name: String,
    pub(crate) size: usize,
    /// Names and offsets.
    pub(crate) fields: Vec<(String, usize)>,
}

/// What the sources declare.
#[derive(Default)]
struct Declared {
    structs: BTreeMap<String, (String, syn::ItemStruct)>,
    aliases: BTreeMap<String, syn::Type>,
}

/// All structs of sources, which are pairs of module and text.
pub(crate) fn structs(sources: &[(String, String)]) -> Result<Vec<Struct>, String> {
    let mut declared = Declared::default();
    for (module, text) in sources {
        let file = syn::parse_file(text).map_err(|error| format!("{module}.rs: {error}"))?;
        for item in file.items {
            declared.take(module, item);
        }
    }
    declared.structs.values().map(|(module, item)| declared.lay_out(module, item)).collect()
}

fn is_of_c(item: &syn::ItemStruct) -> bool {
    item.attrs.iter().any(|attribute| {
        attribute.path().is_ident("repr")
            && attribute.parse_args::<syn::Ident>().is_ok_and(|kind| kind == "C")
    })
}

impl Declared {
    fn take(&mut self, module: &str, item: syn::Item) {
        if let syn::Item::Struct(item) = item {
            if is_of_c(&item) {
                self.structs.insert(item.ident.to_string(), (module.into(), item));
            }
        } else if let syn::Item::Type(item) = item {
            self.aliases.insert(item.ident.to_string(), *item.ty);
        }
    }

    fn lay_out(&self, module: &str, item: &syn::ItemStruct) -> Result<Struct, String> {
        let mut fields = Vec::new();
        let (mut end, mut align) = (0, 1);
        for field in &item.fields {
            let name = field.ident.as_ref().map(ToString::to_string).unwrap_or_default();
            let (field_size, field_align) = self
                .size_and_align(&field.ty)
                .ok_or_else(|| format!("{module}.rs: how large is {}.{name}?", item.ident))?;
            let offset = next_place(end, field_align);
            fields.push((name, offset));
            (end, align) = (offset + field_size, align.max(field_align));
        }
        let (module, name) = (module.to_string(), item.ident.to_string());
        Ok(Struct { module, name, size: next_place(end, align), fields })
    }

    fn size_and_align(&self, kind: &syn::Type) -> Option<(usize, usize)> {
        if matches!(kind, syn::Type::Ptr(_) | syn::Type::BareFn(_)) {
            return Some((8, 8));
        }
        let syn::Type::Path(path) = kind else { return None };
        match path.path.segments.last()?.ident.to_string().as_str() {
            "bool" | "u8" | "i8" | "c_char" => Some((1, 1)),
            "u16" | "i16" => Some((2, 2)),
            "u32" | "i32" | "f32" | "c_int" => Some((4, 4)),
            // Of functions there are only such that may be NULL.
            "u64" | "i64" | "f64" | "usize" | "isize" | "Option" => Some((8, 8)),
            name => match (self.aliases.get(name), self.structs.get(name)) {
                (Some(kind), _) => self.size_and_align(kind),
                (None, Some((module, item))) => {
                    let inner = self.lay_out(module, item).ok()?;
                    let aligns = item.fields.iter().map(|field| self.size_and_align(&field.ty));
                    let align = aligns.map(|both| both.map_or(1, |(_, align)| align)).max()?;
                    Some((inner.size, align))
                }
                (None, None) => None,
            },
        }
    }
}

/// The next place with that alignment.
fn next_place(end: usize, align: usize) -> usize {
    end.next_multiple_of(align)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_lie_at_multiples_of_their_alignment() {
        let source = "pub type call = Option<unsafe extern \"C\" fn()>;\n\
                      #[repr(C)] pub struct a { x: u32, p: *const c_char, y: bool }\n\
                      #[repr(C)] pub struct b { y: bool, a: a, z: u8, c: call }\n\
                      pub struct opaque(u128);\n";
        let sources = [("m".to_string(), source.to_string())];
        let found = structs(&sources).expect("structs");
        let named = |fields: &[(&str, usize)]| -> Vec<(String, usize)> {
            fields.iter().map(|(name, offset)| (name.to_string(), *offset)).collect()
        };
        assert_eq!(found.len(), 2);
        assert_eq!((found[0].name.as_str(), found[0].size), ("a", 24));
        assert_eq!(found[0].fields, named(&[("x", 0), ("p", 8), ("y", 16)]));
        assert_eq!((found[1].name.as_str(), found[1].size), ("b", 48));
        assert_eq!(found[1].fields, named(&[("y", 0), ("a", 8), ("z", 32), ("c", 40)]));
    }

    #[test]
    fn a_field_of_unknown_size_is_an_error() {
        let source = "#[repr(C)] pub struct a { x: Wonder }".to_string();
        let error = structs(&[("m".into(), source)]).expect_err("unknown");
        assert_eq!(error, "m.rs: how large is a.x?");
    }
}
