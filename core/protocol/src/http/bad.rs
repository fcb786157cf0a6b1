//! Why bytes are not a request that is answered otherwise than by a refusal.

use core::fmt;

/// Why a request is refused before anybody asks for its method. The connection closes after it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BadRequest {
    /// The request line or a header is not HTTP.
    Malformed,
    /// A line ends with LF alone.
    BareLineFeed,
    /// A version other than 1.0 and 1.1.
    Version,
    /// The head is over its limit.
    HeadTooLarge,
    /// There are more headers than the limit.
    TooManyHeaders,
    /// `Host` is missing in HTTP/1.1, there twice, or no host.
    Host,
    /// `Content-Length` is not digits only, or there twice.
    Length,
    /// Both a length and a transfer coding, or two codings, or a coding in HTTP/1.0.
    Ambiguous,
    /// A transfer coding other than `chunked`.
    Coding,
    /// A chunk is not what its size says, or its size is none.
    Chunk,
    /// The trailers are over their limit, or not HTTP.
    Trailer,
    /// The body is over its limit.
    BodyTooLarge,
    /// `Expect` says something other than `100-continue`.
    Expectation,
}

impl BadRequest {
    /// The status of its answer.
    pub fn status(self) -> u16 {
        match self {
            BadRequest::Malformed
            | BadRequest::BareLineFeed
            | BadRequest::Host
            | BadRequest::Length
            | BadRequest::Ambiguous
            | BadRequest::Chunk
            | BadRequest::Trailer => 400,
            BadRequest::BodyTooLarge => 413,
            BadRequest::Expectation => 417,
            BadRequest::HeadTooLarge | BadRequest::TooManyHeaders => 431,
            BadRequest::Coding => 501,
            BadRequest::Version => 505,
        }
    }
}

impl fmt::Display for BadRequest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            BadRequest::Malformed => "request line or a header is malformed",
            BadRequest::BareLineFeed => "a line ends with a line feed alone",
            BadRequest::Version => "version is neither HTTP/1.1 nor HTTP/1.0",
            BadRequest::HeadTooLarge => "request line and headers are over the limit",
            BadRequest::TooManyHeaders => "there are too many headers",
            BadRequest::Host => "header `host` is missing, there twice, or no host",
            BadRequest::Length => "header `content-length` is no number, or there twice",
            BadRequest::Ambiguous => "length of the body is told in two ways",
            BadRequest::Coding => "transfer coding is not `chunked`",
            BadRequest::Chunk => "a chunk of the body is malformed",
            BadRequest::Trailer => "trailers of the body are malformed or over the limit",
            BadRequest::BodyTooLarge => "body is over the limit",
            BadRequest::Expectation => "header `expect` is not `100-continue`",
        })
    }
}

impl core::error::Error for BadRequest {}
