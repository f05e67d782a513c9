//! From the text of schemas, or compiled descriptors, to a pool of descriptors.

use std::{collections::HashMap, fs, path::Path};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use prost_reflect::{DescriptorPool, FileDescriptor, prost::Message as _, prost_types::FileDescriptorProto};
use protox::{
    Compiler,
    file::{ChainFileResolver, File, FileResolver, GoogleFileResolver, IncludeFileResolver},
};

use crate::{SchemaError, SchemaText};

/// What Confluent's registry resolves by itself. Google's files are built into the compiler.
const BUILT_IN: [(&str, &str); 3] = [
    ("confluent/meta.proto", include_str!("proto/meta.proto")),
    ("confluent/type/decimal.proto", include_str!("proto/decimal.proto")),
    // The path of older releases.
    (
        "confluent/types/decimal.proto",
        "syntax = \"proto3\";\nimport public \"confluent/type/decimal.proto\";\n",
    ),
];

/// Compiles the text of a registry, whose references are named as it imports them. Instead of a text it may return what
/// some clients register, a `FileDescriptorProto` in base64.
pub(super) fn compile(text: &SchemaText) -> Result<FileDescriptor, SchemaError> {
    let references = text.references.iter().map(|(name, text)| (name.as_str(), text.as_str()));
    // The registry does not name the file itself.
    let mut name = "schema.proto".to_owned();
    while text.references.iter().any(|(reference, _)| *reference == name) {
        name.insert(0, '_');
    }
    let mut resolver = ChainFileResolver::new();
    resolver.add(Texts::new(references.chain([(name.as_str(), text.text.as_str())])));
    run(resolver, &name)
}

/// Compiles a file, whose imports are relative to its folder; or reads a file set that `protoc --include_imports
/// --descriptor_set_out` has written, where the last file is the one that counts.
pub(super) fn read(path: &Path) -> Result<FileDescriptor, SchemaError> {
    let failed = |error: String| SchemaError(format!("{}: {error}", path.display()));
    if path.extension().is_some_and(|extension| extension == "proto") {
        let folder = path.parent().unwrap_or(Path::new(""));
        let name = path.file_name().and_then(|name| name.to_str());
        let name = name.ok_or_else(|| failed("the name of the file is not UTF-8".to_owned()))?;
        let mut resolver = ChainFileResolver::new();
        resolver.add(IncludeFileResolver::new(folder.to_owned()));
        return run(resolver, name);
    }
    let bytes = fs::read(path).map_err(|error| failed(error.to_string()))?;
    let pool = DescriptorPool::decode(bytes.as_slice()).map_err(|error| {
        failed(format!("not a complete set of descriptors (protoc needs --include_imports): {error}"))
    })?;
    pool.files().last().ok_or_else(|| failed("the set of descriptors is empty".to_owned()))
}

fn run(mut resolver: ChainFileResolver, name: &str) -> Result<FileDescriptor, SchemaError> {
    resolver.add(Texts::new(BUILT_IN));
    resolver.add(GoogleFileResolver::new());
    let mut compiler = Compiler::with_file_resolver(resolver);
    // Its debug form has the file and line.
    compiler.open_file(name).map_err(|error| SchemaError(format!("{error:?}")))?;
    let found = compiler.descriptor_pool().get_file_by_name(name);
    found.ok_or_else(|| SchemaError("the compiler has no result".to_owned()))
}

/// Files in memory.
struct Texts(HashMap<String, String>);

impl Texts {
    fn new<'t>(texts: impl IntoIterator<Item = (&'t str, &'t str)>) -> Self {
        Self(texts.into_iter().map(|(name, text)| (name.to_owned(), text.to_owned())).collect())
    }
}

impl FileResolver for Texts {
    fn open_file(&self, name: &str) -> Result<File, protox::Error> {
        match self.0.get(name) {
            Some(text) => match descriptor(name, text) {
                Some(bytes) => {
                    File::decode_file_descriptor_proto(bytes.as_slice()).map_err(protox::Error::new)
                }
                None => File::from_source(name, text),
            },
            None => Err(protox::Error::file_not_found(name)),
        }
    }
}

/// A descriptor in base64, under the name by which it is imported. Returns `None` for the text of a schema, which is never
/// base64: it contains a semicolon or a brace.
fn descriptor(name: &str, text: &str) -> Option<Vec<u8>> {
    let mut bytes = STANDARD.decode(text.trim()).ok()?;
    FileDescriptorProto::decode(bytes.as_slice()).ok()?;
    // The writer's own name for the file may be another, or missing. Of two names the last one counts.
    let named = FileDescriptorProto { name: Some(name.to_owned()), ..FileDescriptorProto::default() };
    bytes.extend(named.encode_to_vec());
    Some(bytes)
}
