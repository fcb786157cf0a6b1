//! The generator as a plugin of protoc, for builds that have one anyway.
//!
//! ```text
//! protoc --plugin=protoc-gen-msec --msec_out=lang=cpp:build shop.proto
//!    └─ CodeGeneratorRequest on standard input ─► answer ─► CodeGeneratorResponse on its output
//! ```
//!
//! The text is that of `msec gen`, byte by byte. protoc can only be given text, so the descriptor
//! set is asked of protoc itself: `--descriptor_set_out=shop.pb --include_imports`. A file without
//! services gives nothing: protoc names all that it was given, messages as well.
//!
//! What is wrong with a .proto file is said in the answer, as the protocol of plugins wants it
//! (google/protobuf/compiler/plugin.proto); the status of the process stays 0.

use prost::Message;
use prost_types::FileDescriptorSet;
use prost_types::compiler::code_generator_response::{Feature, File};
use prost_types::compiler::{CodeGeneratorRequest, CodeGeneratorResponse};

use crate::{Build, Error, GeneratedFile, cpp, java};

/// The answer to a request of protoc, both as bytes.
///
/// Errors: bytes that are no request, for then nobody would understand an answer.
pub fn answer(request: &[u8]) -> Result<Vec<u8>, Error> {
    let request = CodeGeneratorRequest::decode(request)
        .map_err(|error| Error::new(format!("not a CodeGeneratorRequest of protoc: {error}")))?;
    let mut response = CodeGeneratorResponse {
        supported_features: Some(Feature::Proto3Optional as u64),
        ..CodeGeneratorResponse::default()
    };
    match generate(request) {
        Ok(files) => response.file.extend(files.into_iter().map(|file| File {
            name: Some(file.name),
            content: Some(file.text),
            ..File::default()
        })),
        Err(error) => response.error = Some(error.to_string()),
    }
    Ok(response.encode_to_vec())
}

fn generate(request: CodeGeneratorRequest) -> Result<Vec<GeneratedFile>, Error> {
    let set = FileDescriptorSet { file: request.proto_file };
    match request.parameter.as_deref().unwrap_or_default() {
        "" | "lang=cpp" => cpp::generate(&set, &request.file_to_generate),
        "lang=rust" => Build::new().generate_from(set),
        "lang=java" => java::generate(&set, &request.file_to_generate),
        other => {
            let text = format!("the parameter `{other}`: lang=cpp, lang=rust or lang=java");
            Err(Error::new(text))
        }
    }
}
