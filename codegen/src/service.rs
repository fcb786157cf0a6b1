//! The Rust of one service: trait, server, client. prost-build asks for it after the messages of
//! the file and formats what is written here.
//!
//! Whatever is named is named by its whole path, for a .proto file may well define a message called
//! `Result` or `Send`, and a method called `clone`.

use std::fmt::Write;

use prost_build::{Comments, Method, Service, ServiceGenerator};

use crate::descriptors;

/// Writes services that name the crate `msec` by a given path.
pub(crate) struct Generator {
    crate_path: String,
}

impl Generator {
    pub(crate) fn new(crate_path: &str) -> Generator {
        Generator { crate_path: crate_path.to_string() }
    }
}

impl ServiceGenerator for Generator {
    fn generate(&mut self, service: Service, text: &mut String) {
        let stubs = Stubs { service: &service, msec: &self.crate_path };
        let stubs = [stubs.interface(), stubs.server(), stubs.client()];
        text.extend(stubs);
    }
}

struct Stubs<'a> {
    service: &'a Service,
    /// The path of the crate.
    msec: &'a str,
}

impl Stubs<'_> {
    /// As on the wire: `package.Service`.
    fn wire_name(&self) -> String {
        match self.service.package.as_str() {
            "" => self.service.proto_name.clone(),
            package => format!("{package}.{}", self.service.proto_name),
        }
    }

    /// As on the wire: `package.Service.Method`.
    fn wire_method(&self, method: &Method) -> String {
        format!("{}.{}", self.wire_name(), method.proto_name)
    }

    fn interface(&self) -> String {
        let Stubs { service, msec } = self;
        let doc = doc(&service.comments, || format!("The service `{}`.", self.wire_name()));
        let mut functions = String::new();
        for method in &service.methods {
            let doc =
                self::doc(&method.comments, || format!("Answers `{}`.", self.wire_method(method)));
            let name = function(method);
            let Method { input_type, output_type, .. } = method;
            functions += &format!(
                "{doc}fn {name}(&self, context: &{msec}::Context, request: {input_type})
                    -> ::core::result::Result<{output_type}, {msec}::Error>;\n"
            );
        }
        let bounds = "::core::marker::Send + ::core::marker::Sync + 'static";
        format!("{doc}{MAY_REST}pub trait {}: {bounds} {{ {functions} }}\n", service.name)
    }

    fn server(&self) -> String {
        let Stubs { service: Service { name, methods, .. }, msec } = self;
        let wire_name = self.wire_name();
        let mut registrations = String::new();
        for method in methods {
            let wire_method = self.wire_method(method);
            let function = function(method);
            let input_type = &method.input_type;
            registrations += &format!(
                "{{
                    let inner = ::std::sync::Arc::clone(&inner);
                    methods.typed(
                        {wire_method:?},
                        move |context: &{msec}::Context, request: {input_type}|
                            <T as {name}>::{function}(&inner, context, request),
                    );
                }}\n"
            );
        }
        let descriptors = descriptors::constant(&self.service.package);
        let bind = format!(
            "methods.descriptors({descriptors});
            let inner = ::std::sync::Arc::new(self.0);"
        );
        let (bind, methods_name) = match methods.is_empty() {
            true => ("", "_methods"),
            false => (bind.as_str(), "methods"),
        };
        format!(
            "/// A service of the engine out of an implementation of [`{name}`].
            {MAY_REST}pub struct {name}Server<T>(T);

            {MAY_REST}impl<T: {name}> {name}Server<T> {{
                /// Takes the implementation, which serves all cores at once.
                pub fn new(inner: T) -> Self {{ Self(inner) }}
            }}

            impl<T: {name}> {msec}::Service for {name}Server<T> {{
                const NAME: &'static str = {wire_name:?};
                fn methods(self, {methods_name}: &mut {msec}::Methods) {{
                    {bind}
                    {registrations}
                }}
            }}\n"
        )
    }

    fn client(&self) -> String {
        let Stubs { service: Service { name, methods, .. }, msec } = self;
        let wire_name = self.wire_name();
        let functions: String =
            methods.iter().map(|method| self.client_functions(method)).collect();
        format!(
            "/// Calls `{wire_name}`.
            {MAY_REST}#[derive(Clone)]
            pub struct {name}Client {{ client: {msec}::Client }}

            {MAY_REST}impl {name}Client {{
                /// Calls go where `client` points.
                pub fn new(client: {msec}::Client) -> Self {{ Self {{ client }} }}
                {functions}
            }}\n"
        )
    }

    fn client_functions(&self, method: &Method) -> String {
        let msec = self.msec;
        let wire_method = self.wire_method(method);
        let Method { input_type, output_type, .. } = method;
        let result = format!("::core::result::Result<{output_type}, {msec}::Error>");
        let doc =
            doc(&method.comments, || format!("Calls `{wire_method}` and waits for the answer."));
        let name = function(method);
        let stem = name.trim_start_matches("r#").trim_end_matches('_');
        let mut text = format!(
            "{doc}pub fn {name}(&self, request: &{input_type}) -> {result} {{
                self.client.call({wire_method:?}, request)
            }}\n"
        );
        let _ = write!(
            text,
            "/// [`{name}`](Self::{name}) under the given options.
            pub fn {stem}_with(&self, request: &{input_type}, options: &{msec}::CallOptions)
                -> {result}
            {{
                self.client.call_with({wire_method:?}, request, options)
            }}

            /// [`{name}`](Self::{name}) begun now: its answer is waited for, or awaited, later.
            pub fn {stem}_start(&self, request: &{input_type}, options: &{msec}::CallOptions)
                -> {msec}::Pending<{output_type}>
            {{
                self.client.start({wire_method:?}, request, options)
            }}\n"
        );
        text
    }
}

/// A program that only serves has no use for the client, and the other way round.
const MAY_REST: &str = "#[allow(dead_code)]\n";

/// The Rust function of a method. `new` belongs to the client itself.
fn function(method: &Method) -> &str {
    match method.name.as_str() {
        "new" => "new_",
        name => name,
    }
}

/// The comments of the .proto file as rustdoc, or a sentence where there are none.
fn doc(comments: &Comments, otherwise: impl FnOnce() -> String) -> String {
    let comments = Comments { leading_detached: Vec::new(), ..comments.clone() };
    let mut text = String::new();
    comments.append_with_indent(0, &mut text);
    if text.is_empty() {
        text = format!("/// {}\n", otherwise());
    }
    text
}
