//! Many cases, several at a time, each in a Tokio task: the others run on when one fails, and the failed ones are
//! listed at the end.

use std::fmt::Debug;

use futures_util::{StreamExt, stream};

/// Companies that run at one time.
const PARALLEL: usize = 6;

/// Runs `case` for each of `cells`, and fails with the names and reasons of those that failed.
pub async fn each<C, F>(cells: impl IntoIterator<Item = C>, case: impl Fn(C) -> F)
where
    C: Debug,
    F: Future<Output = ()> + Send + 'static,
{
    let tried = stream::iter(cells).map(|cell| {
        let name = format!("{cell:?}");
        let task = tokio::spawn(case(cell));
        async move { task.await.err().map(|why| format!("{name}: {why}")) }
    });
    let failed: Vec<String> = tried.buffer_unordered(PARALLEL).filter_map(std::future::ready).collect().await;
    assert!(failed.is_empty(), "{} failed\n{}", failed.len(), failed.join("\n"));
}
