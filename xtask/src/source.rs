//! One Rust file as the checks see it: a flat list of tokens with their lines, its functions, and
//! its items for `cfg(test)`.
//!
//! Tokens and not text, because a rule about `unsafe` must not trip over the word in a string or a
//! comment, and must not miss it inside a macro. Functions come from the syntax tree; those inside
//! `macro_rules!` are not seen, which costs a size check little and a token rule nothing.

use std::ops::RangeInclusive;

use proc_macro2::{Delimiter, TokenStream, TokenTree};
use syn::spanned::Spanned;
use syn::visit::{self, Visit};

/// What the checks need to know of a file; lines count from one.
pub(crate) struct RustFile {
    pub(crate) tokens: Vec<Token>,
    pub(crate) functions: Vec<Function>,
    /// Lines of the items that exist only for tests.
    pub(crate) test_items: Vec<RangeInclusive<usize>>,
    /// Where the first module for tests begins.
    pub(crate) test_module_line: Option<usize>,
    pub(crate) is_no_std: bool,
}

/// One token, delimiters included. A doc comment arrives as `# [ doc = "text" ]`.
pub(crate) struct Token {
    pub(crate) text: String,
    pub(crate) line: usize,
}

/// A function with a body.
pub(crate) struct Function {
    /// With the type it belongs to, as in `Tree::read`.
    pub(crate) name: String,
    pub(crate) lines: RangeInclusive<usize>,
}

impl RustFile {
    /// Parses a file. The error reads `<line>: <what>`.
    pub(crate) fn parse(text: &str) -> Result<RustFile, String> {
        let described = |line: usize, what: String| format!("{line}: {what}");
        let stream: TokenStream = text.parse().map_err(|error: proc_macro2::LexError| {
            described(error.span().start().line, error.to_string())
        })?;
        let mut tokens = Vec::new();
        flatten(stream.clone(), &mut tokens);
        let file: syn::File = syn::parse2(stream)
            .map_err(|error| described(error.span().start().line, error.to_string()))?;
        let mut outline = Outline::default();
        outline.visit_file(&file);
        Ok(RustFile {
            tokens,
            functions: outline.functions,
            test_items: outline.test_items,
            test_module_line: outline.test_module_line,
            is_no_std: file.attrs.iter().any(|attribute| attribute.path().is_ident("no_std")),
        })
    }

    /// The lines at which the tokens occur one after another.
    pub(crate) fn find(&self, words: &[&str]) -> Vec<usize> {
        self.tokens
            .windows(words.len())
            .filter(|window| window.iter().zip(words).all(|(token, word)| token.text == *word))
            .map(|window| window[0].line)
            .collect()
    }

    /// The innermost function around a line.
    pub(crate) fn function_at(&self, line: usize) -> Option<&Function> {
        self.functions
            .iter()
            .filter(|function| function.lines.contains(&line))
            .min_by_key(|function| function.lines.end() - function.lines.start())
    }
}

impl Function {
    pub(crate) fn lines_count(&self) -> usize {
        self.lines.end() - self.lines.start() + 1
    }
}

#[derive(Default)]
struct Outline {
    owner: Option<String>,
    functions: Vec<Function>,
    test_items: Vec<RangeInclusive<usize>>,
    test_module_line: Option<usize>,
}

impl Outline {
    fn function(&mut self, name: &syn::Ident, signature: &syn::Signature, block: &syn::Block) {
        let name = match &self.owner {
            Some(owner) => format!("{owner}::{name}"),
            None => name.to_string(),
        };
        let lines = signature.span().start().line..=block.span().end().line;
        self.functions.push(Function { name, lines });
    }

    /// Visits what belongs to a type or trait of that name.
    fn within(&mut self, owner: String, visit: impl FnOnce(&mut Outline)) {
        let outer = self.owner.replace(owner);
        visit(self);
        self.owner = outer;
    }
}

impl<'ast> Visit<'ast> for Outline {
    fn visit_item(&mut self, item: &'ast syn::Item) {
        let attributes = attributes(item);
        if attributes.iter().any(is_for_tests) {
            let span = item.span();
            self.test_items.push(span.start().line..=span.end().line);
            if matches!(item, syn::Item::Mod(_)) && self.test_module_line.is_none() {
                self.test_module_line = Some(span.start().line);
            }
        }
        visit::visit_item(self, item);
    }

    fn visit_item_fn(&mut self, item: &'ast syn::ItemFn) {
        self.function(&item.sig.ident, &item.sig, &item.block);
        visit::visit_item_fn(self, item);
    }

