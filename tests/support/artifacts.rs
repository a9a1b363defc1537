//! The simulated artifact server, shared by all tests that only read its catalog.

use std::sync::{Arc, OnceLock, mpsc};

use zpack::adapters::artifacts::{ArtifactSettings, ArtifactStore};
use zpack::kernel::Reach;
use zpack::ports::CatalogSource;
use zpack::sim::{SimConfig, World};

/// A client of the artifact server; both live as long as the test process.
pub fn shared() -> Arc<dyn CatalogSource> {
    static ADDRESS: OnceLock<String> = OnceLock::new();
    at(ADDRESS.get_or_init(serve))
}

/// A client of the artifact server at `address`.
pub fn at(address: &str) -> Arc<dyn CatalogSource> {
    Arc::new(
        ArtifactStore::new(&ArtifactSettings { reach: Reach::Loopback, base_url: address.parse().unwrap() }).unwrap(),
    )
}

/// Starts a world in a thread, because the Tokio runtime of a test ends with the test.
fn serve() -> String {
    let (sender, receiver) = mpsc::channel();
    std::thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let world = World::start(SimConfig::default()).await.unwrap();
            sender.send(world.artifacts_url()).unwrap();
            std::future::pending::<()>().await;
        });
    });
    receiver.recv().unwrap()
}
