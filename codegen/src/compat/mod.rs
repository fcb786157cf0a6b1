//! The project of a service as the original's generator wrote it, for its sources to stay as they
//! are: the same folders, files, classes and targets of make, on the headers of `msec-compat`.
//!
//! ```text
//! voa.proto ─► voa_server/  service_voa_frm.cpp     the plugin: yours, for lines of start and end
//!                           service_voa_impl.hpp    CRpc<Service>Impl: gives calls to messages
//!                           msg_voa_impl.h          C<Service>Msg: a function a method
//!                           msg_voa_impl.cpp        yours: the business
//!                           Makefile, voa.proto
//!              voa_client/  client_voa_sync.cpp     yours: calls the first method
//!                           Makefile, voa.proto
//! ```
//!
//! The classes are those of protoc with `cc_generic_services`. They are in the namespace of the
//! package, and a using directive follows them: so a business that defines its methods in that
//! namespace compiles, and one that does so outside of any, too.
//!
//! Nothing is written here: what a file means when there is one already is told by [`Keep`].

use std::fs;
use std::path::Path;

use prost_types::{FileDescriptorProto, FileDescriptorSet, ServiceDescriptorProto};

use crate::check::{FILE_SERVICE, line_of, streams};
use crate::cpp::names::{Types, identifier, namespace, stem};
use crate::cpp::text::{LEVEL, signature};
use crate::descriptors::with_imports;
use crate::{Error, Sources};

/// A file of a project.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ProjectFile {
    /// Its path within the folder of the project, as in `voa_server/msg_voa_impl.h`.
    pub name: String,
    /// The whole text.
    pub text: String,
    /// What becomes of a file that is there already.
    pub keep: Keep,
}

/// What becomes of a file that is there already.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Keep {
    /// It is overwritten: nobody but the generator writes it.
    Never,
    /// It stays if it has this text in it. Else it is the original's, which does not work any
    /// more: it gets another name, for somebody to carry lines of his own over.
    If(&'static str),
    /// It stays.
    Always,
}

/// The projects of those of the named files that declare services, in the order of their names.
pub(crate) fn generate(sources: &Sources) -> Result<Vec<ProjectFile>, Error> {
    let set = &sources.descriptors;
    let types = Types::of(set);
    let mut files: Vec<ProjectFile> = Vec::new();
    for file in &set.file {
        let given = sources.names.iter().any(|name| name == file.name());
        if !given || file.service.is_empty() {
            continue;
        }
        check(file)?;
        let project = Project { sources, types: &types, file };
        let made = project.files()?;
        if let Some(first) = made.first()
            && files.iter().any(|other| other.name == first.name)
        {
            let what = "its package is that of another file: both would become one project";
            return Err(Error::at(file.name(), None, what));
        }
        files.extend(made);
    }
    Ok(files)
}

/// What a file must have to become a project.
fn check(file: &FileDescriptorProto) -> Result<(), Error> {
    streams(file)?;
    if file.package().is_empty() {
        let what = "it has no package, after which the project would be called";
        return Err(Error::at(file.name(), None, what));
    }
    let options = file.options.as_ref();
    if !options.is_some_and(|options| options.cc_generic_services()) {
        let what = "the line `option cc_generic_services = true;` is missing: it has protoc write \
                    the classes of services that the project is made of";
        return Err(Error::at(file.name(), None, what));
    }
    for (service, index) in file.service.iter().zip(0..) {
        if service.method.is_empty() {
            let line = line_of(file, &[FILE_SERVICE, index]);
            let what = format!("the service {} has no rpc", service.name());
            return Err(Error::at(file.name(), line, what));
        }
    }
    Ok(())
}

struct Project<'a> {
    sources: &'a Sources,
    types: &'a Types,
    file: &'a FileDescriptorProto,
}

