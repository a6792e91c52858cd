use bowline::prelude::*;

pipeline! {
    /// The whole of CI.
    fn ci(
        /// The store's version
        #[flag(default = "7")]
        version: &str,
        /// How many clients ask it at once
        #[flag(default = 2, short = 'n')]
        clients: usize,
    ) -> Ci;

    /// The store under test.
    service redis { image format!("redis:{version}"); expose 6379; }
    for client in 0..clients {
        /// Asks the store.
        container ping { image "redis:7"; bind redis; env CLIENT = client; exec ["redis-cli", "-h", "redis", "ping"]; }
    }
    container fails { image "redis:7"; shell "echo oh; exit 3"; }
}

bowline::cli!(ci);
