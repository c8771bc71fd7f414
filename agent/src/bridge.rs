//! Bytes between a task, which waits for the network, and a thread, which works: bounded, so that neither runs ahead.

use std::io::{self, Read, Write};

use bytes::{Buf, Bytes, BytesMut};
use tokio::sync::mpsc::{Receiver, Sender, channel};

/// Bytes that are handed over at once.
pub const CHUNK_BYTES: usize = 128 << 10;
/// Chunks that wait.
const CHUNKS: usize = 8;

/// From a thread to a task.
pub fn to_task() -> (Pipe, Receiver<Bytes>) {
    let (sender, receiver) = channel(CHUNKS);
    let chunk = BytesMut::with_capacity(CHUNK_BYTES);
    (Pipe { sender, chunk }, receiver)
}

/// From a task to a thread.
pub fn to_thread() -> (Sender<Bytes>, Source) {
    let (sender, chunks) = channel(CHUNKS);
    let chunk = Bytes::new();
    (sender, Source { chunks, chunk })
}

/// The thread's end of [`to_task`]. What was written last is handed over by `flush`.
pub struct Pipe {
    sender: Sender<Bytes>,
    chunk: BytesMut,
}

impl Write for Pipe {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.chunk.extend_from_slice(bytes);
        if self.chunk.len() >= CHUNK_BYTES {
            self.flush()?;
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        if self.chunk.is_empty() {
            return Ok(());
        }
        let full = std::mem::replace(&mut self.chunk, BytesMut::with_capacity(CHUNK_BYTES));
        self.sender
            .blocking_send(full.freeze())
            .map_err(|_| io::Error::from(io::ErrorKind::BrokenPipe))
    }
}

/// The thread's end of [`to_thread`].
pub struct Source {
    chunks: Receiver<Bytes>,
    chunk: Bytes,
}

impl Read for Source {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        if self.chunk.is_empty() {
            match self.chunks.blocking_recv() {
                Some(chunk) => self.chunk = chunk,
                None => return Ok(0),
            }
        }
        let length = into.len().min(self.chunk.len());
        if let Some(into) = into.get_mut(..length) {
            self.chunk.copy_to_slice(into);
        }
        Ok(length)
    }
}
