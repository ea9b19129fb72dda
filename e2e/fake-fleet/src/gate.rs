//! A way to the API server that can be shut: how an outage looks to one program, while the tests see on.

use std::{
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

use tokio::net::{TcpListener, TcpStream};
use tokio_util::sync::CancellationToken;

use crate::Error;

/// Passes connections on while it is open.
pub struct Gate {
    address: SocketAddr,
    shut: Arc<AtomicBool>,
    /// Ends the connections that are being passed on.
    cut: Arc<std::sync::Mutex<CancellationToken>>,
    stop: CancellationToken,
}

impl Gate {
    /// An open gate to `target`.
    pub async fn open(target: SocketAddr) -> Result<Self, Error> {
        let listener = TcpListener::bind("127.0.0.1:0").await.map_err(Error::io("gate"))?;
        let address = listener.local_addr().map_err(Error::io("gate"))?;
        let shut = Arc::new(AtomicBool::new(false));
        let cut = Arc::new(std::sync::Mutex::new(CancellationToken::new()));
        let stop = CancellationToken::new();
        let gate = Self { address, shut: shut.clone(), cut: cut.clone(), stop: stop.clone() };
        tokio::spawn(stop.run_until_cancelled_owned(async move {
            loop {
                let Ok((mut near, _)) = listener.accept().await else { continue };
                if shut.load(Ordering::SeqCst) {
                    continue;
                }
                let cut = cut.lock().unwrap_or_else(std::sync::PoisonError::into_inner).clone();
                tokio::spawn(cut.run_until_cancelled_owned(async move {
                    let Ok(mut far) = TcpStream::connect(target).await else { return };
                    // Either end may close when it likes.
                    let _ = tokio::io::copy_bidirectional(&mut near, &mut far).await;
                }));
            }
        }));
        Ok(gate)
    }

    /// Where it is.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Ends all connections and takes no new ones.
    pub fn shut(&self) {
        self.shut.store(true, Ordering::SeqCst);
        let mut cut = self.cut.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        std::mem::take(&mut *cut).cancel();
    }

    /// Takes connections again.
    pub fn reopen(&self) {
        self.shut.store(false, Ordering::SeqCst);
    }
}

impl Drop for Gate {
    fn drop(&mut self) {
        self.shut();
        self.stop.cancel();
    }
}
