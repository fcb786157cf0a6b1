//! Which version this is.

use jni::EnvUnowned;
use jni::objects::{JByteArray, JClass};

use crate::guard;

/// The version of the library, as the Java that uses it has to have too. A native of the class that
/// loads the library, which may need no other class for it.
#[unsafe(no_mangle)]
pub extern "system" fn Java_org_msec_NativeLibrary_version<'local>(
    env: EnvUnowned<'local>,
    _class: JClass<'local>,
) -> JByteArray<'local> {
    guard::run(env, |env| Ok(env.byte_array_from_slice(env!("CARGO_PKG_VERSION").as_bytes())?))
}
