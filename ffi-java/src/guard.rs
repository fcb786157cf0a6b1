//! The guard that every export stands behind: what fails becomes an exception, and so does a panic.

use jni::errors::ErrorPolicy;
use jni::objects::{JThrowable, JValue};
use jni::{Env, EnvUnowned, jni_sig, jni_str};
use msec::{Code, Error};

/// Why an export fails.
pub(crate) enum Failure {
    /// The engine says so.
    Engine(Error),
    /// The JVM says so; mostly an exception is thrown already.
    Java(jni::errors::Error),
}

/// What the bodies of exports return.
pub(crate) type Result<T> = std::result::Result<T, Failure>;

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        Self::Engine(error)
    }
}

impl From<jni::errors::Error> for Failure {
    fn from(error: jni::errors::Error) -> Self {
        Self::Java(error)
    }
}

/// An argument makes no sense.
pub(crate) fn invalid(text: impl Into<String>) -> Failure {
    Failure::Engine(Error::new(Code::INVALID_PARAMETER, text.into()))
}

/// Runs the body of an export. Where it fails, an exception waits for the caller, and what is
/// returned is looked at by nobody.
pub(crate) fn run<'local, T: Default>(
    mut env: EnvUnowned<'local>,
    body: impl FnOnce(&mut Env<'local>) -> Result<T>,
) -> T {
    env.with_env(body).resolve::<Throw>()
}

/// Throws `org.msec.MsecException`.
struct Throw;

impl<T: Default> ErrorPolicy<T, Failure> for Throw {
    type Captures<'unowned: 'native, 'native> = ();

    fn on_error<'unowned: 'native, 'native>(
        env: &mut Env<'unowned>,
        (): &mut (),
        failure: Failure,
    ) -> jni::errors::Result<T> {
        if env.exception_check() {
            return Ok(T::default());
        }
        match failure {
            Failure::Engine(error) => {
                let text = match error.operation() {
                    "" => error.message().to_owned(),
                    operation => format!("{} ({operation})", error.message()),
                };
                throw(env, error.code(), &text)?;
            }
            Failure::Java(error) => {
                throw(env, Code::SYSTEM_ERROR, &format!("the JVM refuses: {error}"))?;
            }
        }
        Ok(T::default())
    }

    fn on_panic<'unowned: 'native, 'native>(
        env: &mut Env<'unowned>,
        (): &mut (),
        payload: Box<dyn std::any::Any + Send + 'static>,
    ) -> jni::errors::Result<T> {
        let text = payload.downcast_ref::<&str>().copied();
        let text = text.or_else(|| payload.downcast_ref::<String>().map(String::as_str));
        let text = format!("a bug in libmsec_jni: it panicked: {}", text.unwrap_or("(no text)"));
        throw(env, Code::SYSTEM_ERROR, &text)?;
        Ok(T::default())
    }
}

fn throw(env: &mut Env<'_>, code: Code, text: &str) -> jni::errors::Result<()> {
    // By the class loader of the class that has the export.
    let class = env.find_class(jni_str!("org/msec/MsecException"))?;
    let text = env.new_string(text)?;
    let arguments = [JValue::Int(code.0), JValue::Object(&text)];
    let exception = env.new_object(class, jni_sig!("(ILjava/lang/String;)V"), &arguments)?;
    let exception = env.cast_local::<JThrowable>(exception)?;
    match env.throw(exception) {
        // That it is thrown is told as an error.
        Ok(()) | Err(jni::errors::Error::JavaException) => Ok(()),
        Err(error) => Err(error),
    }
}
