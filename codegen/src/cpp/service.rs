//! The C++ of one service: a class to implement and a class to call.
//!
//! Whatever is named is named by its whole path, from `::` on: a .proto file may well have a
//! package `msec` within its own, and a method called as its message is.

use prost_types::{FileDescriptorProto, MethodDescriptorProto, ServiceDescriptorProto};

use super::names::{Types, function, identifier, of_file};
use super::text::{LEVEL, comment, signature};
use crate::Error;
use crate::check::{FILE_SERVICE, SERVICE_METHOD};

/// The class that a service is implemented in. It has a class within, which has another name.
pub(crate) fn interface(service: &ServiceDescriptorProto) -> String {
    match service.name() {
        "options" => String::from("options_"),
        name => identifier(name),
    }
}

/// The class that a service is called with.
pub(crate) fn client(service: &ServiceDescriptorProto) -> String {
    format!("{}Client", service.name())
}

/// The functions of a method in either class.
pub(crate) fn functions(service: &ServiceDescriptorProto, method: &str) -> [String; 3] {
    let (interface, client) = (interface(service), client(service));
    let name =
        function(method, &[interface.as_str(), client.as_str(), "add_to", "client_", "options"]);
    ["", "_start", "_call_back"].map(|suffix| format!("{name}{suffix}"))
}

/// The constant of a file's descriptor set.
pub(crate) fn descriptors(file: &FileDescriptorProto) -> String {
    format!("descriptors_of_{}", of_file(file.name()))
}

/// Both classes of the service at that place of its file.
pub(crate) fn classes(
    types: &Types,
    file: &FileDescriptorProto,
    index: usize,
) -> Result<String, Error> {
    let service = &file.service[index];
    let path = |method| [FILE_SERVICE, number(index), SERVICE_METHOD, number(method)];
    let mut methods = Vec::new();
    for (method, place) in service.method.iter().zip(0..) {
        methods.push(Method::of(types, file, service, method, path(place))?);
    }
    let service = Service {
        name: interface(service),
        client: client(service),
        wire_name: wire_name(file, service),
        doc: comment(
            0,
            file,
            &[FILE_SERVICE, number(index)],
            &format!("The service {}.", wire_name(file, service)),
        ),
        descriptors: descriptors(file),
        methods,
    };
    Ok(service.interface() + "\n" + &service.client())
}

/// An index as the paths of source locations have it.
fn number(index: usize) -> i32 {
    i32::try_from(index).expect("a file of two billion services would not fit the memory")
}

/// As on the wire: `package.Service`.
fn wire_name(file: &FileDescriptorProto, service: &ServiceDescriptorProto) -> String {
    match file.package() {
        "" => service.name().to_string(),
        package => format!("{package}.{}", service.name()),
    }
}

struct Service {
    name: String,
    client: String,
    wire_name: String,
    doc: String,
    descriptors: String,
    methods: Vec<Method>,
}

struct Method {
    function: String,
    start: String,
    call_back: String,
    wire_name: String,
    request: String,
    response: String,
    /// Of the function to implement, and of the one that calls.
    docs: [String; 2],
}

