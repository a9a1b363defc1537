//! Many logins, for the memory they leave behind.

use futures_util::StreamExt;
use serde_json::json;

use crate::seed::{PASSWORD, name_of};

/// Logins at the same time.
const AT_A_TIME: usize = 16;

/// Logs in `count` times at the API on `port`, each time another of `customers`, from another address.
pub async fn log_in(port: u16, customers: usize, count: usize) {
    let client = reqwest::Client::builder().no_proxy().build().unwrap();
    let login = |number: usize| {
        let address = format!("198.18.{}.{}", number / 256 % 256, number % 256);
        let body = json!({ "identifier": name_of(number % customers), "password": PASSWORD });
        let request = client.post(format!("http://127.0.0.1:{port}/api/auth/login")).json(&body);
        let request = request.header("x-forwarded-for", address);
        async move {
            let answer = request.send().await.unwrap();
            let status = answer.status();
            assert!(status.is_success(), "{status}: {}", answer.text().await.unwrap());
        }
    };
    futures_util::stream::iter((0..count).map(login)).buffer_unordered(AT_A_TIME).collect::<Vec<()>>().await;
}
