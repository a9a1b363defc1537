//! A running API with the parts of the caller, and a client of it.

use std::net::{SocketAddr, TcpListener};
use std::time::Duration;

use reqwest::{Method, RequestBuilder, StatusCode};
use sea_orm::DatabaseConnection;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use zpack::accounts::{Passwords, admin};
use zpack::db::entities::user::Role;
use zpack::kernel::{Clock, Secret};
use zpack::router::{Apis, Parts, ServeOptions, serve};

use super::app::{PASSWORD, token_of};

/// A running API and a client of it.
pub struct Door {
    /// Its clock.
    pub clock: Clock,
    /// Where it listens.
    pub address: SocketAddr,
    db: DatabaseConnection,
    passwords: Passwords,
    client: reqwest::Client,
    stop: CancellationToken,
    server: JoinHandle<std::io::Result<()>>,
}

impl Door {
    /// Starts one on a free port.
    pub fn open(parts: Parts) -> Self {
        Self::open_with(parts, ServeOptions::default())
    }

    /// Starts one on a free port, with the bounds of `options` on one connection.
    pub fn open_with(parts: Parts, options: ServeOptions) -> Self {
        let (db, clock) = (parts.db.clone(), parts.clock.clone());
        let (passwords, stop) = (parts.credentials.passwords.clone(), parts.streams_end.clone());
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let options = ServeOptions { workers: 2, connections: 256, drain: Duration::from_secs(5), ..options };
        let server = tokio::spawn(serve(listener, Apis::of(parts), options, stop.clone()));
        let client = reqwest::Client::builder().no_proxy().build().unwrap();
        Self { clock, address, db, passwords, client, stop, server }
    }

    /// A request, to be completed.
    pub fn request(&self, method: Method, path: &str) -> RequestBuilder {
        self.client.request(method, format!("http://{}{path}", self.address))
    }

    /// `GET path`.
    pub fn get(&self, path: &str) -> RequestBuilder {
        self.request(Method::GET, path)
    }

    /// `POST path` with a JSON body.
    pub fn post(&self, path: &str, body: &Value) -> RequestBuilder {
        self.request(Method::POST, path).json(body)
    }

    /// Registers `name` and returns its token.
    pub async fn register(&self, name: &str) -> String {
        let body = json!({ "email": format!("{name}@example.com"), "username": name, "password": PASSWORD });
        let answer = self.post("/api/auth/register", &body).send().await.unwrap();
        assert_eq!(answer.status(), StatusCode::CREATED);
        token_of(answer).await
    }

    /// Creates the admin `name` as an operator would, and returns its token.
    pub async fn admin(&self, name: &str) -> String {
        let invitation = admin::Invitation {
            email: format!("{name}@example.com").parse().unwrap(),
            username: name.parse().unwrap(),
            role: Role::Admin,
            password: Secret::new(PASSWORD),
        };
        admin::create_user(&self.db, &self.passwords, invitation, self.clock.now()).await.unwrap();
        self.login(name).await
    }

    /// A new token for the account `name`.
    pub async fn login(&self, name: &str) -> String {
        let body = json!({ "identifier": name, "password": PASSWORD });
        token_of(self.post("/api/auth/login", &body).send().await.unwrap()).await
    }

    /// Sends `bytes` unchanged and reads until the server closes the connection.
    pub async fn raw(&self, bytes: &[u8]) -> String {
        let mut socket = TcpStream::connect(self.address).await.unwrap();
        let (mut reader, mut writer) = socket.split();
        let mut answer = Vec::new();
        let write = async {
            // The server may answer and close before it has read everything.
            _ = writer.write_all(bytes).await;
        };
        let read = tokio::time::timeout(Duration::from_secs(10), reader.read_to_end(&mut answer));
        let ((), outcome) = tokio::join!(write, read);
        assert!(outcome.is_ok(), "the server neither answered nor closed within 10 s");
        String::from_utf8_lossy(&answer).into_owned()
    }

    /// Sends `request` and closes the connection `after` that time, or when the answer comes.
    pub async fn hang_up(&self, request: &str, after: Duration) {
        let mut socket = TcpStream::connect(self.address).await.unwrap();
        socket.write_all(request.as_bytes()).await.unwrap();
        _ = tokio::time::timeout(after, socket.read_u8()).await;
    }

    /// Stops the server and waits until it has.
    pub async fn close(self) {
        self.stop.cancel();
        self.server.await.unwrap().unwrap();
    }
}
