//! Every point with every fault; a fixed slice of the matrix in every test run, all of it with `make crash`.

use std::time::Duration;

use futures_util::{StreamExt, stream};
use tokio::time::Instant;
use zpack::config::DatabaseKind;

use super::cell::Cell;
use super::fault::Fault;
use super::point::CrashPoint;

/// Cells that run at a time.
const PARALLEL: usize = 6;

/// The cells of every test run: three diagonals of the matrix, so that every point has three faults and every fault at
/// least four points.
fn slice(seed: u64) -> Vec<Cell> {
    let mut cells = Vec::new();
    for (row, &point) in CrashPoint::ALL.iter().enumerate() {
        for shift in [0, 3, 6] {
            let fault = Fault::ALL[(row + shift) % Fault::ALL.len()];
            cells.push(Cell { point, fault, database: DatabaseKind::Postgres, seed });
        }
    }
    cells.push(Cell { point: CrashPoint::StepIntent, fault: Fault::Late, database: DatabaseKind::Postgres, seed });
    cells.push(Cell {
        point: CrashPoint::Effect,
        fault: Fault::DatabaseRestart,
        database: DatabaseKind::MariaDb,
        seed,
    });
    cells
}

/// The word after `ZPACK_CRASH=`.
pub fn asked_for(what: &str) -> bool {
    std::env::var("ZPACK_CRASH").is_ok_and(|asked| asked == what)
}

/// `CRASH_SEED`, or one from the current time.
pub fn seed() -> u64 {
    let given = std::env::var("CRASH_SEED").ok().filter(|text| !text.is_empty());
    given.map_or_else(|| u64::from(rand::random::<u32>()), |text| text.parse().expect("CRASH_SEED is a number"))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_slice_of_the_matrix_loses_and_duplicates_nothing() {
    let seed = seed();
    run(seed, slice(seed)).await;
}

/// `make crash`: PostgreSQL with every fault, MariaDB with those of the database. `CRASH_CELL=point:fault[:database]` for
/// one cell.
#[tokio::test(flavor = "multi_thread")]
async fn the_whole_matrix_loses_and_duplicates_nothing() {
    if !asked_for("full") {
        return;
    }
    let seed = seed();
    let wanted = std::env::var("CRASH_CELL").unwrap_or_default();
    let mut cells = Vec::new();
    for database in [DatabaseKind::Postgres, DatabaseKind::MariaDb] {
        for &fault in Fault::ALL {
            for &point in CrashPoint::ALL {
                let cell = Cell { point, fault, database, seed };
                let chosen = cell.name() == wanted || cell.name().rsplit_once(':').is_some_and(|(n, _)| n == wanted);
                let in_matrix = database == DatabaseKind::Postgres || fault.is_of_the_database();
                if if wanted.is_empty() { in_matrix } else { chosen } {
                    cells.push(cell);
                }
            }
        }
    }
    assert!(!cells.is_empty(), "there is no cell `{wanted}`");
    run(seed, cells).await;
}

async fn run(seed: u64, mut cells: Vec<Cell>) {
    // Cells that need their own server queue up for it, so they begin first.
    cells.sort_by_key(|cell| cell.fault != Fault::DatabaseRestart);
    let (count, began) = (cells.len(), Instant::now());
    println!("{count} cells; CRASH_SEED={seed}");
    let failed: Vec<_> = stream::iter(cells)
        .map(|cell| async move {
            let (name, began) = (cell.name(), Instant::now());
            // In a Tokio task: a panic in one cell is a finding, not the end of the run.
            let result = match tokio::spawn(cell.run()).await {
                Ok(result) => result,
                Err(panic) => Err(format!("{panic}")),
            };
            let took = began.elapsed();
            tell(&name, &result, took);
            result.err().map(|why| format!("{name}: {why}"))
        })
        .buffer_unordered(PARALLEL)
        .filter_map(std::future::ready)
        .collect()
        .await;
    println!("{} of {count} cells hold after {:.0} s", count - failed.len(), began.elapsed().as_secs_f64());
    assert!(
        failed.is_empty(),
        "{} of {count} cells failed. One again: make crash CELL=<point:fault:database> SEED={seed}\n{}",
        failed.len(),
        failed.join("\n")
    );
}

fn tell(name: &str, result: &Result<String, String>, took: Duration) {
    let seconds = took.as_secs_f64();
    match result {
        Ok(end) => println!("{name:<45} {seconds:6.1} s  {end}"),
        Err(why) => println!("{name:<45} {seconds:6.1} s  FAILED: {}", why.lines().next().unwrap_or_default()),
    }
}