impl Project<'_> {
    fn files(&self) -> Result<Vec<ProjectFile>, Error> {
        let name = self.name();
        let first = self.file.service.first().and_then(|one| Some((one, one.method.first()?)));
        let Some((service, method)) = first else { return Ok(Vec::new()) };
        let client = self
            .filled(include_str!("templates/client_sync.cpp"))
            .replace("@REQUEST@", self.class(method.input_type())?.trim_start_matches("::"))
            .replace("@RESPONSE@", self.class(method.output_type())?.trim_start_matches("::"))
            .replace("@SERVICE@", &identifier(service.name()))
            .replace("@METHOD@", &identifier(method.name()));
        let register: String = self.file.service.iter().map(registration).collect();
        let frame =
            self.filled(include_str!("templates/service_frm.cpp")).replace("@REGISTER@", &register);
        let services = self.classes(include_str!("templates/service_impl.hpp"), Self::service)?;
        let messages = self.classes(include_str!("templates/msg_impl.h"), Self::message)?;
        let mut methods = String::new();
        for service in &self.file.service {
            methods += &self.business(service)?;
        }
        let business = self.filled(include_str!("templates/msg_impl.cpp"));
        let business = business.replace("@METHODS@\n", &methods);
        let [server, client_folder] = [format!("{name}_server"), format!("{name}_client")];
        let of_server = [
            (format!("service_{name}_frm.cpp"), frame, Keep::If("MSEC_COMPAT_PLUGIN")),
            (format!("service_{name}_impl.hpp"), services, Keep::Never),
            (format!("msg_{name}_impl.h"), messages, Keep::Never),
            (format!("msg_{name}_impl.cpp"), business, Keep::Always),
            ("Makefile".into(), self.makefile(SERVER_MAKEFILE), Keep::If("msec-compat")),
        ];
        let of_client = [
            (format!("client_{name}_sync.cpp"), client, Keep::Always),
            ("Makefile".into(), self.makefile(CLIENT_MAKEFILE), Keep::If("msec-compat")),
        ];
        let mut files = Vec::new();
        for (folder, of_folder) in [(server, &of_server[..]), (client_folder, &of_client[..])] {
            let own = of_folder.iter().cloned();
            files.extend(own.map(|(name, text, keep)| {
                let name = format!("{folder}/{name}");
                ProjectFile { name, text, keep }
            }));
            files.extend(self.protos(&folder)?);
        }
        Ok(files)
    }

    /// The .proto file and all that it imports, but for what protoc brings along.
    fn protos(&self, folder: &str) -> Result<Vec<ProjectFile>, Error> {
        let set: FileDescriptorSet = with_imports(&self.sources.descriptors, &[self.file]);
        let needed = set.file.iter().filter(|file| !file.name().starts_with("google/protobuf/"));
        let mut files = Vec::new();
        for file in needed {
            let path = self.sources.paths.iter().find(|(name, _)| name == file.name());
            let Some((_, path)) = path else { continue };
            let name = format!("{folder}/{}", file.name());
            files.push(ProjectFile { name, text: text_of(path)?, keep: Keep::Never });
        }
        Ok(files)
    }

    /// The package, as names of files have it.
    fn name(&self) -> String {
        self.file.package().replace('.', "_")
    }

    fn filled(&self, template: &str) -> String {
        template
            .replace("@PACKAGE@", self.file.package())
            .replace("@NAMESPACE@", &namespace(self.file.package()))
            .replace("@NAME@", &self.name())
            .replace("@GUARD@", &self.name().to_uppercase())
            .replace("@PROTO@", self.file.name())
            .replace("@STEM@", stem(self.file.name()))
    }

    fn makefile(&self, template: &str) -> String {
        let whole = template
            .replace("@COMMON@\n", include_str!("templates/Makefile.common"))
            .replace("@RULES@\n", include_str!("templates/Makefile.rules"));
        self.filled(&whole)
    }

    /// A header with a class for each service, in the namespace of the package.
    fn classes(
        &self,
        template: &str,
        class: fn(&Self, &ServiceDescriptorProto) -> Result<String, Error>,
    ) -> Result<String, Error> {
        let parts: Vec<_> = self.file.package().split('.').map(identifier).collect();
        let mut text: String = parts.iter().map(|part| format!("namespace {part} {{\n")).collect();
        for service in &self.file.service {
            text += "\n";
            text += &class(self, service)?;
        }
        text += "\n";
        text.extend(parts.iter().rev().map(|part| format!("}}  // namespace {part}\n")));
        Ok(self.filled(template).replace("@CLASSES@", &text))
    }

    /// The class of protoc's that gives calls to messages.
    fn service(&self, service: &ServiceDescriptorProto) -> Result<String, Error> {
        let (name, message) = (service.name(), message_class(service));
        let mut methods = String::new();
        for method in &service.method {
            let function = identifier(method.name());
            let request = self.class(method.input_type())?;
            let response = self.class(method.output_type())?;
            let parameters = [
                "google::protobuf::RpcController *controller".into(),
                format!("const {request} *request"),
                format!("{response} *response"),
                "google::protobuf::Closure *".into(),
            ];
            let head = signature(LEVEL, &format!("virtual void {function}"), &parameters, " {");
            methods += &format!(
                "
{head}        {message} *message = dynamic_cast<{message} *>(controller);
        if (message == NULL) {{
            controller->SetFailed(\"the controller is no {message}\");
            return;
        }}
        message->SetSrvRet(message->{function}(request, response));
    }}
"
            );
        }
        Ok(format!("class CRpc{name}Impl : public {} {{\npublic:{methods}}};\n", identifier(name)))
    }

    /// The class that the business fills in.
    fn message(&self, service: &ServiceDescriptorProto) -> Result<String, Error> {
        let class = message_class(service);
        let mut methods = String::new();
        for method in &service.method {
            let function = identifier(method.name());
            let request = self.class(method.input_type())?;
            let response = self.class(method.output_type())?;
            let parameters = [format!("const {request} *request"), format!("{response} *response")];
            methods += &signature(LEVEL, &format!("virtual int {function}"), &parameters, ";");
        }
        Ok(format!(
            "class {class} : public srpc::CRpcMsgBase {{
public:
    virtual srpc::CRpcMsgBase *New() {{ return new {class}; }}

{methods}}};
"
        ))
    }

    /// The functions of the business, which do nothing yet.
    fn business(&self, service: &ServiceDescriptorProto) -> Result<String, Error> {
        let class = message_class(service);
        let mut text = String::new();
        for method in &service.method {
            let function = identifier(method.name());
            let request = self.class(method.input_type())?;
            let response = self.class(method.output_type())?;
            let parameters = [format!("const {request} *request"), format!("{response} *response")];
            let head = signature(0, &format!("int {class}::{function}"), &parameters, " {");
            text += &format!(
                "
// What this returns travels to the caller beside the answer. Who calls SetFailed(code) sends no
// answer but a failure.
{head}    (void)request;
    (void)response;
    return 0;
}}
"
            );
        }
        Ok(text)
    }

    /// The class of a message, by its whole name.
    fn class(&self, message: &str) -> Result<&str, Error> {
        self.types.class(message)
    }
}

const SERVER_MAKEFILE: &str = include_str!("templates/Makefile.server");
const CLIENT_MAKEFILE: &str = include_str!("templates/Makefile.client");

fn message_class(service: &ServiceDescriptorProto) -> String {
    format!("C{}Msg", service.name())
}

fn registration(service: &ServiceDescriptorProto) -> String {
    let (name, message) = (service.name(), message_class(service));
    format!(
        "    ret |= CMethodManager::Instance()->RegisterService(\n        \
         new CRpc{name}Impl, new {message});\n"
    )
}

fn text_of(path: &Path) -> Result<String, Error> {
    fs::read_to_string(path)
        .map_err(|error| Error::new(format!("cannot read {}: {error}", path.display())))
}
