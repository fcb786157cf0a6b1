//! The catalogue, a third party: it answers packets of ten digits, the length of what follows, and
//! JSON.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};

/// Starts it, for as long as this process lives; its address.
pub(crate) fn start() -> Result<String, String> {
    let failed = |error: std::io::Error| format!("the catalogue: {error}");
    let listener = TcpListener::bind("127.0.0.1:0").map_err(failed)?;
    let address = listener.local_addr().map_err(failed)?.to_string();
    std::thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            std::thread::spawn(move || serve(stream));
        }
    });
    Ok(address)
}

/// Until the peer leaves, or sends no packet.
fn serve(mut stream: TcpStream) -> Option<()> {
    loop {
        let mut digits = [0; 10];
        stream.read_exact(&mut digits).ok()?;
        let length: usize = std::str::from_utf8(&digits).ok()?.parse().ok()?;
        let mut question = Vec::new();
        (&mut stream).take(length as u64).read_to_end(&mut question).ok()?;
        let titles = match String::from_utf8_lossy(&question).contains("Austen") {
            true => r#"["Emma", "Persuasion"]"#,
            false => "[]",
        };
        stream.write_all(format!("{:010}{titles}", titles.len()).as_bytes()).ok()?;
    }
}