impl Service {
    fn interface(&self) -> String {
        let Service { name, doc, descriptors, methods, .. } = self;
        let virtuals: String = methods.iter().map(Method::to_implement).collect();
        let set = format!("        methods.descriptors({descriptors});\n");
        let (set, names) = match methods.is_empty() {
            true => ("", [""; 3]),
            false => (set.as_str(), ["methods", "service", "options"]),
        };
        let [methods_name, service_name, options_name] = names;
        let parameters = [
            format!("::msec::server::builder &{methods_name}"),
            format!("const ::std::shared_ptr<{name}> &{service_name}"),
            format!("const struct options &{options_name} = {{}}"),
        ];
        let add_to = signature(LEVEL, "static void add_to", &parameters, " {");
        let added: String = methods.iter().map(Method::to_add).collect();
        let options: String = methods.iter().map(Method::to_configure).collect();
        format!(
            "\
{doc}class {name} {{
public:
    /// How the methods are run; by default on coroutines, without a bound of their own.
    struct options {{
{options}    }};

    virtual ~{name}() = default;

{virtuals}    /// Adds the methods to a server, which keeps the service: what
    /// msec::server::builder::service calls.
{add_to}{set}{added}    }}
}};
"
        )
    }

    fn client(&self) -> String {
        let Service { client, wire_name, methods, .. } = self;
        let functions: String = methods.iter().map(Method::to_call).collect();
        let parameters =
            ["const ::msec::engine &engine".into(), "const ::std::string &target".into()];
        let constructor = signature(LEVEL, client, &parameters, "");
        format!(
            "\
/// Calls {wire_name}.
class {client} {{
public:
    /// `target` is a service, found in the engine's routes, or an address.
{constructor}        : client_(engine, target) {{}}

{functions}private:
    ::msec::client client_;
}};
"
        )
    }
}

impl Method {
    fn of(
        types: &Types,
        file: &FileDescriptorProto,
        service: &ServiceDescriptorProto,
        method: &MethodDescriptorProto,
        path: [i32; 4],
    ) -> Result<Method, Error> {
        let [function, start, call_back] = functions(service, method.name());
        let wire_name = format!("{}.{}", wire_name(file, service), method.name());
        let answers = format!("Answers {wire_name}.");
        let calls = format!("Calls {wire_name} and waits for the answer. Suspends.");
        Ok(Method {
            function,
            start,
            call_back,
            request: types.class(method.input_type())?.to_string(),
            response: types.class(method.output_type())?.to_string(),
            docs: [answers, calls].map(|otherwise| comment(LEVEL, file, &path, &otherwise)),
            wire_name,
        })
    }

    fn to_implement(&self) -> String {
        let Method { function, request, response, docs: [doc, _], .. } = self;
        let head = format!("virtual ::msec::status {function}");
        let parameters = [
            "::msec::context &context".to_string(),
            format!("const {request} &request"),
            format!("{response} &response"),
        ];
        format!("{doc}{}\n", signature(LEVEL, &head, &parameters, " = 0;"))
    }

    fn to_configure(&self) -> String {
        format!("        ::msec::method_options {};\n", self.function)
    }

    fn to_add(&self) -> String {
        let Method { function, wire_name, request, response, .. } = self;
        let types = "::msec::context &context, const auto &request, auto &response";
        format!(
            "        methods.method<{request}, {response}>(
            \"{wire_name}\",
            [service]({types}) {{
                return service->{function}(context, request, response);
            }},
            options.{function});
"
        )
    }

    fn to_call(&self) -> String {
        let Method { function, start, call_back, wire_name, request, response, .. } = self;
        let doc = &self.docs[1];
        let request = format!("const {request} &request");
        let options = "const ::msec::call_options &options = {}".to_string();
        let parameters = [request.clone(), options.clone()];
        let head = format!("::msec::result<{response}> {function}");
        let call = signature(LEVEL, &head, &parameters, " const {");
        let head = format!("::msec::pending<{response}> {start}");
        let begin = signature(LEVEL, &head, &parameters, " const {");
        let head = format!("void {call_back}");
        let parameters = [request, "Done done".to_string(), options];
        let tell = signature(LEVEL, &head, &parameters, " const {");
        format!(
            "\
{doc}{call}        return client_.call<{response}>(
            \"{wire_name}\", request, options);
    }}

    /// As {function}, begun now: its answer is waited for later, so that several run at a time.
{begin}        return client_.start<{response}>(
            \"{wire_name}\", request, options);
    }}

    /// As {function}: `done` is called with the msec::result, once, on a core's loop, where it must
    /// not block.
    template <class Done>
{tell}        client_.call_back<{response}>(
            \"{wire_name}\", request, ::std::move(done), options);
    }}

"
        )
    }
}
