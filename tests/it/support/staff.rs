//! Users with permissions.

use serde_json::json;

use super::client::{Client, PASSWORD, User, text};
use super::server::{Server, Setup};

const SIGNED_IN: &str = "user { id } session { id } accessToken refreshToken";

/// A server that creates the admin `root` at its first start.
pub(crate) fn with_admin(setup: Setup) -> Setup {
    setup
        .with("DEFAULT_ADMIN_USERNAME", "root")
        .with("DEFAULT_ADMIN_EMAIL", "root@example.com")
        .with("DEFAULT_ADMIN_PASSWORD", PASSWORD)
}

/// The built-in admin role.
pub(crate) async fn admin_role(admin: &User) -> String {
    let roles = admin.data("{ admin { roles { id name } } }", json!({})).await;
    let roles = roles["admin"]["roles"].as_array().unwrap().clone();
    text(&roles.iter().find(|role| role["name"] == "admin").unwrap()["id"])
}

pub(crate) async fn log_in(client: &Client, username: &str) -> User {
    let input = json!({ "login": username, "password": PASSWORD });
    client.signed_in(&client.mutate("login", SIGNED_IN, input).await.data()["login"])
}

pub(crate) async fn root(server: &Server) -> User {
    log_in(&server.client(), "root").await
}

/// Creates a role with these permissions.
pub(crate) async fn new_role(admin: &User, name: &str, permissions: &[&str]) -> String {
    let input = json!({ "name": name, "permissions": permissions });
    text(&admin.mutate("createRole", "role { id }", input).await.data()["createRole"]["role"]["id"])
}

/// Creates a user with these roles, and signs in.
pub(crate) async fn new_user(admin: &User, username: &str, roles: &[&str]) -> User {
    let email = format!("{username}@example.com");
    let input = json!({ "username": username, "email": email, "password": PASSWORD, "roleIds": roles });
    admin.mutate("createUser", "user { id }", input).await.data();
    log_in(admin, username).await
}

/// Creates a user with a new role with these permissions, and signs in.
pub(crate) async fn with_permissions(admin: &User, username: &str, permissions: &[&str]) -> User {
    let role = new_role(admin, &format!("{username}'s"), permissions).await;
    new_user(admin, username, &[&role]).await
}
