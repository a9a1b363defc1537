//! Controls and reads the simulated world.

use serde_json::Value;

use super::Company;

impl Company {
    /// `GET /sim/state`.
    pub async fn state(&self) -> Value {
        let url = format!("{}/sim/state", self.world.control_url());
        self.http.get(url).send().await.unwrap().json().await.unwrap()
    }

    /// The numbers of records at Cloudflare and Technitium, and of servers at the proxy.
    pub async fn at_edge(&self) -> [usize; 3] {
        let state = self.state().await;
        [&state["cloudflare"]["records"], &state["technitium"]["zones"][0]["records"], &state["velocity"]["servers"]]
            .map(|held| held.as_array().unwrap().len())
    }

    /// Containers in the simulated world, without templates.
    pub async fn containers(&self) -> Vec<Value> {
        let state = self.state().await;
        let all = state["proxmox"]["containers"].as_array().unwrap();
        all.iter().filter(|container| container["template"] != true).cloned().collect()
    }

    /// How often each effect of this name was executed, by VMID.
    pub async fn effects(&self, effect: &str) -> std::collections::BTreeMap<i64, usize> {
        let state = self.state().await;
        let mut counts = std::collections::BTreeMap::new();
        for entry in state["proxmox"]["ledger"].as_array().unwrap() {
            if entry["effect"] == effect {
                *counts.entry(entry["vmid"].as_i64().unwrap()).or_default() += 1;
            }
        }
        counts
    }

    /// `GET` from the simulator's control API.
    pub async fn get(&self, path: &str) -> Value {
        let url = format!("{}{path}", self.world.control_url());
        self.http.get(url).send().await.unwrap().json().await.unwrap()
    }

    /// Removes a container from the simulated world.
    pub async fn remove_container(&self, vmid: i64) {
        self.control_delete(&format!("/sim/proxmox/containers/{vmid}")).await;
    }

    /// Drops the faults that have not occurred yet.
    pub async fn forget_faults(&self) {
        self.control_delete("/sim/faults").await;
    }

    /// `DELETE` to the simulator's control API.
    pub async fn control_delete(&self, path: &str) {
        let url = format!("{}{path}", self.world.control_url());
        self.http.delete(url).send().await.unwrap().error_for_status().unwrap();
    }

    /// `POST` to the simulator's control API.
    pub async fn control(&self, path: &str, body: Value) -> Value {
        let url = format!("{}{path}", self.world.control_url());
        let answer = self.http.post(url).json(&body).send().await.unwrap();
        let status = answer.status();
        let text = answer.text().await.unwrap();
        assert!(status.is_success(), "{path}: {status} {text}");
        serde_json::from_str(&text).unwrap_or(Value::Null)
    }
}
