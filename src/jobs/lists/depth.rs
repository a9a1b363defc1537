//! The lengths of the lists and the number of living workers, read in a constant number of round trips for any number
//! of queues.

use redis::RedisError;

use crate::jobs::queue::Queue;

use super::commands::Lists;

/// The most workers of a queue that are read.
const MOST_WORKERS: isize = 1000;

/// What Redis holds for one queue.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Depth {
    /// Ids that wait to be received.
    pub ready: u64,
    /// Ids that registered workers have received and not acknowledged.
    pub processing: u64,
    /// Workers whose heartbeat has not expired.
    pub workers: u64,
    /// Workers whose heartbeat has expired and whose lists are not emptied yet.
    pub dead_workers: u64,
}

impl Lists {
    /// What Redis holds for one queue.
    pub async fn depth(&self, queue: Queue) -> Result<Depth, RedisError> {
        Ok(self.depths(&[queue]).await?.into_iter().next().unwrap_or_default())
    }

    /// What Redis holds for each of `queues`, in their order.
    pub async fn depths(&self, queues: &[Queue]) -> Result<Vec<Depth>, RedisError> {
        let mut connection = self.connection();
        let (seconds, micros): (u64, u64) = redis::cmd("TIME").query_async(&mut connection).await?;
        let now = (seconds * 1000 + micros / 1000) as f64;
        let (mut lengths, mut records) = (redis::pipe(), redis::pipe());
        for queue in queues {
            lengths.llen(queue.ready_key());
            records.zrange_withscores(queue.workers_key(), 0, MOST_WORKERS - 1);
        }
        let lengths: Vec<u64> = lengths.query_async(&mut connection).await?;
        let records: Vec<Vec<(String, f64)>> = records.query_async(&mut connection).await?;
        let mut processing = redis::pipe();
        for (queue, workers) in queues.iter().zip(&records) {
            for (worker, _) in workers {
                processing.llen(format!("{}{worker}", queue.processing_prefix()));
            }
        }
        let processing: Vec<u64> =
            if processing.is_empty() { Vec::new() } else { processing.query_async(&mut connection).await? };
        let mut processing = processing.into_iter();
        Ok(lengths
            .into_iter()
            .zip(records)
            .map(|(ready, workers)| {
                let living = workers.iter().filter(|(_, deadline)| *deadline > now).count();
                Depth {
                    ready,
                    processing: processing.by_ref().take(workers.len()).sum(),
                    workers: living as u64,
                    dead_workers: (workers.len() - living) as u64,
                }
            })
            .collect())
    }
}