    fn visit_item_impl(&mut self, item: &'ast syn::ItemImpl) {
        let segment = if let syn::Type::Path(path) = &*item.self_ty {
            path.path.segments.last()
        } else {
            None
        };
        let owner = segment.map_or(String::from("_"), |segment| segment.ident.to_string());
        self.within(owner, |outline| visit::visit_item_impl(outline, item));
    }

    fn visit_item_trait(&mut self, item: &'ast syn::ItemTrait) {
        self.within(item.ident.to_string(), |outline| visit::visit_item_trait(outline, item));
    }

    fn visit_impl_item_fn(&mut self, item: &'ast syn::ImplItemFn) {
        self.function(&item.sig.ident, &item.sig, &item.block);
        visit::visit_impl_item_fn(self, item);
    }

    fn visit_trait_item_fn(&mut self, item: &'ast syn::TraitItemFn) {
        if let Some(block) = &item.default {
            self.function(&item.sig.ident, &item.sig, block);
        }
        visit::visit_trait_item_fn(self, item);
    }
}

/// Of the kinds of items that are made for tests.
#[expect(clippy::wildcard_enum_match_arm, reason = "an enum of syn, which grows")]
fn attributes(item: &syn::Item) -> &[syn::Attribute] {
    match item {
        syn::Item::ExternCrate(item) => &item.attrs,
        syn::Item::Fn(item) => &item.attrs,
        syn::Item::Impl(item) => &item.attrs,
        syn::Item::Mod(item) => &item.attrs,
        syn::Item::Use(item) => &item.attrs,
        _ => &[],
    }
}

/// `#[cfg(test)]`, `#[cfg(all(test, …))]`, `#[test]`; not `#[cfg(not(test))]`.
fn is_for_tests(attribute: &syn::Attribute) -> bool {
    if attribute.path().is_ident("test") {
        return true;
    }
    let syn::Meta::List(list) = &attribute.meta else { return false };
    let mut words = Vec::new();
    flatten(list.tokens.clone(), &mut words);
    list.path.is_ident("cfg")
        && words.iter().any(|word| word.text == "test")
        && !words.iter().any(|word| word.text == "not" || word.text == "any")
}

fn flatten(stream: TokenStream, tokens: &mut Vec<Token>) {
    for tree in stream {
        let line = tree.span().start().line;
        match tree {
            TokenTree::Group(group) => {
                let (open, close) = match group.delimiter() {
                    Delimiter::Parenthesis => ("(", ")"),
                    Delimiter::Brace => ("{", "}"),
                    Delimiter::Bracket => ("[", "]"),
                    Delimiter::None => ("", ""),
                };
                tokens.push(Token { text: open.to_string(), line });
                flatten(group.stream(), tokens);
                let line = group.span_close().start().line;
                tokens.push(Token { text: close.to_string(), line });
            }
            TokenTree::Ident(_) | TokenTree::Punct(_) | TokenTree::Literal(_) => {
                tokens.push(Token { text: tree.to_string(), line });
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = "\
struct A;
impl A {
    fn b() {
        fn inner() {}
    }
}
trait C {
    fn d() {
    }
}
#[cfg(not(test))]
fn e() {}
#[cfg(all(test, unix))]
use f as g;
#[cfg(test)]
mod tests {
    // unsafe
    const TEXT: &str = \"unsafe\";
}
";

    #[test]
    fn functions_carry_their_type_and_lines() {
        let file = RustFile::parse(TEXT).expect("valid");
        let seen: Vec<_> =
            file.functions.iter().map(|f| (f.name.as_str(), f.lines.clone())).collect();
        assert_eq!(seen, [("A::b", 3..=5), ("A::inner", 4..=4), ("C::d", 8..=9), ("e", 12..=12)]);
        assert_eq!(file.function_at(4).map(|f| f.name.as_str()), Some("A::inner"));
        assert_eq!(file.functions[0].lines_count(), 3);
    }

    #[test]
    fn items_for_tests_are_told_from_the_others() {
        let file = RustFile::parse(TEXT).expect("valid");
        assert_eq!(file.test_items, [13..=14, 15..=19]);
        assert_eq!(file.test_module_line, Some(15));
        assert!(!file.is_no_std);
        assert!(RustFile::parse("//! Text.\n#![no_std]\n").expect("valid").is_no_std);
    }

    #[test]
    fn words_in_strings_and_comments_are_not_tokens() {
        let file = RustFile::parse(TEXT).expect("valid");
        assert_eq!(file.find(&["unsafe"]), Vec::<usize>::new());
        assert_eq!(file.find(&["impl", "A", "{"]), [2]);
        let inside_macro = RustFile::parse("m! {\n unsafe { a::b() } }\n").expect("valid");
        assert_eq!(inside_macro.find(&["unsafe"]), [2]);
        assert_eq!(inside_macro.find(&["a", ":", ":", "b"]), [2]);
    }
}
