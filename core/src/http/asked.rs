//! What a request of HTTP asks for, and what has to be kept until its answer is written.

use std::borrow::Cow;
use std::net::IpAddr;

use msec_protocol::http::{self, Answer, Request, Target};
use msec_protocol::trace::TraceParent;
use msec_protocol::{Code, Metadata, RequestHead, limits};

use crate::coding::Coding;
use crate::http::{Told, may_call};
use crate::json::Mapping;
use crate::serve::Plan;

/// Who calls, where nobody says; as in the original.
const CALLER: &[u8] = b"http.json";
/// The path of servers in Java of the original.
const INVOKE: &[u8] = b"/invoke";
/// Headers of an answer beyond those that every answer has.
const HEADERS_COUNT_MAX: usize = 8;
/// Types of bodies that are messages as they are.
const BYTES_TYPES: [&str; 3] =
    ["application/octet-stream", "application/protobuf", "application/x-protobuf"];

/// How a method is called, and how it is answered.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Form {
    /// `POST /pkg.Svc/Method`: the message as JSON, the outcome as status.
    Modern,
    /// The same with the message as it is, of that type.
    Bytes(&'static str),
    /// `POST <any>?methodName=pkg.Svc.Method`: always 200, the outcome in an envelope.
    Original,
}

impl Form {
    pub(super) fn coding(self) -> Coding {
        match self {
            Form::Modern => Coding::Json(Mapping::Proto3),
            Form::Bytes(_) => Coding::Plain,
            Form::Original => Coding::Json(Mapping::Original),
        }
    }
}

/// A request that waits for its answer, or for its turn.
pub(super) struct Exchange {
    pub(super) form: Form,
    pub(super) keep_alive: bool,
    /// Whom a browser may tell the answer to.
    pub(super) cors: Option<usize>,
    /// A page asks that must not.
    pub(super) is_refused_page: bool,
    version_minor: u8,
    without_body: bool,
    /// The whole answer, which waits for those before it.
    pub(super) answer: Option<Vec<u8>>,
}

impl Exchange {
    pub(super) fn of(request: &Request<'_>, target: &Target<'_>, plan: &Plan) -> Self {
        let head = &request.head;
        let origin = request.of(head.origin);
        let is_page = !origin.is_empty();
        Self {
            form: form(target, request.of(head.content_type)),
            keep_alive: head.keep_alive,
            cors: if is_page { plan.allows_origin(origin) } else { None },
            is_refused_page: is_page && !may_call(plan, origin, request.of(head.host)),
            version_minor: head.version_minor,
            without_body: head.method == http::Method::Head,
            answer: None,
        }
    }

    /// Of a request that cannot be read.
    pub(super) fn last() -> Self {
        Self {
            form: Form::Modern,
            keep_alive: false,
            cors: None,
            is_refused_page: false,
            version_minor: 1,
            without_body: false,
            answer: None,
        }
    }

    /// Appends the answer.
    pub(super) fn encode(&self, told: &Told<'_>, date: &[u8], plan: &Plan, out: &mut Vec<u8>) {
        let none: (&str, &[u8]) = ("", b"");
        let mut headers = [none; HEADERS_COUNT_MAX];
        let mut count = 0;
        let own = [
            self.cors.map(|index| ("access-control-allow-origin", plan.cors[index].as_bytes())),
            // The same answer to another page would say something else.
            self.cors.map(|_| ("vary", &b"origin"[..])),
        ];
        for header in own.into_iter().flatten().chain(told.headers.iter().copied()) {
            if let Some(place) = headers.get_mut(count) {
                *place = header;
                count += 1;
            }
        }
        let answer = Answer {
            status: told.status,
            version_minor: self.version_minor,
            keep_alive: self.keep_alive,
            date,
            content_type: told.content_type,
            headers: &headers[..count],
            body: told.body,
            without_body: self.without_body,
        };
        http::encode(&answer, out);
    }
}

fn form(target: &Target<'_>, content_type: &[u8]) -> Form {
    if target.method_name().is_some() {
        return Form::Original;
    }
    let kind = content_type.split(|byte| *byte == b';').next().unwrap_or_default().trim_ascii();
    let bytes = BYTES_TYPES.iter().find(|known| kind.eq_ignore_ascii_case(known.as_bytes()));
    bytes.map_or(Form::Modern, |kind| Form::Bytes(kind))
}

/// A call, as the headers say it.
pub(super) struct Asked<'a> {
    method_name: Vec<u8>,
    caller: &'a [u8],
    deadline_ms: u32,
    trace: Option<TraceParent>,
    dyed: bool,
    metadata: Metadata,
    auth: &'a [u8],
    /// The message.
    pub(super) body: Cow<'a, [u8]>,
}

