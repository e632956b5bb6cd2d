use std::net::SocketAddr;

/// What can go wrong with the server itself; what is wrong with a request is told to whoever sent it.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The address cannot be listened at.
    #[error("cannot listen at {address}: {source}; give another port, or 0 for any that is free")]
    Listen {
        /// The address.
        address: SocketAddr,
        /// The system's reason.
        source: std::io::Error,
    },
    /// The server cannot be started.
    #[error("cannot start the server: {0}")]
    Start(#[from] std::io::Error),
    /// A token that cannot be used, or none that the system could draw.
    #[error("token: {0}")]
    Token(String),
}
