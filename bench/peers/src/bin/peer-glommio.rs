//! A bare echo on glommio: one executor, rings as it sets them up by default.

use futures_lite::{AsyncReadExt, AsyncWriteExt};
use glommio::net::{TcpListener, TcpStream};
use glommio::{GlommioError, LocalExecutorBuilder, Placement};
use msec_bench_peers::{BUFFER_BYTES, listen_address};

fn main() -> Result<(), GlommioError<()>> {
    // Unbound: the bench has already pinned the process.
    let executor = LocalExecutorBuilder::new(Placement::Unbound).make()?;
    executor.run(async {
        let listener = TcpListener::bind(listen_address())?;
        loop {
            let stream = listener.accept().await?;
            glommio::spawn_local(async move {
                // A peer that went away is the end of its connection and nothing else.
                let _ = echo(stream).await;
            })
            .detach();
        }
    })
}

async fn echo(mut stream: TcpStream) -> std::io::Result<()> {
    stream.set_nodelay(true).map_err(std::io::Error::from)?;
    let mut buffer = vec![0; BUFFER_BYTES];
    loop {
        let count = stream.read(&mut buffer).await?;
        if count == 0 {
            return Ok(());
        }
        stream.write_all(&buffer[..count]).await?;
    }
}