impl<'a> Asked<'a> {
    /// Reads the headers of a call; if they make none, why.
    pub(super) fn of(
        request: &'a Request<'_>,
        form: Form,
        target: &Target<'_>,
    ) -> Result<Self, (Code, String)> {
        let head = &request.head;
        let method_name = match (form, target.service_and_method()) {
            (Form::Original, _) => target.method_name().unwrap_or_default().to_vec(),
            (Form::Modern | Form::Bytes(_), Some((service, method))) => {
                [service, b".", method].concat()
            }
            (Form::Modern | Form::Bytes(_), None) => {
                let text = "a method is called by POST /package.Service/Method";
                return Err((Code::INVALID_METHOD, text.into()));
            }
        };
        let caller = request.of(head.caller);
        let auth = request.of(head.authorization);
        let is_bearer = auth.get(..7).is_some_and(|begin| begin.eq_ignore_ascii_case(b"bearer "));
        Ok(Self {
            method_name,
            caller: if caller.is_empty() { CALLER } else { caller },
            deadline_ms: deadline_ms(request.of(head.timeout_ms))?,
            trace: TraceParent::parse(request.of(head.traceparent)),
            dyed: request.of(head.dyed) == b"1",
            metadata: metadata(request)?,
            auth: if is_bearer { auth[7..].trim_ascii() } else { b"" },
            body: body(request, form, target)?,
        })
    }

    /// The same as the head of SRPC says it.
    pub(super) fn head(&self, sequence: u64) -> RequestHead<'_> {
        let trace = self.trace.as_ref();
        RequestHead {
            sequence,
            coloring: self.dyed.into(),
            caller: self.caller,
            method_name: &self.method_name,
            deadline_ms: self.deadline_ms,
            trace_id: trace.map_or([0; 16], |trace| trace.trace_id.to_bytes()),
            span_id: trace.map_or(0, |trace| trace.span_id),
            sampled: trace.is_some_and(|trace| trace.sampled),
            metadata: self.metadata.encoded(),
            auth: self.auth,
            ..RequestHead::default()
        }
    }
}

/// The message of a call. Servers in Java take it from the query as well, and decode it wherever
/// they find it, so what their clients send may be encoded: `POST /invoke?methodName=…&param=…`.
/// (By GET they take it, too. Here that is refused: a page of any site can make a browser GET
/// whatever it likes, and the browser does not say for whom.)
fn body<'a>(
    request: &'a Request<'_>,
    form: Form,
    target: &Target<'_>,
) -> Result<Cow<'a, [u8]>, (Code, String)> {
    let body = request.body();
    if form != Form::Original || !target.path.eq_ignore_ascii_case(INVOKE) {
        return Ok(Cow::Borrowed(body));
    }
    let encoded = match (body, target.value("param")) {
        ([], Some(param)) => param,
        // No JSON begins with a percent sign, but encoded JSON does, with that of its brace.
        ([b'%', ..], _) => body,
        _ => return Ok(Cow::Borrowed(body)),
    };
    let decoded = http::url_decoded(encoded).ok_or_else(|| {
        let text = "the message is not encoded as values of a URL are: a percent sign is not \
                    followed by two hexadecimal digits";
        (Code::INVALID_BODY, text.into())
    })?;
    Ok(Cow::Owned(decoded))
}

/// Milliseconds that the caller waits; 0 if it does not say.
fn deadline_ms(text: &[u8]) -> Result<u32, (Code, String)> {
    if text.is_empty() {
        return Ok(0);
    }
    let number = std::str::from_utf8(text).ok().and_then(|text| text.parse::<u64>().ok());
    match number {
        Some(ms) if ms > 0 => Ok(ms.min(limits::DEADLINE_MS_MAX.into()) as u32),
        Some(_) | None => {
            let text = "header `msec-timeout-ms` is not a number of milliseconds above 0";
            Err((Code::INVALID_PARAMETER, text.into()))
        }
    }
}

fn metadata(request: &Request<'_>) -> Result<Metadata, (Code, String)> {
    let mut metadata = Metadata::new();
    for (key, value) in &request.head.metadata {
        // Names of headers are ASCII, and their case means nothing.
        let key = String::from_utf8_lossy(request.of(*key)).to_ascii_lowercase();
        metadata.add(&key, request.of(*value)).map_err(|_| {
            let text = "user headers are over the limit: at most 64, of 8 KiB together";
            (Code::INVALID_HEAD, text.to_string())
        })?;
    }
    Ok(metadata)
}

/// Whether a page comes from this server: from the host that it asks, which is an address and not a
/// name that somebody else may have given to our address.
pub(super) fn is_own_origin(plan: &Plan, origin: &[u8], host: &[u8]) -> bool {
    let of = origin.strip_prefix(b"http://").or_else(|| origin.strip_prefix(b"https://"));
    of.is_some_and(|of| !host.is_empty() && of.eq_ignore_ascii_case(host))
        && is_own_host(plan, host)
}

/// Whether `Host` can only mean us: an address, `localhost` or a name that was configured. Any
/// other name may belong to somebody who lets it point here, so that a browser takes his page and
/// our answers for one site (DNS rebinding).
pub(crate) fn is_own_host(plan: &Plan, host: &[u8]) -> bool {
    let Ok(host) = std::str::from_utf8(host) else { return false };
    let name = match host.strip_prefix('[') {
        Some(rest) => rest.split(']').next().unwrap_or_default(),
        None => host.split(':').next().unwrap_or_default(),
    };
    name.is_empty()
        || name.eq_ignore_ascii_case("localhost")
        || name.parse::<IpAddr>().is_ok()
        || plan.hosts.iter().any(|own| own.eq_ignore_ascii_case(name))
}
